"""How much of the sphere nobody has painted."""

from jaxtyping import Bool, Float
from torch import Tensor

from aognet.geometry import sphere


def unknown_share(known: Bool[Tensor, "batch 1 height width"]) -> Float[Tensor, "batch"]:
    """Share of the sphere's solid angle, in [0, 1], that the pixels cover which are not known.

    Exact: between two parallels the solid angle goes with the difference of the sines of their latitudes, which for
    rows of one height is proportional to the cosine of the latitude at their centres.
    """
    weights = sphere.pixel_latitudes(known.shape[-2]).cos().to(known.device)
    return ((~known).double().mean((1, 3)) @ (weights / weights.sum())).float()
