"""The garden that rooms see through their windows."""

from collections.abc import Callable

import numpy as np

from aognet.scenes.outdoors.film import Film
from aognet.scenes.outdoors.ground import Ground, Soil
from aognet.scenes.outdoors.trees import Species, Trees
from aognet.scenes.rays import Rays, rgb
from aognet.scenes.sky.sky import Sky
from aognet.scenes.world import Seen


def garden(rng: np.random.Generator, sky: Sky, height: float = 3.0) -> Callable[[Rays], Seen]:
    """Return what rays see: a lawn ``height`` metres below the camera with trees under the sky. All labels are 0."""
    soil = Soil(rgb(0.33, 0.42, 0.19), rgb(0.4, 0.46, 0.24), (0.0, 0.2, 0.1, 0.1))
    leafy = Species("round", (rgb(0.3, 0.4, 0.17), rgb(0.36, 0.44, 0.2)), rgb(0.33, 0.27, 0.22))
    layers = [
        Ground(rng, sky, soil, 0, height),
        Trees(rng, sky, leafy, 60.0, 11.0, 0.9, 0, height),
        Trees(rng, sky, leafy, 28.0, 8.0, 0.4, 0, height),
    ]

    def look(rays: Rays) -> Seen:
        film = Film.of_sky(sky, rays)
        for layer in layers:
            layer.paint(film)
        return film.seen()

    return look
