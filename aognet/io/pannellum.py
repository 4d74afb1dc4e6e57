"""The tiles from which the browser's viewer Pannellum loads as many as a view needs: its ``multires`` format.

Source: "multires specific options" of Pannellum's own doc/json-config-parameters.md (2.5). The faces of a cube are cut
into square tiles, and again at half of the size, until one tile is a face. Pannellum's faces are seen from inside, and
*up* and *down* join the front, as in `aognet.geometry.cubemap`.
"""

import json
import math
from pathlib import Path

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from aognet.geometry.cubemap import FACES, face_cameras
from aognet.geometry.perspective import look
from aognet.io.files import made_folder, write_atomically
from aognet.io.panorama_files import write_image

CONFIG = "config.json"
LEAST_TILE, TILE, MOST_TILE = 64, 512, 4096
_FALLBACK_ROWS = 1024  # of the faces for browsers without WebGL


def levels_of(face_size: int, tile_size: int) -> tuple[int, int]:
    """Return the rows of a face in the finest level, at least ``face_size``, and how many levels there are.

    Each level has exactly half of the rows of the next, and the coarsest has one tile a face.
    """
    levels = max(math.ceil(math.log2(face_size / tile_size)), 0) + 1
    step = 2 ** (levels - 1)
    return math.ceil(face_size / step) * step, levels


def write_tiles(
    shown: Float[Tensor, "3 height width"], folder: Path, suffix: str, face_size: int | None, tile_size: int
) -> None:
    """Write the tiles of a panorama of display values, and ``config.json``, which tells Pannellum of them.

    ``face_size``: rows of a face, rounded up by `levels_of`; default: the panorama's columns divided by pi, by which
    the middle of a face is as fine as the panorama. Files: ``LEVEL/FACEy_x.jpg``, ``fallback/FACE.jpg``; a face is the
    first letter of its name.

    :raises UserError: naming the file, if one cannot be written.
    """
    size, levels = levels_of(face_size or math.ceil(shown.shape[-1] / math.pi), tile_size)
    tile_size = min(tile_size, size)
    for name, camera in zip(FACES, face_cameras(size), strict=True):
        face = look(shown[None], camera)
        for level in range(levels, 0, -1):
            _write_face(face[0], folder / str(level), name[0], suffix, tile_size)
            face = functional.avg_pool2d(face, 2) if level > 1 else face
    rows = min(size, _FALLBACK_ROWS)
    with made_folder(folder / "fallback"):
        for name, camera in zip(FACES, face_cameras(rows), strict=True):
            write_image(look(shown[None], camera)[0], folder / "fallback" / f"{name[0]}{suffix}")
    told = {"path": "%l/%s%y_%x", "fallbackPath": "fallback/%s", "extension": suffix.removeprefix(".")}
    told |= {"tileResolution": tile_size, "maxLevel": levels, "cubeResolution": size}
    write_atomically(folder / CONFIG, json.dumps({"type": "multires", "multiRes": told}, indent=2) + "\n")


def _write_face(face: Float[Tensor, "3 rows columns"], folder: Path, letter: str, suffix: str, tile_size: int) -> None:
    """Write the tiles of one face in one level."""
    with made_folder(folder):
        for y, band in enumerate(face.split(tile_size, -2)):
            for x, tile in enumerate(band.split(tile_size, -1)):
                write_image(tile, folder / f"{letter}{y}_{x}{suffix}")
