"""How far single images lie from a set: which images to look at first."""

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.metrics.frechet import Moments


def mahalanobis(
    features: Float[Tensor, "samples dim"], reference: Moments, shrinkage: float = 0.1
) -> Float[Tensor, "samples"]:
    """Return the Mahalanobis distance of each feature to a set, divided by the root of the dimension: about 1 inside
    the set.

    The covariance is shrunk by ``shrinkage`` in [0, 1] towards the multiple of the identity with the same trace (Ledoit
    & Wolf 2004), which makes it regular with few samples.

    :raises UserError: for fewer than 2 samples in the set.
    """
    covariance = reference.covariance
    dim = len(covariance)
    identity = torch.eye(dim, dtype=covariance.dtype, device=covariance.device)
    level = covariance.trace() / dim
    regular = (1 - shrinkage) * covariance + (shrinkage * level + torch.finfo(covariance.dtype).tiny) * identity
    deviations = (features.to(covariance) - reference.mean).T
    whitened = torch.linalg.solve_triangular(torch.linalg.cholesky(regular), deviations, upper=False)
    return (whitened.square().sum(0) / dim).sqrt().float()
