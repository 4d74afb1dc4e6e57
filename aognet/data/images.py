"""Reading and writing images: bounded, checked, and as float tensors in [-1, 1]."""

import io
import math
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional

from aognet.data.decoding import decode_file
from aognet.data.formats import LIGHT_SUFFIXES
from aognet.data.hdr import MOST_PIXELS, read_radiance
from aognet.data.tonemap import tone_map
from aognet.errors import UserError
from aognet.files import PNG, is_file, write_atomically
from aognet.geometry.sphere import sample

CACHED_VALUES = 2**18  # as many as a core's cache holds


def load_image(path: Path) -> Float[Tensor, "3 height width"]:
    """An image (`aognet.data.formats`) as RGB in [-1, 1], upright; grey and 16-bit files too, transparency dropped.

    EXR and HDR files hold linear light: they are tone-mapped (`aognet.data.tonemap.tone_map`). Raises UserError naming
    the file.
    """
    path = Path(path)
    if not is_file(path):
        raise UserError(f"{path}: no such image file")
    if path.suffix.lower() in LIGHT_SUFFIXES:
        return torch.from_numpy(tone_map(read_radiance(path, MOST_PIXELS))).permute(2, 0, 1) * 2 - 1
    return torch.from_numpy(decode_file(path, str(path))).permute(2, 0, 1).float() / 127.5 - 1


def load_panorama(path: Path, height: int) -> Float[Tensor, "3 height width"]:
    """An equirectangular file as RGB in [-1, 1] of ``height`` x ``2 height``; refuses another aspect ratio than 2:1."""
    return _sized(load_image(path), height, str(path))


def decode_panorama(content: bytes, name: str, height: int) -> UInt8[np.ndarray, "height width 3"]:
    """As ``load_panorama``, of the content of a file that Pillow reads and as bytes; ``name`` is what errors say."""
    import cv2

    pixels = decode_file(io.BytesIO(content), name)
    if pixels.dtype == np.uint8 and len(pixels) >= height:
        check_shape(len(pixels), pixels.shape[1], name)
        return cv2.resize(pixels, (2 * height, height), interpolation=cv2.INTER_AREA)
    image = torch.from_numpy(pixels).permute(2, 0, 1).float() / 127.5 - 1
    return to_uint8(_sized(image, height, name)).permute(1, 2, 0).contiguous().numpy()


def _sized(image: Float[Tensor, "3 rows columns"], height: int, name: str) -> Tensor:
    check_shape(*image.shape[-2:], name)
    return resize_panorama(image[None], height)[0]


def check_shape(rows: int, columns: int, name: str) -> None:
    """Raises UserError naming an image that is not twice as wide as high, give or take a pixel."""
    if abs(columns - 2 * rows) > 1:
        raise UserError(f"{name}: a panorama is twice as wide as high, this image is {columns}x{rows}")


def resize_panorama(panorama: Float[Tensor, "batch channels rows columns"], height: int) -> Tensor:
    """A panorama in another size: area-averaged when it shrinks, bilinear across seam and poles when it grows."""
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
    """``count`` values that each average an equal share of the last dimension, cut at fractions of a value."""
    length = values.shape[-1]
    edges = torch.arange(count + 1, dtype=torch.float64) * (length / count)
    first, total = edges[:-1].floor().long(), 0
    for index in (first + offset for offset in range(math.ceil(length / count) + 1)):
        share = (torch.minimum(edges[1:], index + 1) - torch.maximum(edges[:-1], index)).clamp_min(0)
        total = total + values[..., index.clamp_max(length - 1)] * share.to(values)
    return total * (count / length)


def to_uint8(image: Float[Tensor, "*channels height width"]) -> Tensor:
    """[-1, 1] floats as the bytes a file holds."""
    levels = torch.empty(image.shape, dtype=torch.uint8, device=image.device)
    # A few rows at a time on a CPU: fresh memory for whole panoramas takes longer than the arithmetic.
    rows = image.shape[-2] if image.is_cuda else max(CACHED_VALUES * image.shape[-2] // max(image.numel(), 1), 1)
    for some, bytes_ in zip(image.detach().split(rows, -2), levels.split(rows, -2), strict=True):
        bytes_.copy_(some.float().clamp(-1, 1).add_(1).mul_(127.5).round_())
    return levels


def from_uint8(pixels: UInt8[Tensor, "*channels height width"]) -> Float[Tensor, "*channels height width"]:
    """Bytes of a file as floats in [-1, 1]; the inverse of ``to_uint8``."""
    return pixels.float().div_(127.5).sub_(1)


def to_pil(image: Float[Tensor, "3 height width"]) -> Image.Image:
    """A [-1, 1] image as a Pillow image."""
    return merged(to_uint8(image))


def merged(levels: UInt8[Tensor, "3 height width"]) -> Image.Image:
    """Red, green and blue as a Pillow image."""
    return Image.merge("RGB", [Image.fromarray(channel.numpy()) for channel in levels.cpu()])


def save_image(image: Float[Tensor, "3 height width"], path: Path) -> None:
    """Writes a [-1, 1] image as PNG or JPEG (by suffix), atomically."""
    picture = to_pil(image)
    write_atomically(path, png_bytes(picture) if path.suffix.lower() == ".png" else jpeg_bytes(picture))


def png_bytes(image: Image.Image) -> bytes:
    """An image as the content of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **PNG)
    return buffer.getvalue()


def jpeg_bytes(image: Image.Image) -> bytes:
    """An image as the content of a JPEG file of high quality."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()
