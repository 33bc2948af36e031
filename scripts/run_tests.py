#!/usr/bin/env python3
"""Runs every test that a build knows (ctest's list) and adds up their closing lines.

    run_tests.py BUILD_DIR [--only TEXT] [--exclude TEXT] [--quiet] [--timeout SECONDS] [-- EXTRA COMMAND ...]

A test program prints a line per case and closes with "N passed, N failed, N skipped"; one that prints no such line
counts as one test, by its exit code. A program that crashes or runs past its time is a failure even if all of its
lines were good. Small programs first. The last line is the sum; the exit code is 1 when anything failed.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import time

CLOSING = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.M)


def run(name, command, cwd, timeout, env, quiet):
    start = time.monotonic()
    try:
        done = subprocess.run(command, cwd=cwd, env=env, timeout=timeout, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        text, code = done.stdout.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as late:
        text = (late.stdout or b"").decode(errors="replace") + "\nstill running after %d s\n" % timeout
        code = -1
    except OSError as bad:
        text, code = "%s\n" % bad, -1
    hits = CLOSING.findall(text)
    if hits:
        passed, failed, skipped = (int(x or 0) for x in hits[-1])
    else:
        passed, failed, skipped = (1, 0, 0) if code == 0 else (0, 0, 0)
    if code != 0 and failed == 0:
        failed = 1
    print("%s %-34s %4d passed %3d failed %3d skipped  %6.1f s" %
          ("FAIL" if failed else "ok  ", name, passed, failed, skipped, time.monotonic() - start), flush=True)
    if failed:
        lines = text.splitlines()
        bad = [x for x in lines if x.startswith(("FAIL", "    "))] if hits else lines
        show = (bad or lines)[-80:] + (["(exit code %d)" % code] if code else [])
        print("\n".join("     | " + x for x in show), flush=True)
    elif skipped and not quiet:
        for line in text.splitlines():
            if line.startswith("SKIP"):
                print("     | " + line)
    return passed, failed, skipped


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("build")
    ap.add_argument("--only", default="", help="names that contain this")
    ap.add_argument("--match", default="", help="a regular expression of names to run")
    ap.add_argument("--exclude", default="", help="a regular expression of names to leave out")
    ap.add_argument("--quiet", action="store_true", help="don't list what was skipped")
    ap.add_argument("--timeout", type=int, default=600, help="seconds for one program")
    opt = ap.parse_args()
    listing = subprocess.run(["ctest", "--test-dir", opt.build, "--show-only=json-v1"], stdout=subprocess.PIPE, check=True)
    tests = json.loads(listing.stdout)["tests"]
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    total = [0, 0, 0]
    if not opt.only and not opt.match:
        for name in ("layers", "symbols"):
            checked = run(name, [sys.executable, os.path.join(root, "scripts", "check_%s.py" % name), opt.build], root, 300,
                          os.environ, opt.quiet)
            total = [a + b for a, b in zip(total, checked)]
    for test in tests:
        name = test["name"]
        if opt.only not in name or (opt.match and not re.search(opt.match, name)) or (opt.exclude and re.search(opt.exclude, name)):
            continue
        cwd = next((p["value"] for p in test.get("properties", []) if p["name"] == "WORKING_DIRECTORY"), opt.build)
        if "command" not in test:
            print("FAIL %-34s was not built" % name)
            total[1] += 1
            continue
        for i, n in enumerate(run(name, test["command"], cwd, opt.timeout, os.environ, opt.quiet)):
            total[i] += n
    print("%d passed, %d failed, %d skipped" % tuple(total))
    return 1 if total[1] or not total[0] else 0


if __name__ == "__main__":
    sys.exit(main())
