"""Reading and writing images: bounded, checked, and as float tensors in [-1, 1]."""

import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional

from aognet.errors import Setting, UserError
from aognet.geometry.sphere import sample
from aognet.io.decoding import DecodedImage, Levels, decode_file
from aognet.io.exif import Exif
from aognet.io.files import PNG, is_file, write_atomically
from aognet.io.formats import LIGHT_SUFFIXES
from aognet.io.hdr import MAX_PIXELS, Light, read_layers
from aognet.io.photosphere import SphereArea
from aognet.io.srgb import decode_srgb
from aognet.io.tonemap import clean, tone_map
from aognet.io.value_range import Encoding

CACHED_VALUES = 2**18  # as many as a core's cache holds


@dataclass(frozen=True)
class Loaded:
    """An image file in floats.

    ``image`` is in the range of its encoding (`aognet.io.value_range`). ``opacity`` is in [0, 1], or None if all is
    opaque. Besides: what the camera wrote, and the part of a sphere that the file says it shows, or None.
    """

    image: Float[Tensor, "3 height width"]
    opacity: Float[Tensor, "1 height width"] | None = None
    exif: Exif = Exif()
    area: SphereArea | None = None

    @property
    def weight(self) -> Float[Tensor, "1 height width"] | None:
        """How much each pixel counts: its opacity, or 0 if that is less than half. None if all pixels count."""
        return None if self.opacity is None else self.opacity * (self.opacity >= 0.5)


def load(path: Path, encoding: Encoding = "srgb") -> Loaded:
    """Load an image (`aognet.io.formats`), upright, in the primaries of sRGB (`aognet.io.decoding.decode_file`).

    EXR and HDR files contain linear light. It is tone-mapped for ``srgb`` (`aognet.io.tonemap.tone_map`) and stays as
    it is for ``linear``; other files become linear light by the sRGB curve.

    :raises UserError: naming the file.
    """
    path = Path(path)
    if not is_file(path):
        raise UserError(f"{path}: no such image file")
    if path.suffix.lower() in LIGHT_SUFFIXES:
        return _light(read_layers(path, MAX_PIXELS), encoding)
    picture = decode_file(path, str(path))
    opacity = None if picture.alpha is None else _floats(picture.alpha, 1).add_(1).div_(2)
    image = _floats(picture.levels, 3)
    if encoding == "linear":
        image = torch.from_numpy(decode_srgb(image.add_(1).div_(2).numpy()))
    return Loaded(image, opacity, picture.exif, picture.area)


def load_image(path: Path) -> Float[Tensor, "3 height width"]:
    """Return the image of `load` in [-1, 1], as RGB also from grey and 16-bit files, without transparency."""
    return load(path).image


def _light(light: Light, encoding: Encoding) -> Loaded:
    """Return light as float32, tone-mapped for sRGB.

    Transparent pixels do not count in the measurement and leave no dark edge.
    """
    colours, opacity = light.colours.astype(np.float32, copy=False), None
    if light.opacity is not None:
        colours = colours / np.maximum(light.opacity, 0.5)
        opacity = torch.from_numpy(light.opacity.astype(np.float32)).permute(2, 0, 1)
    if encoding == "linear":
        return Loaded(torch.from_numpy(clean(colours)).permute(2, 0, 1), opacity)
    return Loaded(torch.from_numpy(tone_map(colours)).permute(2, 0, 1).mul(2).sub_(1), opacity)


