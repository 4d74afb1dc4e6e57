"""How a view is sampled: the scheduler, the number of steps and the strength of guidance."""

from dataclasses import dataclass
from typing import Literal

from aognet.config import check_text
from aognet.diffusion.sampling.schedulers import SCHEDULERS
from aognet.errors import UserError

LongPrompts = Literal["cut", "chunks"]


@dataclass(frozen=True)
class SamplerConfig:
    """How a view is sampled.

    ``guidance``: scale of classifier-free guidance (1 or less: none). ``guided_from`` and ``guided_until``: the part of
    the noise schedule that is guided; 0 is its noisy beginning, 1 its end. ``negative``: prompt of the negative branch,
    for models without an unconditional embedding of their own. ``long_prompts``: whether a prompt that is too long for
    the text encoder is ``cut`` or read in ``chunks`` (None: as in training). ``image_guidance``: the weight of what is
    known, as in `guided` (null: 1), for models that were trained with and without it, as CubeDiff is; it costs a third
    branch.
    """

    scheduler: str = "ddim"
    steps: int = 50
    guidance: float = 2.5
    guided_from: float = 0.0
    guided_until: float = 1.0
    negative: str = ""
    long_prompts: LongPrompts | None = None
    image_guidance: float | None = None

    @property
    def guides_by_image(self) -> bool:
        """Whether there is a branch in which nothing is known."""
        return self.image_guidance is not None and self.image_guidance != 1

    def guided_between(self, training_steps: int) -> tuple[float, float]:
        """Return the least and the greatest timestep that is guided."""
        least, greatest = ((1 - share) * training_steps for share in (self.guided_until, self.guided_from))
        return round(least, 6), round(greatest, 6)

    def __post_init__(self) -> None:
        check_text(self.negative, "negative")
        if self.scheduler not in SCHEDULERS:
            raise UserError(f"must be one of {', '.join(SCHEDULERS)}", key="scheduler", value=self.scheduler)
        if not 1 <= self.steps <= 1000:
            raise UserError("must lie in [1, 1000]", key="steps", value=self.steps)
        if not 0 <= self.guidance <= 100:
            raise UserError("must lie in [0, 100]", key="guidance", value=self.guidance)
        if self.image_guidance is not None and not 0 <= self.image_guidance <= 100:
            raise UserError("must lie in [0, 100]", key="image_guidance", value=self.image_guidance)
        if not 0 <= self.guided_from <= self.guided_until <= 1:
            interval = [self.guided_from, self.guided_until]
            raise UserError("and guided_until must lie in [0, 1], in this order", key="guided_from", value=interval)
