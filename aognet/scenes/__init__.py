"""Captioned panoramas without end: outdoor scenes and rooms drawn from a seed, with no asset.

``make_scene(seed)`` returns the same pixels and captions for the same seed. A scene is a function from view directions
to linear light, distance and labels (``world``). ``render`` samples it, and ``directions`` describes it in words.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from aognet.errors import UserError
from aognet.geometry.sphere import rotation
from aognet.scenes.directions import captions_at
from aognet.scenes.indoors.interiors import ROOMS, indoors
from aognet.scenes.outdoors.kinds import OUTDOORS, outdoors
from aognet.scenes.render import display, exposure, glare, render
from aognet.scenes.world import World

KINDS: tuple[str, ...] = (*OUTDOORS, *ROOMS)
VERSION = 2  # counts the changes after which the same seed gives other pixels or captions


@dataclass(frozen=True)
class Captions:
    """The words for a scene: for the whole, and for the 90 degree view at every 30 degrees of yaw."""

    whole: str
    at: dict[float, str]


@dataclass(frozen=True)
class Scene:
    """A panorama with its distances and captions.

    ``radiance`` is linear light in the unit of ``world``. ``depth`` is in metres along the ray of each pixel's centre,
    inf for the sky. ``captions_at`` has the caption of the 90 degree view at each of twelve yaws in degrees.
    """

    radiance: Float[np.ndarray, "height width 3"]
    depth: Float[np.ndarray, "height width"]
    caption: str
    captions_at: dict[float, str]
    kind: str

    @cached_property
    def image(self) -> Float[np.ndarray, "height width 3"]:
        """The image that a camera with automatic exposure takes: sRGB in [0, 1], float32."""
        factor = exposure(self.radiance)
        return display(glare(self.radiance, factor), factor)


def make_scene(seed: int, height: int = 512, kind: str | None = None) -> Scene:
    """Return the scene of a seed, of the named kind or else of a random one of ``KINDS``.

    Raises:
        UserError: for a kind that does not exist or a height below 8.
    """
    if height < 8:
        raise UserError(f"height must be at least 8, got {height}")
    world, kind, turn = draw_world(seed, kind)
    radiance, depth, _ = render(world, height, turn)
    return Scene(radiance, depth, world.caption, captions_at(world, turn), kind)


def describe_scene(seed: int, kind: str | None = None) -> Captions:
    """Return the captions of ``make_scene(seed, kind=kind)`` without making its image."""
    world, _, turn = draw_world(seed, kind)
    return Captions(world.caption, captions_at(world, turn))


def draw_world(seed: int, kind: str | None = None) -> tuple[World, str, np.ndarray]:
    """Return the world of a seed, its kind, and the rotation about the vertical axis with which it is seen."""
    if kind is not None and kind not in KINDS:
        raise UserError(f"unknown kind of scene {kind!r}; known: {', '.join(KINDS)}")
    rng = np.random.default_rng(seed)
    drawn = str(rng.choice(KINDS))
    kind = kind or drawn
    turn = rotation(float(rng.uniform(0, 360))).numpy()
    return outdoors(rng, kind) if kind in OUTDOORS else indoors(rng, kind), kind, turn
