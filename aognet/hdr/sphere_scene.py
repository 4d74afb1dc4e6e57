"""A picture of three spheres that lie on the ground of a panorama: diffuse, matte silver and mirror, from the left.

The ground is that of the panorama, darkened where the spheres keep light from it (Debevec, "Rendering Synthetic
Objects into Real Scenes", SIGGRAPH 1998: what an object changes of the ground is multiplied into it). The mirror shows
its neighbours and the ground. The spheres do not darken each other.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.geometry.sphere import rotation
from aognet.hdr.lobes import DIFFUSE_ROWS, diffuse, gathered, lights_of, silver
from aognet.hdr.three_spheres import at, reflected
from aognet.io.images import resize_panorama
from aognet.metrics.averaging import pixel_mean
from aognet.metrics.luminance import luminance

CENTRES = ((-2.4, 0.0, 0.0), (0.0, 0.0, 0.0), (2.4, 0.0, 0.0))
EYE = (0.0, 0.7, -9.5)
GROUND = -1.0
FOV_DEGREES, PITCH_DEGREES = 46.0, -5.0
ASPECT = 16 / 9
MOST_ROWS = 1080
_FINER = 2  # rays across a pixel
_BEHIND_ROWS, _MIRRORED_ROWS = 2048, 512
_SHADOW_ROWS = 32  # of the panorama that casts shadows
_SHADOW_REACH, _SHADOW_POINTS = 7.0, 112  # half the square in which they fall, and points across
_FADING = 0.75  # of the reach, from where on they fade
_METERED = 0.5
_RAYS = 1 << 18  # in memory at a time


@dataclass(frozen=True)
class SphereSceneConfig:
    """``view_degrees``: the yaw at which the camera looks. ``height``: rows of the picture, which is 16:9."""

    view_degrees: float = 0.0
    height: int = 540

    def __post_init__(self) -> None:
        if not -360 <= self.view_degrees <= 360:
            raise UserError("must lie in [-360, 360] degrees", key="view_degrees", value=self.view_degrees)
        if not 16 <= self.height <= MOST_ROWS:
            raise UserError(f"must lie in [16, {MOST_ROWS}]", key="height", value=self.height)

    @property
    def width(self) -> int:
        """Columns of the picture."""
        return round(self.height * ASPECT)


class SphereScene:
    """The spheres under one panorama of linear light."""

    def __init__(self, panorama: Float[Tensor, "1 3 rows columns"], config: SphereSceneConfig = SphereSceneConfig()):
        rows, self.config = panorama.shape[-2], config
        self.turn = rotation(config.view_degrees)
        self.centres = torch.tensor(CENTRES, dtype=torch.float64) @ self.turn.T
        self.behind = resize_panorama(panorama, min(rows, _BEHIND_ROWS))
        self.mirrored = resize_panorama(panorama, min(rows, _MIRRORED_ROWS))
        lights = lights_of(self.mirrored)
        self.diffuse, self.silver = gathered(lights, diffuse, DIFFUSE_ROWS), gathered(lights, silver)
        self.lit = self._lit()

    def picture(self) -> Float[Tensor, "3 height width"]:
        """Return the picture in linear light, in the unit of the panorama. Memory stays bounded: rays go in parts."""
        height, width = self.config.height * _FINER, self.config.width * _FINER
        camera = Camera(self.config.view_degrees, PITCH_DEGREES, 0.0, FOV_DEGREES, width, height)
        eye = self.turn @ torch.tensor(EYE, dtype=torch.float64)
        rays = functional.normalize(camera.pixel_directions(), dim=-1)
        strips = rays.split(max(_RAYS // width // _FINER, 1) * _FINER)
        parts = [self._seen(eye.expand_as(strip), strip, self.behind, bounces=1) for strip in strips]
        return torch.cat([functional.avg_pool2d(part, _FINER) for part in parts], -2)[0]

    def metered(self) -> float:
        """Return the factor by which a light meter in the place of the spheres would expose.

        With it, a white surface in the mean light of all directions shows half of white.
        """
        mean = float(pixel_mean(luminance(self.diffuse), by_solid_angle=True))
        return _METERED / mean if mean > 0 else 1.0

    def _seen(
        self,
        origins: Float[Tensor, "rows columns 3"],
        rays: Float[Tensor, "rows columns 3"],
        panorama: Float[Tensor, "1 3 height width"],
        bounces: int,
    ) -> Float[Tensor, "1 3 rows columns"]:
        """Return the light that comes to the origins along rays, from spheres, the ground or a ``panorama``."""
        seen = at(panorama, rays) * self._lit_ground(origins, rays)
        distances = self._distances(origins, rays)
        for number, distance in enumerate(distances):
            hit = (distance < torch.inf) & (distance == distances.amin(0))
            if not hit.any():
                continue
            box = tuple(slice(int(some.min()), int(some.max()) + 1) for some in hit.nonzero().T)
            places = origins[box] + rays[box] * torch.where(hit, distance, 0)[box][..., None]
            look = self._look(number, places, rays[box], bounces)
            seen[..., *box] = torch.where(hit[box], look, seen[..., *box])
        return seen

    def _look(
        self,
        number: int,
        places: Float[Tensor, "rows columns 3"],
        rays: Float[Tensor, "rows columns 3"],
        bounces: int,
    ) -> Float[Tensor, "1 3 rows columns"]:
        """Return the light that a sphere sends back along rays that meet it at these places."""
        normals = functional.normalize(places - self.centres[number], dim=-1)
        if number == 0:
            return at(self.diffuse, normals)
        mirrored = reflected(rays, normals)
        if number == 1:
            return at(self.silver, mirrored)
        return self._seen(places, mirrored, self.mirrored, bounces - 1) if bounces else at(self.mirrored, mirrored)

    def _distances(self, origins: Float[Tensor, "*rays 3"], rays: Float[Tensor, "*rays 3"]) -> Float[Tensor, "3 *rays"]:
        """Return how far along each ray each sphere lies; inf where it does not, or the ray begins on it."""
        found = []
        for centre in self.centres:
            towards = centre - origins
            along = (towards * rays).sum(-1)
            inside = 1 - (towards.square().sum(-1) - along.square())
            distance = along - inside.clamp_min(0).sqrt()
            found.append(torch.where((inside > 0) & (distance > 1e-6), distance, torch.inf))
        return torch.stack(found)

    def _lit_ground(
        self, origins: Float[Tensor, "rows columns 3"], rays: Float[Tensor, "rows columns 3"]
    ) -> Float[Tensor, "1 3 rows columns"]:
        """Return which share of its light the ground gets where rays meet it, and 1 for rays that do not."""
        down = rays[..., 1]
        distance = (GROUND - origins[..., 1]) / torch.where(down < 0, down, -1.0)
        places = (origins + rays * distance[..., None]) @ self.turn  # as the camera sees them
        grid = places[..., [0, 2]] / _SHADOW_REACH
        # The map is one at its border, and beyond.
        share = functional.grid_sample(self.lit, grid.float()[None], padding_mode="border", align_corners=False)
        return torch.where((down < 0) & (distance > 0), share, 1.0)

    def _lit(self) -> Float[Tensor, "1 3 points points"]:
        """Return the share of its light that reaches each point of the ground around the spheres, for each colour."""
        lights = lights_of(self.mirrored, _SHADOW_ROWS)
        towards = lights.directions @ self.turn.float()
        above = towards[:, 1] > 0
        towards, powers = towards[above], lights.powers[above] * towards[above, 1:2]
        places = ((torch.arange(_SHADOW_POINTS) + 0.5) * 2 / _SHADOW_POINTS - 1) * _SHADOW_REACH
        deep, right = torch.meshgrid(places, places, indexing="ij")
        points = torch.stack([right, torch.full_like(right, GROUND), deep], -1).flatten(0, 1)
        total = powers.sum(0)
        some = max(_RAYS * 8 // max(len(towards), 1), 1)
        share = torch.cat([1 - _hidden(part, towards) @ powers / total for part in points.split(some)])
        edge = torch.maximum(right.abs(), deep.abs()).flatten()[:, None] / _SHADOW_REACH
        faded = torch.lerp(share, torch.ones_like(share), ((edge - _FADING) / (0.99 - _FADING)).clamp(0, 1))
        # Where no light comes from above, none can be hidden.
        lit = torch.where(total > 0, faded, 1.0)
        return lit.T.reshape(1, 3, _SHADOW_POINTS, _SHADOW_POINTS)


def _hidden(points: Float[Tensor, "points 3"], towards: Float[Tensor, "lights 3"]) -> Float[Tensor, "points lights"]:
    """Return the share in [0, 1] of each light that the spheres hide from each point of the ground.

    A light is a disc as wide as the rows that it stands for, and a point as wide as its place in the map.
    """
    shown = torch.ones(len(points), len(towards))
    for centre in torch.tensor(CENTRES):
        away = centre - points
        along = away @ towards.T
        beside = (away.square().sum(-1)[:, None] - along.square()).clamp_min(0).sqrt()
        blur = along.clamp_min(0) * (math.pi / _SHADOW_ROWS / 2) + _SHADOW_REACH / _SHADOW_POINTS
        shown *= torch.where(along > 0, ((beside - 1) / blur * 0.5 + 0.5).clamp(0, 1), 1.0)
    return 1 - shown
