"""How far everything in a panorama is, in metres, from files of distances or pictures of depth."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from aognet.errors import Setting, UserError
from aognet.geometry.surface import SPHERE
from aognet.io.depth_maps import DepthKind, DepthNumbers, depth_map_of, read_depth_numbers, sized_known

NEAR, FAR = 1.0, 20.0
"""Metres that white and black of a depth picture stand for."""
LEAST, MOST = 1e-6, 1e6


def load_distances(
    path: Path, rows: int, kind: DepthKind = "auto", near: float | None = None, far: float | None = None
) -> Float[Tensor, "rows columns"]:
    """Return the distances that an equirectangular file of depth shows, of ``rows`` x ``2 rows`` pixels, in float64.

    Distances in EXR and NPY files are in metres; what is farther than ``far``, such as a sky at inf, is moved there
    (by default, to the farthest finite distance). Distances in pictures are shares of ``far``. Where larger is nearer,
    the inverse distance runs evenly from ``1 / far`` to ``1 / near`` (defaults: 1 and 20). Pixels are averaged as
    inverse distances; what is transparent takes the depth of what lies around it.

    :raises UserError: as `aognet.io.depth_maps.load_depth`, and for distances under 1e-6 or above 1e6.
    """
    check_range(near, far)
    numbers = read_depth_numbers(Path(path), kind)
    if numbers.is_distance:
        if near is not None:
            raise UserError(f"is for pictures of inverse depth, and {path} holds distances", key="near", value=near)
        inverse, known = sized_known(_inverses(numbers, far)[None], numbers.opacity, rows)
        if not known.any():
            raise UserError(f"{path}: shows no depth with {rows} rows: what is opaque is smaller than a pixel")
    else:
        nearest, farthest = NEAR if near is None else near, FAR if far is None else far
        check_range(nearest, farthest)
        depth = depth_map_of(numbers, rows)
        inverse, known = 1 / farthest + depth.nearness * (1 / nearest - 1 / farthest), depth.known
    if not known.all():
        inverse = SPHERE.extended((inverse * known)[None], known[None].to(inverse))[0]
    return 1 / inverse[0].double()


def check_range(near: float | None, far: float | None) -> None:
    """Raise UserError unless those that are given are from 1e-6 to 1e6 metres, and ``near`` is the less."""
    for key, value in (("near", near), ("far", far)):
        if value is not None and not LEAST <= value <= MOST:
            raise UserError(f"must be from {LEAST:g} to {MOST:g} metres", key=key, value=value)
    if near is not None and near >= (FAR if far is None else far):
        raise UserError(
            "must be less than ", Setting("far"), f", {FAR if far is None else far:g}", key="near", value=near
        )


def _inverses(numbers: DepthNumbers, far: float | None) -> Float[Tensor, "rows columns"]:
    """Return the inverses of a file's distances, in 1 / metre."""
    path, metres = numbers.path, numbers.values.astype(np.float64)
    if not numbers.is_measured:
        metres *= FAR if far is None else far
    finite = metres[numbers.known & np.isfinite(metres)]
    top = float(finite.max()) if far is None else far
    if finite.size and (finite.min() < LEAST or top > MOST):
        said = f"{path}: holds distances from {finite.min():g} to {finite.max():g}; meshes have {LEAST:g} to {MOST:g} m"
        raise UserError(said, "; ", Setting("far"), " bounds them")
    return torch.from_numpy((1 / np.minimum(np.where(numbers.known, metres, top), top)).astype(np.float32))
