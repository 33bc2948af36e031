"""Asks a running server the held-out questions and fails when a skill is below its limit. Standard library only.

    python check_heldout.py http://127.0.0.1:8080 [--only SKILL] [--limit-cases N] [--show]

One case a line in models/heldout/SKILL.jsonl: {"skill", "messages", "tools", "check"}; the kinds of check are the
branches of passes() below. Sampling is greedy. Exit 1: a skill below its limit; 2: the server did not answer.
"""
import argparse
import json
import pathlib
import re
import sys
import urllib.request

LIMITS = {"add": 0.95, "subtract": 0.95, "story": 0.90, "json": 0.95, "tool_call": 0.90, "tool_reply": 0.90,
          "sort": 0.90, "reverse": 0.90, "chat": 0.90, "tell": 0.90}
TOOL_CALL = re.compile(r"<tool_call>\s*(\{.*\})\s*</tool_call>", re.S)


def _calls(content, tool_calls):
    """The calls made, as (name, arguments), from the parsed field or from the raw text."""
    out = []
    for call in tool_calls or []:
        args = call["function"]["arguments"]
        out.append((call["function"]["name"], json.loads(args) if isinstance(args, str) else args))
    for raw in [] if out else TOOL_CALL.findall(content):
        call = json.loads(raw)
        out.append((call["name"], call["arguments"]))
    return out


def _passes(check, content, tool_calls):
    kind = check["kind"]
    if kind == "last_number":
        numbers = re.findall(r"(?<!\d)-?\d+", content)
        return bool(numbers) and numbers[-1] == check["value"]
    if kind == "json":
        return json.loads(content[content.index("{"):content.rindex("}") + 1]) == check["value"]
    if kind == "tool_call":
        return _calls(content, tool_calls) == [(check["name"], check["arguments"])]
    if kind == "contains":
        return any(text.lower() in content.lower() for text in check["any"])
    raise SystemExit("no such kind of check: {}".format(kind))


def passes(check, content, tool_calls=None):
    try:
        return _passes(check, content or "", tool_calls)
    except (ValueError, KeyError, TypeError):
        return False


def load(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def ask(url, case, model):
    body = {"model": model, "messages": case["messages"], "temperature": 0, "max_tokens": 256}
    if case["tools"]:
        body["tools"] = case["tools"]
    request = urllib.request.Request(url.rstrip("/") + "/v1/chat/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        message = json.load(answer)["choices"][0]["message"]
    return message.get("content") or "", message.get("tool_calls")


def first_model(url):
    with urllib.request.urlopen(url.rstrip("/") + "/v1/models", timeout=30) as answer:
        return json.load(answer)["data"][0]["id"]


def main():
    here = pathlib.Path(__file__).resolve().parents[2] / "models" / "heldout"
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("url")
    p.add_argument("--cases", type=pathlib.Path, default=here, help="folder of *.jsonl files")
    p.add_argument("--only", help="one skill")
    p.add_argument("--limit-cases", type=int, help="no more than this many of each skill")
    p.add_argument("--model", help="(the first that the server has)")
    p.add_argument("--show", action="store_true", help="print the answers that are wrong")
    args = p.parse_args()
    try:
        model = args.model or first_model(args.url)
    except (OSError, ValueError, LookupError) as e:
        print("{}: {}".format(args.url, e), file=sys.stderr)
        return 2
    low = 0
    for path in sorted(args.cases.glob("*.jsonl")):
        cases = load(path)[:args.limit_cases]
        skill = cases[0]["skill"]
        if args.only not in (None, skill):
            continue
        right = 0
        for case in cases:
            try:
                content, calls = ask(args.url, case, model)
            except (OSError, ValueError, LookupError) as e:
                print("{}: {}".format(args.url, e), file=sys.stderr)
                return 2
            ok = passes(case["check"], content, calls)
            right += ok
            if args.show and not ok:
                print("  asked {!r}\n  got {!r} {}\n  want {}".format(case["messages"][-1]["content"], content, calls or "", case["check"]))
        rate = right / len(cases)
        below = rate < LIMITS[skill]
        low += below
        print("{:11s} {:4d} of {:4d}  {:6.1%}  at least {:.0%}{}".format(skill, right, len(cases), rate, LIMITS[skill],
                                                                       "  TOO LOW" if below else ""))
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
