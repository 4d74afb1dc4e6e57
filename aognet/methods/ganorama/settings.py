"""What ganorama is told when it generates, besides the request."""

from dataclasses import dataclass
from typing import Literal

from aognet.errors import UserError
from aognet.gan.truncation import check_truncation
from aognet.geometry.camera import Weighting
from aognet.geometry.view_sets import ViewSetConfig

Way = Literal["mean", "solve"]
MOST_FACTOR, MOST_PASSES = 100.0, 100


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

    def __post_init__(self) -> None:
        self.view_set(1)
        check_truncation(self.truncation)
        if self.start_layer < 0:
            raise UserError("must not be negative", key="start_layer", value=self.start_layer)
        if self.end_layer < self.start_layer:
            raise UserError(f"must be at least start_layer ({self.start_layer})", key="end_layer", value=self.end_layer)
        if not 1 <= self.passes <= MOST_PASSES:
            raise UserError(f"must lie in [1, {MOST_PASSES}]", key="passes", value=self.passes)
        for key in ("z_mul", "class_mul"):
            if not abs(getattr(self, key)) <= MOST_FACTOR:
                raise UserError(f"must lie in [-{MOST_FACTOR:g}, {MOST_FACTOR:g}]", key=key, value=getattr(self, key))

    def view_set(self, size: int) -> ViewSetConfig:
        """Return the views of the sphere, of ``size`` pixels a side. Raises UserError for ones that there are not."""
        return ViewSetConfig(self.views, self.fov_degrees, size, self.yaw_degrees)
