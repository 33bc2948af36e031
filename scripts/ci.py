#!/usr/bin/env python3
"""CI: the whole test suite, then the sanitizer builds; one closing line for all of it."""
import re
import subprocess
import sys

STEPS = [
    ("release", []),
    # Not under the sanitizers: the SDKs and the demo drive the release build; a process with its shadow memory fits no budget.
    ("asan", ["--quiet", "--exclude", "sdk|demo|e2e_memory", "--timeout", "1200"]),
    ("tsan", ["--quiet", "--only-threads", "--timeout", "1200"]),
]
CLOSING = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$")
THREADED = "base_test|edge|call_test|seal|http_test|layers|members|worker|coordinator|kv_test|rows_test|stage_test|e2e_loss|e2e_api"


def main():
    total, bad = [0, 0, 0], []
    for preset, args in STEPS:
        print("== %s" % preset, flush=True)
        if "--only-threads" in args:
            args = [a for a in args if a != "--only-threads"] + ["--match", THREADED]
        run = subprocess.Popen(["bash", "scripts/test.sh", preset] + args, stdout=subprocess.PIPE, text=True)
        last = None
        for line in run.stdout:
            hit = CLOSING.match(line.strip())
            if hit:
                last = [int(x) for x in hit.groups()]
                print("%s: %s" % (preset, line.strip().replace("passed,", "passed;")), flush=True)
            else:
                print(line, end="", flush=True)
        if run.wait() != 0 or last is None:
            bad.append(preset)
        for i in range(3):
            total[i] += last[i] if last else 0
    if bad:
        print("failed: " + ", ".join(bad))
        total[1] = max(total[1], 1)
    print("%d passed, %d failed, %d skipped" % tuple(total))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
