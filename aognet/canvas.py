"""The panorama that is being painted: what is known of it, and how a generated view joins it.

Known pixels never change. Generated pixels near a border with known pixels are blended towards them (feathered on the
generated side only, with matched colours), so that no border shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from aognet.geometry import perspective
from aognet.geometry.camera import Camera
from aognet.geometry.cubemap import face_cameras
from aognet.geometry.surface import PLANE, Plane
from aognet.io.value_range import Encoding, bounded, bounded_

Opacity = Float[Tensor, "batch 1 rows columns"] | None


@dataclass(frozen=True)
class MaskedView:
    """What a camera sees of a canvas: an ``image`` in the canvas's encoding, with unknown pixels 0, and the mask
    ``known``.
    """

    image: Float[Tensor, "*batch 3 rows columns"]
    known: Bool[Tensor, "*batch 1 rows columns"]


@dataclass(frozen=True, eq=False)
class Canvas:
    """A panorama, in the range of its ``encoding``, and the mask of its known pixels. Unknown pixels are 0.

    ``pixels`` has red, green, blue, and 1 or 0 for known or not, in one tensor, so that one pass shows both to a
    camera.
    """

    pixels: Float[Tensor, "batch 4 height width"]
    encoding: Encoding = "srgb"

    def __post_init__(self) -> None:
        height, width = self.pixels.shape[-2:]
        if width != 2 * height:
            raise ValueError(f"a panorama is twice as wide as high, got {width}x{height}")

    @classmethod
    def empty(
        cls, height: int, batch: int = 1, device: torch.device | str = "cpu", encoding: Encoding = "srgb"
    ) -> "Canvas":
        """Return a canvas of ``height`` x ``2 height`` pixels of which nothing is known."""
        return cls(torch.zeros(batch, 4, height, 2 * height, device=device), encoding)

    @classmethod
    def of(cls, panorama: Tensor, known: Tensor | None = None, encoding: Encoding = "srgb") -> "Canvas":
        """Return a canvas that knows a panorama, wholly or where the mask ``known`` is true."""
        known = torch.ones_like(panorama[:, :1]) if known is None else known.to(panorama.dtype)
        pixels = torch.cat([panorama, known], dim=1)
        pixels[:, :3].mul_(known)
        return cls(pixels, encoding)

    @property
    def image(self) -> Float[Tensor, "batch 3 height width"]:
        """The colours in [-1, 1]; 0 where nothing is known."""
        return self.pixels[:, :3]

    @property
    def known(self) -> Bool[Tensor, "batch 1 height width"]:
        """Which pixels are known."""
        return self.pixels[:, 3:] > 0.5

    @property
    def height(self) -> int:
        """Rows of the panorama."""
        return self.pixels.shape[-2]

    @property
    def unknown_pixels(self) -> int:
        """The number of pixels of the whole batch that are not painted yet."""
        return int((~self.known).sum())

    def to(self, device: torch.device | str) -> "Canvas":
        """Return the canvas on a device; itself if it is there."""
        return Canvas(self.pixels.to(device), self.encoding)

    def copy(self) -> "Canvas":
        """Return a copy of the canvas, to paint into."""
        return Canvas(self.pixels.clone(), self.encoding)

    def look(self, camera: Camera) -> MaskedView:
        """Return what a camera sees. A view pixel is known if every panorama pixel that it is made of is known."""
        both = self.look_all([camera])
        return MaskedView(both.image[:, 0], both.known[:, 0])

    def faces(self, size: int, yaw_degrees: float = 0.0) -> MaskedView:
        """Return the six faces of the cubemap whose front looks at a yaw, [batch, 6, ...]."""
        return self.look_all([camera.turned(yaw_degrees) for camera in face_cameras(size)])

    def look_all(self, cameras: Sequence[Camera]) -> MaskedView:
        """Return what cameras of one size see, [batch, views, ...]."""
        views = perspective.look_all(self._shrunk(perspective.shrinkage(cameras, self.height)), cameras)
        known = views[:, :, 3:] > 0.999
        return MaskedView(views[:, :, :3] * known, known)

    def _shrunk(self, by: int) -> Tensor:
        """Return the pixels made smaller. They are kept, and made again where something is painted."""
        if by not in self._smaller:
            self._smaller[by] = perspective.shrunk(self._shrunk(by // 2), 2)
        return self._smaller[by]

    def _shrink_again(self, camera: Camera) -> None:
        """Update the smaller pixels where a camera looks, after painting there."""
        for by in sorted(self._smaller.keys() - {1}):
            larger, smaller = self._smaller[by // 2], self._smaller[by]
            rows, runs = perspective.box(camera, *smaller.shape[-2:])
            for columns in runs:
                below, right = (slice(2 * part.start, 2 * part.stop) for part in (rows, columns))
                smaller[..., rows, columns] = perspective.shrunk(larger[..., below, right], 2)

    @cached_property
    def _smaller(self) -> dict[int, Tensor]:
        return {1: self.pixels}

    def paint(self, view: Float[Tensor, "batch 3 rows columns"], camera: Camera, opacity: Opacity = None) -> "Canvas":
        """Return a new canvas with the view in the unknown pixels of its footprint. Known pixels do not change."""
        return self.copy().paint_(view, camera, opacity)

    def paint_(self, view: Float[Tensor, "batch 3 rows columns"], camera: Camera, opacity: Opacity = None) -> "Canvas":
        """Do what `paint` does in this canvas. Only the pixels of the footprint are touched.

        ``opacity`` of the view's pixels is in [0, 1]. What is less than half opaque stays unknown, and no colour of a
        transparent pixel comes into another.
        """
        layers = view if opacity is None else torch.cat([view * opacity, opacity], dim=1)
        index, values = perspective.project(layers, camera, self.height)
        values, pixels = values.to(self.pixels.dtype), self.pixels.flatten(-2)
        stays = pixels[:, 3].index_select(-1, index) > 0.5
        if opacity is None:
            pixels[:, 3].index_fill_(-1, index, 1)
        else:
            opaque = values[:, 3] > 0.5
            pixels[:, 3].index_copy_(-1, index, (stays | opaque).to(pixels.dtype))
            stays = stays | ~opaque
            values = bounded_(values[:, :3] / values[:, 3:].clamp_min(1e-3), self.encoding)
        for number in range(3):  # one after the other: the memory for one is at hand again for the next
            colour = pixels[:, number]
            kept = torch.where(stays, colour.index_select(-1, index), values[:, number])
            colour.index_copy_(-1, index, kept)
        self._shrink_again(camera)
        return self

    def erase(self, camera: Camera, keep: Bool[Tensor, "batch 1 height width"] | None = None) -> "Canvas":
        """Return a new canvas where the footprint of a camera is unknown again, except where the mask ``keep`` protects
        it.
        """
        index = perspective.footprint(camera, self.height, 2 * self.height, 1, self.pixels.device).index
        known = self.known.flatten(-2).index_fill(-1, index, False).view_as(self.known)
        return Canvas.of(self.image, known if keep is None else known | (keep & self.known), self.encoding)

    def anchored(self) -> "Canvas":
        """Return a new canvas that shows what is known once more, half a turn behind it, where nothing is known."""
        behind = self.pixels.roll(self.pixels.shape[-1] // 2, -1)
        return Canvas(torch.where(self.known, self.pixels, behind), self.encoding)

    def forget_(self, mask: Bool[Tensor, "batch 1 height width"]) -> "Canvas":
        """Make the pixels of a mask unknown in this canvas."""
        self.pixels.mul_(~mask)
        for by in self._smaller.keys() - {1}:
            del self._smaller[by]
        return self


def join(
    generated: Float[Tensor, "batch 3 rows columns"],
    masked_view: MaskedView,
    feather: float = 0.1,
    encoding: Encoding = "srgb",
    surface: Plane = PLANE,
) -> Float[Tensor, "batch 3 rows columns"]:
    """Make a generated view fit what is known: known pixels stay, and new pixels are adjusted to them near the border.

    The jump of the colours across the border is continued smoothly into the generated part, and fades out over
    ``feather`` times the view's height. Its hue alone continues further, to whatever resembles what was generated at
    the border: grass that came out brown turns green as far as it grows, and the sky above it stays blue. With a
    ``feather`` of 0 the generated pixels are taken as they are. A whole panorama lies on the ``SPHERE``, where this
    goes on over its edges.
    """
    if feather == 0:
        return torch.where(masked_view.known, masked_view.image, generated)
    known = masked_view.known.to(generated.dtype)
    unknown = 1 - known
    beside = unknown * _grown(known, 3, surface)
    both = torch.cat([masked_view.image * known, known, generated * unknown, unknown], dim=1)
    (near_known, near), (far_known, far) = (_local_means(both, size, surface) for size in (5, 9))
    # The means lie 2.5 and 4.5 pixels apart across the border; a colour that changes evenly has no jump at distance 0.
    # Its mean along the border: single pixels would draw a line where textures meet.
    step, wider = near_known - near, far_known - far
    at_border = torch.cat([(step + (step - wider) * (2.5 / 2)) * beside, beside], dim=1)
    jump = _local_means(at_border, 7, surface)[0]
    hue = _carried(jump - jump.mean(1, keepdim=True), beside, near, surface)
    reach = _reach(known, max(feather * generated.shape[-2], 1.0), surface)
    correction = hue + (surface.extended(jump * beside, beside) - hue) * reach
    return torch.where(masked_view.known, masked_view.image, bounded(generated + correction, encoding))


def _carried(
    jump: Tensor, beside: Tensor, colours: Tensor, surface: Plane, cells: int = 32, similar: float = 0.25
) -> Tensor:
    """Give the jumps, known where ``beside`` is 1, to every pixel: from those near to it and of similar colour."""
    rows, columns = jump.shape[-2:]
    size = surface.cells(rows, columns, cells)
    share = functional.adaptive_avg_pool2d(beside, size)
    mean_jump = functional.adaptive_avg_pool2d(jump * beside, size) / share.clamp_min(1e-6)
    coarse = functional.adaptive_avg_pool2d(colours, size)
    nearness = _nearness(surface, *size, jump.device).to(jump.dtype)
    carried = []
    for weight, jumps, colour in zip(share.flatten(2), mean_jump.flatten(2), coarse.flatten(2), strict=True):
        border = (weight > 0).to(jump.dtype)
        unlike = torch.cdist(colour.T, colour.T).square_().div_(-2 * similar**2)
        weights = unlike.exp_().mul_(nearness)
        # Where nothing alike lies at the border, nothing is carried.
        carried.append((jumps * border) @ weights / (border @ weights + 1e-3))
    return surface.enlarged(torch.stack(carried).unflatten(-1, size), rows, columns)


@lru_cache(maxsize=4)
def _nearness(surface: Plane, rows: int, columns: int, device: torch.device) -> Float[Tensor, "cells cells"]:
    """Return how much the cells of a grid count for each other: less with the square of their distance."""
    return 1 / (1 + surface.squared_distances(rows, columns, device))


def _local_means(weighted: Float[Tensor, "batch channels rows columns"], size: int, surface: Plane) -> list[Tensor]:
    """Return the mean colours around each pixel, only over pixels whose weight is 1 (0 where there are none).

    ``weighted`` has, for each mean, three channels that are 0 where the weight is 0, and the weight as a fourth
    channel.
    """
    means = _box_mean(weighted, size, surface).split(4, dim=1)
    return [mean[:, :3] / mean[:, 3:].clamp_min(1e-4) for mean in means]


def _box_mean(image: Tensor, size: int, surface: Plane) -> Tensor:
    """Return the mean of the ``size`` x ``size`` pixels around each pixel, with zeros beyond the edges of a plane."""
    padded = surface.padded(image, size // 2)
    return _sums(_sums(padded, size, -1), size, -2) / size**2


def _sums(values: Tensor, size: int, dim: int) -> Tensor:
    """Return the sums of ``size`` neighbours along a dimension, made of sums of 1, 2, 4, ...: faster than a
    convolution.
    """
    count, done, span, parts = values.shape[dim] - size + 1, 0, 1, []
    while True:
        if size & span:
            parts.append(values.narrow(dim, done, count))
            done += span
        if 2 * span > size:
            return sum(parts[1:], parts[0])
        rest = values.shape[dim] - span
        values, span = values.narrow(dim, 0, rest) + values.narrow(dim, span, rest), 2 * span


def _grown(mask: Tensor, size: int, surface: Plane) -> Tensor:
    """Return 1 where any of the ``size`` x ``size`` pixels around is 1, for pixels that are 0 or 1."""
    return (_box_mean(mask, size, surface) > 0.5 / size**2).to(mask.dtype)


def filled(masked_view: MaskedView, surface: Plane = PLANE) -> Float[Tensor, "batch 3 rows columns"]:
    """Return a masked view, or a panorama on the ``SPHERE``, whose unknown pixels continue its known pixels smoothly (0
    if none is known).
    """
    smooth = surface.extended(masked_view.image, masked_view.known.to(masked_view.image.dtype))
    return torch.where(masked_view.known, masked_view.image, smooth)


def _reach(weight: Tensor, pixels: float, surface: Plane) -> Tensor:
    """Return 1 beside the known area, falling to 0 ``pixels`` away from it."""
    reach, grown, step = weight, weight, max(round(pixels / 16), 1)
    for distance in torch.arange(step, pixels + step, step):
        grown = _grown(grown, 2 * step + 1, surface)
        level = (0.5 + 0.5 * torch.cos(torch.pi * distance / (pixels + step))).item()
        reach = torch.maximum(reach, grown * level)
    return surface.softened(reach)
