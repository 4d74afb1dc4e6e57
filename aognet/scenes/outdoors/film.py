"""The film on which layers are painted, from far to near, and the air between them and the camera."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from aognet.scenes.rays import Rays, blend
from aognet.scenes.sky.sky import Sky
from aognet.scenes.world import NOTHING, Seen

EYE = 1.6  # metres from the ground to the camera


@dataclass(frozen=True)
class Film:
    """A ``Seen`` that is being painted."""

    rays: Rays
    radiance: np.ndarray
    distance: np.ndarray
    label: np.ndarray
    through: np.ndarray

    @classmethod
    def of_sky(cls, sky: Sky, rays: Rays, label: int = NOTHING) -> "Film":
        """Return a film with the sky and nothing else."""
        count = len(rays.directions)
        far, labels = np.full(count, np.inf, np.float32), np.full(count, label, np.int16)
        radiance, through = sky.look(rays)
        return cls(rays, radiance, far, labels, through)

    def lay(self, chosen, color, distance, label: int | np.ndarray, cover: np.ndarray | None = None) -> None:
        """Paint colours (m, 3) over the rays at indices ``chosen``. Half covered rays take the nearer distance."""
        if cover is None:
            self.radiance[chosen], self.through[chosen] = color, 0
            self.distance[chosen], self.label[chosen] = distance, label
            return
        self.radiance[chosen] = blend(self.radiance[chosen], color, cover)
        self.through[chosen] *= 1 - cover
        most = cover >= 0.5
        self.distance[chosen[most]] = distance[most] if isinstance(distance, np.ndarray) else distance
        self.label[chosen[most]] = label[most] if isinstance(label, np.ndarray) else label

    def seen(self) -> Seen:
        return Seen(self.radiance, self.distance, self.label, self.through)


@runtime_checkable
class Layer(Protocol):
    """Something between the sky and the camera."""

    def paint(self, film: Film) -> None:
        """Paint what hides the layers behind."""


def haze(sky: Sky, rays: Rays, color: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Return the colour (n, 3) seen through the air over distances in metres. Blue is scattered before red."""
    depth = np.asarray(distance, np.float32) / np.float32(sky.visibility)
    if sky.weather == "foggy":
        return blend(color, sky.air(rays), 1 - np.exp(-depth))
    amount = 1 - np.exp(-depth[:, None] * _SCATTER)
    return color + (sky.air(rays) - color) * amount


_SCATTER = np.array([0.7, 1.0, 1.5], np.float32)
