"""How much of the sphere is not painted."""

from jaxtyping import Bool, Float
from torch import Tensor

from aognet.geometry import sphere


def unknown_share(known: Bool[Tensor, "batch 1 height width"]) -> Float[Tensor, "batch"]:
    """Return the share of the sphere's solid angle, in [0, 1], that unknown pixels cover.

    It is exact: between two parallels the solid angle is proportional to the difference of the sines of their
    latitudes. For rows of one height, this is proportional to the cosine of the latitude at their centres.
    """
    weights = sphere.pixel_latitudes(known.shape[-2]).cos().to(known.device)
    return ((~known).double().mean((1, 3)) @ (weights / weights.sum())).float()
