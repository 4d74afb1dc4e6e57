"""Classes for words and for photographs: those whose names a CLIP finds nearest."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from aognet.perception.clip import ClipNetwork

TEMPLATE = "a {}"
"""Nearer to prompts than CLIP's own "a photo of a {}": see docs/ganorama.md."""
AT_ONCE = 64


def nearest_classes(
    clip: ClipNetwork, names: Sequence[str], wanted: Float[Tensor, "rows dim"]
) -> Int64[Tensor, "rows classes"]:
    """Return all classes, the nearest first, for embeddings of texts or images.

    ``names``: one for each class, synonyms with commas between them, the nearest of which counts.
    """
    synonyms = [[part.strip() for part in name.split(",") if part.strip()] or [name] for name in names]
    owners = torch.tensor([number for number, several in enumerate(synonyms) for _ in several])
    texts = unit_texts(clip, [TEMPLATE.format(one) for several in synonyms for one in several])
    cosines = functional.normalize(wanted, dim=-1).cpu() @ texts.T
    best = torch.full((len(wanted), len(names)), -torch.inf)
    best = best.scatter_reduce(1, owners.expand(len(wanted), -1), cosines, "amax")
    return best.sort(dim=1, descending=True, stable=True).indices


def unit_texts(clip: ClipNetwork, texts: Sequence[str]) -> Float[Tensor, "texts dim"]:
    """Return the embeddings of texts, of length 1, on the CPU."""
    parts = [clip.texts(texts[first : first + AT_ONCE]).cpu() for first in range(0, len(texts), AT_ONCE)]
    return functional.normalize(torch.cat(parts), dim=-1)
