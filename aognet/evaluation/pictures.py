"""The pictures that are taken of a panorama to be measured: the same directions for every panorama."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from torch import Tensor

from aognet.data.viewing import Pyramid, view_all
from aognet.data.whole import turned
from aognet.evaluation.protocol import PictureConfig
from aognet.geometry.camera import Camera
from aognet.geometry.cubemap import LATERAL, face_cameras


def take(panorama: Pyramid, config: PictureConfig) -> Float[Tensor, "pictures 3 rows columns"]:
    """The pictures of a panorama, in [-1, 1]."""
    if config.kind == "panorama":
        return turned(panorama, -round(config.turn_degrees / 360 * 2 * panorama.height))[None]
    return view_all(panorama, cameras_of(config))


@lru_cache(maxsize=64)
def cameras_of(config: PictureConfig) -> tuple[Camera, ...]:
    """The cameras of all kinds but panorama, in order."""
    if config.kind in ("equator", "poles"):
        faces = face_cameras(config.size)
        return faces[: len(LATERAL)] if config.kind == "equator" else faces[len(LATERAL) :]
    random = np.random.default_rng(config.seed)
    # Evenly on the sphere: the sine of the latitude is uniform (Archimedes' hat-box theorem).
    pitches = [math.degrees(math.asin(sine)) for sine in random.uniform(-1, 1, config.count)]
    yaws = random.uniform(-180, 180, config.count).tolist()
    level = [0.0] * config.count
    if config.kind == "horizon":
        return _cameras(config, [360.0 * number / config.count for number in range(config.count)], level)
    if config.kind == "random_horizon":
        return _cameras(config, yaws, level)
    if config.kind == "seam":
        return _cameras(config, [180.0] * config.count, pitches)
    return _cameras(config, yaws, pitches)


def _cameras(config: PictureConfig, yaws: Sequence[float], pitches: Sequence[float]) -> tuple[Camera, ...]:
    pairs = zip(yaws, pitches, strict=True)
    return tuple(Camera(yaw, pitch, 0.0, config.fov_degrees, config.size, config.size) for yaw, pitch in pairs)
