"""From the logarithm of light, which a network guesses up to a scale, to light with a scale.

The published way (arXiv 2209.09898, its code) measures a whole batch and raises each channel by itself: images of a
batch change each other, highlights change colour, and the brightest explode. Here each image is measured alone, by
solid angle, and highlights keep their colour. `FinishingConfig.way` chooses.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.errors import UserError
from aognet.geometry.sphere import pixel_latitudes
from aognet.hdr.sritmo import SATURATED, light_of

Way = Literal["photo", "mean", "published"]
MOST = 65504.0
"""The largest number of a half-float EXR file."""
_ROWS = 64


@dataclass(frozen=True)
class FinishingConfig:
    """How light is finished.

    ``way``: ``photo``: where a display value is not saturated, light is what it stands for, and the rest is scaled to
    fit; so tone mapping (sRGB, less the ``exposure``) gives the image back. ``mean``: the mean of logarithms becomes
    ``-balance``. ``published``: as the published code does it, over the batch; all else but the exposure is ignored
    except ``boost``, ``balance`` and ``threshold``.

    ``exposure``: stops, by which all light is multiplied. ``boost``: how much highlights are raised (published: 4):
    by so many times their logarithm above the mean and the share of it above the ``threshold`` (of the largest).
    ``peak``: the most light there is.
    """

    way: str = "photo"
    exposure: float = 0.0
    boost: float = 0.0
    balance: float = 0.7
    threshold: float = 0.83
    peak: float = MOST

    def __post_init__(self) -> None:
        if self.way not in get_args(Way):
            raise UserError(f"must be one of {', '.join(get_args(Way))}", key="way", value=self.way)
        limits = {"exposure": (-32, 32), "boost": (0, 16), "balance": (-32, 32), "threshold": (0, 1), "peak": (1, 1e6)}
        for key, (low, high) in limits.items():
            if not low <= getattr(self, key) <= high:  # also false for NaN
                raise UserError(f"must lie in [{low:g}, {high:g}]", key=key, value=getattr(self, key))


def finished(
    log_light: Float[Tensor, "3 height width"],
    display: Float[Tensor, "3 height width"],
    config: FinishingConfig = FinishingConfig(),
) -> Float[Tensor, "3 height width"]:
    """Return light, 1 is white, of its natural logarithm up to a scale, and of display values in [0, 1].

    No other image has a part in it, unless ``way`` is ``published`` and a batch is given to `published`.
    """
    if config.way == "published":
        light = published(log_light[None], config)[0]
        return light.mul_(2.0**config.exposure).clamp_max_(config.peak)
    weights = _weights(log_light)
    boosted = _boosted(log_light, weights, config)
    if config.way == "mean":
        shift = -float(_mean(boosted.mean(0), weights)) - config.balance
        return _capped_(boosted.add_(shift + config.exposure * math.log(2)).exp_(), config.peak)
    _capped_(boosted.add_(_fit(log_light, display, weights)).exp_(), config.peak / 2.0**config.exposure)
    for rows in range(0, display.shape[-2], _ROWS):
        shown, light = display[:, rows : rows + _ROWS], boosted[:, rows : rows + _ROWS]
        own = light_of(shown)
        light.copy_(torch.where(shown >= SATURATED, torch.maximum(light, own), own))
    return boosted.mul_(2.0**config.exposure).clamp_max_(config.peak)


def published(
    log_light: Float[Tensor, "batch 3 height width"],
    config: FinishingConfig = FinishingConfig(way="published", boost=4.0),
) -> Float[Tensor, "batch 3 height width"]:
    """Return light as the published code finishes it, with the mean and the maximum of the whole batch."""
    luma = log_light.mean(1, keepdim=True)
    mask = (luma / luma.max() - config.threshold).clamp(0, 1)
    raised = log_light + log_light * mask * config.boost
    return (raised - raised.mean() - config.balance).exp()


def _boosted(
    log_light: Float[Tensor, "3 height width"], weights: Float[Tensor, "height"], config: FinishingConfig
) -> Float[Tensor, "3 height width"]:
    """Return a copy with raised highlights: all channels of a pixel by the same, so that it keeps its colour."""
    if not config.boost:
        return log_light.clone()
    above = log_light.mean(0)
    above = (above - _mean(above, weights)).clamp_min_(0)
    share = (above / above.max().clamp_min(1e-6) - config.threshold).clamp_(0, 1)
    return log_light + config.boost * share.mul_(above)


def _capped_(light: Float[Tensor, "3 height width"], peak: float) -> Float[Tensor, "3 height width"]:
    """Scale, in place, pixels of which a channel has more than ``peak``. They keep their colour."""
    for rows in range(0, light.shape[-2], _ROWS):
        part = light[:, rows : rows + _ROWS].clamp_max_(torch.finfo(light.dtype).max)
        part.mul_(peak / part.amax(0).clamp_min(peak))
    return light


def _fit(log_light: Tensor, display: Tensor, weights: Float[Tensor, "height"]) -> float:
    """Return what must be added to the logarithm so that it agrees with the display values that are not saturated."""
    total, count = log_light.new_zeros((), dtype=torch.float64), log_light.new_zeros((), dtype=torch.float64)
    for rows in range(0, display.shape[-2], _ROWS):
        shown, guessed = display[:, rows : rows + _ROWS], log_light[:, rows : rows + _ROWS]
        # The darkest levels say little of a logarithm, the highest is cut off.
        tells = (shown > 8 / 255) & (shown < SATURATED)
        weight = tells * weights[rows : rows + _ROWS, None]
        total += ((light_of(shown).clamp_min(1e-6).log() - guessed) * weight).sum().double()
        count += weight.sum().double()
    return float(total / count) if count > 0 else 0.0


def _weights(image: Float[Tensor, "3 height width"]) -> Float[Tensor, "height"]:
    """Return the share of the sphere of each row's pixels, up to a factor."""
    return pixel_latitudes(image.shape[-2]).cos().to(image)


def _mean(values: Float[Tensor, "height width"], weights: Float[Tensor, "height"]) -> Tensor:
    """Return the mean over the sphere."""
    return (values.mean(-1) * weights).sum() / weights.sum()
