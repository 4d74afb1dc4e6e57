"""A VAE that takes a large image band by band, in less memory, and returns what it returns for the whole.

Tiles that are decoded one by one, as diffusers does it, differ from the whole image: each is normalised by itself. Here
every layer does what it does in the whole. A band has all columns, so what wraps around does so. A convolution is given
the rows beside the band as well, a norm is given the statistics of all bands, attention the whole (small) map. Feature
maps that are larger than a limit are not kept: their bands are made again each time that they are needed.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aognet.nn.circular import SphereConv2d

BAND_VALUES = 2**25  # numbers in a band of a feature map
LEAST_ROWS = 8  # of a band
Affine = tuple[Tensor, Tensor]


def decode(vae: Any, latents: Float[Tensor, "batch channels rows columns"], most: int) -> Tensor:
    """Return ``vae.decode(latents).sample``. Feature maps of up to ``most`` numbers are kept.

    The peak is about the map of the last level (block_out_channels[0] at full size), or twice that if it is kept while
    a block works on it.
    """
    decoder = vae.decoder
    latents = latents if vae.post_quant_conv is None else vae.post_quant_conv(latents)
    features: Map = Kept([decoder.mid_block(decoder.conv_in(latents))])
    for block in decoder.up_blocks:
        features = _through(block, block.upsamplers, features, most)
    normed = Normed(features, _affine(features, decoder.conv_norm_out), decoder.conv_act)
    return kept(Local(normed, decoder.conv_out, 3)).whole()


def encode(vae: Any, images: Float[Tensor, "batch 3 height width"], most: int) -> Any:
    """Return ``vae.encode(images).latent_dist``, as `decode` does it."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    encoder = vae.encoder
    features: Map = Local(Kept([images]), encoder.conv_in, vae.config.block_out_channels[0])
    for block in encoder.down_blocks:
        features = _through(block, block.downsamplers, features, most)
    middle = encoder.mid_block(kept(features).whole())
    moments = encoder.conv_out(encoder.conv_act(encoder.conv_norm_out(middle)))
    return DiagonalGaussianDistribution(moments if vae.quant_conv is None else vae.quant_conv(moments))


def widest(vae: Any, height: int, width: int) -> int:
    """Return the numbers in the widest feature map inside a VAE for an image: that of the decoder's last doubling."""
    channels = vae.config.block_out_channels
    return channels[min(1, len(channels) - 1)] * height * width


def is_separable(network: Any) -> bool:
    """Return whether all layers of a VAE's half are those that are known here: some look beyond their own image."""
    from diffusers.models.unets.unet_2d_blocks import DownEncoderBlock2D, UpDecoderBlock2D

    blocks: Iterable[Any] = getattr(network, "up_blocks", None) or getattr(network, "down_blocks", ())
    known = all(type(block) in (DownEncoderBlock2D, UpDecoderBlock2D) for block in blocks)
    layers = [module for module in network.modules() if isinstance(module, (nn.GroupNorm, nn.Conv2d))]
    return known and all(type(layer) in (nn.GroupNorm, nn.Conv2d, SphereConv2d) for layer in layers)


