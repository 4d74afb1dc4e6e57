"""Discontinuity Score: whether edges run along the wrap of a panorama.

A. Christensen et al., "Geometry Fidelity for Spherical Images", ECCV 2024 (arXiv 2407.18207), section "Discontinuity
Score".
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from aognet.geometry import sphere

# Grey as ITU-R BT.601 weighs red, green and blue.
LUMA = (0.299, 0.587, 0.114)
SCHARR = (3 / 16, 10 / 16, 3 / 16)


def discontinuity_score(
    panorama: Float[Tensor, "batch 3 height width"], stabiliser: float = 0.1
) -> Float[Tensor, "batch"]:
    """Return the DS of panoramas in [-1, 1], at least 0. It is 0 if the wrap has no horizontal gradient, more for a
    stronger seam.

    The grey image in [0, 1] is cut to three columns on either side of the wrap. The 3 x 3 Scharr filter for horizontal
    gradients gives four columns of responses g1 to g4: g2 and g3 look across the wrap, g1 and g4 beside it. The score
    is the mean over rows of (|g2| / (|g1| + c) + |g3| / (|g4| + c)) / 2. The paper averages the scores of shorter
    crops, which gives the same.

    The paper leaves some choices to its code. Here c is ``stabiliser``. The kernel is (3, 10, 3) / 16 down and (-1, 0,
    1) across, so that a step of 1 has the response 1. Over the poles, where the filter needs one row more, the sphere
    continues half a turn away. Scores with another c or scale cannot be compared.
    """
    responses = _responses(_grey_strip(panorama)).abs()
    inner, outer = responses[..., [1, 2]], responses[..., [0, 3]]
    return (inner / (outer + stabiliser)).mean((1, 2))


def _grey_strip(panorama: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch rows 6"]:
    """Return grey in [0, 1] of three columns on either side of the wrap, with one row more beyond each pole."""
    half = panorama.shape[-1] // 2
    # Over the poles the strip half a turn away goes on: a panorama of these two strips is all that is needed.
    strips = torch.cat([panorama[..., -3:], panorama[..., :3], panorama[..., half - 3 : half + 3]], dim=-1)
    grey = (strips.float() * strips.new_tensor(LUMA, dtype=torch.float32).view(3, 1, 1)).sum(1, keepdim=True)
    return sphere.pad_sphere((grey + 1) / 2, 1)[:, 0, :, 1:7]


def _responses(strip: Float[Tensor, "batch rows 6"]) -> Float[Tensor, "batch height 4"]:
    down = torch.tensor(SCHARR, device=strip.device).view(3, 1)
    across = torch.tensor([-1.0, 0.0, 1.0], device=strip.device)
    return functional.conv2d(strip[:, None], (down * across)[None, None])[:, 0]
