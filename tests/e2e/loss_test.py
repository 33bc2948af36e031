#!/usr/bin/env python3
"""Workers that die, hang and come back while somebody is being answered."""
import signal
import subprocess
import sys
import threading
import time

from harness import Run, wait_for

run = Run(sys.argv)
# 12 MB of weights in 8 layers; slow enough per token to be interrupted in the middle.
MODEL = run.make_model("model", *"--layers 8 --embd 256 --ff 768 --heads 4 --kv-heads 2 --ctx 2048 --type F16".split())
ASK = {"prompt": "once upon a time", "max_tokens": 150 if run.sanitized else 400, "temperature": 0, "ignore_eos": True}
SERVE = ["--ctx", "1024", "--carry", "f32", "--log", "info"]


def text_of(events):
    return "".join(e["choices"][0]["text"] for e in events if e != "[DONE]" and e.get("choices"))


class Streamed(threading.Thread):
    """A stream in the background, with the time at which each event came."""

    def __init__(self, c, ask=None):
        super().__init__()
        self.c, self.body, self.events, self.times, self.failure = c, ask or ASK, [], [], None
        self.start()

    def run(self):
        def seen(event):
            self.events.append(event)
            self.times.append(time.monotonic())
        try:
            self.c.stream("/v1/completions", self.body, seen)
        except Exception as e:
            self.failure = e

    def wait_events(self, n):
        wait_for("%d events" % n, 30 * run.slow, lambda: len(self.events) >= n or not self.is_alive())
        assert len(self.events) >= n, "it ended early: %s %s" % (self.failure, self.events[-1:])
        return self

    def ended(self, seconds):
        self.join(seconds * run.slow)
        assert not self.is_alive(), "a request hangs"
        return self


def stage_of(c, which):
    """The worker that holds the which-th stage."""
    name = c.view()["stages"][which]["node"]
    return next(w for w in c.workers if w.name == name)


def dies_with_no_way_on(sig, stage):
    """One worker has all the layers that nobody else can take."""
    with run.cluster(workers=3, serve=SERVE, model=MODEL, join=["--memory", str(BUDGET)]) as c:
        assert len(c.view()["stages"]) == 3, c.view()["plan"]
        victim = stage_of(c, stage)
        s = Streamed(c).wait_events(10)
        victim.child.send_signal(sig)
        start = time.monotonic()
        s.ended(30)
        took = time.monotonic() - start
        assert s.failure is None, s.failure
        e = s.events[-1]
        assert isinstance(e, dict) and "cannot serve" in e["error"]["message"], e
        assert took < 3.0 * run.slow, "the error came after %.1f s" % took
        b = c.refused(503, "POST", "/v1/completions", ASK)
        assert int(b.headers["Retry-After"]) > 0
        assert c.serve.running()
        wait_for("idle slots", 5 * run.slow, lambda: c.metrics()["slots_busy"] == 0)
        if sig == signal.SIGSTOP:
            victim.child.send_signal(signal.SIGCONT)
        else:
            victim.child.wait()
            c.join("back")
        c.wait_healthy()
        assert text_of(c.stream("/v1/completions", ASK)) == TEXT


def dies_and_the_others_go_on(sig, stage):
    with run.cluster(workers=3, serve=SERVE, model=MODEL) as c:
        victim = stage_of(c, stage)
        s = [Streamed(c), Streamed(c, dict(ASK, prompt="another one", n=2, max_tokens=200))]
        for one in s:
            one.wait_events(10)
        victim.child.send_signal(sig)
        for one in s:
            one.ended(60)
            assert one.failure is None and one.events[-1] == "[DONE]", (one.failure, one.events[-1])
        assert text_of(s[0].events) == TEXT
        m = c.metrics()
        assert m["tokens_rerun_total"] > 0 and m["epochs_lost_total"] >= 1
        assert victim.name not in [x["node"] for x in c.view()["stages"]]
        if sig == signal.SIGSTOP:
            victim.child.send_signal(signal.SIGCONT)
        else:
            victim.child.wait()
        assert text_of(c.stream("/v1/completions", ASK)) == TEXT


def leaves_politely():
    with run.cluster(workers=2, serve=SERVE, model=MODEL) as c:
        s = Streamed(c).wait_events(10)
        assert stage_of(c, 1).stop() == 0
        s.ended(60)
        assert s.failure is None and text_of(s.events) == TEXT and s.events[-1] == "[DONE]"


def coordinator_comes_back():
    """Workers outlive a coordinator that dies, and join the next one on the same address."""
    with run.cluster(workers=2, serve=SERVE, model=MODEL) as c:
        args = c.serve.child.args
        c.serve.kill()
        time.sleep(0.5)
        c.serve = type(c.serve)(run, "serve", args)
        c.wait_healthy()
        assert text_of(c.stream("/v1/completions", ASK)) == TEXT


def smallest(nodes):
    """Bytes for layers with which so many nodes can hold the model."""
    low, high = 1 << 18, 1 << 30
    while high - low > 1 << 18:
        middle = (low + high) // 2
        command = [run.caravan, "plan", MODEL, "--ctx", "1024", "--parallel", "4"]
        for i in range(nodes):
            command += ["--node", "n%d=%d" % (i, middle)]
        fits = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
        low, high = (low, middle) if fits else (middle, high)
    return high


def prepare():
    """The text that an undisturbed cluster gives, and the budget with which three workers are needed."""
    global TEXT, BUDGET
    given = 1 << 30
    with run.cluster(workers=1, serve=SERVE, model=MODEL, join=["--memory", str(given)]) as c:
        TEXT = text_of(c.stream("/v1/completions", ASK))
        process = given - c.view()["nodes"][0]["device"]["memory_usable_bytes"]
    BUDGET = (smallest(3) + smallest(2)) // 2 + process


prepare()
for number, word in ((signal.SIGKILL, "killed"), (signal.SIGSTOP, "stopped")):
    for which, place in ((0, "first"), (1, "middle"), (2, "last")):
        if (number == signal.SIGSTOP and which == 0) or (run.sanitized and which != 1):
            continue
        run.case("the %s of three is %s, nobody can take over: an error within 3 s" % (place, word),
                 dies_with_no_way_on, number, which)
run.case("the middle of three is killed: the others go on with the same text", dies_and_the_others_go_on, signal.SIGKILL, 1)
if not run.sanitized:
    run.case("the last of three is killed: the others go on with the same text", dies_and_the_others_go_on, signal.SIGKILL, -1)
run.case("the first of three hangs: the others go on with the same text", dies_and_the_others_go_on, signal.SIGSTOP, 0)
run.case("a worker leaves politely: the other goes on", leaves_politely)
run.case("a coordinator that died comes back, and its workers with it", coordinator_comes_back)
run.finish()
