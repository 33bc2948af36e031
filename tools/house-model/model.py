"""The two networks: a Qwen3-style decoder (RMSNorm, rotary grouped-query attention with q/k norms, SwiGLU).

Weights of one layer that read the same input are kept as one matrix (wqkv, wgu) while training; export.py splits them.
"""
import dataclasses

import torch
import torch.nn.functional as F
from torch import nn


@dataclasses.dataclass
class Config:
    n_vocab: int = 2048
    n_ctx: int = 1024
    n_embd: int = 256
    n_layer: int = 8
    n_head: int = 4
    n_head_kv: int = 2
    head_dim: int = 64
    n_ff: int = 512
    rope_base: float = 10000.0
    eps: float = 1e-6


CONFIGS = {
    "house": Config(),
    "house-draft": Config(n_layer=2, n_head_kv=1, n_ff=256),
}


def rope_tables(c):
    freq = c.rope_base ** (-torch.arange(0, c.head_dim, 2).float() / c.head_dim)
    angle = torch.outer(torch.arange(c.n_ctx).float(), freq)
    return torch.cos(angle), torch.sin(angle)


def rotate(x, cos, sin):
    """x is [batch, head, time, head_dim]; the two halves of a head turn together (the "neox" order)."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


def attend(q, k, v, mask):
    """Attention written out: on a CPU the backward pass of PyTorch's fused one took half of all the time.

    The heads that share a key head are laid behind each other as more rows. mask is [batch or 1, query, key], true where seen.
    """
    n_batch, n_kv, n_key, dim = k.shape
    n_query = q.shape[2]
    rows = q.reshape(n_batch, n_kv, -1, dim)
    scores = (rows @ k.transpose(-1, -2)).float() * dim ** -0.5
    scores = scores.view(n_batch, n_kv, -1, n_query, n_key).masked_fill(~mask[:, None, None], -1e30)
    weights = scores.softmax(-1).to(v.dtype).view(n_batch, n_kv, -1, n_key)
    return (weights @ v).view(n_batch, -1, n_query, dim)


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        d_q, d_kv = c.n_head * c.head_dim, c.n_head_kv * c.head_dim
        self.attn_norm = nn.Parameter(torch.ones(c.n_embd))
        self.q_norm = nn.Parameter(torch.full((c.head_dim,), 1.4))  # sharp enough to point at one token
        self.k_norm = nn.Parameter(torch.full((c.head_dim,), 1.4))
        self.ffn_norm = nn.Parameter(torch.ones(c.n_embd))
        self.wqkv = nn.Parameter(torch.randn(d_q + 2 * d_kv, c.n_embd) * c.n_embd ** -0.5)
        self.wo = nn.Parameter(torch.zeros(c.n_embd, d_q))
        self.wgu = nn.Parameter(torch.randn(2 * c.n_ff, c.n_embd) * c.n_embd ** -0.5)
        self.wdown = nn.Parameter(torch.zeros(c.n_embd, c.n_ff))

    def forward(self, x, cos, sin, mask, cache=None):
        c = self.c
        n_batch, n_time, _ = x.shape
        h = F.rms_norm(x, (c.n_embd,), self.attn_norm, c.eps)
        qkv = F.linear(h, self.wqkv).view(n_batch, n_time, -1, c.head_dim).transpose(1, 2)
        q, k, v = qkv.split((c.n_head, c.n_head_kv, c.n_head_kv), dim=1)
        q = rotate(F.rms_norm(q, (c.head_dim,), self.q_norm, c.eps), cos, sin).to(v.dtype)
        k = rotate(F.rms_norm(k, (c.head_dim,), self.k_norm, c.eps), cos, sin).to(v.dtype)
        if cache is not None:
            k, v = cache.append(self, k, v)
        a = attend(q, k, v, mask)
        x = x + F.linear(a.transpose(1, 2).reshape(n_batch, n_time, -1), self.wo)
        h = F.rms_norm(x, (c.n_embd,), self.ffn_norm, c.eps)
        gate, up = F.linear(h, self.wgu).chunk(2, dim=-1)
        return x + F.linear(F.silu(gate) * up, self.wdown)


class Cache:
    def __init__(self):
        self.kv = {}

    def append(self, layer, k, v):
        if layer in self.kv:
            k = torch.cat((self.kv[layer][0], k), dim=2)
            v = torch.cat((self.kv[layer][1], v), dim=2)
        self.kv[layer] = k, v
        return k, v


class Model(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.embd = nn.Parameter(torch.randn(c.n_vocab, c.n_embd) * 0.05)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.n_layer))
        self.norm = nn.Parameter(torch.ones(c.n_embd))
        # Not tied to embd: a layer adds little at first, so a tied head would begin by repeating the token it stands on.
        self.head = nn.Parameter(torch.randn(c.n_vocab, c.n_embd) * 0.02)
        cos, sin = rope_tables(c)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def hidden(self, ids, positions=None, mask=None, cache=None):
        if positions is None:
            cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        else:
            cos, sin = self.cos[positions][:, None], self.sin[positions][:, None]
        if mask is None:
            mask = torch.ones(1, ids.shape[1], ids.shape[1], dtype=torch.bool).tril()
        x = F.embedding(ids, self.embd)
        for layer in self.layers:
            step = layer if cache is None else layer.forward  # train.py compiles the former for its few shapes
            x = step(x, cos, sin, mask, cache)
        return F.rms_norm(x, (self.c.n_embd,), self.norm, self.c.eps)

    def forward(self, ids, **kw):
        return F.linear(self.hidden(ids, **kw), self.head)


@torch.no_grad()
def generate(model, prompts, stop, n_max):
    """Greedy continuation of each prompt (lists of token ids), all at once, padded on the left."""
    n_batch, width = len(prompts), max(map(len, prompts))
    ids = torch.zeros(n_batch, width, dtype=torch.long)
    pad = torch.tensor([width - len(p) for p in prompts])
    for row, p in enumerate(prompts):
        ids[row, width - len(p):] = torch.tensor(p)
    out, done, cache = [[] for _ in prompts], [False] * n_batch, Cache()
    n_past = 0
    for _ in range(min(n_max, model.c.n_ctx - width)):
        query = torch.arange(n_past, n_past + ids.shape[1])
        key = torch.arange(n_past + ids.shape[1])
        mask = (key[None, None] <= query[None, :, None]) & (key[None, None] >= pad[:, None, None])
        mask = mask | (query[None, :, None] == key[None, None])  # a padding row must see something
        positions = (query[None] - pad[:, None]).clamp(min=0)
        h = model.hidden(ids, positions=positions, mask=mask, cache=cache)
        n_past += ids.shape[1]
        best = F.linear(h[:, -1], model.head).argmax(-1)
        for row, token in enumerate(best.tolist()):
            done[row] = done[row] or token == stop
            if not done[row]:
                out[row].append(token)
        if all(done):
            break
        ids = best[:, None]
    return out
