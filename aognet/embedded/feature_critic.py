"""Frozen features of images, and the discriminator of Projected GANs that judges them."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aognet.gan.projected import ProjectedDiscriminator, ProjectedDiscriminatorConfig
from aognet.gan.spectral import normed
from aognet.perception.pyramid import FeaturePyramid

Features = list[Float[Tensor, "batch _ _ _"]]


class FeatureCritic(nn.Module):
    """Features, in float32 under autocast too: they are no faster in half precision on a CPU.

    The discriminator's norms compare the rows of a batch: real and painted images are batches of their own.
    """

    def __init__(self, config: ProjectedDiscriminatorConfig, classes: int):
        """``classes``: the size of what images are to fit (`ProjectedDiscriminator`).

        :raises UserError: if the features' weights are not there or do not fit.
        """
        super().__init__()
        self.pyramid = FeaturePyramid.load(config.features, config.size)
        discriminator = ProjectedDiscriminator(config, self.pyramid.channels, classes, self.pyramid.digest)
        self.discriminator = normed(discriminator)  # without, its scores grow until all pictures have the same stripes

    def features(self, images: Tensor) -> Features:
        """Return the features of images in [-1, 1], from fine to coarse."""
        with torch.autocast(images.device.type, enabled=False):
            return self.pyramid(images.float())

    def judge(self, features: Features, classes: Float[Tensor, "batch classes"]) -> Float[Tensor, "batch scores"]:
        """Return scores of features, several of each row; more is more real."""
        self.discriminator.check_features(self.pyramid.digest)
        with torch.autocast(classes.device.type, enabled=False):
            return self.discriminator(features, classes.float())
