"""Masks of what is to be painted, as programs write them: grey, with soft edges, as JPEG, with alpha."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from aognet.errors import UserError
from aognet.io.images import load

# Of what is white for certain, pixels this near count as white too, unless they are black for certain.
MARGIN, CERTAINLY_BLACK = 2, 0.02
_MAX_COLOURED, _MAX_ODD = 0.02, 0.001  # shares of an image


def read_mask(path: Path) -> Bool[Tensor, "1 rows columns"]:
    """Return a mask that is true where the file is white: there it is to be painted.

    Half grey divides white from black. Beside white, everything that is not black is white too, so that nothing shows
    through at edges; specks far from white are not. With alpha: if only white is opaque, the alpha is the mask, and
    what is transparent stays. If only black is opaque, what is transparent is painted. If both are opaque, opaque white
    is painted.

    :raises UserError: naming the file, also for a picture instead of a mask.
    """
    return _certain(_painted(path))


def _painted(path: Path) -> Float[Tensor, "1 rows columns"]:
    """Return how much of each pixel is to be painted, in [0, 1]."""
    loaded = load(path)
    light = loaded.image.mean(0, keepdim=True).add_(1).div_(2)
    solid = torch.ones_like(light, dtype=torch.bool) if loaded.opacity is None else loaded.opacity >= 0.5
    if not solid.any():
        raise UserError(f"{path}: is transparent throughout, which says nothing of what is to be painted")
    coloured = (loaded.image.amax(0) - loaded.image.amin(0) > 0.5) & solid[0]
    if coloured.sum() > _MAX_COLOURED * solid.sum():
        raise UserError(f"{path}: has colours, so it is no mask: white is painted, black stays")
    if loaded.opacity is None:
        return light
    black = (light[solid] < 0.5).float().mean()
    if black < _MAX_ODD:
        return loaded.opacity
    return 1 - loaded.opacity if black > 1 - _MAX_ODD else light * loaded.opacity


def _certain(painted: Float[Tensor, "1 rows columns"]) -> Bool[Tensor, "1 rows columns"]:
    """Return all pixels that are at least half to be painted, and beside them all that are not certainly to stay."""
    import cv2

    white = (painted[0] >= 0.5).to(torch.uint8).numpy()
    across = min(MARGIN, white.shape[1])
    # Beside the last column lies the first.
    wrapped = cv2.copyMakeBorder(white, 0, 0, across, across, cv2.BORDER_WRAP)
    kernel = np.ones((2 * MARGIN + 1, 2 * across + 1), np.uint8)
    beside = torch.from_numpy(cv2.dilate(wrapped, kernel)[:, across:-across].astype(bool))
    return (painted >= 0.5) | (beside & (painted > CERTAINLY_BLACK))
