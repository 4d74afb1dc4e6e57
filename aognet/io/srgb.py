"""The transfer function of sRGB (IEC 61966-2-1), in the precision of its input."""

import numpy as np
from jaxtyping import Float


def encode_srgb(light: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Convert linear light, where 1 is white, to display values. The curve continues straight for negative light."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-6) ** (1 / 2.4) - 0.055)


def decode_srgb(shown: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Convert display values in [0, 1] to linear light."""
    return np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)
