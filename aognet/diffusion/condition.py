"""What a UNet is told about the image it continues."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class InpaintCondition:
    """What a UNet needs to know about the image to continue, in latents. Made by `Backbone.prepare_condition`."""

    mask: Float[Tensor, "batch 1 height width"]  # 1 = to paint, 0 = known
    image: Float[Tensor, "batch channels height width"]  # scaled; of the masked image, or of the filled one
    noise: Float[Tensor, "batch channels height width"]  # standard normal, where sampling starts

    def repeated(self, rows: int) -> "InpaintCondition":
        """The batch over and over until it has so many rows, as the branches of guidance need it; made once."""
        if rows == len(self.mask):
            return self
        if rows not in self._repeated:
            times = (rows // len(self.mask), 1, 1, 1)
            parts = (part.repeat(times) for part in (self.mask, self.image, self.noise))
            self._repeated[rows] = InpaintCondition(*parts)
        return self._repeated[rows]

    @cached_property
    def _repeated(self) -> dict[int, "InpaintCondition"]:
        return {}


Predict = Callable[[Tensor, Tensor, Tensor, InpaintCondition], Tensor]
"""``predict(latents, timesteps, context, condition)``: what a UNet makes of noisy latents, as `Backbone.predict`."""
