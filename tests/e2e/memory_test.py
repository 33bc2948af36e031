#!/usr/bin/env python3
"""What a cluster takes: a worker stays within its budget and fetches its own layers' bytes once; a coordinator stays small."""
import os
import subprocess
import sys

from harness import Run, wait_for

run = Run(sys.argv)
MIB = 1 << 20


def make(layers):
    return run.make_model("m%d" % layers, *("--layers %d --embd 1024 --ff 2816 --heads 16 --kv-heads 4 --vocab 4096 --ctx 2048 "
                                            "--type Q8_0" % layers).split())


def plan_needs(model, nodes):
    low, high = 1 << 20, 1 << 32
    while high - low > 1 << 20:
        middle = (low + high) // 2
        command = [run.caravan, "plan", model, "--ctx", "1024", "--parallel", "2"]
        for i in range(nodes):
            command += ["--node", "n%d=%d" % (i, middle)]
        fits = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
        low, high = (low, middle) if fits else (middle, high)
    return high


SERVE = ["--ctx", "1024", "--parallel", "2", "--workers", "3"]


def budget_and_bytes():
    model = make(18)
    size = os.path.getsize(model)
    budget = plan_needs(model, 3) + 30 * MIB  # the process itself comes out of the budget
    assert budget < size, "the model is too small for this test: %d and %d" % (budget, size)
    cache = os.path.join(run.dir, "kept")
    os.mkdir(cache)
    first = {}
    for round_number in (1, 2):
        with run.cluster(workers=3, serve=SERVE, join=["--memory", str(budget)], model=model, cache=cache) as c:
            assert len(c.view()["stages"]) == 3
            for i in range(3):
                c.complete("word " * 300, max_tokens=20, temperature=0)
            wait_for("a heartbeat", 10, lambda: all(n["rows"] > 0 for n in c.view()["nodes"]))
            view = c.view()
            bounds = {s["node"]: (s["layer_first"], s["layer_last"]) for s in view["stages"]}
            if round_number == 1:
                for w in c.workers + [c.serve]:
                    peak = w.status("VmHWM")
                    print("     %-6s peak %5.1f MiB of %s" % (w.name, peak / MIB, "300" if w is c.serve else "%.0f" % (budget / MIB)))
                    assert run.sanitized or peak <= (300 * MIB if w is c.serve else budget * 1.1), w.name
                for n in view["nodes"]:
                    weights = sum(b for name, b in tensors(model) if in_stage(name, bounds[n["name"]], view))
                    assert weights <= n["fetched_bytes"] <= weights * 1.01, (n["name"], n["fetched_bytes"], weights)
                first = bounds
                assert sum(n["fetched_bytes"] for n in view["nodes"]) < size * 1.05
            else:  # the plan may be another one: what a worker held already is not fetched again
                for n in view["nodes"]:
                    new = sum(b for name, b in tensors(model)
                              if in_stage(name, bounds[n["name"]], view) and not in_stage(name, first[n["name"]], view))
                    assert new <= n["fetched_bytes"] <= new * 1.01, (n["name"], n["fetched_bytes"], new)


def tensors(model):
    """(name, bytes) of every tensor: read here from the file, independently of the program."""
    import struct
    sizes = {0: (1, 4), 1: (1, 2), 8: (32, 34)}  # F32, F16, Q8_0
    fixed = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
    with open(model, "rb") as f:
        def number(form):
            return struct.unpack("<" + form, f.read(struct.calcsize(form)))[0]

        def text():
            return f.read(number("Q")).decode()

        def skip(kind):
            if kind == 8:
                text()
            elif kind == 9:
                inner, n = number("I"), number("Q")
                for _ in range(n):
                    skip(inner)
            else:
                f.read(fixed[kind])
        assert f.read(4) == b"GGUF" and number("I") == 3
        n_tensor, n_kv = number("Q"), number("Q")
        for _ in range(n_kv):
            text()
            skip(number("I"))
        out = []
        for _ in range(n_tensor):
            name, elements = text(), 1
            for _ in range(number("I")):
                elements *= number("Q")
            block, size = sizes[number("I")]
            number("Q")
            out.append((name, elements // block * size))
        return out


def in_stage(name, bounds, view):
    first, last = bounds
    n_layer = max(s["layer_last"] for s in view["stages"])
    if name.startswith("blk."):
        return first <= int(name.split(".")[1]) < last
    if name.startswith("token_embd"):
        return first == 0
    return last == n_layer


def coordinator_stays_small():
    """Twice the layers, and no byte of them in the coordinator."""
    peaks = []
    cache = os.path.join(run.dir, "one")
    os.mkdir(cache)
    for layers in (6, 18, 18):
        with run.cluster(workers=1, serve=["--ctx", "512", "--parallel", "2"], model=make(layers), cache=cache) as c:
            c.chat("hello", max_tokens=4)
            fetched = c.view()["nodes"][0]["fetched_bytes"]
            assert fetched == 0 if len(peaks) == 2 else fetched > 0  # the third time everything is there
            peaks.append(c.serve.status("VmHWM"))
    print("     peaks: %s MiB" % ", ".join("%.1f" % (p / MIB) for p in peaks))
    assert run.sanitized or max(peaks) < 300 * MIB
    assert peaks[1] < peaks[0] + 20 * MIB * run.slow


run.case("three workers stay within their budgets, fetch their own bytes, and none the second time", budget_and_bytes)
run.case("a coordinator without a worker of its own stays small; who joins again fetches nothing", coordinator_stays_small)
run.finish()
