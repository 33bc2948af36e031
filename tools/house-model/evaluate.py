"""Held-out figures of a checkpoint, without a server.

    python evaluate.py house --count 100                 rate of each skill, and the draft agreement
    python evaluate.py house --write ../../models/heldout    write the cases that check_heldout.py asks a server
"""
import argparse
import json
import pathlib
import random

import torch

import chat
import check_heldout
import corpus
import model as net
import stories
import tokenizer as tok

SKILLS = ["add", "subtract", "story", "json", "tool_call", "tool_reply", "sort", "reverse", "chat", "tell"]


def _case(rng, skill):
    if skill == "tell":
        while True:
            facts, request, _ = stories.story(rng)
            if facts["who"] in request:
                return {"skill": skill, "messages": [{"role": "user", "content": request}], "tools": None,
                        "check": {"kind": "contains", "any": [facts["who"]]}}
    while True:
        c = corpus.conversation(rng, "tool" if skill.startswith("tool") else skill, held_out=True)
        if c["check"] is None:
            continue
        if skill.startswith("tool"):
            step = skill.split("_")[1]
            cut = -3 if step == "call" else -1
            return {"skill": skill, "messages": c["messages"][:cut], "tools": c["tools"], "check": c["check"][step]}
        return {"skill": skill, "messages": c["messages"][:-1], "tools": c["tools"], "check": c["check"]}


def cases(skill, count, seed):
    """Held-out cases; the random ones of two seeds differ."""
    rng = random.Random("{} {}".format(seed, skill))
    return [_case(rng, skill) for _ in range(count)]


def prompt(t, case):
    return t.encode("".join(text for text, _ in chat.render(case["messages"], case["tools"], True)))


def score(model, t, skill, count, seed=1, show=False):
    todo = cases(skill, count, seed)
    right = 0
    for i in range(0, count, 50):
        part = todo[i:i + 50]
        answers = net.generate(model, [prompt(t, c) for c in part], t.id[chat.IM_END], 220)
        for c, a in zip(part, answers):
            text = t.decode(a)
            ok = check_heldout.passes(c["check"], text)
            right += ok
            if show and not ok:
                print("  {}: asked {!r}\n    got {!r}\n    want {}".format(skill, c["messages"][-1]["content"], text, c["check"]))
    return right / count


@torch.no_grad()
def agreement(house, draft, t, count, seed=1):
    """Share of the tokens house generates greedily that draft would have predicted, given the same text before them."""
    same = total = 0
    for skill in SKILLS:
        prompts = [prompt(t, c) for c in cases(skill, count, seed)]
        for p, a in zip(prompts, net.generate(house, prompts, t.id[chat.IM_END], 220)):
            a = a + [t.id[chat.IM_END]]
            guess = draft(torch.tensor([p + a[:-1]]))[0, len(p) - 1:].argmax(-1)
            same += (guess == torch.tensor(a)).sum().item()
            total += len(a)
    return same / total


def load(build, name):
    model = net.Model(net.CONFIGS[name])
    model.load_state_dict(torch.load(build / (name + ".pt"), weights_only=False)["model"])
    return model.eval()


def write_heldout(folder, count, seed):
    folder.mkdir(parents=True, exist_ok=True)
    for skill in SKILLS:
        with open(folder / (skill + ".jsonl"), "w") as f:
            for c in cases(skill, count, seed):
                f.write(json.dumps(c) + "\n")
    rng = random.Random("{} perplexity".format(seed))
    with open(folder / "perplexity.txt", "w") as f:
        for i in range(400):
            c = corpus.conversation(rng, corpus.SKILLS[i % len(corpus.SKILLS)], held_out=True)
            f.write("".join(text for text, _ in chat.render(c["messages"], c["tools"])))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", choices=sorted(net.CONFIGS))
    p.add_argument("--build", type=pathlib.Path, default=pathlib.Path(__file__).parent / "build")
    p.add_argument("--count", type=int, default=100, help="cases of each skill")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--show", action="store_true", help="print the answers that are wrong")
    p.add_argument("--write", type=pathlib.Path, help="write the cases to this folder and stop")
    p.add_argument("--agreement", action="store_true", help="measure house-draft against house and stop")
    args = p.parse_args()
    if args.write:
        return write_heldout(args.write, args.count, args.seed)
    t = tok.Tokenizer.load(args.build / "tokenizer.json")
    if args.agreement:
        rate = agreement(load(args.build, "house"), load(args.build, "house-draft"), t, args.count, args.seed)
        return print("house-draft agrees with house on {:.1%} of the tokens".format(rate))
    model = load(args.build, args.model)
    for skill in SKILLS:
        print("{:11s} {:6.1%}".format(skill, score(model, t, skill, args.count, args.seed, args.show)), flush=True)


if __name__ == "__main__":
    main()
