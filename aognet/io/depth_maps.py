"""Depth maps of panoramas: files of distances or of depth pictures, as what a depth ControlNet sees.

That is the convention of MiDaS and Depth Anything: inverse distance, 1 for the nearest and 0 for the farthest thing.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from aognet.errors import Setting, UserError
from aognet.io.files import is_file, write_atomically
from aognet.io.formats import SUFFIXES
from aognet.io.hdr import MAX_PIXELS, read_plane
from aognet.io.images import check_shape, check_whole, load, resize_panorama

DepthKind = Literal["auto", "distance", "inverse"]
DEPTH_KINDS: tuple[DepthKind, ...] = get_args(DepthKind)
DEPTH_SUFFIXES = (*(suffix for suffix in SUFFIXES if suffix != ".hdr"), ".npy")
"""Of the files that `load_depth` reads, in small letters."""
MEASURED = (".exr", ".npy")
"""Files of numbers without a range. All others hold levels between black and white."""
_MAX_COLOURED, _COLOURED = 0.01, 0.1
_OPAQUE = 0.5


@dataclass(frozen=True)
class DepthMap:
    """How near everything in a panorama is: 1 the nearest, 0 the farthest; and where that is known."""

    nearness: Float[Tensor, "1 height width"]
    known: Bool[Tensor, "1 height width"]

    def resized(self, height: int) -> "DepthMap":
        """Return the same map in another size."""
        nearness, known = sized_known(self.nearness, self.known.to(self.nearness), height)
        return DepthMap(nearness * known, known)

    @property
    def picture(self) -> Float[Tensor, "1 3 height width"]:
        """What a depth ControlNet sees: three equal channels in [0, 1], near is white."""
        return self.nearness.expand(1, 3, -1, -1)


def load_depth(path: Path, height: int, kind: DepthKind = "auto") -> DepthMap:
    """Return the depth map of an equirectangular file at ``height`` x ``2 height``. It is resized across its edge.

    EXR (`aognet.io.hdr.read_plane`) and NPY files hold a number for each pixel, other files levels of grey. ``kind``
    says what the numbers are. ``distance``: from the camera, in any unit, inf for the sky. ``inverse``: larger is
    nearer. ``auto``: EXR and NPY hold distances, pictures are inverse. Distances are inverted. Numbers are spread over
    [0, 1]; inverse levels stay as they are. Transparent pixels of a picture are not known.

    :raises UserError: naming the file: missing, damaged, no map of depth, not twice as wide as high, the same
        throughout, with NaN, or with distances that are not positive.
    """
    return depth_map_of(read_depth_numbers(Path(path), kind), height)


@dataclass(frozen=True)
class DepthNumbers:
    """What a file of depth holds: distances, or what is larger the nearer something is. ``opacity``: of a picture that
    is transparent in places. ``is_measured``: numbers without a range, not levels between black and white.
    """

    path: Path
    values: Float[np.ndarray, "rows columns"]
    opacity: Float[Tensor, "1 rows columns"] | None
    is_distance: bool
    is_measured: bool

    @property
    def known(self) -> Bool[np.ndarray, "rows columns"]:
        """Where the picture is not transparent."""
        return np.ones(self.values.shape, bool) if self.opacity is None else self.opacity[0].numpy() > _OPAQUE


def read_depth_numbers(path: Path, kind: DepthKind = "auto") -> DepthNumbers:
    """Return the numbers of an equirectangular file of depth, checked. The kinds and the errors are those of
    `load_depth`.
    """
    values, opacity = _read(path)
    check_shape(*values.shape, name=str(path))
    is_measured = path.suffix.lower() in MEASURED
    is_distance = kind == "distance" or (kind == "auto" and is_measured)
    numbers = DepthNumbers(path, values, opacity, is_distance, is_measured)
    _check_values(values, numbers.known, is_distance, path)
    return numbers


def depth_map_of(numbers: DepthNumbers, height: int) -> DepthMap:
    """Return the depth map of numbers from a file; see `load_depth`."""
    values, spread = numbers.values, numbers.is_distance or numbers.is_measured
    if spread:
        values = _numbers_spread(values, numbers.known, numbers.is_distance)
    nearness, known = sized_known(torch.from_numpy(values)[None], numbers.opacity, height)
    if not known.any() or nearness[known].min() == nearness[known].max():
        raise UserError(f"{numbers.path}: shows no depth with {height} rows: what differs is smaller than a pixel")
    # Again: what was nearest or farthest may be smaller than a pixel here.
    return DepthMap(spread_out(nearness, known) if spread else nearness * known, known)


def sized_known(
    nearness: Float[Tensor, "1 rows columns"], weight: Float[Tensor, "1 rows columns"] | None, height: int
) -> tuple[Float[Tensor, "1 height width"], Bool[Tensor, "1 height width"]]:
    """Return what is known at another size, and where: what weighs nothing does not show."""
    if weight is None:
        sized = resize_panorama(nearness[None], height)[0]
        return sized, torch.ones_like(sized, dtype=torch.bool)
    sized, weight = (resize_panorama(part[None], height)[0] for part in (nearness * weight, weight))
    return sized / weight.clamp_min(1e-3), weight > _OPAQUE


def spread_out(nearness: Float[Tensor, "*size"], known: Bool[Tensor, "*size"]) -> Float[Tensor, "*size"]:
    """Return inverse distances moved and scaled so that the known ones reach from 0 to 1; 0 where nothing is known."""
    least, most = nearness[known].aminmax()
    return ((nearness - least) / (most - least).clamp_min(torch.finfo(nearness.dtype).tiny)).clamp(0, 1) * known


def write_depth(depth: DepthMap, path: Path) -> None:
    """Write a depth map as a grey PNG of 16 bits, transparent where it is not known. `load_depth` reads it again."""
    import cv2

    levels = depth.nearness[0].mul(65535).round().to(torch.int32).numpy().astype(np.uint16)
    if not depth.known.all():
        alpha = depth.known[0].numpy().astype(np.uint16) * 65535
        levels = np.stack([levels, levels, levels, alpha], axis=-1)
    done, content = cv2.imencode(".png", levels)
    assert done, "16 bits fit PNG"
    write_atomically(path, content.tobytes())


def _read(path: Path) -> tuple[Float[np.ndarray, "rows columns"], Float[Tensor, "1 rows columns"] | None]:
    """Return the numbers of a file as float32, and the opacity of a picture that is transparent in places."""
    suffix = path.suffix.lower()
    if suffix not in DEPTH_SUFFIXES:
        raise UserError(f"{path}: a map of depth is PNG, EXR or NPY (or another picture of grey)")
    if not is_file(path):
        raise UserError(f"{path}: no such file")
    if suffix == ".exr":
        return read_plane(path, MAX_PIXELS), None
    if suffix == ".npy":
        return read_array(path, MAX_PIXELS), None
    loaded = load(path)
    check_whole(loaded.area, str(path))
    solid = torch.ones_like(loaded.image[:1]) if loaded.opacity is None else loaded.opacity
    coloured = (loaded.image.amax(0) - loaded.image.amin(0)) * (solid[0] > _OPAQUE) > 2 * _COLOURED
    if coloured.float().mean() > _MAX_COLOURED:
        raise UserError(f"{path}: has colours, so it is no map of depth, which is grey")
    return loaded.image[0].add(1).div(2).numpy(), loaded.weight


def read_array(path: Path, most_pixels: int) -> Float[np.ndarray, "rows columns"]:
    """Return the numbers of an NPY file as float32, from an array of two dimensions besides those of length 1.

    Nothing in the file is executed, and no more is read than ``most_pixels`` need.

    :raises UserError: naming the file, if it is damaged, or holds something else.
    """
    try:
        # A map of the file: its header says how large the array is before memory is asked for.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    # NumPy raises many kinds for broken headers: ValueError, EOFError, SyntaxError, OverflowError, tokenize's.
    except Exception as error:
        raise UserError(f"{path}: not a readable NPY file ({' '.join(str(error).split())})") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise UserError(f"{path}: is an archive of arrays; give one array as NPY")
    if array.dtype.kind not in "fiu":
        raise UserError(f"{path}: holds {array.dtype}, not numbers of depth")
    shape = tuple(side for side in array.shape if side != 1)
    if len(shape) != 2:
        raise UserError(f"{path}: has the shape {array.shape}; a map of depth has rows and columns")
    if array.size > most_pixels:
        raise UserError(f"{path}: has {array.size} numbers, more than the limit of {most_pixels}")
    with np.errstate(over="ignore"):  # too large for float32: as far as the sky
        return np.array(array.reshape(shape), dtype=np.float32)


def _check_values(values: np.ndarray, known: np.ndarray, is_distance: bool, path: Path) -> None:
    """Raise UserError for numbers that are no depth."""
    if not known.any():
        raise UserError(f"{path}: is transparent throughout, so no depth is known")
    _refuse(np.isnan(values) & known, values, path, "give each pixel a number, and the sky inf")
    if is_distance:
        way = "distances are more than 0"
        mend = (way, "; if near is white, ", Setting("depth_kind"), " must be inverse")
        _refuse((values <= 0) & known, values, path, *mend)
    else:
        mend = ("nothing is infinitely near; if these are distances, ", Setting("depth_kind"), " must be distance")
        _refuse(np.isinf(values) & known, values, path, *mend)
    least, most = values[known].min(), values[known].max()
    if least == most:
        said = "is black throughout" if most == 0 else f"is {most:g} throughout"
        raise UserError(f"{path}: {said}, which says nothing of depth")


def _numbers_spread(values: np.ndarray, known: np.ndarray, is_distance: bool) -> Float[np.ndarray, "rows columns"]:
    """Return inverse distances in [0, 1], computed in float64: no number that float32 holds overflows."""
    wide = values.astype(np.float64)
    if is_distance:
        wide = 1 / np.where(known, wide, np.inf)
    least, most = wide[known].min(), wide[known].max()
    return ((wide - least) / (most - least)).clip(0, 1).astype(np.float32)


def _refuse(wrong: np.ndarray, values: np.ndarray, path: Path, *mend: str | Setting) -> None:
    if not wrong.any():
        return
    row, column = np.unravel_index(wrong.argmax(), wrong.shape)
    where = f"{path}: holds {values[row, column]:g} (column {column}, row {row}; {wrong.sum()} such pixels): "
    raise UserError(where, *mend)
