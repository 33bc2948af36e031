#!/usr/bin/env python3
"""The official OpenAI SDKs drive the endpoint: PyPI's and npm's `openai`, installed beside the cache, not in the tree.

They are fetched once into $XDG_CACHE_HOME/caravan-tests (~/.cache/caravan-tests). Without a registry these cases are
skipped; with CARAVAN_REQUIRE_CONFORMANCE=1 that is a failure.
"""
import os
import shutil
import subprocess
import sys

from harness import Run, Skip, wait_for

run = Run(sys.argv)
HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "caravan-tests")
PYTHON_SDK, NODE_SDK = "openai>=1.60,<3", "openai@5"


def missing(what):
    if os.environ.get("CARAVAN_REQUIRE_CONFORMANCE") == "1":
        raise AssertionError(what)
    raise Skip(what)


def install(folder, good, commands):
    """folder, made by the commands in it unless good(folder) already."""
    path = os.path.join(CACHE, folder)
    if good(path):
        return path
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    for command in commands:
        try:
            done = subprocess.run(command, cwd=path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
        except (OSError, subprocess.TimeoutExpired) as e:
            missing("%s: %s" % (command[0], e))
        if done.returncode != 0:
            missing("%s: %s" % (" ".join(command), (done.stdout.strip().splitlines() or ["?"])[-1]))
    return path


def drive(command, cwd):
    with run.cluster(workers=2, serve=["--ctx", "512", "--api-key", "sesame"]) as c, \
            run.cluster(workers=0, serve=["--no-local", "--api-key", "sesame"], wait=False) as empty:
        wait_for("the other endpoint", 20, lambda: "Add a machine" in empty.serve.output() and not empty.healthy())
        url = "http://127.0.0.1:%d/v1"
        done = subprocess.run(command + [url % c.http, "sesame", url % empty.http], cwd=cwd, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=120)
        sys.stdout.write(done.stdout)
        # Every one of its cases is one of ours.
        for line in done.stdout.splitlines():
            run.counts[0] += line.startswith("ok   ")
            run.counts[1] += line.startswith("FAIL ")
        assert done.returncode == 0, "exit code %d" % done.returncode


def python_sdk():
    path = install("python", lambda p: subprocess.run([p + "/bin/python", "-c", "import openai"], stderr=subprocess.DEVNULL).returncode == 0
                   if os.path.exists(p + "/bin/python") else False,
                   [[sys.executable, "-m", "venv", "."], ["bin/pip", "install", "--quiet", PYTHON_SDK]])
    drive([path + "/bin/python", os.path.join(HERE, "sdk_python.py")], path)


def node_sdk():
    if shutil.which("node") is None or shutil.which("npm") is None:
        missing("node and npm are not installed")
    path = install("node", lambda p: os.path.exists(p + "/node_modules/openai/package.json"),
                   [["npm", "init", "--yes"], ["npm", "install", "--silent", "--no-audit", "--no-fund", NODE_SDK]])
    # Node looks for packages beside the program's file: so a copy of it goes there.
    program = os.path.join(run.dir, "sdk_node.mjs")
    shutil.copy(os.path.join(HERE, "sdk_node.mjs"), program)
    os.symlink(path + "/node_modules", os.path.join(run.dir, "node_modules"))
    drive(["node", program], run.dir)


run.case("the Python SDK", python_sdk)
run.case("the Node SDK", node_sdk)
run.finish()
