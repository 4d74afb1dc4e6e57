"""The conditions of a denoiser: texts, and the image that it continues."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from aognet.nn.constant_context import constant


@dataclass(frozen=True)
class TextCondition:
    """Encoded prompts: tokens for the cross-attention and, in the SDXL family, one pooled vector."""

    tokens: Float[Tensor, "batch tokens dim"]
    pooled: Float[Tensor, "batch pooled_dim"] | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: slice | Sequence[int] | Tensor) -> "TextCondition":
        """Return several rows."""
        return TextCondition(self.tokens[rows], None if self.pooled is None else self.pooled[rows])

    def to(self, where: torch.device | torch.dtype) -> "TextCondition":
        """Return it on another device or in another precision."""
        return TextCondition(self.tokens.to(where), None if self.pooled is None else self.pooled.to(where))

    def repeated(self, times: int) -> "TextCondition":
        """Return all rows, so many times one after the other."""
        pooled = None if self.pooled is None else self.pooled.repeat(times, 1)
        return TextCondition(self.tokens.repeat(times, 1, 1), pooled)

    def repeated_each(self, times: int) -> "TextCondition":
        """Return each row so many times, before the next."""
        pooled = None if self.pooled is None else self.pooled.repeat_interleave(times, 0)
        return TextCondition(self.tokens.repeat_interleave(times, 0), pooled)

    def replaced(self, mask: Bool[Tensor, "batch"], other: "TextCondition") -> "TextCondition":
        """Return the rows of ``other`` (one, or as many) where ``mask`` is true."""
        tokens = torch.where(mask[:, None, None], other.tokens, self.tokens)
        if self.pooled is None or other.pooled is None:
            return TextCondition(tokens)
        return TextCondition(tokens, torch.where(mask[:, None], other.pooled, self.pooled))

    def constant(self) -> "TextCondition":
        """Return the same for many calls: what a denoiser computes from the tokens alone, it computes once."""
        return TextCondition(constant(self.tokens), self.pooled)

    @classmethod
    def cat(cls, parts: Sequence["TextCondition"]) -> "TextCondition":
        """Return the rows of several conditions with the same number of tokens, one below the other."""
        pooled = [part.pooled for part in parts if part.pooled is not None]
        return cls(torch.cat([part.tokens for part in parts]), torch.cat(pooled) if pooled else None)


@dataclass(frozen=True)
class ControlImage:
    """The input of a ControlNet: an image of the size of the picture, in [0, 1], and its weight (0: none).

    The image may have one row for all pictures. ``where`` is 1 where it counts and 0 where it does not; None: it counts
    everywhere.
    """

    image: Float[Tensor, "batch channels height width"]
    scale: float = 1.0
    where: Float[Tensor, "_ 1 height width"] | None = None

    def rolled(self, pixels: int) -> "ControlImage":
        """Return the same for a panorama that is rolled to the right."""
        where = None if self.where is None else self.where.roll(pixels, -1)
        return ControlImage(self.image.roll(pixels, -1), self.scale, where)


@dataclass(frozen=True)
class InpaintCondition:
    """What a UNet needs to know about the image to continue, in latents. `Backbone.prepare_condition` makes it."""

    mask: Float[Tensor, "batch 1 height width"]  # 1 = to paint, 0 = known
    image: Float[Tensor, "batch channels height width"]  # scaled; of the masked image, or of the filled one
    noise: Float[Tensor, "batch channels height width"]  # standard normal, where sampling starts

    def repeated(self, rows: int) -> "InpaintCondition":
        """Repeat the batch until it has so many rows, as the branches of guidance need it. It is made once."""
        if rows == len(self.mask):
            return self
        if rows not in self._repeated:
            times = (rows // len(self.mask), 1, 1, 1)
            parts = (part.repeat(times) for part in (self.mask, self.image, self.noise))
            self._repeated[rows] = InpaintCondition(*parts)
        return self._repeated[rows]

    def rolled(self, columns: int) -> "InpaintCondition":
        """Return what is known of a panorama that is rolled to the right by columns of the latents."""
        return InpaintCondition(*(part.roll(columns, -1) for part in (self.mask, self.image, self.noise)))

    @cached_property
    def _repeated(self) -> dict[int, "InpaintCondition"]:
        return {}


Predict = Callable[[Tensor, Tensor, TextCondition, InpaintCondition], Tensor]
"""``predict(latents, timesteps, text, condition)``: what a UNet makes of noisy latents, as `Backbone.predict`."""
