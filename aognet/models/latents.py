"""Encode once: what a frozen autoencoder makes of images, kept on disk.

A file is named by what it was made of, a digest of the image's pixels and of the autoencoder's weights, so that nothing
stale is ever read. It pays where the same images come again: without random light, with a limited number of turns.
Several processes may share a folder.
"""

import hashlib
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import save
from torch import Tensor, nn

from aognet.data.cache import CacheConfig
from aognet.errors import UserError
from aognet.files import make_room, write_atomically
from aognet.nn.weights import read_tensors

log = logging.getLogger(__name__)

SUFFIX = ".safetensors"
Encode = Callable[[Tensor], tuple[Tensor, Tensor]]


class LatentCache:
    """Means and deviations of the latents of images."""

    def __init__(self, config: CacheConfig, vae: nn.Module):
        self.folder = None if config.folder is None else Path(config.folder).expanduser()
        self.most_bytes = int(config.gigabytes * 2**30)
        self.started = time.time()
        self.recipe = b"" if self.folder is None else _digest(*vae.state_dict().values())
        self._room = 0  # bytes that may be written before the folder is measured again

    def moments(
        self, images: Float[Tensor, "batch 3 height width"], encode: Encode
    ) -> tuple[Float[Tensor, "batch channels rows columns"], Float[Tensor, "batch channels rows columns"]]:
        """``encode(images)``, a mean and a deviation, of which only new images are encoded."""
        if self.folder is None:
            return encode(images)
        kept = [self.folder / f"{_digest(image, recipe=self.recipe).hex()}{SUFFIX}" for image in images]
        found = [self._read(path) for path in kept]
        if new := [row for row, moments in enumerate(found) if moments is None]:
            means, deviations = encode(images[new])
            for row, mean, deviation in zip(new, means, deviations, strict=True):
                found[row] = (mean, deviation)
                self._write(kept[row], mean, deviation)
        return tuple(torch.stack([moment.to(images.device) for moment in part]) for part in zip(*found, strict=True))

    def _read(self, path: Path) -> tuple[Tensor, Tensor] | None:
        if not path.is_file():
            return None
        try:
            moments = read_tensors(path)
        except UserError:  # removed meanwhile, or torn
            return None
        with suppress(OSError):  # a folder that may only be read
            os.utime(path)  # what was used last goes last
        return moments["mean"], moments["deviation"]

    def _write(self, path: Path, mean: Tensor, deviation: Tensor) -> None:
        content = save({"mean": mean.cpu().contiguous(), "deviation": deviation.cpu().contiguous()})
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if self._room < len(content):
                wanted = min(8 * len(content), self.most_bytes // 4)
                free = make_room(self.folder, SUFFIX, self.most_bytes, wanted, self.started)
                # Other processes fill the folder too: a part of what is free, before it is measured again.
                self._room = max(free // 4, min(free, len(content)))
            if self._room >= len(content):
                write_atomically(path, content)
                self._room -= len(content)
        except (OSError, UserError) as error:
            log.warning("latents.folder: images will be encoded each time: %s", error)
            self.folder = None


def _digest(*tensors: Tensor, recipe: bytes = b"") -> bytes:
    digest = hashlib.blake2b(recipe, digest_size=16)
    for tensor in tensors:
        digest.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.digest()
