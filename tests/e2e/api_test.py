#!/usr/bin/env python3
"""The endpoint on real processes: forms of answers, errors, slots; the same text on one node and on three."""
import json
import signal
import sys
import time

from harness import Broken, Run, together, wait_for

run = Run(sys.argv)


def text_of(events):
    return "".join(c["choices"][0]["delta"].get("content", "") for c in events if c != "[DONE]" and c["choices"])


def plain_chat(c):
    a = c.chat("hello", max_tokens=8, temperature=0)
    assert a["object"] == "chat.completion" and a["id"].startswith("chatcmpl-") and a["model"] == "tiny"
    assert len(a["choices"]) == 1 and a["choices"][0]["message"]["role"] == "assistant"
    assert a["choices"][0]["finish_reason"] in ("length", "stop")
    u = a["usage"]
    assert u["completion_tokens"] <= 8 and u["prompt_tokens"] > 0
    assert u["total_tokens"] == u["prompt_tokens"] + u["completion_tokens"]


def streamed_chat(c):
    ask = {"messages": [{"role": "user", "content": "hello there"}], "max_tokens": 12, "temperature": 0}
    whole = c.ask("POST", "/v1/chat/completions", ask)
    events = c.stream("/v1/chat/completions", ask)
    assert events[-1] == "[DONE]" and events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert text_of(events) == whole["choices"][0]["message"]["content"]
    assert events[-2]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert len({e["id"] for e in events[:-1]}) == 1
    events = c.stream("/v1/chat/completions", dict(ask, stream_options={"include_usage": True}))
    assert events[-2]["choices"] == [] and events[-2]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]


