"""The pictures inside the report page: panoramas, their views and close-ups of the wrap, within a number of bytes."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from aognet.geometry.cubemap import FACES, face_cameras
from aognet.geometry.perspective import look_all
from aognet.hdr.three_spheres import ENVIRONMENT_ROWS, on_sphere, three_spheres
from aognet.io.formats import LIGHT_SUFFIXES
from aognet.io.images import load_image, png_bytes, resize_panorama, to_pil
from aognet.io.panorama_files import encoded, read_panorama
from aognet.io.tonemap import ToneMap
from aognet.metrics.luminance import luminance

_PANORAMA_ROWS, _VIEW_ROWS = 384, 192
_PANORAMA_SHARES, _VIEW_SHARES = 4, 1  # how the bytes are shared out
_VIEWS = ("up", "back", "down")
_SEAM_PIXELS = 64  # rows and columns of a close-up of the wrap


@dataclass(frozen=True)
class ReportPicture:
    """An image inside the page."""

    source: str
    width: int
    height: int


@dataclass(frozen=True)
class Pictured:
    """A panorama laid flat, and its views up, back (the wrap runs down their middle) and down.

    ``spheres``: what lies under it (`aognet.hdr.three_spheres`), of panoramas of linear light.
    """

    panorama: ReportPicture
    views: dict[str, ReportPicture]
    spheres: ReportPicture | None = None


def _jpeg(image: Float[Tensor, "3 height width"], most_bytes: float) -> ReportPicture:
    """Encode a JPEG of at most ``most_bytes``: lower the quality first, then the size."""
    picture = to_pil(image)
    while True:
        for quality in (88, 70, 50):
            buffer = io.BytesIO()
            picture.save(buffer, "JPEG", quality=quality, optimize=True)
            if buffer.tell() <= most_bytes or min(picture.size) <= 32:
                source = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
                return ReportPicture(source, picture.width, picture.height)
        picture = picture.resize((picture.width * 2 // 3, picture.height * 2 // 3), Image.Resampling.BOX)


def pictured(path: Path, most_bytes: float) -> Pictured:
    """Make the pictures of a panorama file, of at most ``most_bytes`` together.

    :raises UserError: if the file cannot be read.
    """
    lit = path.suffix.lower() in LIGHT_SUFFIXES
    share = most_bytes / (_PANORAMA_SHARES + _VIEW_SHARES * len(_VIEWS) + _VIEW_SHARES * lit)
    panorama = load_image(path)[None]
    cameras = [face_cameras(_VIEW_ROWS)[FACES.index(name)] for name in _VIEWS]
    views = look_all(panorama, cameras)[0]
    flat = resize_panorama(panorama, min(_PANORAMA_ROWS, panorama.shape[-2]))[0]
    return Pictured(
        _jpeg(flat, share * _PANORAMA_SHARES),
        {name: _jpeg(view, share * _VIEW_SHARES) for name, view in zip(_VIEWS, views, strict=True)},
        _jpeg(spheres_under(path), share * _VIEW_SHARES) if lit else None,
    )


def spheres_under(path: Path) -> Float[Tensor, "3 size width"]:
    """Return the spheres under a panorama file beside each other, in [-1, 1].

    They are exposed so that the diffuse sphere shows half of white on average, since panoramas have no common unit.

    :raises UserError: if the file cannot be read.
    """
    spheres = three_spheres(read_panorama(path, ENVIRONMENT_ROWS)[0][None])
    white = luminance(spheres[:1])[0][on_sphere()].mean()
    strip = torch.cat(list(spheres), dim=-1) * float(0.5 / white if white > 0 else 1)
    return encoded(strip, "linear", "srgb", ToneMap("filmic")) * 2 - 1


@dataclass(frozen=True)
class CloseUp:
    """Pixels on both sides of the wrap, where its step stands out most, and the latitudes they lie between."""

    picture: ReportPicture
    north_degrees: float
    south_degrees: float


def close_up(path: Path) -> CloseUp:
    """Make the close-up of a panorama file.

    :raises UserError: if the file cannot be read.
    """
    panorama = load_image(path)
    first, size, rows = seam_window(panorama), _SEAM_PIXELS, panorama.shape[-2]
    crop = panorama[:, first : first + size].roll(size // 2, -1)[..., :size]
    picture = to_pil(crop)
    source = "data:image/png;base64," + base64.b64encode(png_bytes(picture)).decode()
    north, south = (90 - 180 * row / rows for row in (first, first + picture.height))
    return CloseUp(ReportPicture(source, picture.width, picture.height), north, south)


def seam_window(panorama: Float[Tensor, "3 height width"]) -> int:
    """Return the first row of the close-up: where the step across the wrap exceeds the steps beside it most."""
    columns = panorama.roll(2, -1)[..., :4]  # the wrap runs between the second and the third
    steps = columns.diff(dim=-1).abs().mean(0)
    excess = steps[:, 1] - (steps[:, 0] + steps[:, 2]) / 2
    sums = torch.cat([excess.new_zeros(1), excess.double().cumsum(0)])
    size = min(_SEAM_PIXELS, len(excess))
    return int((sums[size:] - sums[:-size]).argmax())
