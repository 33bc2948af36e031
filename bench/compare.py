#!/usr/bin/env python3
"""Caravan beside llama.cpp on the same file, in the same minutes: A B A B, medians, ratios.

    compare.py MODEL.gguf --peer-python PYTHON [--peer-script FILE] [--rounds 4] [--threads 2] [--prompt 512] [--gen 32]

PYTHON has llama-cpp-python installed, built for this very machine. Where its native build ends with a fault in its AMX
kernels, build it without them:

    CMAKE_ARGS="-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON -DGGML_AVX512=ON
                -DGGML_AVX512_VBMI=ON -DGGML_AVX512_VNNI=ON -DGGML_AVX512_BF16=ON -DGGML_AVX_VNNI=ON"

Each round runs one engine after the other, once warmed up, once measured; a figure is the median over the rounds. Prints a
table and one line of JSON. On a machine that does other work at the same time the ratio is worth more than the figures.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def caravan(opt):
    out = subprocess.run([opt.caravan, "bench", opt.model, "--threads", str(opt.threads), "--prompt", str(opt.prompt), "--gen",
                          str(opt.gen), "--repeat", "1", "--json"], stdout=subprocess.PIPE, check=True, text=True).stdout
    figures = json.loads(out)
    return {"prompt": figures["prompt_tokens_per_s"]["median"], "gen": figures["gen_tokens_per_s"]["median"],
            "isa": figures["isa"]}


def peer(opt):
    out = subprocess.run([opt.peer_python, opt.peer_script, opt.model, "-p", str(opt.prompt), "-n", str(opt.gen), "-t",
                          str(opt.threads), "-r", "1", "-s", "1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if out.returncode != 0:
        sys.exit("the peer ended with code %d; see --help about AMX" % out.returncode)
    figures = json.loads(out.stdout)
    rate = {row["test"].split("-")[0]: row["tokens_per_s"]["median"] for row in figures["results"]}
    return {"prompt": rate["prompt"], "gen": rate["gen"], "engine": figures["engine"]}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("model")
    ap.add_argument("--caravan", default=os.path.join(ROOT, "build", "cli", "caravan"))
    ap.add_argument("--peer-python", required=True)
    ap.add_argument("--peer-script", default=os.path.join(os.path.dirname(ROOT), "shared", "tools", "peer_bench.py"))
    ap.add_argument("--rounds", type=int, default=4)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--prompt", type=int, default=512)
    ap.add_argument("--gen", type=int, default=32)
    opt = ap.parse_args()
    ours, theirs = [], []
    for i in range(opt.rounds):
        ours.append(caravan(opt))
        theirs.append(peer(opt))
        print("round %d: prompt %7.1f and %7.1f, generating %6.2f and %6.2f tokens/s" %
              (i + 1, ours[-1]["prompt"], theirs[-1]["prompt"], ours[-1]["gen"], theirs[-1]["gen"]), file=sys.stderr)
    result = {"model": os.path.basename(opt.model), "threads": opt.threads, "rounds": opt.rounds, "isa": ours[0]["isa"],
              "peer": theirs[0]["engine"], "cpus": os.cpu_count(), "load_average": os.getloadavg()[0],
              "machine": platform.machine()}
    print("%-12s %12s %12s %8s   (lowest and highest ratio of a round)" % ("tokens/s", "caravan", "llama.cpp", "ratio"))
    for what in ("prompt", "gen"):
        a, b = ([x[what] for x in side] for side in (ours, theirs))
        ratios = [x / y for x, y in zip(a, b)]
        result[what] = {"caravan": statistics.median(a), "peer": statistics.median(b),
                        "ratio": statistics.median(ratios), "ratios": [round(r, 3) for r in ratios]}
        print("%-12s %12.2f %12.2f %7.2fx   (%.2f .. %.2f)" %
              (what, result[what]["caravan"], result[what]["peer"], result[what]["ratio"], min(ratios), max(ratios)))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
