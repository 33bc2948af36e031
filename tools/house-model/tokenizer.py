"""Byte-level BPE: trained here, and exactly what llama.cpp calls tokenizer model "gpt2" with pre-tokenizer "qwen2".

    python tokenizer.py --seed 1 --out build/tokenizer.json

The qwen2 pattern splits digits one by one, so a number is always spelt digit by digit.
"""
import argparse
import collections
import json
import random
import re

import chat
import corpus

# (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
# in the words of Python's re, where [^\W\d_] is \p{L}, and \d stands for \p{N} (they differ for the likes of a half sign)
PATTERN = re.compile(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|(?:[^\r\n\w]|_)?[^\W\d_]+|\d| ?(?:[^\s\w]|_)+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = re.compile("(" + "|".join(map(re.escape, chat.SPECIAL)) + ")")


def byte_letters():
    """GPT-2's printable letter for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {b: chr(b) for b in plain}
    for b in range(256):
        letters.setdefault(b, chr(256 + len(letters) - len(plain)))
    return letters


LETTER = byte_letters()
BYTE = {c: b for b, c in LETTER.items()}


def to_letters(text):
    return "".join(LETTER[b] for b in text.encode())


class Tokenizer:
    def __init__(self, merges):
        self.merges = [tuple(m) for m in merges]
        self.rank = {m: i for i, m in enumerate(self.merges)}
        self.tokens = [LETTER[b] for b in range(256)] + [a + b for a, b in self.merges] + chat.SPECIAL
        self.id = {t: i for i, t in enumerate(self.tokens)}
        self.cache = {}

    def _piece(self, piece):
        parts = list(to_letters(piece))
        while len(parts) > 1:
            best = min(range(len(parts) - 1), key=lambda i: self.rank.get((parts[i], parts[i + 1]), len(self.rank)))
            if (parts[best], parts[best + 1]) not in self.rank:
                break
            parts[best:best + 2] = [parts[best] + parts[best + 1]]
        return [self.id[p] for p in parts]

    def encode(self, text):
        out = []
        for part in SPECIAL.split(text):
            if part in chat.SPECIAL:
                out.append(self.id[part])
                continue
            for piece in PATTERN.findall(part):
                if piece not in self.cache:
                    self.cache[piece] = self._piece(piece)
                out += self.cache[piece]
        return out

    def decode(self, ids):
        out = b""
        for i in ids:
            t = self.tokens[i]
            out += t.encode() if t in chat.SPECIAL else bytes(BYTE[c] for c in t)
        return out.decode(errors="replace")

    def save(self, path):
        with open(path, "w") as f:
            json.dump({"merges": self.merges}, f)

    @staticmethod
    def load(path):
        with open(path) as f:
            return Tokenizer(json.load(f)["merges"])


def train(texts, n_vocab):
    """The most frequent pair is merged again and again; ties go to the pair that sorts first."""
    count = collections.Counter()
    for text in texts:
        for part in SPECIAL.split(text):
            if part not in chat.SPECIAL:
                count.update(PATTERN.findall(part))
    pieces = [(list(to_letters(p)), n) for p, n in sorted(count.items())]
    pairs, where = collections.Counter(), collections.defaultdict(set)
    for i, (parts, n) in enumerate(pieces):
        for pair in zip(parts, parts[1:]):
            pairs[pair] += n
            where[pair].add(i)
    merges = []
    while len(merges) < n_vocab - 256 - len(chat.SPECIAL):
        best = min(pairs, key=lambda p: (-pairs[p], p))
        if pairs[best] <= 0:
            raise SystemExit("the corpus holds only {} merges".format(len(merges)))
        merges.append(best)
        for i in sorted(where[best]):
            parts, n = pieces[i]
            for pair in zip(parts, parts[1:]):
                pairs[pair] -= n
            j = 0
            while j < len(parts) - 1:
                if (parts[j], parts[j + 1]) == best:
                    parts[j:j + 2] = [parts[j] + parts[j + 1]]
                j += 1
            for pair in zip(parts, parts[1:]):
                pairs[pair] += n
                where[pair].add(i)
    return Tokenizer(merges)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--texts", type=int, default=30000)
    p.add_argument("--vocab", type=int, default=2048)
    p.add_argument("--out", required=True)
    args = p.parse_args()
    rng = random.Random(args.seed)
    texts = []
    for i in range(args.texts):
        c = corpus.conversation(rng, corpus.SKILLS[i % len(corpus.SKILLS)])
        texts.append("".join(t for t, _ in chat.render(c["messages"], c["tools"])))
    t = train(texts, args.vocab)
    t.save(args.out)
    n = sum(len(t.encode(x)) for x in texts[:2000])
    print("{} tokens; {:.2f} characters to a token".format(len(t.tokens), sum(map(len, texts[:2000])) / n))


if __name__ == "__main__":
    main()
