"""The two encodings of images: display values of sRGB, and linear light."""

import math
from typing import Literal

from jaxtyping import Float
from torch import Tensor

Encoding = Literal["srgb", "linear"]
RANGE: dict[Encoding, tuple[float, float]] = {"srgb": (-1.0, 1.0), "linear": (0.0, math.inf)}
"""What values mean while panoramas are made: sRGB with 1 white and -1 black, linear light with 1 white and 0 black."""


def bounded(image: Float[Tensor, "*shape"], encoding: Encoding) -> Float[Tensor, "*shape"]:
    """Return an image without values outside the range of its encoding."""
    return image.clamp(*RANGE[encoding])


def bounded_(image: Float[Tensor, "*shape"], encoding: Encoding) -> Float[Tensor, "*shape"]:
    """Do what `bounded` does in place."""
    return image.clamp_(*RANGE[encoding])
