"""Starts real `caravan` processes on loopback for one test program, and ends every one of them, whatever happens.

    run = harness.Run(sys.argv)                    # argv[1]: the build directory
    with run.cluster(workers=3) as c:              # a coordinator and three workers, serving
        c.chat("hello", max_tokens=8)
    run.case("name", function)                     # prints "ok   name" or "FAIL name"
    run.finish()                                   # "N passed, N failed, N skipped"; exit code

Under a sanitizer build everything may take longer (run.slow); a report of a sanitizer in any process is a failure.
"""
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

REPORT = re.compile(r"(ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:).*")


class Skip(Exception):
    pass


class Broken(Exception):
    """The answer of the server, when it is an error."""

    def __init__(self, status, headers, text):
        super().__init__("%d %s" % (status, text[:300]))
        self.status, self.headers, self.text = status, headers, text
        self.error = (json.loads(text).get("error") or {}) if text.startswith("{") else {}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, seconds, test, every=0.02):
    """Calls test until it is true; its value. AssertionError after so many seconds."""
    until = time.monotonic() + seconds
    while True:
        value = test()
        if value:
            return value
        assert time.monotonic() < until, "waited %.0f s for %s" % (seconds, what)
        time.sleep(every)


class Process:
    def __init__(self, run, name, command):
        self.run, self.name = run, name
        self.path = os.path.join(run.dir, "%s-%d.log" % (name, len(run.processes)))
        self.log = open(self.path, "wb")
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT,
                                      env=dict(os.environ, HOME=run.dir, XDG_CACHE_HOME=run.dir))
        run.processes.append(self)

    @property
    def pid(self):
        return self.child.pid

    def output(self):
        with open(self.path, errors="replace") as f:
            return f.read()

    def running(self):
        return self.child.poll() is None

    def status(self, key):
        """A line of /proc/PID/status in bytes (VmHWM, VmRSS)."""
        with open("/proc/%d/status" % self.pid) as f:
            return next(int(x.split()[1]) * 1024 for x in f if x.startswith(key + ":"))

    def kill(self):
        self.child.kill()
        self.child.wait()

    def stop(self, seconds=30):
        """SIGTERM; the exit code."""
        self.child.send_signal(signal.SIGCONT)
        self.child.terminate()
        try:
            return self.child.wait(seconds * self.run.slow)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise AssertionError("%s did not stop within %d s" % (self.name, seconds * self.run.slow))


class Cluster:
    def __init__(self, run, model, workers, serve, join, worker_args, cache):
        self.run, self.model = run, model
        self.cache = cache or tempfile.mkdtemp(dir=run.dir)
        self.http, self.control = free_port(), free_port()
        self.key = None
        self.join_args = list(join)
        args = [run.caravan, "serve", model, "--http", "127.0.0.1:%d" % self.http, "--cache", os.path.join(self.cache, "coordinator")]
        if workers is not None:
            args += ["--cluster", "127.0.0.1:%d" % self.control]
        else:
            args += ["--no-cluster"]
        if workers:
            args += ["--no-local", "--workers", str(workers)]
        self.serve = Process(run, "serve", args + list(serve))
        self.workers = []
        for i in range(workers or 0):
            self.join("w%d" % (i + 1), *(worker_args[i] if worker_args else []))

    def join(self, name, *more):
        w = Process(self.run, name, [self.run.caravan, "join", "127.0.0.1:%d" % self.control, "--name", name, "--threads", "1",
                                     "--cache", os.path.join(self.cache, name)] + self.join_args + list(more))
        self.workers.append(w)
        return w

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        alive = [p for p in [self.serve] + self.workers if p.running()]
        if kind is not None:
            for p in alive:
                p.kill()
            return
        for p, code in zip(alive, together([p.stop for p in alive])):
            assert code == 0, "%s: exit code %s after SIGTERM\n%s" % (p.name, code, p.output()[-2000:])

    # ---- asking ----

    def open(self, method, path, body=None, headers=None, timeout=None):
        """(connection, response), not yet read."""
        h = dict(headers or {})
        if self.key:
            h.setdefault("Authorization", "Bearer " + self.key)
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        if body is not None:
            h.setdefault("Content-Type", "application/json")
        c = http.client.HTTPConnection("127.0.0.1", self.http, timeout=(timeout or 60) * self.run.slow)
        c.request(method, path, body, h)
        return c, c.getresponse()

    def ask(self, method, path, body=None, headers=None, timeout=None):
        """The parsed answer (text if it is no JSON); Broken for 4xx and 5xx."""
        c, r = self.open(method, path, body, headers, timeout)
        with contextlib.closing(c):
            text = r.read().decode()
        if r.status >= 400:
            raise Broken(r.status, r.headers, text)
        return json.loads(text) if "json" in r.headers.get("Content-Type", "") else text

    def refused(self, status, method, path, body=None, headers=None):
        try:
            self.ask(method, path, body, headers)
        except Broken as b:
            assert b.status == status, "%s %s: %s, not %d" % (method, path, b, status)
            assert {"message", "type", "param", "code"} <= set(b.error) and b.error["message"], b.text
            return b
        raise AssertionError("%s %s was not refused" % (method, path))

    def chat(self, text, **more):
        return self.ask("POST", "/v1/chat/completions", dict({"messages": [{"role": "user", "content": text}]}, **more))

    def complete(self, prompt, **more):
        return self.ask("POST", "/v1/completions", dict({"prompt": prompt}, **more))

    def stream(self, path, body, seen=None):
        """The events of a stream; the last one is "[DONE]" or has an error. seen(event) is called as they come."""
        c, r = self.open("POST", path, dict(body, stream=True))
        with contextlib.closing(c):
            if r.status != 200:
                raise Broken(r.status, r.headers, r.read().decode())
            assert r.headers["Content-Type"].startswith("text/event-stream"), r.headers["Content-Type"]
            events = []
            for line in r:
                line = line.decode().rstrip("\n")
                if not line.startswith("data: "):
                    assert line == "" or line.startswith(":"), line
                    continue
                data = line[6:]
                events.append(data if data == "[DONE]" else json.loads(data))
                if seen:
                    seen(events[-1])
            return events

    def metrics(self):
        pairs = (x.rsplit(" ", 1) for x in self.ask("GET", "/metrics").splitlines() if not x.startswith("#"))
        return {k.replace("caravan_", "", 1): float(v) for k, v in pairs}

    def view(self):
        return self.ask("GET", "/api/cluster")

    def healthy(self):
        try:
            return self.ask("GET", "/health")["status"] == "ok"
        except (Broken, OSError, http.client.HTTPException):
            return False

    def wait_healthy(self, seconds=60):
        def good():
            assert self.serve.running(), "serve ended:\n" + self.serve.output()[-3000:]
            return self.healthy()
        try:
            wait_for("/health to be ok", seconds * self.run.slow, good, 0.05)
        except AssertionError as e:
            logs = "".join("\n--- %s\n%s" % (p.name, p.output()[-1500:]) for p in [self.serve] + self.workers)
            raise AssertionError(str(e) + logs)
        return self


