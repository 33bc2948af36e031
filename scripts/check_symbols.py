#!/usr/bin/env python3
"""check_symbols.py BUILD_DIR: exported names begin with cv_, and every header compiles alone.

Looks at the global symbols of each folder's archive (generated protobuf code, caravan__*, is exempt) and gives each header
to the compiler by itself. Prints what is wrong; exit code 1 then.
"""
import concurrent.futures
import glob
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDERS = "base gguf text partition proto net engine registry-mirror cluster worker coordinator cli tests".split()
EXEMPT = ("caravan__", "__")    # generated; what sanitizers and compilers add
BODIES = {"engine/cpu/attend_tiles.h"}    # a kernel's body: the file that includes it says what a vector is


def symbols(build):
    wrong = []
    for archive in sorted(glob.glob(os.path.join(build, "*", "libcv_*.a"))):
        listing = subprocess.run(["nm", "--defined-only", "--extern-only", archive], stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, text=True).stdout
        for line in listing.splitlines():
            name = line.split()[-1] if len(line.split()) == 3 else "cv_"
            if not name.startswith(("cv_",) + EXEMPT):
                wrong.append("%s: exported name %s does not begin with cv_" % (os.path.basename(archive), name))
    return wrong


def compiles(job):
    header, flags = job
    run = subprocess.run(["cc", "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-D_DEFAULT_SOURCE", "-fsyntax-only", "-Wall", "-Wextra",
                          "-Wno-unused-function", "-Wno-unused-variable", "-I" + ROOT] + flags + ["-x", "c", header],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return None if run.returncode == 0 else "%s does not compile alone:\n%s" % (os.path.relpath(header, ROOT), run.stdout[:600])


def headers(build):
    # The include paths and instruction sets that the headers' own folders are built with.
    flags = {}
    for unit in json.load(open(os.path.join(build, "compile_commands.json"))):
        folder = os.path.relpath(os.path.dirname(unit["file"]), ROOT)
        words = unit["command"].split()
        flags.setdefault(folder, set()).update(w for w in words if w.startswith(("-I", "-m")))
        flags[folder].update("-isystem" + b for a, b in zip(words, words[1:]) if a == "-isystem")
    jobs = []
    for folder in FOLDERS:
        for where, _, files in os.walk(os.path.join(ROOT, folder)):
            own = sorted(flags.get(os.path.relpath(where, ROOT), ()))
            jobs += [(os.path.join(where, name), own) for name in sorted(files)
                     if name.endswith(".h") and os.path.relpath(os.path.join(where, name), ROOT) not in BODIES]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [bad for bad in pool.map(compiles, jobs) if bad]


def main():
    build = os.path.abspath(sys.argv[1])
    wrong = symbols(build) + headers(build)
    if wrong:
        print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
