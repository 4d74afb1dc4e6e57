"""Images to latents and back: the frozen VAE of a backbone."""

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aognet.diffusion import bands
from aognet.diffusion.encodings import EncodingCache
from aognet.diffusion.loading import freeze
from aognet.diffusion.sampling.noise import Generators, normal
from aognet.errors import UserError
from aognet.io.store import CacheConfig
from aognet.nn.circular import Poles, wrap_around
from aognet.nn.component import Component

# The bytes of a feature map from which on an image is encoded and decoded in bands, which keep no larger map if they
# can: 2048x4096 pixels in half precision and 1024x2048 in float32 are over the first, views of 512x512 under both.
LARGE, LARGE_IF_SCARCE = 2**30, 2**28


class LatentSpace(nn.Module):
    """A diffusers ``AutoencoderKL``; images are in [-1, 1], latents are multiplied by its ``scaling_factor``.

    ``encodings``: where training keeps latents. ``may_be_half``: whether the VAE may be held in half precision; some
    overflow.
    """

    vae: Any

    def __init__(self, vae: Any, encodings: CacheConfig, may_be_half: bool = True):
        """Take a VAE.

        :raises UserError: also for a VAE whose latents are shifted.
        """
        super().__init__()
        self.vae = freeze(vae)
        self.may_be_half = may_be_half
        for name in ("latents_mean", "latents_std", "shift_factor"):
            if self.vae.config.get(name):
                raise UserError(f"vae: {name} is set, but latents are scaled by scaling_factor alone")
        self._kept = EncodingCache(encodings, self.vae)
        self.together = 1  # images whose latents depend on each other
        self._encoded = self._decoded = 0  # images per call of the VAE; 0: all
        self._large = LARGE

    def wrap_around(self, poles: Poles = "none") -> None:
        """Let images and latents continue over their left and right edge, see `aognet.nn.circular.wrap_around`."""
        wrap_around(self.vae, poles)
        self._kept.distinguish(f"wraps around, poles {poles}")

    @property
    def channels(self) -> int:
        """The channels of a latent (4 in Stable Diffusion)."""
        return self.vae.config.latent_channels

    @property
    def scale(self) -> int:
        """The image pixels per latent pixel (8 in Stable Diffusion)."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.vae.parameters()).device  # `vae.device` looks through all modules each time

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights. Latents and images are always returned in float32."""
        return next(self.vae.parameters()).dtype

    def check_size(self, height: int, width: int) -> None:
        """Raise UserError if the VAE cannot take images of that size."""
        if height % self.scale or width % self.scale:
            raise UserError(f"image sides must be multiples of {self.scale}, got {height}x{width}")

    @torch.no_grad()
    def encode(
        self, images: Float[Tensor, "batch 3 height width"], source: Generators | None = None
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Return scaled latents of images in [-1, 1]: a sample drawn from ``source``, or the mode without one."""
        self.check_size(*images.shape[-2:])
        together = self.together
        rows = images if together == 1 else images.unflatten(0, (-1, together))
        latents, deviation = self._kept.encoded(rows, self._moments, self.device)
        if together > 1:
            latents, deviation = latents.flatten(0, 1), deviation.flatten(0, 1)
        if source is not None:
            latents = latents + deviation * normal(latents.shape, source, latents.device)
        return latents * self.vae.config.scaling_factor

    def _moments(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and deviation of rows of images, or of rows of several images that belong together."""
        single = images.flatten(0, -4)
        most = self._most(self.vae.encoder, *single.shape[-2:])
        parts = single.to(self.device, self.dtype).split(1 if most else self._encoded or len(single))
        encode = partial(bands.encode, self.vae, most=most) if most else lambda part: self.vae.encode(part).latent_dist
        with self._precise():
            posteriors = [encode(part) for part in parts]
        means, deviations = (torch.cat([getattr(one, name).float() for one in posteriors]) for name in ("mean", "std"))
        shape = images.shape[:-3]
        return means.unflatten(0, shape), deviations.unflatten(0, shape)

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "batch channels rows columns"]) -> Float[Tensor, "batch 3 height width"]:
        """Return the images in [-1, 1] of scaled latents."""
        scaled = latents.to(self.device, self.dtype) / self.vae.config.scaling_factor
        most = self._most(self.vae.decoder, *(side * self.scale for side in scaled.shape[-2:]))
        parts = scaled.split(1 if most else self._decoded or len(scaled))
        decode = partial(bands.decode, self.vae, most=most) if most else lambda part: self.vae.decode(part).sample
        with self._precise():
            return torch.cat([decode(part).float().clamp(-1, 1) for part in parts])

    def _precise(self) -> AbstractContextManager:
        """Keep a VAE that overflows in float16 out of a training's mixed precision."""
        kind = self.device.type
        overflows = not self.may_be_half and torch.get_autocast_dtype(kind) == torch.float16
        return torch.autocast(kind, enabled=False) if overflows else nullcontext()

    def _most(self, network: nn.Module, height: int, width: int) -> int:
        """Return how many numbers a feature map may have where an image is taken in bands, or 0: it is taken whole."""
        most = self._large // self.dtype.itemsize
        return most if bands.widest(self.vae, height, width) > most and bands.is_separable(network) else 0

    def save_memory(self, inseparable: int = 1) -> None:
        """Encode few images at a time, decode ``inseparable`` images together, and take smaller images in bands."""
        self._encoded, self._decoded, self._large = self.together, inseparable, LARGE_IF_SCARCE

    def components(self, inseparable: int = 1) -> dict[str, Component]:
        """Return the VAE. ``inseparable`` is how many images are decoded together even if memory is scarce."""

        def save_memory() -> None:
            self.save_memory(inseparable)

        return {"vae": Component(self.vae, channels_last=True, half=self.may_be_half, save_memory=save_memory)}
