"""What text2light is told when it generates, besides the request."""

from dataclasses import dataclass, field
from typing import Literal

from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.errors import UserError

Join = Literal["feather", "views"]
From = Literal["auto", "text", "image"]


@dataclass(frozen=True)
class Text2LightSettings:
    """The defaults are the published ones.

    ``top_k`` and ``temperature``: how codes are drawn (`aognet.vq.drawing.Drawing`). ``condition``: what the panorama
    is described by: the ``text`` of the prompt, or the ``image`` that the inputs show, as CLIP sees it; ``auto``: the
    text if there is one. ``cache_gigabytes``: how much of windows of the published layout is kept.

    ``join``: how a photograph and the panorama around it become one. ``feather``: generated pixels are adjusted to the
    known ones that they meet, as far as ``feather`` says, a share of the height (0: not at all). ``views``: what is
    nearer to it than ``ring_degrees`` is painted again by a ``backbone``, a Stable Diffusion model (folder or hub id),
    as ``sampler`` says; it is noised to a part of the schedule, ``join_strength`` (1: nothing of it is left).
    """

    top_k: int = 100
    temperature: float = 1.0
    condition: From = "auto"
    cache_gigabytes: float = 4.0
    join: Join = "feather"
    feather: float = 0.05
    backbone: str | None = None
    ring_degrees: float = 30.0
    join_strength: float = 0.8
    sampler: SamplerConfig = field(default_factory=lambda: SamplerConfig(scheduler="euler-a", steps=24, guidance=2.5))

    def __post_init__(self) -> None:
        if self.top_k < 0:
            raise UserError("must not be negative", key="top_k", value=self.top_k)
        if not 0 <= self.temperature <= 100:
            raise UserError("must lie in [0, 100]", key="temperature", value=self.temperature)
        if self.condition not in ("auto", "text", "image"):
            raise UserError("must be auto, text or image", key="condition", value=self.condition)
        if self.join not in ("feather", "views"):
            raise UserError("must be feather or views", key="join", value=self.join)
        if self.join == "views" and not self.backbone:
            raise UserError("must name a Stable Diffusion model, which join: views paints with", key="backbone")
        if not 1 <= self.ring_degrees <= 90:
            raise UserError("must lie in [1, 90]", key="ring_degrees", value=self.ring_degrees)
        if not 0 < self.join_strength <= 1:
            raise UserError("must be more than 0 and at most 1", key="join_strength", value=self.join_strength)
        if not 0 <= self.feather <= 1:
            raise UserError("must lie in [0, 1]", key="feather", value=self.feather)
        if not 0 <= self.cache_gigabytes <= 1024:
            raise UserError("must lie in [0, 1024]", key="cache_gigabytes", value=self.cache_gigabytes)
