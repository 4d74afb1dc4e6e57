"""The discriminator of BigGAN-deep in small (Brock et al. 2019, figure 16), with a projection of the classes."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from aognet.errors import UserError
from aognet.gan.biggan import SelfAttention

MOST_CHANNELS, MOST_BLOCKS = 4096, 12


@dataclass(frozen=True)
class DiscriminatorConfig:
    """The sizes of a discriminator.

    ``channels``: those of the first features, then those after each block, never fewer than before; a block halves the
    resolution. ``attention_at``: before which block the features attend to themselves (null: nowhere). ``squeeze``: how
    many times fewer channels a block has inside.
    """

    channels: tuple[int, ...] = (24, 48, 96, 192, 384, 384)
    attention_at: int | None = None
    squeeze: int = 4

    def __post_init__(self) -> None:
        channels = list(self.channels)
        if not 2 <= len(channels) <= MOST_BLOCKS + 1 or sorted(channels) != channels:
            raise UserError("must be 2 to 13 numbers, none smaller than that before", key="channels", value=channels)
        if not 1 <= self.squeeze <= channels[0] or channels[-1] > MOST_CHANNELS:
            raise UserError(
                f"must lie in [squeeze, {MOST_CHANNELS}], and squeeze above 0", key="channels", value=channels
            )
        if self.attention_at is None:
            return
        if not 0 <= self.attention_at < len(channels):
            raise UserError(f"must lie in [0, {len(channels) - 1}]", key="attention_at", value=self.attention_at)
        if channels[self.attention_at] < 8:
            raise UserError("is a place with fewer than 8 channels", key="attention_at", value=self.attention_at)

    @property
    def factor(self) -> int:
        """How many times smaller than the image the last features are, along each axis."""
        return 2 ** (len(self.channels) - 1)


class HalvingBlock(nn.Module):
    """Four convolutions, the inner two of 3x3 with fewer channels, beside a skip whose new channels are learned."""

    def __init__(self, channels: int, out_channels: int, squeeze: int):
        super().__init__()
        inner = out_channels // squeeze
        self.before = nn.Conv2d(channels, inner, 1)
        self.inner = nn.ModuleList(nn.Conv2d(inner, inner, 3, padding=1) for _ in range(2))
        self.after = nn.Conv2d(inner, out_channels, 1)
        self.more = nn.Conv2d(channels, out_channels - channels, 1) if out_channels > channels else None

    def forward(self, features: Float[Tensor, "batch channels rows columns"]) -> Tensor:
        inside = self.before(functional.relu(features))
        for convolution in self.inner:
            inside = convolution(functional.relu(inside))
        inside = self.after(functional.avg_pool2d(functional.relu(inside), 2))
        skipped = functional.avg_pool2d(features, 2)
        if self.more is not None:
            skipped = torch.cat([skipped, self.more(skipped)], dim=1)
        return inside + skipped


class Discriminator(nn.Module):
    """Scores how real an image looks, and how well it fits its classes (Miyato and Koyama 2018, equation 4)."""

    def __init__(self, config: DiscriminatorConfig, classes: int):
        super().__init__()
        first, *others = config.channels
        self.first = nn.Conv2d(3, first, 3, padding=1)
        pairs = zip(config.channels, others, strict=False)
        self.blocks = nn.ModuleList(HalvingBlock(before, after, config.squeeze) for before, after in pairs)
        self.attention_at = config.attention_at
        self.attention = None if config.attention_at is None else SelfAttention(config.channels[config.attention_at])
        self.score = nn.Linear(config.channels[-1], 1)
        self.embeddings = nn.Linear(classes, config.channels[-1], bias=False)

    def forward(
        self, images: Float[Tensor, "batch 3 size size"], classes: Float[Tensor, "batch classes"]
    ) -> Float[Tensor, "batch"]:
        """Return scores of images in [-1, 1] whose classes have these weights; more is more real."""
        features = self.first(images)
        for number, block in enumerate(self.blocks):
            if number == self.attention_at and self.attention is not None:
                features = self.attention(features)
            features = block(features)
        found = functional.relu(features).mean((2, 3))
        return self.score(found)[:, 0] + (self.embeddings(classes) * found).sum(1)


def hinge_of_discriminator(real: Float[Tensor, "*real"], generated: Float[Tensor, "*generated"]) -> Float[Tensor, ""]:
    """Return the discriminator's hinge loss (Lim and Ye 2017): 0 where real scores exceed 1 and others lie below -1."""
    return functional.relu(1 - real.float()).mean() + functional.relu(1 + generated.float()).mean()
