"""Images as codes: the autoencoder of VQGAN (Esser et al. 2021, arXiv 2012.09841), for panoramas without a seam."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from aognet.errors import UserError
from aognet.nn.circular import wrap_around
from aognet.nn.network_folder import SavedNetwork
from aognet.vq.quantizer import MOST_CHANNELS, Quantized, QuantizerConfig, make_quantizer

MOST_LEVELS, MOST_LAYERS = 8, 8
Padding = Literal["circular", "published_global", "published_local"]
"""What convolutions see beyond the edge. ``circular``: the other side in x, zeros in y. Those of Text2Light's published
weights: ``published_global`` the other side in x and in y, but zeros where the image is halved; ``published_local``
zeros.
"""


@dataclass(frozen=True, kw_only=True)
class VqAutoencoderConfig:
    """The sizes of an autoencoder; the defaults are those of Text2Light's published ones.

    ``channels``: of each level; every level but the last halves the image. ``layers_per_block``: residual blocks of a
    level, one more in the decoder. ``groups``: of the group norms. ``attention``: pixels of the last level attend to
    each other. ``latent_channels``: between the encoder and the quantizer.
    """

    channels: tuple[int, ...] = (128, 128, 256, 256, 512)
    layers_per_block: int = 2
    groups: int = 32
    attention: bool = True
    latent_channels: int = 256
    quantizer: QuantizerConfig = field(default_factory=QuantizerConfig)
    padding: Padding = "circular"

    def __post_init__(self) -> None:
        for name, most in (("layers_per_block", MOST_LAYERS), ("latent_channels", MOST_CHANNELS)):
            if not 1 <= getattr(self, name) <= most:
                raise UserError(f"must lie in [1, {most}]", key=name, value=getattr(self, name))
        channels = list(self.channels)
        if not 1 <= len(channels) <= MOST_LEVELS or not 1 <= min(channels) <= max(channels) <= MOST_CHANNELS:
            raise UserError(
                f"must be 1 to {MOST_LEVELS} numbers in [1, {MOST_CHANNELS}]", key="channels", value=channels
            )
        if self.groups < 1 or any(width % self.groups for width in channels):
            raise UserError(f"must be multiples of groups ({self.groups})", key="channels", value=channels)

    @property
    def stride(self) -> int:
        """The pixels of a code's square along each axis."""
        return 2 ** (len(self.channels) - 1)


class VqAutoencoder(SavedNetwork):
    """Encodes images in [-1, 1] as codes and decodes them. ``config.quantizer.size`` is the number of codes.

    With ``circular`` padding, rolling an image in x by multiples of ``config.stride`` rolls codes and what they decode
    to.
    """

    kind = "vq_autoencoder"
    Config = VqAutoencoderConfig

    def __init__(self, config: VqAutoencoderConfig):
        super().__init__()
        from diffusers.models.autoencoders.vae import Decoder, Encoder

        self.config = config
        levels = len(config.channels)
        shared: dict[str, Any] = {
            "block_out_channels": tuple(config.channels),
            "layers_per_block": config.layers_per_block,
            "norm_num_groups": config.groups,
            "mid_block_add_attention": config.attention,
        }
        down, up = ["DownEncoderBlock2D"] * levels, ["UpDecoderBlock2D"] * levels
        if config.attention:
            down[-1], up[0] = "AttnDownEncoderBlock2D", "AttnUpDecoderBlock2D"
        latent, code = config.latent_channels, config.quantizer.channels
        self.encoder = Encoder(3, latent, tuple(down), double_z=False, **shared)
        self.quant_conv = nn.Conv2d(latent, code, 1)
        self.quantize = make_quantizer(config.quantizer)
        self.post_quant_conv = nn.Conv2d(code, latent, 1)
        self.decoder = Decoder(latent, 3, tuple(up), **shared)
        for network in (self.encoder, self.decoder):
            _pad(network, config.padding)

    def kept_for(self, use: Literal["encoding", "decoding"]) -> "VqAutoencoder":
        """Return it without the weights that this use does not need, about half of them."""
        for name in ("post_quant_conv", "decoder") if use == "encoding" else ("encoder", "quant_conv"):
            delattr(self, name)
        return self

    def encode(self, images: Float[Tensor, "batch 3 height width"]) -> Int64[Tensor, "batch rows columns"]:
        """Return the codes of images, ``config.stride`` times fewer along each axis.

        :raises UserError: for a height or width that is no multiple of the stride.
        """
        return self.quantize.nearest(self.latents(images))

    def decode(self, codes: Int64[Tensor, "batch rows columns"]) -> Float[Tensor, "batch 3 height width"]:
        """Return the images of codes, about in [-1, 1]: they are not clamped.

        :raises UserError: for a code that there is not.
        """
        if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < self.config.quantizer.size:
            raise UserError(f"codes must lie in [0, {self.config.quantizer.size - 1}]")
        return self.decode_latents(self.quantize.vectors(codes))

    def latents(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channels rows columns"]:
        """Return what images are before they are quantised."""
        height, width = images.shape[-2:]
        if height % self.config.stride or width % self.config.stride:
            raise UserError(f"images must have multiples of {self.config.stride} pixels, got {width}x{height}")
        return self.quant_conv(self.encoder(images.to(self.quant_conv.weight.dtype)))

    def decode_latents(
        self, latents: Float[Tensor, "batch channels rows columns"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return the images of quantised latents."""
        return self.decoder(self.post_quant_conv(latents.to(self.post_quant_conv.weight.dtype)))

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> tuple[Tensor, Quantized]:
        """Return images encoded and decoded, and what the quantizer made of them. Differentiable in everything."""
        quantized = self.quantize(self.latents(images))
        return self.decode_latents(quantized.latents), quantized

    def enable_gradient_checkpointing(self) -> None:
        """Compute the activations of encoder and decoder again in the backward pass: less memory, more time."""
        from torch.utils.checkpoint import checkpoint

        networks: list[Any] = [self.encoder, self.decoder]
        for network in networks:
            network.gradient_checkpointing = True
            network._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)


class TorusConv2d(nn.Conv2d):
    """A convolution whose padding wraps around in x and in y, as that of Text2Light's global autoencoder.

    An existing layer becomes one when its ``__class__`` is set to this class.
    """

    def _conv_forward(
        self, input: Float[Tensor, "batch channels height width"], weight: Tensor, bias: Tensor | None
    ) -> Float[Tensor, "batch out rows columns"]:
        down, across = map(int, self.padding)
        padded = functional.pad(input, (across, across, down, down), mode="circular")
        return functional.conv2d(padded, weight, bias, self.stride, 0, self.dilation, self.groups)


def _pad(network: nn.Module, padding: Padding) -> None:
    """Let the padded convolutions of an encoder or decoder pad in a way."""
    if padding == "circular":
        wrap_around(network)
    if padding == "published_global":
        for module in network.modules():
            if type(module) is nn.Conv2d and module.padding != (0, 0):  # what halves the image pads by itself
                module.__class__ = TorusConv2d
