"""Panoramas of procedural scenes, and what can be wrong with a panorama, in a chosen strength."""

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from aognet.geometry import sphere
from aognet.geometry.cubemap import faces_of, panorama_of
from aognet.geometry.perspective import rotate
from aognet.scenes import make_scene

# Of a lake, a room, a meadow and a street.
SEEDS = (0, 1, 2, 3)


@lru_cache(maxsize=1)
def scenes() -> Tensor:
    """[4, 3, 256, 512] in [-1, 1], whole spheres without any seam. Do not write into it."""
    images = [torch.from_numpy(make_scene(seed, 256).image).permute(2, 0, 1) * 2 - 1 for seed in SEEDS]
    return torch.stack(images)


def captions() -> list[str]:
    """What the scenes show."""
    return [make_scene(seed, 64).caption for seed in SEEDS]


def noise(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def with_wrap_seam(panorama: Tensor, strength: float) -> Tensor:
    """Left of the wrap brighter, right of it darker, fading out over 1/32 of a turn and towards the poles."""
    height, width = panorama.shape[-2:]
    longitudes = sphere.pixel_longitudes(width)
    beside = longitudes.sign() * torch.exp((longitudes.abs() - math.pi) / (math.pi / 16))
    return panorama + strength / 2 * (sphere.pixel_latitudes(height).cos()[:, None] ** 4 * beside).float()


def with_noisy_poles(panorama: Tensor, strength: float) -> Tensor:
    """Noise in the two outer rows of either pole."""
    rows = torch.zeros(panorama.shape[-2], 1)
    rows[[0, 1, -2, -1]] = strength
    return panorama + rows * noise(panorama.shape)


def with_uneven_faces(panorama: Tensor, strength: float) -> Tensor:
    """Made again of its six faces, each of another brightness."""
    brightness = torch.tensor([0.0, 1.0, -1.0, 0.5, -0.5, 0.8]).view(6, 1, 1, 1)
    faces = faces_of(panorama, panorama.shape[-2] // 2)
    return panorama_of(faces + strength / 2 * brightness, panorama.shape[-2])


def blurred(panorama: Tensor, sigma: float) -> Tensor:
    reach = math.ceil(3 * sigma)
    weights = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    weights = (weights / weights.sum()).expand(panorama.shape[1], 1, 1, -1)
    across = functional.conv2d(sphere.pad_sphere(panorama, reach), weights, groups=len(weights))
    return functional.conv2d(across, weights.transpose(2, 3), groups=len(weights))


def noisy(panorama: Tensor, strength: float) -> Tensor:
    return panorama + strength * noise(panorama.shape)


def tilted(panorama: Tensor, degrees: float) -> Tensor:
    return rotate(panorama, 0.0, degrees)
