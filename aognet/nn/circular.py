"""Layers for panoramas, which continue over their left and right edge, and over the poles: networks without a seam."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from aognet.nn.padding import padded_convolutions


class CircularConv2d(nn.Conv2d):
    """A convolution whose padding wraps around in x and is zero in y.

    Shifting the input by a multiple of the stride in x shifts the output too. Parameters are those of ``nn.Conv2d``: an
    existing layer becomes circular when its ``__class__`` is set to this class. The padding is a number of pixels, in x
    at most the input's columns. ``padding_mode`` stays "zeros", because that of ``nn.Conv2d`` applies to both axes.
    """

    def _conv_forward(
        self, input: Float[Tensor, "batch channels height width"], weight: Tensor, bias: Tensor | None
    ) -> Float[Tensor, "batch out rows columns"]:
        if isinstance(self.padding, str) or self.padding_mode != "zeros":
            raise ValueError(f"padding must be in pixels, of zeros, got {self.padding!r} ({self.padding_mode})")
        down, across = self.padding
        return functional.conv2d(
            wrapped(input, across), weight, bias, self.stride, (down, 0), self.dilation, self.groups
        )


Poles = Literal["none", "flip"]
"""What lies beyond a pole: nothing, or what the sphere has there, the same rows half a turn away."""


_PADDING: ContextVar[Poles | Literal["view"] | None] = ContextVar("padding", default=None)


@contextmanager
def padded_as(padding: Poles | Literal["view"] | None) -> Iterator[None]:
    """Let networks that wrap around pad in another way while it lasts, in this thread alone.

    ``view``: by zeros on all sides, as before `wrap_around`, for images that are no panoramas. ``none`` and ``flip``:
    with these poles. None: nothing changes.
    """
    token = _PADDING.set(padding or _PADDING.get())
    try:
        yield
    finally:
        _PADDING.reset(token)


def is_padded_otherwise() -> bool:
    """Return whether networks pad otherwise than they were made to (`padded_as`), which a compiled one cannot."""
    return _PADDING.get() is not None


class SphereConv2d(nn.Conv2d):
    """A convolution whose padding wraps around in x, and in y is zero or lies beyond the pole (``poles``).

    ``before`` is the padding in pixels above and left, ``after`` below and right. Parameters are those of
    ``nn.Conv2d``: `wrap_around` changes the class of layers that exist. Inside of `padded_as` the padding is another.
    """

    before: int = 0
    after: int = 0
    poles: Poles = "none"

    def _conv_forward(
        self, input: Float[Tensor, "batch channels height width"], weight: Tensor, bias: Tensor | None
    ) -> Float[Tensor, "batch out rows columns"]:
        # To the compiler reading a context is a break of its graph, so what is compiled never reads it.
        padding = None if torch.compiler.is_compiling() else _PADDING.get()
        if padding == "view":
            padded = functional.pad(input, (self.before, self.after) * 2)
        else:
            padded = beyond_poles(input, self.before, self.after, padding or self.poles)
            border, width = max(self.before, self.after), padded.shape[-1]
            padded = wrapped(padded, border)[..., border - self.before : border + width + self.after]
        return functional.conv2d(padded, weight, bias, self.stride, 0, self.dilation, self.groups)


def wrap_around(network: nn.Module, poles: Poles = "none") -> None:
    """Change the padded convolutions of a diffusers UNet, VAE or ControlNet in place: what it makes has no seam.

    Rolling the input by a multiple of the network's stride in x rolls the output. Attention and norms do that by
    themselves. Weights and their names stay. Low-rank additions (PEFT) have convolutions of their own: call this again
    after they were added, with the same ``poles`` or others.
    """
    for convolution, before, after in padded_convolutions(network):
        _wrap(convolution, before, after, poles)
    modules: list[Any] = list(network.modules())
    for module in modules:
        if isinstance(module, SphereConv2d):
            module.poles = poles
        base = getattr(module, "base_layer", None)
        if isinstance(base, SphereConv2d):  # what is added to a layer sees what the layer sees
            for added in module.lora_A.values():
                _wrap(added, base.before, base.after, poles)


def _wrap(convolution: nn.Conv2d, before: int, after: int, poles: Poles) -> None:
    convolution.__class__ = SphereConv2d
    assert isinstance(convolution, SphereConv2d)
    convolution.before, convolution.after, convolution.poles = before, after, poles


def beyond_poles(
    features: Float[Tensor, "batch channels height width"], above: int, below: int, poles: Poles
) -> Float[Tensor, "batch channels high width"]:
    """Return the features with rows above and below: zeros, or for ``flip`` what lies beyond the poles.

    Over a pole one comes down on the other side: the rows come again in the other order, half a turn away.

    :raises ValueError: for ``flip``, if the width is odd or there are not as many rows.
    """
    if poles == "none":
        return functional.pad(features, (0, 0, above, below))
    height, width = features.shape[-2:]
    if width % 2 or max(above, below) > height:
        raise ValueError(
            f"padding over the poles needs an even width and {max(above, below)} rows, got {height}x{width}"
        )
    opposite = features.roll(width // 2, -1)
    over, under = opposite[..., :above, :].flip(-2), opposite[..., height - below :, :].flip(-2)
    return torch.cat([over, features, under], dim=-2)


def upsample(features: Float[Tensor, "batch channels height width"]) -> Tensor:
    """Return twice as many rows and columns, bilinear, also across the seam."""
    doubled = functional.interpolate(wrapped(features, 1), scale_factor=2, mode="bilinear", align_corners=False)
    return doubled[..., 2:-2]


def wrapped(
    features: Float[Tensor, "batch channels height width"], margin: int
) -> Float[Tensor, "batch channels height wide"]:
    """Return the features with ``margin`` more columns on each side, taken from the other side.

    :raises ValueError: if there are not as many columns.
    """
    if margin > features.shape[-1]:
        raise ValueError(f"padding must be at most the width {features.shape[-1]}, got {margin}")
    # Forward and backward this is faster on a CPU than torch's own circular padding.
    return torch.cat([features[..., -margin:], features, features[..., :margin]], dim=-1) if margin else features
