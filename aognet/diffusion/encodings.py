"""Encode once: what frozen encoders make of images and texts, kept on disk.

A file is named by what it was made of, a digest of the image's pixels (or the text's tokens), of the encoder's weights
and of the precision, so that nothing stale is ever read. Texts come again in every epoch; images without random light
and with a limited number of turns. Several processes may share a folder.
"""

import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from aognet.data.cache import CacheConfig
from aognet.errors import UserError
from aognet.home import expanded
from aognet.io.files import made_folder, make_room, write_atomically
from aognet.nn.weights import read_tensors

log = logging.getLogger(__name__)

SUFFIX = ".safetensors"
OURS = re.compile(r"[0-9a-f]{32}\.safetensors")
Encode = Callable[[Tensor], tuple[Tensor, ...]]


class EncodingCache:
    """What one encoder makes of the rows of its input."""

    def __init__(self, config: CacheConfig, encoder: nn.Module):
        self.folder = None if config.folder is None else expanded(config.folder)
        self.most_bytes = int(config.gigabytes * 2**30)
        self.started = time.time()
        self.recipe = b"" if self.folder is None else _digest(*encoder.parameters(), *encoder.buffers())
        self._room = 0  # bytes that may be written before the folder is measured again

    def encoded(self, inputs: Tensor, encode: Encode, device: torch.device) -> tuple[Tensor, ...]:
        """``encode(inputs)``, tensors on ``device`` with as many rows, of which only new rows are encoded."""
        if self.folder is None:
            return encode(inputs)
        recipe = self.recipe + _precision(device.type).encode()
        kept = [self.folder / f"{_digest(row, recipe=recipe).hex()}{SUFFIX}" for row in inputs]
        found = [self._read(path) for path in kept]
        if new := [number for number, encoding in enumerate(found) if encoding is None]:
            for number, *encoding in zip(new, *encode(inputs[new]), strict=True):
                found[number] = encoding
                self._write(kept[number], encoding)
        return tuple(torch.stack([row.to(device) for row in part]) for part in zip(*found, strict=True))

    def _read(self, path: Path) -> list[Tensor] | None:
        if not path.is_file():
            return None
        try:
            encoding = read_tensors(path)
        except UserError:  # removed meanwhile, or torn
            return None
        with suppress(OSError):  # a folder that may only be read
            os.utime(path)  # what was used last goes last
        return [encoding[name] for name in sorted(encoding)]

    def _write(self, path: Path, encoding: Sequence[Tensor]) -> None:
        content = save({str(number): part.cpu().contiguous() for number, part in enumerate(encoding)})
        try:
            with made_folder(path.parent):
                self._keep(path, content)
        except UserError as error:
            log.warning("encodings.folder: images and texts will be encoded each time: %s", error)
            self.folder = None

    def _keep(self, path: Path, content: bytes) -> None:
        if self._room < len(content):
            wanted = min(8 * len(content), self.most_bytes // 4)
            free = make_room(self.folder, OURS, self.most_bytes, wanted, self.started)
            # Other processes fill the folder too: a part of what is free, before it is measured again.
            self._room = max(free // 4, min(free, len(content)))
        if self._room >= len(content):
            write_atomically(path, content)
            self._room -= len(content)


def _precision(device: str) -> str:
    """What autocast computes in there."""
    return str(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else ""


def _digest(*tensors: Tensor, recipe: bytes = b"") -> bytes:
    digest = hashlib.blake2b(recipe, digest_size=16)
    for tensor in tensors:
        digest.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.digest()
