"""A small result carried to full size: near every point, an affine map of the colours of the panorama.

The guided filter (He et al. 2013, IEEE TPAMI 35(6), equations 14 to 19) with a colour guide, on the sphere. Its ridge
pulls towards the affine map of the whole panorama instead of towards none, so that what is flat keeps its grain.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.geometry.sphere import pixel_solid_angles
from aognet.style.sphere_windows import sphere_mean
from aognet.style.transport import moments

STRIP_VALUES = 2**20
"""Values of a strip of rows at full size."""


@dataclass(frozen=True)
class LocalAffine:
    """``slopes`` times the guide, plus ``offsets``: for every pixel of a small panorama."""

    slopes: Float[Tensor, "channels 3 height width"]
    offsets: Float[Tensor, "channels height width"]

    @classmethod
    def fit(
        cls,
        guide: Float[Tensor, "3 height width"],
        target: Float[Tensor, "channels height width"],
        radius: int,
        epsilon: float,
    ) -> "LocalAffine":
        """Return the least-squares fit of the ``target`` in windows of ``radius`` rows, averaged over all windows that
        contain a pixel. ``epsilon``: variance of the guide below which the whole panorama's fit counts more.
        """
        guide, target = guide.double(), target.double()
        whole = _whole_fit(guide, target, epsilon)
        products = [(guide[:, None] * guide[None]).flatten(0, 1), (target[:, None] * guide[None]).flatten(0, 1)]
        means = sphere_mean(torch.cat([guide, target, *products]), radius).split([3, len(target), 9, 3 * len(target)])
        of_guide, of_target = means[:2]
        spread = means[2].unflatten(0, (3, 3)) - of_guide[:, None] * of_guide[None]
        shared = means[3].unflatten(0, (-1, 3)) - of_target[:, None] * of_guide[None]
        ridge = epsilon * torch.eye(3, dtype=torch.float64, device=guide.device)
        left = spread.permute(2, 3, 0, 1) + ridge
        right = (shared + epsilon * whole[:, :, None, None]).permute(2, 3, 1, 0)
        slopes = torch.linalg.solve(left, right).permute(3, 2, 0, 1)
        offsets = of_target - (slopes * of_guide).sum(1)
        smooth = sphere_mean(torch.cat([slopes.flatten(0, 1), offsets]), radius)
        slopes, offsets = smooth.split([3 * len(target), len(target)])
        return cls(slopes.unflatten(0, (-1, 3)), offsets)

    def here(self, guide: Float[Tensor, "3 height width"]) -> Float[Tensor, "channels height width"]:
        """Return the map of a guide of the same size, in float64."""
        return (self.slopes * guide.double()).sum(1) + self.offsets

    def exact(
        self, guide: Float[Tensor, "3 height width"], target: Float[Tensor, "channels height width"]
    ) -> "LocalAffine":
        """Return a map that gives the ``target`` itself at this size: what no affine map explains is added."""
        return LocalAffine(self.slopes, self.offsets + target.double() - self.here(guide))

    def enlarged(self, width: int) -> "Enlarged":
        """Return the map for panoramas of ``width`` columns."""
        values = torch.cat([self.slopes.flatten(0, 1), self.offsets]).float()
        own = values.shape[-1]
        places = (torch.arange(width, device=values.device, dtype=torch.float64) + 0.5) * own / width - 0.5
        first = places.floor()
        left, right = values[..., first.long() % own], values[..., (first.long() + 1) % own]
        return Enlarged(torch.lerp(left, right, (places - first).float()), len(self.offsets))


@dataclass(frozen=True)
class Enlarged:
    """A `LocalAffine`, with all columns and still few rows. ``values``: slopes, then offsets of ``channels``."""

    values: Float[Tensor, "parts height width"]
    channels: int

    def strips(self, rows: int) -> list[slice]:
        """Return strips of rows of a panorama of so many rows that are worked on at a time."""
        few = max(STRIP_VALUES // self.values.shape[-1], 1)
        return [slice(top, min(top + few, rows)) for top in range(0, rows, few)]

    def at(
        self, guide: Float[Tensor, "3 rows columns"], strip: slice, rows: int
    ) -> Float[Tensor, "channels rows columns"]:
        """Return the map of a strip of a guide that has so many ``rows`` in all."""
        own = self.values.shape[-2]
        places = (torch.arange(strip.start, strip.stop, dtype=torch.float64) + 0.5) * own / rows - 0.5
        first = places.floor().long()
        values = torch.lerp(self._row(first), self._row(first + 1), (places - first).to(self.values)[:, None])
        slopes, offsets = values.split([3 * self.channels, self.channels])
        return torch.addcmul(
            torch.addcmul(torch.addcmul(offsets, slopes[0::3], guide[0]), slopes[1::3], guide[1]),
            slopes[2::3],
            guide[2],
        )

    def _row(self, numbers: Tensor) -> Tensor:
        """Return rows; those beyond a pole are the rows before it, half a turn away."""
        height, width = self.values.shape[-2:]
        within = torch.where(
            numbers < 0, -1 - numbers, torch.where(numbers >= height, 2 * height - 1 - numbers, numbers)
        )
        rows = self.values[:, within.to(self.values.device)]
        for place in ((numbers < 0) | (numbers >= height)).nonzero()[:, 0].tolist():
            rows[:, place] = rows[:, place].roll(width // 2, -1)
        return rows


def _whole_fit(guide: Tensor, target: Tensor, epsilon: float) -> Float[Tensor, "channels 3"]:
    """Return the slopes of the fit of the whole panorama, weighted by solid angle."""
    height, width = guide.shape[-2:]
    weights = pixel_solid_angles(height, width)[:, None].expand(-1, width).flatten().to(guide.device)
    both = moments(torch.cat([guide, target]).flatten(1), weights).covariance
    spread = both[:3, :3] + epsilon * torch.eye(3, dtype=torch.float64, device=guide.device)
    return torch.linalg.solve(spread, both[:3, 3:]).T
