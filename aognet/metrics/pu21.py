"""PSNR of light as eyes see it: after an encoding in which equal steps look equally large.

Mantiuk and Azimi, "PU21: A novel perceptually uniform encoding for adapting existing quality metrics for HDR" (PCS
2021), with the parameters of its variant banding_glare.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.metrics.averaging import pixel_mean
from aognet.metrics.si_rmse import best_exposure

PARAMETERS = (0.353487901, 0.3734658629, 8.277049286e-05, 0.9062562627, 0.09150303166, 0.9099517204, 596.3148142)
RANGE = (0.005, 1e4)
"""Of the encoding, in cd/m2."""
PEAK_VALUE = 256.0
"""The encoding of white at 100 cd/m2, which stands for the peak."""
PEAK_NITS = 4000.0


def pu21(absolute: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return the encoding of absolute luminance or of absolute RGB (cd/m2), about 0 to 600, as float64."""
    p1, p2, p3, p4, p5, p6, p7 = PARAMETERS
    power = absolute.double().clamp(*RANGE) ** p4
    return (p7 * (((p1 + p2 * power) / (1 + p3 * power)) ** p5 - p6)).clamp_min(0)


def pu21_psnr(
    light: Float[Tensor, "batch 3 height width"],
    reference: Float[Tensor, "batch 3 height width"],
    peak_nits: float = PEAK_NITS,
    by_solid_angle: bool = False,
) -> Float[Tensor, "batch"]:
    """Return the PSNR (dB) of every pair of linear images after encoding, over pixels and channels.

    The encoding is of absolute light, which panoramas are not: the brightest value of the reference becomes
    ``peak_nits``, and the image has the exposure that fits the reference best (`best_exposure`). It is inf where the
    two are equal.
    """
    peak = reference.double().amax((1, 2, 3))
    scale = (peak_nits / peak)[:, None, None, None]
    alpha = best_exposure(light, reference, by_solid_angle)[:, None, None, None]
    difference = pu21(light.double() * alpha * scale) - pu21(reference.double() * scale)
    return 10 * torch.log10(PEAK_VALUE**2 / pixel_mean(difference.square().mean(1), by_solid_angle))
