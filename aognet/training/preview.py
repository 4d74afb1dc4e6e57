"""Arranges named batches of images in one image."""

import io
from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate, pad

from aognet.io.files import made_folder, write_atomically

GAP = 2


def image_grid(images: Mapping[str, Float[Tensor, "batch _ _ _"]]) -> UInt8[Tensor, "3 height width"]:
    """Return a grid with a row for each sample and a column for each name, all as high as the highest.

    ``images`` are grey or RGB, in [-1, 1].
    """
    height = max(value.shape[-2] for value in images.values())
    columns = []
    for value in images.values():
        value = value.detach().float().cpu()
        value = value.expand(-1, 3, -1, -1)
        size = (height, round(value.shape[-1] * height / value.shape[-2]))
        value = interpolate(value, size, mode="nearest") if value.shape[-2:] != size else value
        columns.append(pad(value, (GAP, GAP, GAP, GAP), value=1.0))
    rows = torch.cat(columns, dim=-1).unbind(0)
    return ((torch.cat(rows, dim=-2).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def write_png(path: Path, image: UInt8[Tensor, "3 height width"]) -> None:
    """Write an image atomically and make its folder. Raises UserError if it cannot be written."""
    content = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(content, "PNG")
    with made_folder(path.parent):
        write_atomically(path, content.getvalue())
