"""Drives the endpoint with PyPI's openai; run by sdk_test.py with that package's Python: URL KEY [loading URL]."""
import sys

import openai
from openai import OpenAI

url, key, loading = sys.argv[1:4]
client = OpenAI(base_url=url, api_key=key, max_retries=0)
MODEL = client.models.list().data[0].id
ASK = dict(model=MODEL, messages=[{"role": "user", "content": "hello"}], max_tokens=12, temperature=0)


def plain():
    a = client.chat.completions.create(**ASK)
    assert a.choices[0].message.role == "assistant" and a.usage.completion_tokens <= 12
    assert client.models.retrieve(MODEL).id == MODEL


def streamed():
    whole = client.chat.completions.create(**ASK).choices[0].message.content
    text = "".join(x.choices[0].delta.content or "" for x in client.chat.completions.create(stream=True, **ASK))
    assert text == whole


def streamed_with_usage():
    events = list(client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **ASK))
    assert events[-1].usage.total_tokens == events[-1].usage.prompt_tokens + events[-1].usage.completion_tokens
    assert all(x.usage is None for x in events[:-1])


def stop_strings():
    ask = dict(ASK, max_tokens=40)
    whole = client.chat.completions.create(**ask).choices[0].message.content
    at = next(i for i in range(len(whole) // 2, len(whole) - 2) if whole[i:i + 2].isascii())
    a = client.chat.completions.create(stop=[whole[at:at + 2]], **ask).choices[0]
    assert a.message.content == whole[:whole.index(whole[at:at + 2])] and a.finish_reason == "stop"


def log_probabilities():
    a = client.chat.completions.create(logprobs=True, top_logprobs=4, **ASK)
    content = a.choices[0].logprobs.content
    assert len(content) == a.usage.completion_tokens and all(len(x.top_logprobs) == 4 for x in content)
    b = client.completions.create(model=MODEL, prompt="hello", max_tokens=4, temperature=0, logprobs=2).choices[0].logprobs
    assert len(b.tokens) == len(b.token_logprobs) == 4


def several_choices():
    a = client.chat.completions.create(n=2, seed=1, **dict(ASK, temperature=1))
    assert [x.index for x in a.choices] == [0, 1]


def completions():
    a = client.completions.create(model=MODEL, prompt=["hello", "once"], max_tokens=5, temperature=0)
    assert len(a.choices) == 2
    tokens = list(client.completions.create(model=MODEL, prompt="hello", max_tokens=5, temperature=0, stream=True))
    assert "".join(x.choices[0].text for x in tokens) == a.choices[0].text


def raises(kind, code, f):
    try:
        f()
    except kind as e:
        assert type(e) is kind and (code is None or e.code == code), (type(e), e.code)
        return e
    raise AssertionError("no " + kind.__name__)


def errors_by_class():
    create = client.chat.completions.create
    assert raises(openai.BadRequestError, None, lambda: create(**dict(ASK, temperature=1000))).param == "temperature"
    raises(openai.BadRequestError, "context_length_exceeded",
           lambda: create(**dict(ASK, messages=[{"role": "user", "content": "word " * 3000}])))
    raises(openai.AuthenticationError, "invalid_api_key",
           lambda: OpenAI(base_url=url, api_key="wrong", max_retries=0).models.list())
    raises(openai.NotFoundError, "model_not_found", lambda: create(**dict(ASK, model="gpt-4")))
    e = raises(openai.InternalServerError, None,
               lambda: OpenAI(base_url=loading, api_key=key, max_retries=0).chat.completions.create(**ASK))
    assert e.status_code == 503 and int(e.response.headers["retry-after"]) > 0


def aborted_stream():
    stream = client.chat.completions.create(stream=True, **dict(ASK, max_tokens=400), extra_body={"ignore_eos": True})
    for i, _ in enumerate(stream):
        if i == 3:
            break
    stream.close()
    plain()


if __name__ == "__main__":
    bad = 0
    for f in (plain, streamed, streamed_with_usage, stop_strings, log_probabilities, several_choices, completions,
              errors_by_class, aborted_stream):
        try:
            f()
            print("ok   python: " + f.__name__)
        except Exception as e:
            bad += 1
            print("FAIL python: %s\n     %s: %s" % (f.__name__, type(e).__name__, str(e).replace("\n", "\n     ")))
    sys.exit(bad != 0)
