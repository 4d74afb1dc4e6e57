"""Encodings that are computed once: what frozen encoders make of images and texts is stored on disk.

A file's name is a digest of the image's pixels (or the text's tokens), the encoder's weights and the precision. Texts
come again in every epoch; images only without random light and with a limited number of turns.
"""

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor, nn

from aognet.io.store import TENSORS, CacheConfig, Store

Encode = Callable[[Tensor], tuple[Tensor, ...]]


class EncodingCache:
    """What one encoder makes of the rows of its input."""

    def __init__(self, config: CacheConfig, encoder: nn.Module):
        self.store = Store(config, TENSORS, "encodings.folder: images and texts will be encoded each time")
        self.recipe = b"" if self.store.folder is None else _digest(*encoder.parameters(), *encoder.buffers())

    def distinguish(self, change: str) -> None:
        """Keep what the encoder makes from now on apart from what it made before a change of its layers."""
        self.recipe = self.recipe and _digest(recipe=self.recipe + change.encode())

    def encoded(self, inputs: Tensor, encode: Encode, device: torch.device) -> tuple[Tensor, ...]:
        """Return ``encode(inputs)``, tensors on ``device`` with as many rows. Only new rows are encoded."""
        if self.store.folder is None:
            return encode(inputs)
        recipe = self.recipe + _precision(device.type).encode()
        keys = [_digest(row, recipe=recipe).hex() for row in inputs]
        found = {number: kept for number, key in enumerate(keys) if (kept := self.store.get(key)) is not None}
        if new := [number for number in range(len(keys)) if number not in found]:
            for number, *parts in zip(new, *encode(inputs[new]), strict=True):
                found[number] = {str(place): part for place, part in enumerate(parts)}
                self.store.offer(keys[number], found[number])
        rows = [found[number] for number in range(len(keys))]
        return tuple(torch.stack([row[name].to(device) for row in rows]) for name in sorted(rows[0]))


def _precision(device: str) -> str:
    """Return the precision in which autocast computes there."""
    return str(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else ""


def _digest(*tensors: Tensor, recipe: bytes = b"") -> bytes:
    digest = hashlib.blake2b(recipe, digest_size=16)
    for tensor in tensors:
        digest.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.digest()
