"""Trains one of the two models on the corpus, on the CPU, for a given number of tokens; goes on from its checkpoint.

    python train.py house --million 10

Matrices learn with Muon, the rest with Adam. The loss counts the answers only. Now and then each skill is
tried on held-out cases, and the skills that lag are drawn more often. A run that was stopped goes on where it was;
a run that had ended begins another cycle of the learning rate from the weights it has.
"""
import argparse
import os
import pathlib
import random
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # a busy machine: waiting threads must not spin

import torch
import torch.nn.functional as F

import chat
import corpus
import evaluate
import model as net
import tokenizer as tok

BUCKETS = (48, 80, 128, 192, 512)  # a batch holds conversations of about one length
BATCH_TOKENS = 2048
ACCUMULATE = 2
# What a layer adds must stay comparable with the embedding (about 0.06 an element): at the full rate the first layer
# soon wrote 200 times that, the later layers could no longer see which token they stood on, and copying was not learned.
OUT_GAIN = 0.03
SHARE = {"chat": 1.0, "story": 2.0, "add": 2.0, "subtract": 2.5, "sort": 1.5, "reverse": 1.0, "json": 1.5, "tool": 2.0, "long": 1.2}


class Batches:
    """Draws conversations by weight and groups them by length."""

    def __init__(self, t, seed):
        self.t, self.rng = t, random.Random(seed)
        self.weight = dict(SHARE)
        self.waiting = {n: [] for n in BUCKETS}

    def _row(self):
        skill = self.rng.choices(list(self.weight), list(self.weight.values()))[0]
        c = corpus.long_conversation(self.rng) if skill == "long" else corpus.conversation(self.rng, skill)
        ids, answer = [], []
        for text, is_answer in chat.render(c["messages"], c["tools"]):
            piece = self.t.encode(text)
            ids += piece
            answer += [is_answer] * len(piece)
        return ids, answer

    def next(self):
        """Token ids [rows, n] and, for each place, whether the token after it is part of an answer."""
        while True:
            ids, answer = self._row()
            n = next((b for b in BUCKETS if b >= len(ids)), None)
            if n is None:
                continue
            self.waiting[n].append((ids, answer))
            rows = max(1, BATCH_TOKENS // n)
            if len(self.waiting[n]) == rows:
                x, y = torch.zeros(rows, n, dtype=torch.long), torch.zeros(rows, n, dtype=torch.bool)
                for r, (ids, answer) in enumerate(self.waiting[n]):
                    x[r, :len(ids)] = torch.tensor(ids)
                    y[r, :len(ids) - 1] = torch.tensor(answer[1:])
                self.waiting[n] = []
                return x, y


def orthogonalize(g):
    """Newton-Schulz iteration of Muon (Jordan 2024) on a stack of matrices [n, rows, cols] with rows <= cols."""
    x = g.bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return x.float()


class Optimizer:
    """Muon for the layers' matrices, each of the fused ones part by part; Adam for embeddings and norms."""

    def __init__(self, model, muon_lr, adam_lr):
        self.model, self.muon_lr, self.adam_lr, self.step_count = model, muon_lr, adam_lr, 0
        named = list(model.named_parameters())
        self.small = [(n, p) for n, p in named if p.ndim == 1 or n in ("embd", "head")]
        self.state = {n: torch.zeros_like(p) for n, p in named}
        self.square = {n: torch.zeros_like(p) for n, p in self.small}
        self.parts = []
        for n, p in named:
            if p.ndim == 2 and n not in ("embd", "head"):
                self.parts += [(n, p, lo, hi) for lo, hi in self._rows(n)]

    def _rows(self, n):
        c = self.model.c
        q, kv = c.n_head * c.head_dim, c.n_head_kv * c.head_dim
        cuts = {"wqkv": (0, q, q + kv, q + 2 * kv), "wgu": (0, c.n_ff, 2 * c.n_ff), "wo": (0, c.n_embd), "wdown": (0, c.n_embd)}
        cut = cuts[n.rsplit(".", 1)[1]]
        return zip(cut, cut[1:])

    @torch.no_grad()
    def step(self, factor):
        self.step_count += 1
        groups = {}
        for n, p, lo, hi in self.parts:
            g, m = p.grad[lo:hi], self.state[n][lo:hi]
            m.lerp_(g, 0.05)
            u = g.lerp(m, 0.95)
            flip = u.shape[0] > u.shape[1]
            u = u.mT if flip else u
            gain = OUT_GAIN if n.endswith(("wo", "wdown")) else 1.0
            groups.setdefault(u.shape, []).append((u, p[lo:hi], flip, gain))
        for items in groups.values():
            for u, (_, p, flip, gain) in zip(orthogonalize(torch.stack([i[0] for i in items])), items):
                scale = max(1.0, p.shape[0] / p.shape[1]) ** 0.5 * gain
                p.mul_(1 - 0.01 * factor * self.muon_lr).sub_(u.mT if flip else u, alpha=factor * self.muon_lr * scale)
        b1, b2 = 0.9, 0.98
        for n, p in self.small:
            m, v = self.state[n].lerp_(p.grad, 1 - b1), self.square[n].lerp_(p.grad.square(), 1 - b2)
            m, v = m / (1 - b1 ** self.step_count), v / (1 - b2 ** self.step_count)
            p.sub_(m / (v.sqrt() + 1e-8), alpha=factor * self.adam_lr)
        for p in self.model.parameters():
            p.grad = None

    def state_dict(self):
        return {"state": self.state, "square": self.square, "step_count": self.step_count}

    def load_state_dict(self, d):
        self.state, self.square, self.step_count = d["state"], d["square"], d["step_count"]


def train_step(model, batches, teacher=None):
    """Adds the gradients of ACCUMULATE batches; returns (mean loss, answer tokens, tokens)."""
    data = [batches.next() for _ in range(ACCUMULATE)]
    n_answer = sum(y.sum().item() for _, y in data)
    total = 0.0
    for x, y in data:
        at = y.flatten()[:-1].nonzero()[:, 0]
        want = x.flatten()[at + 1]
        with torch.autocast("cpu", torch.bfloat16):
            logits = F.linear(model.hidden(x).flatten(0, 1)[at], model.head).float()
            if teacher is not None:
                with torch.no_grad():
                    goal = F.linear(teacher.hidden(x).flatten(0, 1)[at], teacher.head).float().softmax(-1)
        loss = F.cross_entropy(logits, want if teacher is None else goal, reduction="sum")
        (loss / n_answer).backward()
        total += loss.item()
    return total / n_answer, n_answer, sum(x.numel() for x, _ in data)


def rebalance(model, t, batches, count, seed):
    """Tries every skill; the weight of one that is always right falls to half its share, of one always wrong to 2.5 times."""
    model.eval()
    rates = {s: evaluate.score(model, t, s, count, seed) for s in evaluate.SKILLS}
    model.train()
    for skill in corpus.SKILLS:
        rate = min(r for s, r in rates.items() if s == skill or s.startswith(skill + "_") or (s, skill) == ("tell", "story"))
        batches.weight[skill] = SHARE[skill] * (0.5 + 2 * min(1.0, 2 * (1 - rate)))
    return rates


def save(path, **what):
    torch.save(what, str(path) + ".new")
    os.replace(str(path) + ".new", path)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", choices=sorted(net.CONFIGS))
    p.add_argument("--build", type=pathlib.Path, default=pathlib.Path(__file__).parent / "build")
    p.add_argument("--million", type=float, default=10, help="length of this cycle of the learning rate, in million tokens")
    p.add_argument("--peak", type=float, default=1.0, help="factor on the learning rates")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--teacher", choices=sorted(net.CONFIGS), help="learn the probabilities of this model instead of the text")
    p.add_argument("--threads", type=int, default=2, help="on a busy machine 1 is faster than 2 that wait for each other")
    p.add_argument("--try-every", type=float, default=1.5, help="million tokens between two tries of the skills; 0: never")
    args = p.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    t = tok.Tokenizer.load(args.build / "tokenizer.json")
    model = net.Model(net.CONFIGS[args.model])
    optimizer = Optimizer(model, muon_lr=0.015, adam_lr=0.003)
    path = args.build / (args.model + ".pt")
    run = {"cycle": 0, "cycle_tokens": 0, "steps": 0, "tokens": 0, "seconds": 0.0, "weight": dict(SHARE)}
    limit = 1e6 * args.million
    if path.exists():
        old = torch.load(path, weights_only=False)
        model.load_state_dict(old["model"])
        optimizer.load_state_dict(old["optimizer"])
        run = old["run"]
        if run["cycle_tokens"] >= limit:
            run.update(cycle=run["cycle"] + 1, cycle_tokens=0)
    teacher = evaluate.load(args.build, args.teacher) if args.teacher else None
    batches = Batches(t, "{} {}".format(args.seed, run["steps"]))
    batches.weight = run["weight"]
    print("{}: {:,} parameters, cycle {}, {} steps so far".format(args.model, sum(p.numel() for p in model.parameters()), run["cycle"],
                                                                run["steps"]), flush=True)
    torch._dynamo.config.cache_size_limit = 64
    for m in (model, teacher):
        for layer in m.layers if m is not None else []:
            layer.compile(dynamic=False)

    now = saved = time.monotonic()
    tried = run["cycle_tokens"]
    while run["cycle_tokens"] < limit:
        progress = run["cycle_tokens"] / limit
        warm = min(1.0, (run["steps"] + 1) / 50) if run["cycle"] == 0 else 1.0
        factor = args.peak * warm * min(1.0, max(0.01, (1 - progress) / 0.55))
        loss, n_answer, n_token = train_step(model, batches, teacher)
        optimizer.step(factor)
        before, now = now, time.monotonic()
        run["steps"] += 1
        run["tokens"] += n_token
        run["cycle_tokens"] += n_token
        run["seconds"] += now - before
        if run["steps"] % 20 == 0:
            print("{:6.0f}s step {:5d} {:6.2f}M loss {:.4f} rate {:.3f} {:6.0f} tokens/s".format(
                run["seconds"], run["steps"], run["tokens"] / 1e6, loss, factor, n_token / (now - before)), flush=True)
        if args.try_every and run["cycle_tokens"] - tried > 1e6 * args.try_every and progress < 0.97:
            rates = rebalance(model, t, batches, 24, run["steps"])
            print("  ".join("{} {:.2f}".format(s, r) for s, r in rates.items()), flush=True)
            tried = run["cycle_tokens"]
        if now - saved > 150 or run["cycle_tokens"] >= limit:
            saved = now
            save(path, model=model.state_dict(), optimizer=optimizer.state_dict(), run=run)


if __name__ == "__main__":
    main()
