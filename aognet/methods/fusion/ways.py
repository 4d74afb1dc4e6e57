"""The ways in which the views of a sphere are made to agree, step by step.

Each keeps the clean part of the noisy latents as a field of its own: of the views (`Mean`) or of the sphere (`Linear`,
`Shift`), which views read bilinearly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.diffusion.sampling.noise import generators
from aognet.geometry import agreement, perspective
from aognet.geometry.camera import Camera
from aognet.geometry.sphere_fit import sphere_height
from aognet.methods.fusion.merging import OWNER, merged

TURNS = 3  # stream of the request's seed
FINER = 2  # rows of the sphere of `Shift` for one of a view's pixels: it is read twice, each time bilinearly


@runtime_checkable
class Way(Protocol):
    """How views agree. Cameras have the size of latents."""

    @property
    def cameras(self) -> tuple[Camera, ...]:
        """The cameras of the views, where they are not turned."""

    @property
    def rows(self) -> int:
        """The rows of the sphere around them."""

    def shape(self, channels: int) -> tuple[int, ...]:
        """Return the shape of its field."""

    def turn(self, step: int | None) -> int:
        """Return by how many columns of the sphere the views are turned right; None: after the last fused step."""

    def look(self, field: Tensor, step: int | None) -> Float[Tensor, "views channels rows columns"]:
        """Return what the turned views see of its field."""

    def fused(self, clean: Float[Tensor, "views channels rows columns"], step: int) -> Tensor:
        """Return the field that is nearest to what each of the turned views would like to be."""


@dataclass(frozen=True)
class Mean:
    """MultiDiffusion (Bar-Tal et al. 2023): each view takes the mean of all that see the same ray.

    Of the clean latents that are predicted, not of the noisy ones: bilinear means would weaken the noise. A view counts
    more near its centre. The cameras stay where they are.
    """

    cameras: tuple[Camera, ...]

    @property
    def rows(self) -> int:
        return sphere_height(self.cameras)

    def shape(self, channels: int) -> tuple[int, ...]:
        return len(self.cameras), channels, self.cameras[0].height, self.cameras[0].width

    def turn(self, step: int | None) -> int:
        return 0

    def look(self, field: Tensor, step: int | None) -> Tensor:
        return field

    def fused(self, clean: Tensor, step: int) -> Tensor:
        return agreement.mean(clean, self.cameras, "centre").contiguous()


@dataclass(frozen=True)
class Linear:
    """Linear Fusion (arXiv 2609.01997): the equirectangular latents whose views are nearest to all predictions.

    In every step all views are turned by ``turns`` more columns of the sphere.
    """

    cameras: tuple[Camera, ...]
    turns: int

    @cached_property
    def rows(self) -> int:
        return sphere_height(self.cameras)

    def shape(self, channels: int) -> tuple[int, ...]:
        return 1, channels, self.rows, 2 * self.rows

    def turn(self, step: int | None) -> int:
        return 0 if step is None else step * self.turns % (2 * self.rows)

    def look(self, field: Tensor, step: int | None) -> Tensor:
        return _seen(field, self.cameras, self.turn(step))

    def fused(self, clean: Tensor, step: int) -> Tensor:
        sphere = agreement.solved(clean, self.cameras, "centre", self.rows)[1]
        return sphere.to(clean).roll(self.turn(step), -1)


@dataclass(frozen=True)
class Shift:
    """SpotDiffusion (Frolov et al. 2024) on the sphere: nothing is averaged. Every ray belongs to the view in which it
    is most central, and the borders lie elsewhere in every step: all views are turned by ``turns`` at random.
    """

    cameras: tuple[Camera, ...]
    turns: Sequence[int]

    @cached_property
    def rows(self) -> int:
        return FINER * sphere_height(self.cameras)

    def shape(self, channels: int) -> tuple[int, ...]:
        return 1, channels, self.rows, 2 * self.rows

    def turn(self, step: int | None) -> int:
        return 0 if step is None else self.turns[step]

    def look(self, field: Tensor, step: int | None) -> Tensor:
        return _seen(field, self.cameras, self.turn(step))

    def fused(self, clean: Tensor, step: int) -> Tensor:
        return merged(clean.cpu(), self.cameras, self.rows, OWNER).to(clean).roll(self.turn(step), -1)


def make_way(name: str, cameras: tuple[Camera, ...], turn_degrees: float, steps: int, seed: int) -> Way:
    """Return a way for cameras of the size of latents. ``turn_degrees`` becomes a whole number of columns."""
    if name == "mean":
        return Mean(cameras)
    columns = 2 * sphere_height(cameras)
    if name == "linear":
        return Linear(cameras, round(turn_degrees / 360 * columns))
    (source,) = generators([seed], TURNS)
    return Shift(cameras, torch.randint(FINER * columns, (steps,), generator=source).tolist())


def _seen(field: Tensor, cameras: Sequence[Camera], turn: int) -> Tensor:
    return perspective.look_all(field.roll(-turn, -1), cameras, antialias=False)[0]
