"""What fusion is told when it generates, besides the request."""

from dataclasses import dataclass, field, replace
from typing import Literal

from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.errors import UserError

WayName = Literal["mean", "linear", "shift"]
FUSIBLE = ("ddim", "dpm-solver++", "unipc", "euler")
"""Schedulers that are linear in latents and predictions, add no noise and take every timestep once."""
NOISELESS = {"euler-a": "euler", "lcm": "euler"}
"""Schedulers that add noise, which bilinear views would weaken, and those that do the same without it."""


@dataclass(frozen=True)
class ViewsConfig:
    """The square views of the sphere, see `aognet.methods.fusion.cameras`.

    ``kind``: ``published`` (the 14 of Linear Fusion), ``cover`` (rings half a view apart: 18 of 90 degrees) or ``cube``
    (six); null: what the way has. ``fov_degrees``: null: 100, or neighbours would only touch, and 90 to ``cover``.
    ``size``: pixels of a side; null: what the UNet was made for.
    """

    kind: Literal["published", "cover", "cube"] | None = None
    fov_degrees: float | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        if self.fov_degrees is not None and not 40 <= self.fov_degrees <= 120:
            raise UserError("must lie in [40, 120]", key="fov_degrees", value=self.fov_degrees)
        if self.size is not None and not 8 <= self.size <= 4096:
            raise UserError("must lie in [8, 4096]", key="size", value=self.size)


@dataclass(frozen=True)
class FusionSettings:
    """``way``: how views are made to agree (`aognet.methods.fusion.ways`). ``views``: which there are.

    ``turn_degrees``: by how much all views of ``linear`` turn from step to step (0: not at all). ``fused_until``: the
    share of the steps in which views agree; in the others each is denoised apart. ``tau``: how fast a view's weight
    falls from its centre where decoded views overlap, exp(-r / tau), with r = 1 at the middle of its edges.
    ``feather``: how far generated pixels are adjusted to the known ones that they meet, as a share of the height.
    ``views_per_batch``: so many views are denoised at once.
    """

    way: WayName = "linear"
    views: ViewsConfig = field(default_factory=ViewsConfig)
    turn_degrees: float = 10.0
    fused_until: float = 0.8
    tau: float = 0.1
    feather: float = 0.05
    views_per_batch: int = 4
    sampler: SamplerConfig = field(default_factory=lambda: SamplerConfig(scheduler="euler", steps=28, guidance=7.5))

    def __post_init__(self) -> None:
        if not 0 <= self.turn_degrees < 360:
            raise UserError("must lie in [0, 360)", key="turn_degrees", value=self.turn_degrees)
        if not 0 < self.fused_until <= 1:
            raise UserError("must be more than 0 and at most 1", key="fused_until", value=self.fused_until)
        if not 0.01 <= self.tau <= 10:
            raise UserError("must lie in [0.01, 10]", key="tau", value=self.tau)
        if not 0 <= self.feather <= 1:
            raise UserError("must lie in [0, 1]", key="feather", value=self.feather)
        if not 1 <= self.views_per_batch <= 1024:
            raise UserError("must lie in [1, 1024]", key="views_per_batch", value=self.views_per_batch)

    @property
    def noiseless(self) -> SamplerConfig:
        """The sampler as fusion uses it: ``euler`` in place of ``euler-a`` and ``lcm``."""
        name = self.sampler.scheduler
        return replace(self.sampler, scheduler=NOISELESS.get(name, name))

    @property
    def fused_steps(self) -> int:
        """The steps in which views agree; at least the last one is made apart."""
        return min(max(round(self.sampler.steps * self.fused_until), 1), self.sampler.steps - 1)
