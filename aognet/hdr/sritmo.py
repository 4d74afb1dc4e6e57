"""SR-iTMO: an image of display values at any size, and the light that it may have come from.

Chen, Wang and Liu, "Text2Light", arXiv 2209.09898, section 3.4. Modules are named as in its published weights.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from aognet.errors import UserError
from aognet.nn.circular import SphereConv2d, padded_as, wrapped
from aognet.nn.circular import beyond_poles as beyond
from aognet.nn.network_folder import SavedNetwork, fill_network

UNUSED = ("ldr_encoder.sub_mean.", "ldr_encoder.add_mean.")
"""Beginnings of the names of published weights that nothing reads."""
FLOOR = 2.0**-12
"""The least light whose logarithm is learned: a level of 8 bits is more."""
SATURATED = 254.5 / 255
"""Display values from here on are the highest level of 8 bits: the light may have been any amount more."""


@dataclass(frozen=True, kw_only=True)
class SrItmoConfig:
    """The shape of the network; the defaults are the published one's, but for what concerns the sphere.

    ``features``, ``blocks``: channels and residual blocks of the encoder. ``sr_widths``, ``itmo_widths``: hidden layers
    of the function of display values and of that of light. ``sphere``: convolutions and queries wrap around in x, and
    convolutions cross the poles; otherwise beyond the edges is zero, as published. ``position``: what the function of
    light is told of a direction: its ``latitude``, or ``published``, longitude and latitude, which jump at the seam.
    ``bgr``: channels are in this order, as published. ``residual``: display values are a change of the interpolated
    image, and light is one of what these display.
    """

    features: int = 64
    blocks: int = 16
    sr_widths: tuple[int, ...] = (256, 256, 256, 256)
    itmo_widths: tuple[int, ...] = (256, 256)
    sphere: bool = True
    position: str = "latitude"
    bgr: bool = False
    residual: bool = True

    def __post_init__(self) -> None:
        for key, most in (("features", 1024), ("blocks", 128)):
            if not 1 <= getattr(self, key) <= most:
                raise UserError(f"must lie in [1, {most}]", key=key, value=getattr(self, key))
        for key in ("sr_widths", "itmo_widths"):
            widths = getattr(self, key)
            if not 1 <= len(widths) <= 16 or not all(1 <= width <= 4096 for width in widths):
                raise UserError("must be 1 to 16 widths from 1 to 4096", key=key, value=list(widths))
        if self.position not in ("latitude", "published"):
            raise UserError("must be latitude or published", key="position", value=self.position)

    @property
    def position_size(self) -> int:
        """How many numbers tell a direction."""
        return 1 if self.position == "latitude" else 2


PUBLISHED = SrItmoConfig(sphere=False, position="published", bgr=True, residual=False)


class _ResidualBlock(nn.Module):
    def __init__(self, features: int):
        super().__init__()
        self.body = nn.Sequential(_convolution(features, features), nn.ReLU(), _convolution(features, features))

    def forward(self, features: Tensor) -> Tensor:
        return features + self.body(features)


class _Encoder(nn.Module):
    """EDSR without its upsampling (Lim et al., arXiv 1707.02921, section 3.1)."""

    def __init__(self, features: int, blocks: int):
        super().__init__()
        self.head = nn.Sequential(_convolution(3, features))
        self.body = nn.Sequential(*(_ResidualBlock(features) for _ in range(blocks)), _convolution(features, features))

    def forward(self, images: Tensor) -> Tensor:
        features = self.head(images)
        return features + self.body(features)


class _Layers(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, inputs: int, widths: Iterable[int]):
        super().__init__()
        layers: list[nn.Module] = []
        for width in widths:
            layers += [nn.Linear(inputs, width), nn.ReLU()]
            inputs = width
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, 3))

    @property
    def first(self) -> nn.Linear:
        """The layer that sees the inputs."""
        return self._linear(0)

    @property
    def last(self) -> nn.Linear:
        """The layer that answers."""
        return self._linear(-1)

    def _linear(self, number: int) -> nn.Linear:
        layer = self.layers[number]
        assert isinstance(layer, nn.Linear), "the first and the last layer are linear"
        return layer


class SrItmo(SavedNetwork):
    """The network. `aognet.hdr.expanding` runs it on whole panoramas, `answers` at points of patches.

    Images are RGB display values in [-1, 1], whatever order the weights have inside.
    """

    kind = "sritmo"
    Config = SrItmoConfig

    def __init__(self, config: SrItmoConfig = SrItmoConfig()):
        super().__init__()
        self.config = config
        self.ldr_encoder = _Encoder(config.features, config.blocks)
        self.srmapper = _Layers(9 * config.features + 4, config.sr_widths)
        self.hdrmapper = _Layers(config.sr_widths[0] + config.position_size, config.itmo_widths)

    @property
    def halo(self) -> int:
        """How many rows around a row its first layer depends on."""
        return 2 * self.config.blocks + 3

    def first_layer(
        self, images: Float[Tensor, "batch 3 height width"], whole: bool = True
    ) -> Float[Tensor, "batch height width hidden"]:
        """Return what the first layer of the function of display values has of each cell's 3x3 features, before ReLU.

        That layer is linear in the features: a convolution does for all queries of a cell what the published code does
        for each. ``whole``: the images are panoramas, or rows of one; otherwise nothing wraps around.
        """
        first = self.srmapper.first
        features, sphere = self.config.features, whole and self.config.sphere
        kernel = first.weight[:, : 9 * features].unflatten(1, (features, 3, 3))
        with padded_as(None if sphere else "view"):
            encoded = self.ldr_encoder(self._ordered(images))
        if sphere:
            encoded, across = wrapped(beyond(encoded, 1, 1, "flip"), 1), 0
        else:
            across = 1
        return functional.conv2d(encoded, kernel, first.bias, padding=across).permute(0, 2, 3, 1).contiguous()

    def offset_layer(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the columns of the first layer for offsets down and across, and of the cell's two sizes, [2,
        hidden].
        """
        rest = self.srmapper.first.weight[:, 9 * self.config.features :]
        return rest[:, 0], rest[:, 1], rest[:, 2:].T

    def answers(
        self,
        firsts: Iterable[Float[Tensor, "*points hidden"]],
        weights: Iterable[Float[Tensor, "*points"]],
        position: Float[Tensor, "*points told"],
        shown: Float[Tensor, "*points 3"] | None = None,
        inner: torch.dtype | None = None,
    ) -> tuple[Float[Tensor, "*points 3"], Float[Tensor, "*points 3"]]:
        """Return display values, about [-1, 1], and the natural logarithm of light at points, both RGB.

        ``firsts``: the first layer at the four cells of each point, before ReLU; they are used up. ``weights``: the
        cells' shares. ``shown``: the image between the cells, which a residual network changes. ``inner``: the
        precision in which hidden layers are multiplied, which takes the most time.
        """
        _, _, *between, last = self.srmapper.layers
        seen: Tensor | None = None
        hidden: Tensor | None = None
        for first, weight in zip(firsts, weights, strict=True):
            first = first.relu_()
            share = weight[..., None]
            seen = first * share if seen is None else seen.addcmul_(first, share)
            with torch.autocast(first.device.type, inner, enabled=inner is not None):
                for layer in between:
                    first = first.relu_() if isinstance(layer, nn.ReLU) else layer(first)
            first = first.to(seen.dtype)
            hidden = first * share if hidden is None else hidden.addcmul_(first, share)
        assert seen is not None and hidden is not None
        # The last layer is linear and the shares add up to 1: it comes once, after the mean.
        display, light = last(hidden), torch.cat([seen, position], -1)
        *layers, last = self.hdrmapper.layers
        with torch.autocast(light.device.type, inner, enabled=inner is not None):
            for layer in layers:
                light = layer(light)
        light = last(light.to(display.dtype))
        display, light = self._ordered(display, -1), self._ordered(light, -1)
        if self.config.residual:
            assert shown is not None, "a residual network changes an image"
            display = display + shown
            light = light + log_light_of(display)
        return display, light

    def _ordered(self, image: Tensor, axis: int = 1) -> Tensor:
        """Return channels in the order of the weights, or back."""
        return image.flip(axis) if self.config.bgr else image


def log_light_of(display: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return the natural logarithm of the light that display values in [-1, 1] stand for by the sRGB curve."""
    return light_of(display.add(1).div(2).clamp(0, 1)).clamp_min(FLOOR).log()


def light_of(shown: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return the light of display values in [0, 1], as `aognet.io.srgb.decode_srgb` does, on any device."""
    return torch.where(shown <= 0.04045, shown / 12.92, ((shown.clamp_min(0) + 0.055) / 1.055) ** 2.4)


def from_published(state: Mapping[str, Tensor], name: str | Path = "sritmo.pth") -> SrItmo:
    """Return a network with the published weights (the entry ``net`` of their file).

    :raises UserError: naming the file ``name`` and every key that is missing, unknown or of another shape.
    """
    network = SrItmo(PUBLISHED)
    fill_network(network, {key: value for key, value in state.items() if not key.startswith(UNUSED)}, name)
    return network.eval()


def _convolution(inputs: int, outputs: int) -> SphereConv2d:
    convolution = SphereConv2d(inputs, outputs, 3, padding=1)
    convolution.before, convolution.after, convolution.poles = 1, 1, "flip"
    return convolution
