#!/usr/bin/env python3
"""demo_budget.py CARAVAN MODEL CTX PARALLEL: bytes that a worker needs when three share the model, and one cannot hold it.

Asks `caravan plan` for the smallest budget with which three nodes can hold the model, and for the smallest with which
one can, and goes halfway between: enough for a share, too little for the whole. The process itself comes on top.
"""
import json
import subprocess
import sys

PROCESS = 20 << 20     # the process itself: what a worker keeps back of its budget


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
    print((three + one) // 2 + PROCESS)


if __name__ == "__main__":
    main()
