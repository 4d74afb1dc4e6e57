"""Panoramas in files, placed on the whole sphere: parts at their place, tilted ones upright, with a mask."""

from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from aognet.canvas import Canvas
from aognet.errors import Setting, UserError
from aognet.geometry import sphere
from aognet.geometry.sphere import rotation, sample
from aognet.io.images import Loaded, check_shape, check_whole, load, resize_panorama
from aognet.io.masks import read_mask
from aognet.io.photosphere import SphereArea
from aognet.io.value_range import Encoding, bounded

WHOLE = SphereArea()
# A pixel counts as known if more than half of it is opaque; colours are weighed by opacity, so no hidden ones show.
OPAQUE = 0.5


def read_panorama(path: Path, height: int, encoding: Encoding = "srgb") -> Canvas:
    """Return a panorama of ``height`` rows with a level horizon, known where it is not transparent.

    Raises UserError as `aognet.io.images.load_panorama`.
    """
    loaded = load(path, encoding)
    check_whole(loaded.area, str(path))
    return _canvas(loaded, path, height, encoding)


def read_partial(path: Path, mask_path: Path | None, height: int, encoding: Encoding = "srgb") -> Canvas:
    """Return a panorama to complete: known where it is opaque, where GPano places it, and where the mask is black.

    Its horizon is made level by the tilt in GPano. A mask as large as the file belongs to its pixels, any other to the
    whole sphere.

    Raises UserError naming the file, also if nothing is to be painted or nothing would be kept.
    """
    loaded = load(path, encoding)
    canvas, shown = _canvas(loaded, path, height, encoding), loaded.image.shape[-2:]
    area, known = loaded.area or WHOLE, canvas.known
    del loaded  # a mask may be as large
    if not known.any():
        raise UserError(f"{path}: is transparent throughout, so nothing of it is known")
    if mask_path is None:
        if known.all():
            said = f"{path}: is known throughout, so nothing is to be painted: "
            raise UserError(said, Setting("mask"), " says where (white)")
        return canvas
    known = known & ~_mask(mask_path, shown, area, height)
    if known.all():
        raise UserError(f"{mask_path}: is black throughout, so nothing is to be painted: white is painted")
    if not known.any():
        raise UserError(f"{mask_path}: leaves nothing of {path.name}, for white is painted")
    return Canvas.of(canvas.image, known, encoding)


def _canvas(loaded: Loaded, path: Path, height: int, encoding: Encoding) -> Canvas:
    area, size = loaded.area or WHOLE, loaded.image.shape[-2:]
    if loaded.opacity is None and area.whole:
        check_shape(*size, name=str(path))
        return Canvas.of(_level(resize_panorama(loaded.image[None], height), area), encoding=encoding)
    if area.whole:
        check_shape(*size, name=str(path))
    opacity = torch.ones(1, *size) if loaded.weight is None else loaded.weight
    # One after the other and in place: together they would take twice the memory.
    colours, opacity = (
        _level(resize_panorama(part, height) if area.whole else _placed(part, area, height), area)
        for part in (loaded.image.mul_(opacity)[None], opacity[None])
    )
    return Canvas.of(bounded(colours / opacity.clamp_min(1e-3), encoding), opacity > OPAQUE, encoding)


def _mask(path: Path, shown: torch.Size, area: SphereArea, height: int) -> Bool[Tensor, "1 1 height width"]:
    """Return where on the sphere a mask asks for paint. ``shown``: rows and columns of the panorama's file."""
    painted = read_mask(path)
    if area.whole or painted.shape[-2:] != shown:
        rows, columns = painted.shape[-2:]
        if abs(columns - 2 * rows) > 1:
            raise UserError(f"{path}: a panorama's mask is twice as wide as high, this image is {columns}x{rows}")
        share = resize_panorama(painted[None].float(), height)
    else:
        share = _placed(painted[None].float(), area, height)
    # A pixel stays only if no part of it is to be painted, so that nothing to be replaced shines through.
    return _level(share, area) > 1e-3


def _placed(layers: Float[Tensor, "1 channels rows columns"], area: SphereArea, height: int) -> Tensor:
    """Return a part of a sphere on all of it, 0 elsewhere, no finer than ``height`` rows can show."""
    rows, columns = (max(round(share * size), 1) for share, size in ((area.height, height), (area.width, 2 * height)))
    if rows < layers.shape[-2] or columns < layers.shape[-1]:
        size = (min(rows, layers.shape[-2]), min(columns, layers.shape[-1]))
        layers = functional.interpolate(layers, size=size, mode="bilinear", antialias=True)
    # -1 and 1 are the outer edges of the part.
    across = ((torch.arange(2 * height, dtype=torch.float64) + 0.5) / (2 * height) - area.left) % 1 / area.width * 2 - 1
    down = ((torch.arange(height, dtype=torch.float64) + 0.5) / height - area.top) / area.height * 2 - 1
    if area.width == 1:  # it goes on across its seam
        layers = torch.cat([layers[..., -1:], layers, layers[..., :1]], dim=-1)
        across = across * (layers.shape[-1] - 2) / layers.shape[-1]
    grid = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1)
    inside = (grid.abs() <= 1).all(-1) if area.width < 1 else (grid[..., 1].abs() <= 1)
    found = functional.grid_sample(layers, grid.float()[None], padding_mode="border", align_corners=False)
    return found * inside


def _level(panorama: Float[Tensor, "1 channels height width"], area: SphereArea) -> Tensor:
    """Return a panorama with a level horizon, from one whose centre has the area's pitch and roll."""
    if area.pitch_degrees == area.roll_degrees == 0:
        return panorama
    height, width = panorama.shape[-2:]
    # The file shows in direction d what the world has in direction R d.
    turned = sphere.pixel_directions(height, width) @ rotation(0.0, area.pitch_degrees, area.roll_degrees)
    return sample(panorama, sphere.pixel_positions(turned, height, width).float())