class Map:
    """A feature map, whose rows are kept, or made when they are asked for.

    ``effort``: the most numbers that one of the maps has on the way to a row.
    """

    def __init__(self, height: int, width: int, channels: int, effort: int = 0) -> None:
        self.height, self.width, self.channels = height, width, channels
        self.effort = max(width * channels, effort)

    def rows(self, first: int, last: int) -> Float[Tensor, "batch channels rows width"]:
        """Return the rows from ``first`` to before ``last``."""
        raise NotImplementedError

    def forget(self, first: int) -> None:
        """Let go what only rows before ``first`` need."""
        raise NotImplementedError

    def bands(self) -> list[tuple[int, int]]:
        """Return the first and last row of bands that make up the map, each small enough to be worked on."""
        count = max(BAND_VALUES // self.effort, LEAST_ROWS)
        return list(pairwise([*range(0, self.height, count), self.height]))


class Kept(Map):
    """A map in memory, in bands. ``first`` is the row of a larger map with which it begins."""

    def __init__(self, parts: Sequence[Tensor], first: int = 0, height: int = 0) -> None:
        self._parts: list[Tensor | None] = list(parts)
        self._edges = [first]
        for part in parts:
            self._edges.append(self._edges[-1] + part.shape[-2])
        super().__init__(height or self._edges[-1], parts[0].shape[-1], parts[0].shape[1])

    def rows(self, first: int, last: int) -> Tensor:
        found = []
        for part, (top, bottom) in zip(self._parts, pairwise(self._edges), strict=True):
            if top < last and bottom > first:
                assert part is not None, f"rows {first} to {last} are asked for again"
                found.append(part[..., max(first - top, 0) : last - top, :])
        return found[0] if len(found) == 1 else torch.cat(found, dim=-2)

    def forget(self, first: int) -> None:
        for number, bottom in enumerate(self._edges[1:]):
            if bottom <= first:
                self._parts[number] = None

    def whole(self) -> Tensor:
        """Return all rows."""
        return self.rows(0, self.height)


def kept(features: Map, are_last: bool = True) -> Kept:
    """Return a map with its rows in memory. ``are_last``: what they are made of is not needed after that."""
    parts = []
    for first, last in features.bands():
        parts.append(features.rows(first, last))
        if are_last:
            features.forget(last)
    return Kept(parts)


class Local(Map):
    """What a module makes whose rows depend on the rows beside them: a convolution of 3x3, maybe after doubling rows
    (``up`` is 2) or keeping every second one (``down`` is 2).

    At the ends of the map the module pads as it always does. Where a band ends elsewhere, it is given a row more and
    what it makes of its own padding is cut off.
    """

    def __init__(self, source: Map, module: nn.Module, channels: int, up: int = 1, down: int = 1) -> None:
        effort = max(source.effort * down // up, source.channels * source.width * up)
        super().__init__(source.height * up // down, source.width * up // down, channels, effort)
        self.source, self.module, self.up, self.down = source, module, up, down

    def _begin(self, first: int) -> int:
        """Return the first row of the source that a row is made of."""
        # Halving begins at the row itself: it is padded below only.
        return 2 * first if self.down == 2 else max((first - 1) // self.up, 0)

    def rows(self, first: int, last: int) -> Tensor:
        begin = self._begin(first)
        end = min(-(-(last * self.down + 1) // self.up), self.source.height)
        made = self.module(self.source.rows(begin, end))
        skipped = first - begin * self.up // self.down
        return made[..., skipped : skipped + last - first, :]

    def forget(self, first: int) -> None:
        self.source.forget(self._begin(first))


class Normed(Map):
    """A map after a norm, given as its factor and summand for each channel, and an activation."""

    def __init__(self, source: Map, affine: Affine, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__(source.height, source.width, source.channels, source.effort)
        self.source, self.affine, self.activation = source, affine, activation

    def rows(self, first: int, last: int) -> Tensor:
        features, (factor, summand) = self.source.rows(first, last), self.affine
        # In the precision of the statistics, as torch's own norm does it.
        return self.activation(torch.addcmul(summand, features.to(factor.dtype), factor).to(features.dtype))

    def forget(self, first: int) -> None:
        self.source.forget(first)


class Residual(Map):
    """What a ``ResnetBlock2D`` makes.

    ``first`` and ``second`` are its norms. ``inner`` is its inner map, if it is kept.
    """

    def __init__(self, source: Map, block: Any, first: Affine, second: Affine, inner: Kept | None) -> None:
        super().__init__(source.height, source.width, block.out_channels, source.effort)
        self.source, self.block, self.first, self.second, self.inner = source, block, first, second, inner

    def rows(self, first: int, last: int) -> Tensor:
        block, inner, beyond = self.block, self.inner, 0 if self.inner else 2
        begin, end = max(first - beyond, 0), min(last + beyond, self.height)
        # Once for both ways through the block: the source may have to be made.
        around = Kept([self.source.rows(begin, end)], begin, self.height)
        normed = Normed(inner or opened(around, block, self.first), self.second, block.nonlinearity)
        made = Local(normed, block.conv2, block.out_channels).rows(first, last)
        source = around.rows(first, last)
        if block.conv_shortcut is not None:
            source = block.conv_shortcut(source)
        return (source + made) / block.output_scale_factor

    def forget(self, first: int) -> None:
        self.source.forget(max(first - (0 if self.inner else 2), 0))
        if self.inner:
            self.inner.forget(max(first - 1, 0))


def opened(source: Map, block: Any, norm: Affine) -> Map:
    """Return the inner map of a ``ResnetBlock2D``, before its second norm."""
    return Local(Normed(source, norm, block.nonlinearity), block.conv1, block.out_channels)


def _through(block: Any, resizers: Iterable[Any] | None, features: Map, most: int) -> Map:
    """Return what a block of the encoder or decoder makes: residual blocks, then a change of size."""
    for resnet in block.resnets:
        first = _affine(features, resnet.norm1)
        inner = _if_small(opened(features, resnet, first), most, are_last=False)
        second = _affine(inner, resnet.norm2)
        features = kept(Residual(features, resnet, first, second, inner if isinstance(inner, Kept) else None))
    for resizer in resizers or ():
        change = {"up": 2} if hasattr(resizer, "interpolate") else {"down": 2}
        features = _if_small(Local(features, resizer, resizer.out_channels, **change), most)
    return features


def _if_small(features: Map, most: int, are_last: bool = True) -> Map:
    """Return a map kept in memory if it has at most so many numbers."""
    is_small = features.height * features.width * features.channels <= most
    return kept(features, are_last) if is_small else features


def _affine(features: Map, norm: nn.GroupNorm) -> Affine:
    """Return the factor and the summand of each channel that normalise a whole map (``nn.GroupNorm``)."""
    counts, means, variances = [], [], []
    for first, last in features.bands():
        rows = features.rows(first, last).unflatten(1, (norm.num_groups, -1))
        rows = rows if rows.dtype == torch.float64 else rows.float()
        variance, mean = torch.var_mean(rows, dim=(2, 3, 4), correction=0)
        counts.append(last - first), means.append(mean), variances.append(variance)
    each, within = torch.stack(means), torch.stack(variances)
    share = torch.tensor(counts, device=each.device, dtype=each.dtype)[:, None, None] / features.height
    mean = (each * share).sum(0)
    # Of all bands together (Chan, Golub & LeVeque, 1983): without the cancellation of sums of squares.
    variance = ((within + (each - mean).square()) * share).sum(0)
    factor = (variance + norm.eps).rsqrt().repeat_interleave(norm.num_channels // norm.num_groups, 1)
    shift = -mean.repeat_interleave(norm.num_channels // norm.num_groups, 1) * factor
    weight, bias = norm.weight.to(factor), norm.bias.to(factor)
    return (factor * weight)[..., None, None], (shift * weight + bias)[..., None, None]
