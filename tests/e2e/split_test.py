#!/usr/bin/env python3
"""The split changes nothing: 200 greedy tokens and their logprobs, the same for every number of workers over TCP, whatever
the size of a step and the number of threads, alone and among seven other requests.

Logprobs are compared as they are printed, with the five best alternatives of each token; that the bits of whole rows are
equal is what tests/engine/stage_test.c shows.
"""
import sys

import harness

run = harness.Run(sys.argv)
PROMPT = "The caravan went over the hills at dawn, and the youngest driver asked the oldest what lay beyond them: " * 3
BODY = {"prompt": PROMPT, "max_tokens": 200, "temperature": 0, "logprobs": 5, "ignore_eos": True}
OTHERS = [{"prompt": "number %d " % i * (5 + 7 * i), "max_tokens": 150, "temperature": 0.8, "seed": i, "ignore_eos": True}
          for i in range(7)]
reference = {}


def answer(c):
    choice = c.ask("POST", "/v1/completions", BODY, timeout=120)["choices"][0]
    assert len(choice["logprobs"]["tokens"]) == 200
    return choice["text"], choice["logprobs"]


def check(workers, serve, join=(), mixed=False):
    with run.cluster(workers=workers, serve=["--carry", "f32", "--parallel", "8"] + list(serve), join=list(join)) as c:
        if mixed:
            got = harness.together([lambda: answer(c)] +
                                   [lambda b=b: c.ask("POST", "/v1/completions", b, timeout=120) for b in OTHERS])[0]
        else:
            got = answer(c)
    if not reference:
        reference["is"] = got
    assert got == reference["is"], "another text or other logprobs"


run.case("one process, the prompt in one step", check, None, [])
run.case("one process, one thread, steps of 64", check, None, ["--threads", "1", "--batch", "64"])
run.case("one process among seven others", check, None, [], (), True)
run.case("1 worker, token by token", check, 1, ["--batch", "1"])
run.case("2 workers, steps of 7", check, 2, ["--batch", "7"])
run.case("3 workers, 2 threads each", check, 3, [], ["--threads", "2"])
run.case("3 workers among seven others", check, 3, ["--batch", "64"], (), True)
run.case("6 workers, as many as layers, among seven others", check, 6, [], (), True)
run.finish()
