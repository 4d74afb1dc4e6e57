"""What the seamless method is told when it generates, besides the request."""

from dataclasses import dataclass, field
from typing import Literal

from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.errors import UserError
from aognet.nn.circular import Poles
from aognet.request import check_scale


@dataclass(frozen=True)
class SeamlessSettings:
    """``sampler``: how the panorama is sampled. ``prompt_reach_degrees``: the angle from its direction at which a
    directed prompt counts as much as the common one (`directed.prompt_weights`). ``rotate_each_step``: whether the
    network sees the panorama turned by another angle in every step, so that what its edges do to it is spread.
    ``feather``: how far generated pixels are adjusted to the known ones that they meet, as a share of the height (0:
    not at all). ``depth_scale``: the weight of the ControlNet that is shown the depth (0: none). ``poles``: what
    the layers see beyond a pole (null: as the model says). ``polish``: whether what lies around the poles is painted
    again as ``views``, for which it is noised to a part of the schedule, ``polish_strength`` (1: nothing of it stays).
    """

    sampler: SamplerConfig = field(default_factory=lambda: SamplerConfig(scheduler="euler", guidance=7.5))
    prompt_reach_degrees: float = 45.0
    rotate_each_step: bool = False
    feather: float = 0.05
    depth_scale: float = 0.5
    poles: Poles | None = None
    polish: Literal["none", "views"] = "none"
    polish_strength: float = 0.6

    def __post_init__(self) -> None:
        if not 0 <= self.feather <= 1:
            raise UserError("must lie in [0, 1]", key="feather", value=self.feather)
        if not 5 <= self.prompt_reach_degrees <= 90:
            raise UserError("must lie in [5, 90]", key="prompt_reach_degrees", value=self.prompt_reach_degrees)
        if not 0 < self.polish_strength <= 1:
            raise UserError("must be more than 0 and at most 1", key="polish_strength", value=self.polish_strength)
        check_scale(self.depth_scale, "depth_scale")
