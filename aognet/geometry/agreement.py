"""Views that agree: features of many views, averaged wherever several of them see the same ray.

Ganorama (2025) does this to the features of a GAN, MultiDiffusion (Bar-Tal et al. 2023) and Linear Fusion (arXiv
2609.01997) to the latents of diffusion models. All of them are linear, and depend on the views alone: here each is a
sparse matrix, made once. Views are cameras in one sphere, or tiles of one flat image.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.geometry.camera import Camera, Weighting
from aognet.geometry.sparse import CPU, as_views, by_pixels, normalised, pixel_rows, product, readings
from aognet.geometry.sphere_fit import conjugate_gradients, sphere_height, sphere_system
from aognet.geometry.tiles import FlatTile

View = Camera | FlatTile
CACHED = 8
"""Matrices that stay. One of 16 views of 64x64 pixels weighs 7 MB, and four times as much for twice the size."""
ITERATIONS = 30


def mean(
    features: Float[Tensor, "views channels rows columns"],
    views: Sequence[View],
    weighting: Weighting = "uniform",
    passes: int = 1,
    in_place: bool = False,
) -> Float[Tensor, "views channels rows columns"]:
    """Return the features of each view, replaced by the mean over all views that see the same ray.

    Each view is read bilinearly (itself at its own pixels, that is exactly), all before the pass, as in a Jacobi
    iteration (Ganorama). More ``passes`` let views agree more, and blur more. It is linear, differentiable in the
    features, and keeps what is the same everywhere. The views may have any size and margin: only where they look
    counts, at the size of the features. It computes in single precision or more, and returns the features' type.
    Features in the memory format channels-last are not copied. With ``in_place`` the result takes the features' place:
    faster, for features that nothing else needs.

    :raises ValueError: if there are not as many features as views.
    """
    made = mean_matrix(_sized(views, features), weighting, features.device)

    def passed(rows: Tensor) -> Tensor:
        for _ in range(passes):
            rows = product(made, rows)
        return rows

    return by_pixels(features, passed, in_place)


def solved(
    features: Float[Tensor, "views channels rows columns"],
    cameras: Sequence[Camera],
    weighting: Weighting = "uniform",
    height: int | None = None,
    iterations: int = ITERATIONS,
) -> tuple[Float[Tensor, "views channels rows columns"], Float[Tensor, "1 channels height width"]]:
    """Return views of one sphere that is nearest to the features of all views, and that sphere (equirectangular).

    The sphere J minimises the sum over views i of ||S_i J - features_i||^2, weighted, plus a little ||L J||^2, with S_i
    the bilinear view i of a sphere and L its Laplacian (Linear Fusion, arXiv 2609.01997). ``height``: rows of the
    sphere; None: about as fine as the views. The result's views agree as far as bilinear views of one image do.

    :raises ValueError: if there are not as many features as cameras.
    """
    seen = cast("tuple[Camera, ...]", _sized(cameras, features))
    system = sphere_system(seen, height or sphere_height(seen), weighting, features.device)
    rows = pixel_rows(features)
    found = conjugate_gradients(system.normal, product(system.back, rows), product(system.start, rows), iterations)
    erp = found.T.reshape(1, features.shape[1], system.height, 2 * system.height)
    return as_views(product(system.look, found), features), erp.to(features.dtype)


def disagreement(features: Float[Tensor, "views channels rows columns"], views: Sequence[View]) -> float:
    """Return the root mean square difference between a view and the mean of all others along rays that several see,
    as a share of the features' standard deviation. It is 0 if no two views see the same ray.

    :raises ValueError: if there are not as many features as views.
    """
    others, several = _others(_sized(views, features))
    rows = pixel_rows(features).double().cpu()
    difference = (product(others, rows) - rows)[several]
    return float(difference.square().sum().div(max(difference.numel(), 1)).sqrt() / rows.std().clamp_min(1e-12))


@lru_cache(maxsize=CACHED)
def mean_matrix(views: tuple[View, ...], weighting: Weighting, device: torch.device = CPU) -> Tensor:
    """Return the matrix of `mean`, CSR in single precision, its rows and columns numbered by view, row and column."""
    if device.type != "cpu":
        return mean_matrix(views, weighting).to(device)
    return normalised(*readings(views, _directions(views), weighting), _shape(views), torch.float32)


@lru_cache(maxsize=CACHED)
def _others(views: tuple[View, ...]) -> tuple[Tensor, Tensor]:
    """Return the mean over all other views as a matrix, and which pixels others see."""
    rows, columns, values = readings(views, _directions(views), "uniform")
    size = views[0].height * views[0].width
    other = rows // size != columns // size
    rows, columns, values = rows[other], columns[other], values[other]
    several = torch.zeros(_shape(views)[0], dtype=torch.bool).index_fill_(0, rows, True)
    return normalised(rows, columns, values, _shape(views), torch.float64), several


def _directions(views: Sequence[View]) -> Tensor:
    return torch.cat([view.pixel_directions().flatten(0, 1) for view in views])


def _shape(views: Sequence[View]) -> tuple[int, int]:
    pixels = len(views) * views[0].height * views[0].width
    return pixels, pixels


def _sized(views: Sequence[View], features: Tensor) -> tuple[View, ...]:
    """Return the views at the size of the features, without a margin: a view sees itself everywhere."""
    if len(views) != len(features):
        raise ValueError(f"{len(features)} features for {len(views)} views")
    height, width = features.shape[-2:]
    return tuple((replace(view, margin=0) if isinstance(view, Camera) else view).sized(width, height) for view in views)
