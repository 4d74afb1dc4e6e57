"""Features of a panorama in which each row of latitude counts as much as the area it covers on the sphere.

FAED (Oh et al., "BIPS", ECCV 2022) does this with its encoder's map before the Fréchet distance.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.geometry.sphere import pixel_latitudes


def latitude_weighted(
    features: Float[Tensor, "batch channels rows columns"], rows: Literal["centres", "endpoints"] = "centres"
) -> Float[Tensor, "batch channels*rows"]:
    """Return the mean over each row, times the cosine of the row's latitude; channel by channel, top row first.

    Rolling the map changes nothing. ``rows`` says where the rows lie. "centres": at pixel centres, as everywhere here.
    "endpoints": from 90 to -90 degrees inclusive, as in the published FAED of PanFusion (arXiv 2404.07949); the first
    and last row then have weight 0.
    """
    count = features.shape[2]
    if rows == "centres":
        latitudes = pixel_latitudes(count)
    else:
        latitudes = torch.linspace(math.pi / 2, -math.pi / 2, count, dtype=torch.float64)
    return (features.mean(3) * latitudes.cos().to(features)).flatten(1)
