#!/usr/bin/env python3
"""demo_budget.py CARAVAN MODEL CTX PARALLEL: bytes that a worker needs when three share the model, and one cannot hold it.

Asks `caravan plan` for what three equal nodes would take, doubling from below: the smallest budget that fits, plus room
for the process itself. That is less than one node alone would need, or there is no point in the demo.
"""
import json
import subprocess
import sys

PROCESS = 40 << 20     # the process before it holds anything


def plan(caravan, model, ctx, parallel, nodes, size):
    command = [caravan, "plan", model, "--ctx", ctx, "--parallel", parallel, "--json"]
    for i in range(nodes):
        command += ["--node", "n%d=%d" % (i, size)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else None


def smallest(caravan, model, ctx, parallel, nodes):
    low, high = 1 << 20, 1 << 20
    while plan(caravan, model, ctx, parallel, nodes, high) is None:
        low, high = high, high * 2
        if high > 1 << 50:
            sys.exit("%s: no plan for it at any size" % model)
    while high - low > high // 64:
        middle = (low + high) // 2
        if plan(caravan, model, ctx, parallel, nodes, middle) is None:
            low = middle
        else:
            high = middle
    return high


def main():
    caravan, model, ctx, parallel = sys.argv[1:5]
    three, one = (smallest(caravan, model, ctx, parallel, n) for n in (3, 1))
    print(min(three + three // 8, (three + one) // 2) + PROCESS)


if __name__ == "__main__":
    main()
