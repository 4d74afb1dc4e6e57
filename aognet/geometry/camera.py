"""A pinhole camera at the centre of the sphere."""

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.errors import UserError
from aognet.geometry.sphere import rotation

MAX_SIDE = 2**15  # pixels of a view
MAX_PIXELS = 2**28
MIN_AHEAD = 1e-9  # of a direction along the view's axis; others are not shown
MIN_WEIGHT = 1e-6  # of a view where it ends: it counts if no other sees the ray

Weighting = Literal["uniform", "centre"]
"""How much a view counts where it sees a ray: as much as any other, or more the nearer its centre the ray lies."""


@dataclass(frozen=True)
class Camera:
    """The direction, field of view and pixel grid of a view.

    Angles are in degrees. ``fov_degrees`` is the horizontal field of view, in (0, 180). ``width`` and ``height`` are
    pixels. ``margin`` counts pixels along each edge that the camera sees but does not paint, so that a view beside
    another view always sees some of it.
    """

    yaw_degrees: float = 0.0
    pitch_degrees: float = 0.0
    roll_degrees: float = 0.0
    fov_degrees: float = 90.0
    width: int = 512
    height: int = 512
    margin: int = 0

    def __post_init__(self) -> None:
        for name in ("yaw_degrees", "pitch_degrees", "roll_degrees", "fov_degrees"):
            if not math.isfinite(getattr(self, name)):
                raise UserError("must be a finite number", key=name, value=getattr(self, name))
        if not 0 < self.fov_degrees < 180:
            raise UserError("must be more than 0 and less than 180", key="fov_degrees", value=self.fov_degrees)
        if not -90 <= self.pitch_degrees <= 90:
            raise UserError("must lie in [-90, 90]", key="pitch_degrees", value=self.pitch_degrees)
        for name in ("width", "height", "margin"):
            if type(getattr(self, name)) is not int:
                raise UserError("must be a whole number of pixels", key=name, value=getattr(self, name))
        if max(self.width, self.height) > MAX_SIDE or self.width * self.height > MAX_PIXELS:
            most = f"and height must be at most {MAX_SIDE}, and make at most {MAX_PIXELS} pixels"
            raise UserError(most, key="width", value=[self.width, self.height])
        if self.width < 1 or self.height < 1:
            raise UserError("and height must be at least 1", key="width", value=[self.width, self.height])
        if not 0 <= 2 * self.margin < min(self.width, self.height):
            raise UserError(f"must leave some of {self.width}x{self.height} pixels", key="margin", value=self.margin)

    def turned(self, yaw_degrees: float) -> "Camera":
        """Return the same camera turned right by ``yaw_degrees``."""
        return replace(self, yaw_degrees=self.yaw_degrees + yaw_degrees)

    def sized(self, width: int, height: int) -> "Camera":
        """Return the same camera with another pixel grid. The horizontal field of view stays."""
        return replace(self, width=width, height=height, margin=round(self.margin * width / self.width))

    @cached_property
    def rotation(self) -> Float[Tensor, "3 3"]:
        """The matrix from camera axes (x right, y up, z forward) to world axes."""
        return rotation(self.yaw_degrees, self.pitch_degrees, self.roll_degrees)

    @property
    def focal_pixels(self) -> float:
        """The distance of the image plane, in pixels of this view."""
        return self.width / 2 / math.tan(math.radians(self.fov_degrees) / 2)

    @property
    def forward(self) -> Float[Tensor, "3"]:
        """The unit vector through the image centre."""
        return self.rotation[:, 2]

    @property
    def radius_radians(self) -> float:
        """The angle between the image centre and the image corners."""
        return math.atan(math.hypot(self.width, self.height) / 2 / self.focal_pixels)

    def pixel_directions(self, supersampling: int = 1) -> Float[Tensor, "rows columns 3"]:
        """Return the world direction (length >= 1) of every pixel centre, or of ``supersampling``^2 points in every
        pixel.
        """
        rows, columns = self.height * supersampling, self.width * supersampling
        x = (torch.arange(columns, dtype=torch.float64) + 0.5) / supersampling - self.width / 2
        y = self.height / 2 - (torch.arange(rows, dtype=torch.float64) + 0.5) / supersampling
        y, x = torch.meshgrid(y / self.focal_pixels, x / self.focal_pixels, indexing="ij")
        return torch.stack([x, y, torch.ones_like(x)], dim=-1) @ self.rotation.T

    def image_positions(self, vectors: Float[Tensor, "*grid 3"]) -> tuple[Float[Tensor, "*grid 2"], Tensor]:
        """Return the fractional (column, row) at which the view shows each world direction, and whether it paints
        there.
        """
        x, y, z = (vectors @ self.rotation).unbind(-1)
        ahead = z > MIN_AHEAD
        depth = torch.where(ahead, z, 1.0)
        columns = x / depth * self.focal_pixels + self.width / 2 - 0.5
        rows = self.height / 2 - 0.5 - y / depth * self.focal_pixels
        first, last_column, last_row = (
            self.margin - 0.5,
            self.width - self.margin - 0.5,
            self.height - self.margin - 0.5,
        )
        inside = ahead & (columns >= first) & (columns <= last_column) & (rows >= first) & (rows <= last_row)
        return torch.stack([columns, rows], dim=-1), inside

    def pixel_places(self) -> Float[Tensor, "pixels 2"]:
        """Return the (column, row) of every pixel, row by row."""
        rows, columns = torch.meshgrid(torch.arange(self.height), torch.arange(self.width), indexing="ij")
        return torch.stack([columns, rows], dim=-1).flatten(0, 1).double()

    def weights(self, places: Float[Tensor, "points 2"], weighting: Weighting) -> Float[Tensor, "points"]:
        """Return how much the view counts at fractional (column, row) places beside other views.

        ``centre`` is min(1 - |x|, 1 - |y|) with x and y from -1 to 1 between the edges (Ganorama).
        """
        if weighting == "uniform":
            return torch.ones(len(places), dtype=torch.float64)
        size = torch.tensor([self.width, self.height], dtype=torch.float64)
        return (1 - ((places + 0.5) * 2 / size - 1).abs().amax(-1)).clamp_min(MIN_WEIGHT)


@lru_cache(maxsize=128)
def positions_of(camera: Camera) -> Float[Tensor, "3 rows columns"]:
    """Return the position of each pixel of a view on the sphere, as a unit vector. Unlike angles, it jumps nowhere."""
    vectors = camera.pixel_directions()
    return (vectors / vectors.norm(dim=-1, keepdim=True)).permute(2, 0, 1).float()
