"""The depth maps of panoramas: files that are found by the panoramas' names, read once and kept at training size."""

import hashlib
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt16

from aognet.data.sources import CaptionedFile
from aognet.errors import UserError
from aognet.io.captions import a_few
from aognet.io.depth_maps import DEPTH_SUFFIXES, DepthKind, load_depth
from aognet.io.listing import find_images
from aognet.io.matching import match
from aognet.io.store import CacheConfig, FileFormat, Store

log = logging.getLogger(__name__)

# Part of every digest: to be changed with anything that changes the levels.
RECIPE = b"depth 1"
KEY = "depth_folders"


class Depths:
    """Depth maps at one height, as levels from 0 (far) to 65535 (near): 256 kB for one of 256x512."""

    def __init__(self, config: CacheConfig, height: int, kind: DepthKind):
        self.height, self.kind = height, kind
        kept_as = FileFormat(f"-{height}.bin", _packed, partial(_mapped, height))
        self.store = Store(config, kept_as, "cache.folder: depth maps will be decoded each time")

    def get(self, path: Path) -> UInt16[np.ndarray, "height width"]:
        """Return the depth map of a file. It is decoded only if it has not been decoded before.

        :raises UserError: for a broken file, or one that says nothing of depth.
        """
        return self.store.of_file(path, self._recipe, self._decode)

    def _decode(self, path: Path) -> np.ndarray:
        nearness = load_depth(path, self.height, self.kind).nearness[0]
        return nearness.mul(65535).round().to(torch.int32).numpy().astype(np.uint16)

    def _recipe(self) -> Any:
        return hashlib.blake2b(RECIPE + self.kind.encode(), digest_size=16)


def find_depths(entries: Sequence[CaptionedFile], folders: Sequence[str], depths: Sequence[str]) -> dict[Path, Path]:
    """Return the depth map of each panorama that has one. ``depths`` has a folder of maps for each of the ``folders``.

    Maps have the names of the panoramas (`aognet.io.matching`).

    :raises UserError: if no panorama has one, or a folder has two of one name.
    """
    found: dict[Path, Path] = {}
    for folder, place in zip(folders, depths, strict=True):
        maps = _maps(Path(place))
        mine = [entry for entry in entries if entry.path.is_relative_to(folder) and entry.path not in found]
        keys = match(maps, [entry.name for entry in mine], [entry.path for entry in mine]).keys
        found |= {entry.path: maps[key] for entry, key in zip(mine, keys, strict=True) if key is not None}
    if without := sorted({entry.name for entry in entries if entry.path not in found}):
        if not found:
            raise UserError(f"no panorama has a depth map of its name in {', '.join(depths)}", key=KEY)
        log.warning("%s: %d panorama(s) without a depth map (%s)", KEY, len(without), a_few(without))
    return found


def _maps(folder: Path) -> dict[str, Path]:
    """Return the maps below a folder by their names without suffix."""
    maps: dict[str, Path] = {}
    for path in find_images(folder, KEY, DEPTH_SUFFIXES):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in maps:
            raise UserError(f"{folder}: {maps[name].name} and {path.name} are depth maps of one name", key=KEY)
        maps[name] = path
    return maps


def _packed(levels: np.ndarray) -> bytes:
    return levels.astype("<u2").tobytes()


def _mapped(height: int, path: Path) -> np.ndarray:
    """Map levels into memory.

    :raises ValueError: for another size.
    """
    return np.memmap(path, "<u2", "r").reshape(height, 2 * height)
