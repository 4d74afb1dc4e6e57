"""Colours moved so that their distribution becomes another one, with weights on both sides."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

ROUNDS = 6
"""Of sliced transport. Each moves along three axes."""
QUANTILES = 128
"""In how many parts distributions are compared."""
STEEPEST = 1.15
"""How much further apart one round may move two values, times their distance: steeper maps tear even areas apart."""


@dataclass(frozen=True)
class ColourMoments:
    """The mean and the covariance of weighted values, float64."""

    mean: Float[Tensor, "channels"]
    covariance: Float[Tensor, "channels channels"]


def moments(values: Float[Tensor, "channels points"], weights: Float[Tensor, "points"]) -> ColourMoments:
    """Return mean and covariance of values with weights that need not add up to 1."""
    values, weights = values.double(), weights.double()
    weights = weights / weights.sum()
    mean = values @ weights
    centred = values - mean[:, None]
    return ColourMoments(mean, (centred * weights) @ centred.T)


def linear_map(
    source: ColourMoments, target: ColourMoments, least: float, gains: tuple[float, float]
) -> Float[Tensor, "3 3"]:
    """Return the symmetric matrix that moves one covariance into another with the least change (Monge-Kantorovich,
    Pitié and Kokaram 2007, equation 7).

    ``least``: added to all variances, so that what has only one colour is moved, too. ``gains``: no direction is
    stretched less or more than so many times, which would lose details, or show noise and steps between levels.
    """
    ridge = least * torch.eye(3, dtype=torch.float64, device=source.mean.device)
    root = _power(source.covariance + ridge, 0.5)
    inverse = _power(source.covariance + ridge, -0.5)
    matrix = inverse @ _power(root @ (target.covariance + ridge) @ root, 0.5) @ inverse
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * values.clamp(*gains)) @ vectors.T


def sliced_transport(
    source: Float[Tensor, "3 points"],
    source_weights: Float[Tensor, "points"],
    target: Float[Tensor, "3 others"],
    target_weights: Float[Tensor, "others"],
    seed: int = 0,
) -> Float[Tensor, "3 points"]:
    """Return values moved until their distribution along every direction is the target's (Pitié et al. 2007, section
    2; Rabin et al. 2011). Directions are drawn by the ``seed``.
    """
    moved, wanted = source.double().cpu().numpy(), target.double().cpu().numpy()
    of_source, of_target = (weights.double().cpu().numpy() for weights in (source_weights, target_weights))
    draw = np.random.default_rng(seed)
    for _ in range(ROUNDS):
        axes = np.linalg.qr(draw.standard_normal((3, 3)))[0]
        before, towards = axes @ moved, axes @ wanted
        after = np.stack([_matched(a, of_source, b, of_target) for a, b in zip(before, towards, strict=True)])
        moved = moved + axes.T @ (after - before)
    return torch.from_numpy(moved).to(source.device)


def _matched(values: np.ndarray, weights: np.ndarray, others: np.ndarray, other_weights: np.ndarray) -> np.ndarray:
    """Return numbers with the distribution of others, as far as `STEEPEST` allows. Equal numbers stay equal."""
    own, wanted = _quantiles(values, weights), _quantiles(others, other_weights)
    steps = np.clip(np.diff(wanted), np.diff(own) / STEEPEST, np.diff(own) * STEEPEST)
    moved = np.interp(values, own, np.concatenate([[0.0], np.cumsum(steps)]))
    return moved + np.average(others, weights=other_weights) - np.average(moved, weights=weights)


def _quantiles(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the values below which so many equal shares of weight lie, from the least value to the largest."""
    order = values.argsort(kind="stable")
    below = np.cumsum(weights[order])
    shares = (below - weights[order] / 2) / below[-1]
    return np.interp(np.linspace(0, 1, QUANTILES + 1), shares, values[order])


def _power(matrix: Float[Tensor, "3 3"], exponent: float) -> Float[Tensor, "3 3"]:
    """Return a power of a symmetric matrix whose eigenvalues are not negative."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(1e-18) ** exponent) @ vectors.T
