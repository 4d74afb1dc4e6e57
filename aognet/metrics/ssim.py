"""Structural similarity, over the whole image or the pixels of a mask.

Z. Wang, A. Bovik, H. Sheikh, E. Simoncelli, "Image Quality Assessment: From Error Visibility to Structural Similarity",
IEEE Transactions on Image Processing 13(4), 2004: equation 13 in a Gaussian window (section III.C).
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from aognet.errors import UserError
from aognet.metrics.masked import masked_mean

WINDOW, SIGMA = 11, 1.5
# (K L)^2 of the paper, with K 0.01 and 0.03 and L = 2, the range of the values.
LUMINANCE, CONTRAST = (0.01 * 2) ** 2, (0.03 * 2) ** 2


def ssim(
    image: Float[Tensor, "batch channels height width"],
    reference: Float[Tensor, "batch channels height width"],
    mask: Bool[Tensor, "batch 1 height width"] | None = None,
) -> Float[Tensor, "batch"]:
    """Return the mean structural similarity of every pair of images in [-1, 1], averaged over channels; 1 where they
    are equal.

    With ``mask`` the mean is over the pixels where it is true; their windows may see beyond it. It is NaN where the
    mask is empty.

    :raises UserError: for images smaller than the window.
    """
    return masked_mean(ssim_map(image, reference), mask)


def ssim_map(
    image: Float[Tensor, "batch channels height width"], reference: Float[Tensor, "batch channels height width"]
) -> Float[Tensor, "batch 1 height width"]:
    """Return the structural similarity of the 11 x 11 window around every pixel, averaged over channels.

    -1 is black: the value is that of the same images in [0, 1] or [0, 255]. The formula gives another value for [-1,
    1]. At the border the image continues mirrored, as in torchmetrics.
    """
    height, width = image.shape[-2:]
    if min(height, width) < WINDOW:
        raise UserError(f"SSIM compares windows of {WINDOW}x{WINDOW} pixels, got images of {width}x{height}")
    # One pair after the other: the maps of a whole batch are slower to allocate than to compute.
    pairs = zip(image.split(1), reference.split(1), strict=True)
    return torch.cat([_similarity(one.float(), other.float()).mean(1, keepdim=True) for one, other in pairs])


def _similarity(
    image: Float[Tensor, "1 channels height width"], reference: Float[Tensor, "1 channels height width"]
) -> Float[Tensor, "1 channels height width"]:
    # Of the two variances only their sum is needed: four maps to blur instead of five.
    maps = torch.cat([image, reference, image.square() + reference.square(), image * reference], dim=1)
    mean, other, squares, product = _blurred(maps).chunk(4, dim=1)
    variances = (squares - mean.square() - other.square()).clamp(min=0)
    covariance = product - mean * other
    # Variances do not change with an offset, and are more exact around zero; luminances count from black.
    mean, other = mean + 1, other + 1
    alike = (2 * mean * other + LUMINANCE) * (2 * covariance + CONTRAST)
    return alike / ((mean.square() + other.square() + LUMINANCE) * (variances + CONTRAST))


def _blurred(maps: Float[Tensor, "1 maps height width"]) -> Float[Tensor, "1 maps height width"]:
    """Return the weighted mean of every pixel's window, computed one axis after the other."""
    offsets = torch.arange(WINDOW, device=maps.device) - WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    weights = (weights / weights.sum()).expand(maps.shape[1], 1, 1, -1)
    padded = functional.pad(maps, [WINDOW // 2] * 4, mode="reflect")
    # Depthwise in this layout takes a twentieth of the time of one map after the other.
    across = functional.conv2d(padded.contiguous(memory_format=torch.channels_last), weights, groups=len(weights))
    return functional.conv2d(across, weights.transpose(2, 3), groups=len(weights))
