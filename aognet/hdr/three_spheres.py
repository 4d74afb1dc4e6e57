"""Three spheres under a panorama: diffuse, matte silver and mirror, and how far two panoramas light them differently.

The measure of lighting of StyleLight (ECCV 2022) and DiffusionLight (CVPR 2024): whoever uses a panorama as a light
sees its errors on surfaces, not on its pixels.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from aognet.geometry.sphere import pixel_positions, sample
from aognet.hdr.lobes import DIFFUSE_ROWS, diffuse, gathered, lights_of, silver
from aognet.io.images import resize_panorama
from aognet.metrics.colour_angle import colour_angle
from aognet.metrics.si_rmse import si_rmse

MATERIALS = ("diffuse", "silver", "mirror")
ENVIRONMENT_ROWS = 128
SIZE = 128
_FINER = 2  # points across a pixel: the mirror shows much in little space
MEASURES = {"si_rmse": si_rmse, "colour_angle": colour_angle}


def three_spheres(panorama: Float[Tensor, "1 3 height width"], size: int = SIZE) -> Float[Tensor, "3 3 size size"]:
    """Return pictures of the spheres (`MATERIALS`) under a panorama of linear light, each filling its square.

    They are seen from far away, along the forward axis, so that the middle of the mirror shows what lies behind. The
    panorama is brought to 128 x 256 pixels first, if it is larger. Outside the sphere all is black.
    """
    panorama = resize_panorama(panorama.float(), min(ENVIRONMENT_ROWS, panorama.shape[-2]))
    normals, inside = _normals(size * _FINER)
    mirrored = reflected(torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64), normals)
    lights = lights_of(panorama)
    looks = (
        (gathered(lights, diffuse, DIFFUSE_ROWS), normals),
        (gathered(lights, silver), mirrored),
        (panorama, mirrored),
    )
    pictures = torch.cat([at(look, directions) * inside for look, directions in looks])
    return functional.avg_pool2d(pictures, _FINER)


def on_sphere(size: int = SIZE) -> Bool[Tensor, "size size"]:
    """Return which pixels of such a picture lie on the sphere to their last corner."""
    return functional.avg_pool2d(_normals(size * _FINER)[1].float()[None, None], _FINER)[0, 0] == 1


def sphere_errors(
    one: Float[Tensor, "3 3 size size"], other: Float[Tensor, "3 3 size size"]
) -> dict[str, dict[str, float]]:
    """Return the measures (``si_rmse``, ``colour_angle``) of each material between two results of `three_spheres`.

    All pixels on the sphere count alike; ``other`` is the truth.
    """
    inside = on_sphere(one.shape[-1])
    seen, true = (pictures[..., inside][:, :, None] for pictures in (one, other))
    found = {name: measure(seen, true).tolist() for name, measure in MEASURES.items()}
    return {name: dict(zip(MATERIALS, errors, strict=True)) for name, errors in found.items()}


def reflected(directions: Float[Tensor, "*#shape 3"], normals: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape 3"]:
    """Return the directions that rays take after a mirror."""
    return directions - 2 * (directions * normals).sum(-1, keepdim=True) * normals


def at(
    panorama: Float[Tensor, "1 3 height width"], directions: Float[Tensor, "rows columns 3"]
) -> Float[Tensor, "1 3 rows columns"]:
    """Return what a panorama shows in these directions (world axes, of length 1)."""
    return sample(panorama, pixel_positions(directions, *panorama.shape[-2:]))


def _normals(size: int) -> tuple[Float[Tensor, "size size 3"], Bool[Tensor, "size size"]]:
    """Return the normals of a sphere that fills a square, and which pixels it covers."""
    places = (torch.arange(size, dtype=torch.float64) + 0.5) * 2 / size - 1
    down, right = torch.meshgrid(places, places, indexing="ij")
    depth = 1 - right**2 - down**2
    normals = torch.stack([right, -down, -depth.clamp_min(0).sqrt()], -1)
    return normals / normals.norm(dim=-1, keepdim=True), depth > 0
