"""What every scene gives to the renderer: light, distance and labels along rays, and words for what a view shows.

Units: metres, and radiance relative to that of a white matte surface that faces the sun outside the atmosphere (about
41,000 cd/m2). So such a surface on the ground in full sunlight has about 0.9, a clear sky 0.05 to 0.4, the disc of the
sun up to 46,000, a white wall under 300 lux of lamps ``300 * LUX``. Irradiances are divided by pi for the same reason:
a matte surface has radiance ``albedo * (sunlight * cosine + ambient)``, with the ``Sky``'s fields of those names. Rooms
look out of their windows with ``garden.garden(rng, sky)``; the disc that shines in is ``sky.discs``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from aognet.scenes.rays import Rays

LUX = 1 / 128_000  # radiance of a white matte surface lit by one lux
NOTHING = 0  # index of the label of what is not worth saying: labels[0] is always ""


@dataclass(frozen=True)
class Seen:
    """What n rays meet. ``label`` indexes the world's labels. ``through`` is 0 where anything hides sun and moon."""

    radiance: np.ndarray  # (n, 3) float32, linear, without the discs of sun and moon
    distance: np.ndarray  # (n,) float32, metres along the ray, inf: sky
    label: np.ndarray  # (n,) int16
    through: np.ndarray  # (n,) float32 in [0, 1], part of a disc's light behind everything that comes through


@dataclass(frozen=True)
class Disc:
    """The sun or the moon. The renderer spreads its light over the pixels that it covers, so that no light is lost."""

    direction: np.ndarray  # (3,) unit vector
    radius: float  # radians
    radiance: np.ndarray  # (3,)


@dataclass(frozen=True)
class Sight:
    """One label in a view: its noun, its index, its share of the picture, and where it is across (-1 left, 1 right)."""

    noun: str
    index: int
    share: float
    across: float


@dataclass(frozen=True)
class SceneView:
    """What a square 90 degree view at eye level shows, the largest share first, and only shares above ``MIN_SHARE``.

    ``turn`` is the matrix from the camera's axes to the world's, so ``turn[:, 2]`` is where the camera looks.
    """

    turn: np.ndarray
    sights: tuple[Sight, ...]
    discs: tuple[float, ...]  # where across each visible disc of the world is

    def share(self, *nouns: str) -> float:
        """Return the share of the picture that these nouns take together."""
        return sum(sight.share for sight in self.sights if sight.noun in nouns)


MIN_SHARE = 0.004


@runtime_checkable
class World(Protocol):
    """What can be seen from the camera at the origin, which stands upright."""

    @property
    def caption(self) -> str:
        """A caption that is true of the whole panorama."""

    @property
    def labels(self) -> Sequence[str]:
        """Nouns for captions ("a bed"). ``labels[0]`` is "". The same noun twice means two things."""

    @property
    def discs(self) -> Sequence[Disc]:
        """The sun and the moon, if they shine."""

    def seen(self, rays: Rays) -> Seen:
        """Return what each ray meets."""

    def tell(self, view: SceneView) -> str:
        """Return a caption that is true of the view."""
