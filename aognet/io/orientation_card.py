"""A panorama that shows at a glance how a program places and turns it."""

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from aognet.geometry.cubemap import FACES, panorama_of
from aognet.geometry.sphere import pixel_directions

NAME = "test-card"
"""What a command line calls the card, in the place of a file."""
_BESIDE = {"front": "LR", "right": "FB", "back": "RL", "left": "BF", "up": "LR", "down": "LR"}
"""The letters of the faces to the left and to the right of each face."""


def orientation_card(height: int) -> Float[Tensor, "3 height width"]:
    """Return a panorama of display values in [0, 1] with a lettered face around each axis.

    Red grows to the right, green up and blue ahead, so each direction has its own colour. Each face has a border, its
    first letter, those of the faces beside it, and a white arrow to its upper edge. So it shows which faces were
    mirrored, turned or put in another order.
    """
    colours = 0.5 + 0.4 * pixel_directions(height, 2 * height)
    size = max(height // 2, 8)
    drawn = torch.stack([torch.from_numpy(_drawing(name, size)) for name in FACES])[None]
    opacity, white = panorama_of(drawn, height)[0].unbind()
    return (colours.permute(2, 0, 1) * (1 - opacity) + white).float().clamp(0, 1)


def _drawing(name: str, size: int) -> Float[np.ndarray, "2 size size"]:
    """Return how opaque the black and white drawing of a face is, and how much of that is white."""
    black, white = (Image.new("L", (size, size)) for _ in range(2))
    pen, light = ImageDraw.Draw(black), ImageDraw.Draw(white)
    pen.rectangle((0, 0, size - 1, size - 1), outline=255, width=max(size // 128, 1))
    middle = size / 2
    _letter(pen, name[0].upper(), middle, size * 0.58, size * 0.36)
    for letter, across in zip(_BESIDE[name], (0.1, 0.9), strict=True):
        _letter(pen, letter, size * across, middle, size * 0.1)
    half, top = size * 0.09, size * 0.08
    light.polygon([(middle, top), (middle - half, top + half * 1.4), (middle + half, top + half * 1.4)], fill=255)
    light.rectangle((middle - half / 3, top + half * 1.4, middle + half / 3, size * 0.34), fill=255)
    dark, bright = (np.asarray(image, np.float64) / 255 for image in (black, white))
    return np.stack([np.maximum(dark, bright), bright])


def _letter(pen: ImageDraw.ImageDraw, letter: str, x: float, y: float, rows: float) -> None:
    pen.text((x, y), letter, fill=255, anchor="mm", font=ImageFont.load_default(max(rows, 4)))
