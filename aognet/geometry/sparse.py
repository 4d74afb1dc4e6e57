"""Sparse matrices between the pixels of images: their taps, how they are built, and their product with features."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

CPU = torch.device("cpu")
SNAP = 1e-9  # pixels; a place so near a pixel's centre is that pixel
CACHED_VALUES = 2**17  # numbers that stay near a core, as in perspective.py
CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))  # rows down and columns right of the first of four pixels

with warnings.catch_warnings():
    # Torch warns once a process, when the first such matrix is made. The few functions used here are old and tested.
    warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
    _none = torch.zeros(1, dtype=torch.int32)
    torch.sparse_csr_tensor(_none, _none[:0], torch.zeros(0), (0, 0), check_invariants=False)


def corners(
    places: Float[Tensor, "points 2"],
) -> tuple[Int64[Tensor, "points 4"], Int64[Tensor, "points 4"], Float[Tensor, "points 4"]]:
    """Return columns, rows and bilinear weights of the four pixels around each fractional (column, row)."""
    whole = places.round()
    places = torch.where((places - whole).abs() < SNAP, whole, places)
    first = places.floor()
    down, right = torch.tensor(CORNERS, device=places.device).T
    column, row = first.long()[..., None].unbind(-2)
    across, along = (places - first)[..., None].unbind(-2)
    weights = torch.where(down > 0, along, 1 - along) * torch.where(right > 0, across, 1 - across)
    return column + right, row + down, weights


def matrix(rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """Return a CSR matrix of entries in any order; those at one place are added, zeros left out.

    Its numbers are int32, which MKL takes without a copy at each product.
    """
    kept = values != 0
    at = torch.stack([rows[kept], columns[kept]])
    entries = torch.sparse_coo_tensor(at, values[kept], shape, check_invariants=False).coalesce()
    rows, columns = entries.indices()
    starts = torch.zeros(shape[0] + 1, dtype=torch.int32)
    starts[1:] = torch.bincount(rows, minlength=shape[0]).cumsum(0)
    return torch.sparse_csr_tensor(
        starts, columns.int(), entries.values().to(dtype), shape, dtype=dtype, check_invariants=False
    )


def readings(
    views: Sequence[Any], where: Float[Tensor, "places axes"], weighting: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows (places), columns (pixels of all views) and values of a matrix: the sum of what all views of one size
    show where they are looked at, bilinearly, each with its weight there.
    """
    rows, columns, values = [], [], []
    for number, view in enumerate(views):
        places, inside = view.image_positions(where)
        seen = inside.nonzero()[:, 0]
        places = places[seen]
        column, row, shares = corners(places)
        pixel = row.clamp(0, view.height - 1) * view.width + column.clamp(0, view.width - 1)  # edges are repeated
        rows.append(seen.repeat_interleave(4))
        columns.append(pixel.flatten() + number * view.height * view.width)
        values.append((shares * view.weights(places, weighting)[:, None]).flatten())
    return torch.cat(rows), torch.cat(columns), torch.cat(values)


def normalised(rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """Return a CSR matrix whose rows sum to 1, or are empty."""
    sums = torch.zeros(shape[0], dtype=torch.float64).index_add_(0, rows, values)
    return matrix(rows, columns, values / sums[rows], shape, dtype)


def product(left: Tensor, rows: Float[Tensor, "columns channels"]) -> Float[Tensor, "rows channels"]:
    """Return a CSR matrix times a dense one. It is differentiable in the dense one."""
    return torch.sparse.mm(left.to(rows.dtype), rows)


def weigh(left: Tensor) -> int:
    """Return the bytes of a CSR matrix."""
    return sum(part.nbytes for part in (left.crow_indices(), left.col_indices(), left.values()))


def by_pixels(
    features: Float[Tensor, "views channels rows columns"], change: Callable[[Tensor], Tensor], in_place: bool = False
) -> Float[Tensor, "views channels rows columns"]:
    """Return features, changed as rows of pixels, each channel alone. Memory format and type stay.

    On a CPU, features that are not channels-last are turned into rows a few channels at a time, which is faster, and
    faster again ``in_place``, where no new memory is taken.
    """
    if features.is_contiguous(memory_format=torch.channels_last):
        changed = as_views(change(pixel_rows(features)), features)
        return features.copy_(changed) if in_place else changed
    count, channels, height, width = features.shape
    few = max(CACHED_VALUES // (count * height * width), 8) if features.device.type == "cpu" else channels
    result = features if in_place else torch.empty_like(features, memory_format=torch.contiguous_format)
    for first in range(0, channels, few):
        part = features[:, first : first + few]
        result[:, first : first + few] = as_views(change(pixel_rows(part)), part)
    return result


def pixel_rows(features: Float[Tensor, "views channels rows columns"]) -> Float[Tensor, "pixels channels"]:
    """Return one row for each pixel of all views, in single precision or more: a sum over views in half precision
    would round, and on a CPU there is none. Of single precision in the memory format channels-last, it is no copy.
    """
    precision = torch.promote_types(features.dtype, torch.float32)
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1]).to(precision)


def as_views(rows: Tensor, like: Float[Tensor, "views channels rows columns"]) -> Tensor:
    """Return the rows of pixels as views of the shape and type of ``like``, in the memory format channels-last."""
    count, channels, height, width = like.shape
    return rows.reshape(count, height, width, channels).permute(0, 3, 1, 2).to(like.dtype)