def _floats(levels: Levels, channels: int) -> Float[Tensor, "channels rows columns"]:
    """Return levels in [-1, 1], grey in every channel. It works on a few rows at a time, to avoid another copy of a
    panorama.
    """
    rows, columns, _ = levels.shape
    floats, scale = torch.empty(channels, rows, columns), np.iinfo(levels.dtype).max / 2
    few = max(CACHED_VALUES // (columns * channels), 1)
    for top in range(0, rows, few):
        some = torch.from_numpy(levels[top : top + few].astype(np.float32)).permute(2, 0, 1)
        floats[:, top : top + few] = some.div_(scale).sub_(1)
    return floats


def load_panorama(path: Path, height: int) -> Float[Tensor, "3 height width"]:
    """Return an equirectangular file as RGB in [-1, 1], of ``height`` x ``2 height``.

    :raises UserError: as `load`, for another aspect ratio than 2:1, and for a part of a sphere.
    """
    return as_panorama(load(path), height, str(path))


def as_panorama(loaded: Loaded, height: int, name: str) -> Float[Tensor, "3 height width"]:
    """Turn what was loaded into what `load_panorama` returns, with the same errors. ``name`` is used in messages."""
    check_whole(loaded.area, name)
    return _sized(loaded.image, height, name)


def decode_panorama(content: bytes, name: str, height: int) -> UInt8[np.ndarray, "height width 3"]:
    """Do what ``load_panorama`` does, for the content of a file that Pillow reads, as bytes. ``name`` is used in
    messages.
    """
    return panorama_bytes(decode_file(content, name), name, height)


def panorama_bytes(picture: DecodedImage, name: str, height: int) -> UInt8[np.ndarray, "height width 3"]:
    """Return the bytes of a decoded panorama at ``height`` x ``2 height``.

    :raises UserError: as `load_panorama`.
    """
    import cv2

    levels = picture.levels
    check_whole(picture.area, name)
    check_shape(len(levels), levels.shape[1], name)
    if len(levels) < height:
        image = _floats(levels, 3)
        return to_uint8(_sized(image, height, name)).permute(1, 2, 0).contiguous().numpy()
    sized = cv2.resize(levels, (2 * height, height), interpolation=cv2.INTER_AREA).reshape(height, 2 * height, -1)
    if sized.dtype == np.uint16:
        sized = ((sized.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return np.repeat(sized, 3, axis=-1) if sized.shape[-1] == 1 else sized


def check_whole(area: SphereArea | None, name: str) -> None:
    """Raise UserError for an image that says it is a part of a panorama, which must not be stretched."""
    if area is not None and not area.whole:
        said = f"{name}: is {area}, as its GPano metadata says: "
        raise UserError(said, Setting("panorama"), " places it, it is not stretched")


def _sized(image: Float[Tensor, "3 rows columns"], height: int, name: str) -> Tensor:
    check_shape(*image.shape[-2:], name=name)
    return resize_panorama(image[None], height)[0]


def check_shape(rows: int, columns: int, name: str) -> None:
    """Raise UserError for an image that is not twice as wide as high, give or take a pixel."""
    if abs(columns - 2 * rows) > 1:
        raise UserError(f"{name}: a panorama is twice as wide as high, this image is {columns}x{rows}")


def resize_panorama(panorama: Float[Tensor, "batch channels rows columns"], height: int) -> Tensor:
    """Resize a panorama: area-averaged when it shrinks, bilinear across seam and poles when it grows."""
    rows, columns = panorama.shape[-2:]
    if (rows, columns) == (height, 2 * height):
        return panorama
    if rows % height == 0 and columns == 2 * rows:
        return functional.avg_pool2d(panorama, rows // height)
    if height <= rows:
        return _averaged(_averaged(panorama.mT, height).mT, 2 * height)
    down, across = (
        (torch.arange(new, device=panorama.device) + 0.5) * old / new - 0.5
        for new, old in zip((height, 2 * height), (rows, columns), strict=True)
    )
    return sample(panorama, torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1))


def _averaged(values: Float[Tensor, "*rows length"], count: int) -> Float[Tensor, "*rows count"]:
    """Return ``count`` values that each average an equal share of the last dimension, cut at fractions of a value."""
    length = values.shape[-1]
    edges = torch.arange(count + 1, dtype=torch.float64) * (length / count)
    first, total = edges[:-1].floor().long(), values.new_zeros(())
    for index in (first + offset for offset in range(math.ceil(length / count) + 1)):
        share = (torch.minimum(edges[1:], index + 1) - torch.maximum(edges[:-1], index)).clamp_min(0)
        total = total + values[..., index.clamp_max(length - 1)] * share.to(values)
    return total * (count / length)


def to_uint8(image: Float[Tensor, "*channels height width"]) -> Tensor:
    """Return [-1, 1] floats as the bytes of a file."""
    levels = torch.empty(image.shape, dtype=torch.uint8, device=image.device)
    # A few rows at a time on a CPU: fresh memory for whole panoramas takes longer than the arithmetic.
    rows = image.shape[-2] if image.is_cuda else max(CACHED_VALUES * image.shape[-2] // max(image.numel(), 1), 1)
    for some, bytes_ in zip(image.detach().split(rows, -2), levels.split(rows, -2), strict=True):
        bytes_.copy_(some.float().clamp(-1, 1).add_(1).mul_(127.5).round_())
    return levels


def from_uint8(pixels: UInt8[Tensor, "*channels height width"]) -> Float[Tensor, "*channels height width"]:
    """Return the bytes of a file as floats in [-1, 1]; the inverse of ``to_uint8``."""
    return pixels.float().div_(127.5).sub_(1)


def to_pil(image: Float[Tensor, "3 height width"]) -> Image.Image:
    """Return a [-1, 1] image as a Pillow image."""
    return merged(to_uint8(image))


def merged(levels: UInt8[Tensor, "3 height width"]) -> Image.Image:
    """Return red, green and blue as a Pillow image."""
    return Image.merge("RGB", [Image.fromarray(channel.numpy()) for channel in levels.cpu()])


def save_image(image: Float[Tensor, "3 height width"], path: Path) -> None:
    """Write a [-1, 1] image as PNG or JPEG (by suffix), atomically."""
    picture = to_pil(image)
    write_atomically(path, png_bytes(picture) if path.suffix.lower() == ".png" else jpeg_bytes(picture))


def png_bytes(image: Image.Image) -> bytes:
    """Return an image as the content of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **PNG)
    return buffer.getvalue()


def jpeg_bytes(image: Image.Image) -> bytes:
    """Return an image as the content of a JPEG file of high quality."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()
