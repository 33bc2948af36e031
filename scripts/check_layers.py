#!/usr/bin/env python3
"""Every arrow points down: each #include "folder/file.h" must be allowed by scripts/layers.txt."""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"/]+)/[^"]*"')


def main():
    allowed = {}
    for line in open(os.path.join(ROOT, "scripts", "layers.txt")):
        words = line.split("#")[0].split()
        if words:
            allowed[words[0]] = None if "*" in words[1:] else {words[0], *words[1:]}
    wrong = 0
    for folder, may in allowed.items():
        for where, _, files in os.walk(os.path.join(ROOT, folder)):
            for name in sorted(files):
                if not name.endswith((".c", ".h", ".cu", ".hip")):
                    continue
                path = os.path.join(where, name)
                for number, line in enumerate(open(path, encoding="utf-8"), 1):
                    hit = INCLUDE.match(line)
                    if hit and may is not None and hit.group(1) not in may:
                        print("%s:%d: %s may not include %s" % (os.path.relpath(path, ROOT), number, folder, hit.group(1)))
                        wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