class Run:
    def __init__(self, argv, title=None):
        self.build = os.path.abspath(argv[1])
        self.only = argv[2] if len(argv) > 2 else ""
        self.caravan = os.path.join(self.build, "cli", "caravan")
        self.dir = tempfile.mkdtemp(prefix="caravan-e2e-")
        self.processes, self.counts, self.models = [], [0, 0, 0], {}
        with open(os.path.join(self.build, "CMakeCache.txt")) as f:
            self.sanitized = bool(re.search(r"^CARAVAN_SANITIZE:\w+=\w", f.read(), re.M))
        self.slow = 6 if self.sanitized else 1
        for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(s, self.interrupted)

    def interrupted(self, number, frame):
        self.clean()
        os._exit(1)

    def make_model(self, name="tiny", *options):
        """A model with random weights: the same bytes each time. The default has 6 layers and 2 MB."""
        if name not in self.models:
            path = os.path.join(self.dir, name + ".gguf")
            tiny = "--layers 6 --embd 128 --ff 256 --heads 4 --kv-heads 2 --ctx 1024 --type F16".split()
            subprocess.run([os.path.join(self.build, "tools", "caravan-mkmodel"), path] + (list(options) or tiny), check=True,
                           stdout=subprocess.DEVNULL)
            self.models[name] = path
        return self.models[name]

    def cluster(self, workers=None, serve=(), join=(), model=None, worker_args=None, cache=None, wait=True):
        """workers None: --no-cluster, this process alone; 0: a local worker that others may join; N: --no-local."""
        c = Cluster(self, model or self.make_model(), workers, serve, join, worker_args, cache)
        return c.wait_healthy() if wait else c

    def case(self, name, function, *args):
        if self.only not in name:
            return
        start = time.monotonic()
        try:
            function(*args)
            self.counts[0] += 1
            print("ok   %s (%.1f s)" % (name, time.monotonic() - start), flush=True)
        except Skip as why:
            self.counts[2] += 1
            print("SKIP %s: %s" % (name, why), flush=True)
        except Exception as e:
            self.counts[1] += 1
            print("FAIL %s" % name)
            where = traceback.extract_tb(e.__traceback__)[1:]
            for line in ["%s:%d: %s" % (os.path.basename(t.filename), t.lineno, t.line) for t in where]:
                print("     " + line)
            print("     %s: %s" % (type(e).__name__, str(e).replace("\n", "\n     ")), flush=True)

    def clean(self):
        for p in self.processes:
            if p.running():
                p.kill()
            p.log.close()

    def reports(self):
        """What sanitizers said in any process."""
        if not self.sanitized:
            return
        bad = [p for p in self.processes if REPORT.search(p.output())]
        text = "\n".join("%s:\n%s" % (p.name, p.output()[max(0, REPORT.search(p.output()).start() - 100):][:4000]) for p in bad[:3])
        assert not bad, text

    def finish(self):
        self.clean()
        if self.sanitized:
            self.case("no process had a report of a sanitizer" if not self.only else self.only, self.reports)
        if self.counts[1] and os.environ.get("CARAVAN_KEEP_LOGS"):
            print("     logs are in " + self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)
        print("%d passed, %d failed, %d skipped" % tuple(self.counts))
        sys.exit(1 if self.counts[1] else 0)


def together(functions):
    """Runs them at the same time; their results in order. The first exception is raised."""
    results = [None] * len(functions)

    def one(i):
        try:
            results[i] = (functions[i](), None)
        except BaseException as e:
            results[i] = (None, e)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(functions))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for _, e in results:
        if e is not None:
            raise e
    return [r for r, _ in results]
