#!/usr/bin/env python3
"""What a hop costs: one small model on 1, 2, 3 and 4 workers over loopback TCP, the time of a token at each.

    hops.py BUILD_DIR [--tokens 400] [--rounds 5]

The stages of a small model compute for microseconds, so that what a token takes more with every worker is the hop: encode,
send, wake up, decode. The counts take turns within a round; the figure is the slope over the medians, in ms per hop.
"""
import argparse
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "e2e"))
import harness  # noqa: E402

COUNTS = (1, 2, 3, 4)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("build")
    ap.add_argument("--tokens", type=int, default=400)
    ap.add_argument("--rounds", type=int, default=5)
    opt = ap.parse_args()
    run = harness.Run([sys.argv[0], opt.build])
    model = run.make_model("small", "--layers", "4", "--embd", "256", "--ff", "512")
    times = {n: [] for n in COUNTS}
    for _ in range(opt.rounds):
        for n in COUNTS:
            with run.cluster(workers=n, model=model) as c:
                body = {"prompt": "once upon a time", "max_tokens": opt.tokens, "temperature": 0, "ignore_eos": True}
                c.ask("POST", "/v1/completions", dict(body, max_tokens=50))
                t = c.ask("POST", "/v1/completions", body)["timings"]
                times[n].append(t["predicted_ms"] / (t["predicted_n"] - 1))
    medians = {n: statistics.median(times[n]) for n in COUNTS}
    for n in COUNTS:
        print("%d workers: %.3f ms per token  (%.3f .. %.3f)" % (n, medians[n], min(times[n]), max(times[n])))
    mean_n = statistics.mean(COUNTS)
    mean_t = statistics.mean(medians.values())
    slope = sum((n - mean_n) * (medians[n] - mean_t) for n in COUNTS) / sum((n - mean_n) ** 2 for n in COUNTS)
    print("%.3f ms per hop" % slope)
    run.clean()


if __name__ == "__main__":
    main()
