"""What text2light is told when it generates, besides the request."""

from dataclasses import dataclass
from typing import Literal

from aognet.errors import UserError

From = Literal["auto", "text", "image"]


@dataclass(frozen=True)
class Text2LightSettings:
    """The defaults are the published ones.

    ``top_k`` and ``temperature``: how codes are drawn (`aognet.vq.drawing.Drawing`). ``condition``: what the panorama
    is described by: the ``text`` of the prompt, or the ``image`` that the inputs show, as CLIP sees it; ``auto``: the
    text if there is one. ``feather``: how far generated pixels are adjusted to the known ones that they meet, as a
    share of the height (0: not at all). ``cache_gigabytes``: how much of windows of the published layout is kept.
    """

    top_k: int = 100
    temperature: float = 1.0
    condition: From = "auto"
    feather: float = 0.05
    cache_gigabytes: float = 4.0

    def __post_init__(self) -> None:
        if self.top_k < 0:
            raise UserError("must not be negative", key="top_k", value=self.top_k)
        if not 0 <= self.temperature <= 100:
            raise UserError("must lie in [0, 100]", key="temperature", value=self.temperature)
        if self.condition not in ("auto", "text", "image"):
            raise UserError("must be auto, text or image", key="condition", value=self.condition)
        if not 0 <= self.feather <= 1:
            raise UserError("must lie in [0, 1]", key="feather", value=self.feather)
        if not 0 <= self.cache_gigabytes <= 1024:
            raise UserError("must lie in [0, 1024]", key="cache_gigabytes", value=self.cache_gigabytes)
