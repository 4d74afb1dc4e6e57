"""An independent plain reading of Text2Light's samplers: a full forward pass for every code, as published."""

import math

import torch
from torch import Tensor
from torch.nn import functional

Weights = dict[str, Tensor]


def forward(weights: Weights, heads: int, prefix: Tensor, codes: Tensor) -> Tensor:
    """The logits [tokens, vocabulary] of minGPT after a prefix [vectors, width] and codes, of one sequence."""
    x = torch.cat([prefix, weights["tok_emb.weight"][codes]])
    x = x + weights["pos_emb"][0, : len(x)]
    later = torch.ones(len(x), len(x)).triu(1).bool()
    number = 0
    while f"blocks.{number}.ln1.weight" in weights:
        part = {k.removeprefix(f"blocks.{number}."): v for k, v in weights.items() if k.startswith(f"blocks.{number}.")}
        y = functional.layer_norm(x, x.shape[-1:], part["ln1.weight"], part["ln1.bias"])
        made = []
        width = x.shape[-1] // heads
        q, k, v = (y @ part[f"attn.{n}.weight"].T + part[f"attn.{n}.bias"] for n in ("query", "key", "value"))
        for head in range(heads):
            own = slice(head * width, (head + 1) * width)
            scores = q[:, own] @ k[:, own].T / math.sqrt(width)
            made.append(scores.masked_fill(later, -math.inf).softmax(-1) @ v[:, own])
        x = x + torch.cat(made, -1) @ part["attn.proj.weight"].T + part["attn.proj.bias"]
        y = functional.layer_norm(x, x.shape[-1:], part["ln2.weight"], part["ln2.bias"])
        y = y @ part["mlp.0.weight"].T + part["mlp.0.bias"]
        y = 0.5 * y * (1 + torch.erf(y / math.sqrt(2)))
        x = x + y @ part["mlp.2.weight"].T + part["mlp.2.bias"]
        number += 1
    return (
        functional.layer_norm(x, x.shape[-1:], weights["ln_f.weight"], weights["ln_f.bias"]) @ weights["head.weight"].T
    )


def global_codes(weights: Weights, heads: int, neighbours: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The likeliest codes of neighbours [n, embedding] one by one, and the logits of each."""
    prefix, codes, seen = torch.cat([neighbours, neighbours], -1), torch.zeros(0, dtype=torch.long), []
    for _ in range(count):
        seen.append(forward(weights, heads, prefix, codes)[-1])
        codes = torch.cat([codes, seen[-1].argmax()[None]])
    return codes, torch.stack(seen)


def local_codes(
    weights: Weights, heads: int, given: Tensor, rows: int, columns: int, size: int
) -> tuple[Tensor, Tensor]:
    """The likeliest codes [rows, columns] under the global codes [n], and the logits of each.

    Codes that are not written yet are random: what comes later must not matter.
    """
    places = spherical_positions(rows, columns, round(math.sqrt(weights["tok_emb.weight"].shape[1])) // size)
    scale = places.shape[1] // rows
    codes = torch.randint(len(weights["tok_emb.weight"]), (rows, columns), generator=torch.Generator().manual_seed(9))
    seen = torch.zeros(rows, columns, len(weights["tok_emb.weight"]))
    half = size // 2
    for i in range(rows):
        li = i if i <= half else size - (rows - i) if rows - i < half else half
        for j in range(columns):
            lj = j if j <= half else size - (columns - j) if columns - j < half else half
            top, left = i - li, j - lj
            patch = codes[top : top + size, left : left + size].reshape(-1)
            prefix = places[:, scale * top : scale * (top + size), scale * left : scale * (left + size)].reshape(18, -1)
            logits = forward(weights, heads, prefix, torch.cat([given, patch])[:-1])
            seen[i, j] = logits[-(size**2) :].reshape(size, size, -1)[li, lj]
            codes[i, j] = seen[i, j].argmax()
    return codes, seen


def spherical_positions(rows: int, columns: int, scale: int) -> Tensor:
    x, y = torch.meshgrid(
        torch.linspace(0, 1, 16 * columns, dtype=torch.float64),
        torch.linspace(0, 1, 16 * rows, dtype=torch.float64),
        indexing="xy",
    )
    both = torch.stack([(2 * x - 1) * math.pi, (2 * y - 1) * math.pi / 2]).float()[None]
    both = functional.interpolate(both, (scale * rows, scale * columns), mode="bicubic", align_corners=True)[0]
    made = [both[0], both[1]]
    for frequency in (1, 2, 4, 8):
        made += [f(frequency * angle) for f in (torch.sin, torch.cos) for angle in (both[0], both[1])]
    return torch.stack(made)
