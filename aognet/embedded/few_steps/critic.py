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
from aognet.gan.projected import ProjectedDiscriminator, ProjectedDiscriminatorConfig
from aognet.gan.spectral import normed
from aognet.perception.pyramid import FeaturePyramid

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


Features = list[Float[Tensor, "batch _ _ _"]]


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


class LatentCritic(nn.Module):
    """Scores latents with the discriminator of Projected GANs, whose classes are texts here."""

    def __init__(self, config: ProjectedDiscriminatorConfig, space: LatentSpace, text_dim: int):
        """``space``: the latents' autoencoder. ``text_dim``: the size of a text's tokens.

        :raises UserError: if the features' weights are not there or do not fit.
        """
        super().__init__()
        self.decoder = LinearDecoder(space)
        self.pyramid = FeaturePyramid.load(config.features, config.size)
        discriminator = ProjectedDiscriminator(config, self.pyramid.channels, text_dim, self.pyramid.digest)
        self.discriminator = normed(discriminator)  # without, its scores grow until all pictures have the same stripes

    def features(self, latents: Float[Tensor, "batch channels rows columns"]) -> Features:
        """Return the float32 features of latents, from fine to coarse."""
        # They are no faster in half precision on a CPU.
        with torch.autocast(latents.device.type, enabled=False):
            return self.pyramid(self.decoder(latents.float()))

    def scores(self, real: Features, painted: Features, tokens: Float[Tensor, "batch tokens dim"]) -> Scores:
        """Return how real latents and painted ones are judged by their features, under the same texts.

        Real ones with another view's text are as wrong as painted ones: what is real, but not what was asked for, the
        painter has to unlearn (Reed et al. 2016, section 4.1).

        The sum of ``hinge`` and minus ``to_painter`` may be differentiated at once: the first teaches the
        discriminator alone, the second the painter alone.
        """
        self.discriminator.check_features(self.pyramid.digest)
        # Its norms compare the rows of a batch: real and painted ones are batches of their own.
        with torch.autocast(tokens.device.type, enabled=False):
            texts = text_vectors(tokens.float())
            of_real = self.discriminator(real, texts)
            of_painted = self.discriminator([values.detach() for values in painted], texts)
            of_others = self.discriminator(real, texts.roll(len(texts) // 2, 0))
            frozen = {name: value.detach() for name, value in self.discriminator.named_parameters()}
            to_painter = functional_call(self.discriminator, frozen, (painted, texts)).mean()
        differ = (texts != texts.roll(len(texts) // 2, 0)).any(1, keepdim=True)
        wrong = 0.5 * (functional.relu(1 + of_painted) + functional.relu(1 + of_others) * differ).mean()
        hinge = functional.relu(1 - of_real).mean() + wrong
        return Scores(hinge, to_painter, of_real.mean(), of_painted.mean(), of_others.mean())


def text_vectors(tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch dim"]:
    """Return the directions of the mean tokens, with a mean square of 1."""
    return functional.normalize(tokens.mean(1), dim=1) * math.sqrt(tokens.shape[-1])
