"""What ganorama is told when it generates, besides the request."""

from dataclasses import dataclass, field
from typing import Literal

from aognet.errors import UserError
from aognet.gan.truncation import check_truncation
from aognet.geometry.camera import Weighting
from aognet.geometry.view_sets import ViewSetConfig
from aognet.perception.network import NetworkConfig

Way = Literal["mean", "solve"]
MOST_FACTOR, MOST_PASSES = 100.0, 100
MOST_STEPS, MOST_CANDIDATES = 100_000, 10_000


@dataclass(frozen=True)
class FindingConfig:
    """How classes and z are found for words and for a photograph (`aognet.methods.ganorama.finding`).

    ``candidates``: how many classes, the nearest first, are tried for each prompt; where there are no more, z that are
    drawn anew. ``steps``: how many then optimise z and class vectors (0: none). ``rate``: how far a step goes, in
    standard deviations. ``pull``: how strongly z and class vectors are held to what they come from.
    ``views_at_once``: so many views go through a layer of the generator, and through CLIP, at once. ``clip``: the CLIP
    that reads words and views (null: the embedded one). ``lpips``: a file or folder with the weights of LPIPS, which
    then compares views with a photograph in place of CLIP.
    """

    candidates: int = 4
    steps: int = 30
    rate: float = 0.1
    pull: float = 0.01
    views_at_once: int = 4
    clip: NetworkConfig | None = None
    lpips: str | None = None

    def __post_init__(self) -> None:
        for key, least, most in (("candidates", 1, MOST_CANDIDATES), ("steps", 0, MOST_STEPS)):
            if not least <= getattr(self, key) <= most:
                raise UserError(f"must lie in [{least}, {most}]", key=key, value=getattr(self, key))
        if not 0 < self.rate <= 10:
            raise UserError("must be more than 0 and at most 10", key="rate", value=self.rate)
        if not 0 <= self.pull <= 100:
            raise UserError("must lie in [0, 100]", key="pull", value=self.pull)
        if self.views_at_once < 1:
            raise UserError("must be at least 1", key="views_at_once", value=self.views_at_once)
        if self.clip is not None and self.clip.kind != "clip":
            raise UserError("must be clip", key="clip.kind", value=self.clip.kind)


@dataclass(frozen=True)
class GanoramaSettings:
    """The defaults are those of the public Ganorama, but for the views.

    ``views``, ``fov_degrees`` and ``yaw_degrees``: which views are made (`aognet.geometry.view_sets.ViewSetConfig`).
    ``start_layer`` and ``end_layer``: the first and the last layer of the generator after which views are made to
    agree, counted from 0, the attention too. ``way``: how they agree: each feature becomes the ``mean`` of all views
    that see its ray (`aognet.geometry.agreement.mean`, ``weighting``, ``passes``), or all become views of one sphere
    (``solve``: `aognet.geometry.agreement.solved`). ``truncation`` of z in [0, 1]; ``z_mul`` and ``class_mul`` multiply
    z and the class vector. ``share_class``: whether all views have one random class, where the request names none.
    ``share_z``: whether they have one z; null: unless they have one class, since they would all be the same picture.
    ``alike``: in [0, 1), which part of the variance of z views have in common where each has its own.
    ``finding``: how words and a photograph are followed. ``feather``: how far generated pixels are adjusted to those of
    a photograph that they meet, as a share of the height.
    """

    views: Literal["cover", "published"] = "cover"
    fov_degrees: float = 90.0
    yaw_degrees: float = 0.0
    start_layer: int = 2
    end_layer: int = 7
    way: Way = "mean"
    weighting: Weighting = "uniform"
    passes: int = 1
    truncation: float = 0.5
    z_mul: float = 1.0
    class_mul: float = 1.0
    share_class: bool = False
    share_z: bool | None = None
    alike: float = 0.0
    finding: FindingConfig = field(default_factory=FindingConfig)
    feather: float = 0.05

    def __post_init__(self) -> None:
        self.view_set(1)
        check_truncation(self.truncation)
        if self.start_layer < 0:
            raise UserError("must not be negative", key="start_layer", value=self.start_layer)
        if self.end_layer < self.start_layer:
            raise UserError(f"must be at least start_layer ({self.start_layer})", key="end_layer", value=self.end_layer)
        if not 1 <= self.passes <= MOST_PASSES:
            raise UserError(f"must lie in [1, {MOST_PASSES}]", key="passes", value=self.passes)
        if not 0 <= self.feather <= 1:
            raise UserError("must lie in [0, 1]", key="feather", value=self.feather)
        if not 0 <= self.alike < 1:
            raise UserError("must lie in [0, 1): wholly alike is share_z", key="alike", value=self.alike)
        for key in ("z_mul", "class_mul"):
            if not abs(getattr(self, key)) <= MOST_FACTOR:
                raise UserError(f"must lie in [-{MOST_FACTOR:g}, {MOST_FACTOR:g}]", key=key, value=getattr(self, key))

    def view_set(self, size: int) -> ViewSetConfig:
        """Return the views of the sphere, of ``size`` pixels a side. Raises UserError for ones that there are not."""
        return ViewSetConfig(self.views, self.fov_degrees, size, self.yaw_degrees)
