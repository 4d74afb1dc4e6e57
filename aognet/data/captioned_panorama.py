"""A panorama from which training samples are drawn."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt16

from aognet.data.viewing import Pyramid


@dataclass(frozen=True)
class CaptionedPanorama:
    """A panorama's pixels and captions. ``yaws`` has the directions in degrees of each augmented caption.

    ``depth`` is how near everything is, from 0 to 65535, where samples need it.
    """

    pixels: Pyramid
    captions: tuple[str, ...] = ()
    augmented: tuple[str, ...] = ()
    yaws: tuple[tuple[float, ...], ...] = ()
    depth: UInt16[np.ndarray, "height width"] | None = None