def stop_strings(c):
    whole = c.complete("hello", max_tokens=40, temperature=0)["choices"][0]["text"]
    at = next(i for i in range(len(whole) // 2, len(whole) - 2) if whole[i:i + 2].isascii())
    stop = whole[at:at + 2]
    a = c.complete("hello", max_tokens=40, temperature=0, stop=[stop, "never said"])
    assert a["choices"][0]["text"] == whole[:whole.index(stop)], (stop, whole)
    assert a["choices"][0]["finish_reason"] == "stop"
    events = c.stream("/v1/completions", {"prompt": "hello", "max_tokens": 40, "temperature": 0, "stop": stop})
    assert "".join(e["choices"][0]["text"] for e in events[:-1]) == whole[:whole.index(stop)]


def several_choices_and_seeds(c):
    a = c.complete("once", max_tokens=12, n=3, seed=5)
    b = c.complete("once", max_tokens=12, n=3, seed=5)
    texts = [x["text"] for x in a["choices"]]
    assert texts == [x["text"] for x in b["choices"]] and [x["index"] for x in a["choices"]] == [0, 1, 2]
    assert len(set(texts)) > 1
    assert c.complete("once", max_tokens=12, seed=6)["choices"][0]["text"] == texts[1]  # choice i has seed + i
    assert c.complete("once", max_tokens=12, seed=99)["choices"][0]["text"] not in texts


def log_probabilities(c):
    a = c.chat("hello", max_tokens=5, temperature=0, logprobs=True, top_logprobs=3)
    content = a["choices"][0]["logprobs"]["content"]
    assert len(content) == a["usage"]["completion_tokens"]
    for one in content:
        tops = one["top_logprobs"]
        assert len(tops) == 3 and tops[0]["token"] == one["token"]  # greedy: the best one
        assert tops[0]["logprob"] == one["logprob"] <= 0 and tops[0]["logprob"] >= tops[1]["logprob"] >= tops[2]["logprob"]
        assert one["token"] == "" or bytes(one["bytes"]).decode(errors="ignore") == one["token"]
    a = c.complete("hello", max_tokens=5, temperature=0, logprobs=2)["choices"][0]["logprobs"]
    assert len(a["tokens"]) == len(a["token_logprobs"]) == len(a["top_logprobs"]) == len(a["text_offset"]) == 5
    events = c.stream("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 5,
                                               "temperature": 0, "logprobs": True, "top_logprobs": 3})
    got = [x for e in events[:-1] for x in ((e["choices"][0].get("logprobs") or {}).get("content") or [])]
    assert [x["logprob"] for x in got] == [x["logprob"] for x in content]


def completions(c):
    tokens = c.ask("POST", "/tokenize", {"content": "hello world", "add_special": True})["tokens"]
    by_text = c.complete("hello world", max_tokens=6, temperature=0)
    by_token = c.complete(tokens, max_tokens=6, temperature=0)
    assert by_text["choices"][0]["text"] == by_token["choices"][0]["text"] and by_text["object"] == "text_completion"
    echo = c.complete("hello world", max_tokens=6, temperature=0, echo=True)["choices"][0]["text"]
    assert echo == "hello world" + by_text["choices"][0]["text"]
    many = c.complete(["hello world", "once"], max_tokens=6, temperature=0)["choices"]
    assert [x["index"] for x in many] == [0, 1] and many[0]["text"] == by_text["choices"][0]["text"]
    assert c.ask("POST", "/detokenize", {"tokens": c.ask("POST", "/tokenize", {"content": "hé\u20ac"})["tokens"]})["content"] == "hé\u20ac"


def models(c):
    assert [m["id"] for m in c.ask("GET", "/v1/models")["data"]] == ["tiny"]
    assert c.ask("GET", "/v1/models/tiny")["object"] == "model"
    assert c.refused(404, "GET", "/v1/models/other").error["code"] == "model_not_found"


def errors(c):
    ok = {"messages": [{"role": "user", "content": "x"}]}
    chat = "/v1/chat/completions"
    assert "JSON" in c.refused(400, "POST", chat, "{nonsense").error["message"]
    assert c.refused(400, "POST", chat, dict(ok, temperature="hot")).error["param"] == "temperature"
    assert c.refused(400, "POST", chat, {}).error["param"] == "messages"
    e = c.refused(400, "POST", "/v1/completions", {"prompt": "word " * 2000}).error
    assert e["code"] == "context_length_exceeded" and e["n_ctx"] == 512 and e["n_prompt_tokens"] > 512
    assert "512" in e["message"] and str(e["n_prompt_tokens"]) in e["message"]
    assert c.refused(404, "POST", chat, dict(ok, model="gpt-4")).error["code"] == "model_not_found"
    c.refused(404, "GET", "/v1/nothing")
    assert c.refused(405, "GET", chat).headers["Allow"] == "POST"
    c.refused(405, "POST", "/v1/models", {})


def aborted_stream(c):
    def busy():
        return c.metrics()["slots_busy"]
    wait_for("idle slots", 10, lambda: busy() == 0)
    conn, r = c.open("POST", "/v1/completions", {"prompt": "go", "max_tokens": 450, "stream": True, "ignore_eos": True})
    assert r.status == 200
    for _ in range(4):
        r.readline()
    assert busy() == 1
    before = c.metrics()["requests_cancelled_total"]
    r.close()
    conn.close()
    start = time.monotonic()
    wait_for("the slot to be free", 5 * run.slow, lambda: busy() == 0)
    assert time.monotonic() - start < 1.0 * run.slow
    assert c.metrics()["requests_cancelled_total"] == before + 1


def more_requests_than_slots(c):
    asks = [lambda i=i: c.complete("number %d" % i, max_tokens=20, temperature=0)["choices"][0]["text"] for i in range(10)]
    alone = [f() for f in asks]
    assert together(asks) == alone


def prompts():
    return ["hello", "the quick brown fox " * 12, "once upon a time", "a"]


def fingerprint(c):
    out = []
    for p in prompts():
        a = c.complete(p, max_tokens=60, temperature=0, logprobs=3, ignore_eos=True)["choices"][0]
        out.append((a["text"], a["logprobs"]["token_logprobs"], a["logprobs"]["top_logprobs"]))
    return out


def fingerprint_mixed(c):
    """The same, with seven others running beside it."""
    stop = []

    def noise(i):
        while not stop:
            try:
                c.complete("noise %d " % i * (1 + i * 3), max_tokens=25, seed=i)
            except Broken as b:
                assert b.status == 429, b

    def one():
        try:
            return fingerprint(c)
        finally:
            stop.append(1)
    return together([one] + [lambda i=i: noise(i) for i in range(7)])[0]


def authorization():
    with run.cluster(serve=["--api-key", "sesame"]) as c:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "}):
            assert c.refused(401, "GET", "/v1/models", headers=headers).error["code"] == "invalid_api_key"
        c.refused(401, "POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]})
        assert c.healthy()
        c.key = "sesame"
        c.chat("hello", max_tokens=2)


def loading():
    with run.cluster(workers=1, wait=False) as c:
        first = c.workers.pop()
        first.kill()  # nobody has joined, or has gone again
        wait_for("an endpoint", 20 * run.slow, lambda: "Add a machine" in c.serve.output())
        ask = {"messages": [{"role": "user", "content": "x"}]}

        def refused():
            try:
                c.refused(503, "POST", "/v1/chat/completions", ask)
                return True
            except OSError:
                return False
        wait_for("a refusal", 20 * run.slow, refused)
        b = c.refused(503, "POST", "/v1/chat/completions", ask)
        assert int(b.headers["Retry-After"]) > 0 and "Loading" in b.error["message"]
        c.refused(503, "GET", "/health")
        c.join("again")
        c.wait_healthy()
        c.chat("x", max_tokens=2)


def drain():
    c = run.cluster(serve=["--parallel", "2"])
    got = []
    with c:
        def watch(event):
            got.append(event)
            if len(got) == 5:
                c.serve.child.send_signal(signal.SIGTERM)
        events = c.stream("/v1/completions", {"prompt": "go", "max_tokens": 200, "temperature": 0, "ignore_eos": True}, watch)
        assert events[-1] == "[DONE]" and events[-2]["choices"][0]["finish_reason"] == "length", events[-2:]
        assert c.serve.child.wait(30 * run.slow) == 0, c.serve.output()


def main():
    serve = ["--ctx", "512", "--carry", "f32"]
    cases = [plain_chat, streamed_chat, stop_strings, several_choices_and_seeds, log_probabilities, completions, models, errors,
             aborted_stream, more_requests_than_slots]
    prints = {}

    def with_cluster(name, workers, more):
        def body():
            with run.cluster(workers=workers, serve=serve) as c:
                for f in cases:
                    run.case("%s: %s" % (name, f.__name__), f, c)
                for what, f in more.items():
                    run.case("%s: runs %s" % (name, what), lambda: prints.__setitem__(what, f(c)))
        run.case(name + ": starts, and stops at SIGTERM with exit code 0", body)

    with_cluster("one node", None, {"alone on one node": fingerprint})
    with_cluster("three workers", 3, {"alone on three workers": fingerprint, "mixed on three workers": fingerprint_mixed})

    def same():
        assert json.dumps(prints["alone on one node"]) == json.dumps(prints["alone on three workers"])

    def same_mixed():
        assert json.dumps(prints["alone on one node"]) == json.dumps(prints["mixed on three workers"])
    if not run.only:
        run.case("three workers give the bits of one node", same)
        run.case("mixed with seven other requests too", same_mixed)
    run.case("authorization", authorization)
    run.case("503 with Retry-After while nobody serves", loading)
    run.case("SIGTERM lets an answer finish", drain)
    run.finish()


main()
