"""A discriminator of latents: how real their picture looks to a frozen network, and how well it fits a text.

The picture is a linear function of the latents. For latents of a factor of 8 that is nearly what the decoder makes of
them, and costs next to nothing, so that the discriminator's cost is that of its features.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from aognet.diffusion.latent_space import LatentSpace
from aognet.embedded.feature_critic import FeatureCritic, Features
from aognet.gan.discriminator import hinge_of_discriminator
from aognet.gan.projected import ProjectedDiscriminatorConfig

REACH = 3  # latent pixels along each side that a pixel depends on
BATCHES, ROWS, SIDE, SEED = 6, 6, 16, 0  # six: the decoder of CubeDiff takes whole cubes


class LinearDecoder(nn.Module):
    """Makes of latents what the decoder makes of them, as nearly as a linear function of 3x3 latent pixels can.

    It is fitted by least squares to what the decoder makes of random latents. Nothing of it is trained.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, space: LatentSpace):
        super().__init__()
        self.scale = space.scale
        solution = _fitted(space)
        outputs = 3 * self.scale**2
        self.register_buffer("weight", solution[:-1].T.reshape(outputs, space.channels, REACH, REACH).contiguous())
        self.register_buffer("bias", solution[-1].contiguous())

    def forward(self, latents: Float[Tensor, "batch channels rows columns"]) -> Float[Tensor, "batch 3 height width"]:
        """Return images, about in [-1, 1]."""
        blocks = functional.conv2d(_padded(latents), self.weight, self.bias)
        return functional.pixel_shuffle(blocks, self.scale)


@torch.no_grad()
def _fitted(space: LatentSpace) -> Float[Tensor, "inputs outputs"]:
    """Return the matrix from 3x3 latent pixels and 1 to the pixels of the middle one."""
    generator = torch.Generator().manual_seed(SEED)
    inputs = space.channels * REACH**2 + 1
    squares, products = torch.zeros(inputs, inputs).double(), torch.zeros(inputs, 3 * space.scale**2).double()
    for _ in range(BATCHES):
        latents = torch.randn(ROWS, space.channels, SIDE, SIDE, generator=generator).to(space.device)
        seen = functional.unfold(_padded(latents), REACH)
        seen = torch.cat([seen, torch.ones_like(seen[:, :1])], dim=1).mT.reshape(-1, inputs).double().cpu()
        blocks = functional.pixel_unshuffle(space.decode(latents), space.scale)
        squares += seen.T @ seen
        products += seen.T @ blocks.flatten(2).mT.reshape(-1, products.shape[1]).double().cpu()
    return torch.linalg.solve(squares, products).float().to(space.device)


def _padded(latents: Tensor) -> Tensor:
    return functional.pad(latents, (REACH // 2,) * 4, mode="replicate")


@dataclass(frozen=True)
class Scores:
    """The discriminator's hinge loss (Lim and Ye 2017), the mean score that the painter wants to raise, and the mean
    scores of both sides, and of true views with the texts of others.
    """

    hinge: Float[Tensor, ""]
    to_painter: Float[Tensor, ""]
    real: Float[Tensor, ""]
    painted: Float[Tensor, ""]
    mistaken: Float[Tensor, ""]


class LatentCritic(FeatureCritic):
    """Scores latents by the features of their pictures; what they are to fit are texts."""

    def __init__(self, config: ProjectedDiscriminatorConfig, space: LatentSpace, text_dim: int):
        """``space``: the latents' autoencoder. ``text_dim``: the size of a text's tokens.

        :raises UserError: if the features' weights are not there or do not fit.
        """
        super().__init__(config, text_dim)
        self.decoder = LinearDecoder(space)

    def images(self, latents: Float[Tensor, "batch channels rows columns"]) -> Float[Tensor, "batch 3 height width"]:
        """Return float32 pictures of latents, about in [-1, 1]."""
        with torch.autocast(latents.device.type, enabled=False):
            return self.decoder(latents.float())

    def scores(
        self,
        real: Features,
        painted: list[Float[Tensor, "painted _ _ _"]],
        tokens: Float[Tensor, "batch tokens dim"],
    ) -> Scores:
        """Return how real latents and painted ones are judged by their features, under the same texts.

        There may be several times as many painted ones: all rows once, and then all of them again.

        Real ones with another view's text are as wrong as painted ones: what is real, but not what was asked for, the
        painter has to unlearn (Reed et al. 2016, section 4.1).

        The sum of ``hinge`` and minus ``to_painter`` may be differentiated at once: the first teaches the
        discriminator alone, the second the painter alone.
        """
        texts = text_vectors(tokens.float())
        others = texts.roll(len(texts) // 2, 0)
        of_real, of_others = self.judge(real, texts), self.judge(real, others)
        again = texts.repeat(len(painted[0]) // len(texts), 1)
        of_painted = self.judge([values.detach() for values in painted], again)
        frozen = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        with torch.autocast(tokens.device.type, enabled=False):
            to_painter = functional_call(self.discriminator, frozen, (painted, again)).mean()
        # The same text is not wrong: -1 costs nothing.
        of_wrong = of_others.where((texts != others).any(1, keepdim=True), -1.0)
        hinge = (hinge_of_discriminator(of_real, of_painted) + hinge_of_discriminator(of_real, of_wrong)) / 2
        return Scores(hinge, to_painter, of_real.mean(), of_painted.mean(), of_others.mean())


def text_vectors(tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch dim"]:
    """Return the directions of the mean tokens, with a mean square of 1."""
    return functional.normalize(tokens.mean(1), dim=1) * math.sqrt(tokens.shape[-1])
