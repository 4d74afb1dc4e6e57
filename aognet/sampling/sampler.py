"""How a view is sampled: which scheduler, how many steps, how strongly guided."""

from dataclasses import dataclass

from aognet.errors import UserError
from aognet.sampling.schedulers import SCHEDULERS


@dataclass(frozen=True)
class SamplerConfig:
    """``guidance``: scale of classifier-free guidance (1 or less: none); ``negative``: prompt of the negative branch,
    for models without an unconditional embedding of their own."""

    scheduler: str = "ddim"
    steps: int = 50
    guidance: float = 2.5
    negative: str = ""

    def __post_init__(self) -> None:
        if self.scheduler not in SCHEDULERS:
            raise UserError(f"scheduler must be one of {', '.join(SCHEDULERS)}, got {self.scheduler!r}")
        if not 1 <= self.steps <= 1000:
            raise UserError(f"steps must lie in [1, 1000], got {self.steps}")
        if not 0 <= self.guidance <= 100:
            raise UserError(f"guidance must lie in [0, 100], got {self.guidance}")
