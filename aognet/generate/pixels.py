"""Pictures in the files of a run: what is read again is bit for bit what was in memory.

sRGB is stored in 256 levels, as PNG files, linear light in float32, as EXR files.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from aognet.canvas import Canvas
from aognet.errors import UserError
from aognet.io.decoding import open_image
from aognet.io.files import write_atomically
from aognet.io.hdr import MAX_PIXELS, read_layers, write_exr
from aognet.io.images import from_uint8, load_image, merged, png_bytes, to_pil, to_uint8
from aognet.io.value_range import Encoding

ROWS = 32


def packed(images: Float[Tensor, "*batch 3 rows columns"], encoding: Encoding) -> Tensor:
    """Return images as their files store them: bytes of sRGB, floats of linear light."""
    return to_uint8(images) if encoding == "srgb" else images.float()


def unpacked(kept: Tensor, encoding: Encoding) -> Float[Tensor, "*batch 3 rows columns"]:
    """Return the images of what `packed` returned, in the range of their encoding."""
    return from_uint8(kept) if encoding == "srgb" else kept


def write_picture(kept: Tensor, path: Path, encoding: Encoding) -> None:
    """Write one `packed` image of the CPU, atomically."""
    if encoding == "srgb":
        write_atomically(path, png_bytes(merged(kept)))
    else:
        write_exr(dict(zip("RGB", kept.numpy(), strict=True)), path)


def read_picture(path: Path, encoding: Encoding) -> Float[Tensor, "3 rows columns"]:
    """Read what `write_picture` wrote, in the range of its encoding. Raises UserError naming the file."""
    if encoding == "srgb":
        return load_image(path)
    return torch.from_numpy(read_layers(path, MAX_PIXELS).colours.astype(np.float32)).permute(2, 0, 1)


def round_(canvas: Canvas) -> None:
    """Round a canvas, in place, to the values that `write_canvas` stores."""
    if canvas.encoding == "linear":
        return
    # A few rows at a time: fresh memory for whole panoramas takes longer than the arithmetic.
    for colours, known in zip(*(part.split(ROWS, -2) for part in canvas.pixels.split([3, 1], 1)), strict=True):
        colours.copy_(from_uint8(to_uint8(colours)).mul_(known))


def write_canvas(canvas: Canvas, path: Path) -> None:
    """Write a canvas of one panorama with its mask as transparency, atomically."""
    if canvas.encoding == "srgb":
        write_atomically(path, png_bytes(_with_alpha(canvas)))
        return
    write_exr(dict(zip("RGBA", canvas.pixels[0].cpu().numpy(), strict=True)), path)


def read_canvas(path: Path, encoding: Encoding) -> Canvas:
    """Read what `write_canvas` wrote. Raises UserError naming the file."""
    pixels = _read_levels(path) if encoding == "srgb" else _read_light(path)
    height, width = pixels.shape[-2:]
    if width != 2 * height:
        raise UserError(f"{path}: a panorama is twice as wide as high, this image is {width}x{height}")
    return Canvas.of(pixels[None, :3], pixels[None, 3:] > 0, encoding)


def _read_levels(path: Path) -> Float[Tensor, "4 height width"]:
    try:
        with open_image(path, ("PNG",)) as image:
            return from_uint8(torch.from_numpy(np.array(image.convert("RGBA"))).permute(2, 0, 1))
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{path}: not readable ({error})") from error


def _read_light(path: Path) -> Float[Tensor, "4 height width"]:
    light = read_layers(path, MAX_PIXELS)
    # Where nothing at all is known, the file is transparent throughout, which readers take for no transparency.
    opacity = (light.colours.any(-1, keepdims=True) if light.opacity is None else light.opacity).astype(np.float32)
    return torch.from_numpy(np.concatenate([light.colours.astype(np.float32), opacity], -1)).permute(2, 0, 1)


def _with_alpha(canvas: Canvas) -> Image.Image:
    image = to_pil(canvas.image[0])
    image.putalpha(Image.fromarray(canvas.known[0, 0].cpu().to(torch.uint8).mul_(255).numpy()))
    return image
