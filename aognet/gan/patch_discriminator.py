"""A discriminator of patches, and both sides' losses in one backward pass (Isola et al. 2017; Esser et al. 2021).

One optimizer trains both networks, so a training step computes the autoencoder's output once; two phases
(`aognet.training.phases`) would compute it twice. The losses do not disturb each other: the autoencoder's loss treats
the discriminator's weights as constants, and the discriminator's loss treats the images as constants. Adam scales
gradients of any size alike, so the two losses need no weights against each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional


class PatchDiscriminator(nn.Module):
    """Scores how real every patch looks. A layer with ``channels`` halves the image.

    ``bounded`` scores lie in (-1, 1) and never reach what the hinge asks for, as in Text2Light's published code.
    """

    def __init__(self, channels: Sequence[int], bounded: bool = False):
        super().__init__()
        self.bounded = bounded
        layers: list[nn.Module] = []
        inputs = 3
        for number, width in enumerate(channels):
            layers.append(nn.Conv2d(inputs, width, 4, stride=2, padding=1))
            if number:  # the first layer must see absolute colours
                layers.append(nn.GroupNorm(1, width))
            layers.append(nn.LeakyReLU(0.2))
            inputs = width
        self.layers = nn.Sequential(*layers, nn.Conv2d(inputs, 1, 3, padding=1))

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 1 rows columns"]:
        """Return scores; above 0 means real."""
        scores = self.layers(images)
        return scores.tanh() if self.bounded else scores


@dataclass(frozen=True)
class AdversarialLosses:
    """The loss of the autoencoder, which generates the images, and that of the discriminator (hinge)."""

    generator: Float[Tensor, ""]
    discriminator: Float[Tensor, ""]


def adversarial_losses(
    discriminator: nn.Module,
    real: Float[Tensor, "batch 3 height width"],
    generated: Float[Tensor, "batch 3 height width"],
) -> AdversarialLosses:
    """Return both losses (Lim and Ye 2017, hinge). Their sum may be differentiated at once."""
    frozen = {name: value.detach() for name, value in discriminator.named_parameters()}
    of_generator = -functional_call(discriminator, frozen, (generated,)).float().mean()
    of_real, of_generated = discriminator(torch.cat([real, generated.detach()])).float().chunk(2)
    of_discriminator = 0.5 * (functional.relu(1 - of_real).mean() + functional.relu(1 + of_generated).mean())
    return AdversarialLosses(of_generator, of_discriminator)
