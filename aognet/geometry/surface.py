"""Pictures with edges and pictures without: what lies beside a pixel at the edge, and how values are carried around.

A photograph lies in a plane, and beyond its edges nothing is known. A panorama goes around the sphere: its left and
right edges are neighbours, and over a pole one comes down on the other side.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from aognet.geometry.sphere import pad_sphere, pixel_directions

CELLS = 64  # rows from which on values are carried over the whole sphere at once


class Plane:
    """A picture with edges."""

    def padded(self, image: Float[Tensor, "batch channels rows columns"], margin: int) -> Tensor:
        """Return the picture with ``margin`` more pixels on each side: zeros."""
        return functional.pad(image, (margin,) * 4)

    def softened(self, image: Float[Tensor, "batch channels rows columns"]) -> Tensor:
        """Return the mean of the 3 x 3 pixels around each pixel, of those that are there."""
        return functional.avg_pool2d(image, 3, stride=1, padding=1, count_include_pad=False)

    def cells(self, rows: int, columns: int, most: int) -> tuple[int, int]:
        """Return into how many rows and columns of cells a picture is divided, at most so many of a square."""
        return min(rows, most), min(columns, most)

    def squared_distances(self, rows: int, columns: int, device: torch.device) -> Float[Tensor, "cells cells"]:
        """Return the squares of the distances between cells, in cells."""
        places = torch.cartesian_prod(torch.arange(rows, device=device), torch.arange(columns, device=device)).float()
        return torch.cdist(places, places).square()

    def enlarged(self, cells: Float[Tensor, "batch channels _ _"], rows: int, columns: int) -> Tensor:
        """Return a picture of so many pixels from one of fewer, bilinear."""
        return functional.interpolate(cells, size=(rows, columns), mode="bilinear", align_corners=False)

    def extended(
        self, values: Float[Tensor, "batch channels rows columns"], weight: Float[Tensor, "batch 1 rows columns"]
    ) -> Tensor:
        """Carry values known where ``weight`` is 1, and 0 elsewhere, smoothly to everywhere else (pull-push over halved
        pictures).
        """
        if max(values.shape[-2:]) < 2:
            return values / weight.clamp_min(1e-4)
        return self._pushed(values, weight, *_halved(values, weight))

    def _pushed(self, values: Tensor, weight: Tensor, half_values: Tensor, half_weight: Tensor) -> Tensor:
        """Return the values, and what smaller ones say where they are not known."""
        coarse = self.enlarged(self.extended(half_values, half_weight), *values.shape[-2:])
        return values + coarse * (1 - weight)


class Sphere(Plane):
    """A panorama, twice as wide as high. Rolling it by whole cells rolls what becomes of it: a cell is a pixel for
    `padded` and `softened`, and for `extended` at most 1 / `CELLS` of the height, if that can be halved so often.
    """

    def padded(self, image: Tensor, margin: int) -> Tensor:
        """Return the panorama with ``margin`` more pixels on each side, which continue the sphere."""
        return pad_sphere(image, margin)

    def softened(self, image: Tensor) -> Tensor:
        return functional.avg_pool2d(pad_sphere(image, 1), 3, stride=1)

    def cells(self, rows: int, columns: int, most: int) -> tuple[int, int]:
        """Return into how many rows and columns of equal cells a panorama is divided: at most so many rows."""
        down = max(count for count in range(1, min(rows, most) + 1) if rows % count == 0)
        return down, columns * down // rows

    def squared_distances(self, rows: int, columns: int, device: torch.device) -> Tensor:
        """Return the squares of the angles between cells, in rows."""
        towards = pixel_directions(rows, columns).flatten(0, 1)
        return _in_rows(towards @ towards.T, rows).square().float().to(device)

    def enlarged(self, cells: Tensor, rows: int, columns: int) -> Tensor:
        """Return a panorama of so many pixels, a whole number of times as many, bilinear."""
        by = rows // cells.shape[-2]
        if by == 1:
            return cells
        larger = functional.interpolate(pad_sphere(cells, 1), scale_factor=by, mode="bilinear", align_corners=False)
        return larger[..., by:-by, by:-by]

    def extended(self, values: Tensor, weight: Tensor) -> Tensor:
        rows, columns = values.shape[-2:]
        if rows > CELLS and rows % 2 == 0 and columns % 4 == 0:
            return self._pushed(values, weight, *_halved(values, weight))
        return values + self._around(values, weight) * (1 - weight)

    def _around(self, values: Tensor, weight: Tensor) -> Tensor:
        """Return for every pixel the mean of all known values, weighted by the inverse third power of the angle.

        For two rows of pixels it is a circular convolution: a product of Fourier transforms.
        """
        rows, columns = values.shape[-2:]
        known = torch.cat([values * weight, weight], dim=1).double()
        spectra = torch.fft.rfft(known)
        towards = pixel_directions(rows, columns)
        sums = []
        for ahead in towards[:, 0]:  # the first pixel of each row
            kernel = (1 + _in_rows(towards @ ahead, rows).square()) ** -1.5
            spectrum = torch.fft.rfft(kernel.to(values.device))
            sums.append(torch.fft.irfft((spectrum * spectra).sum(-2), n=columns))
        summed = torch.stack(sums, dim=-2)
        there = weight.flatten(1).amax(1).view(-1, 1, 1, 1)
        return (summed[:, :-1] / summed[:, -1:].clamp_min(1e-12) * there).to(values.dtype)


def _in_rows(cosines: Tensor, rows: int) -> Tensor:
    """Return the angles of cosines in rows of a panorama."""
    return cosines.clamp(-1, 1).acos() * (rows / math.pi)


def _halved(values: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the means of the known values of 2 x 2 pixels, and where there are any.

    A cell with any known pixel counts as known from there on: its mean is the best guess there is.
    """
    half_values = functional.avg_pool2d(values, 2, ceil_mode=True)
    half_weight = functional.avg_pool2d(weight, 2, ceil_mode=True)
    known = half_weight > 0
    return half_values / half_weight.clamp_min(1e-4) * known, known.to(weight.dtype)


PLANE, SPHERE = Plane(), Sphere()
