"""Plans: the ordered views that paint what a canvas does not know yet.

Views of one wave do not depend on each other: none of them shows a pixel that another view of its wave paints. The
faces of a cube are an exception, since they are painted together.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from aognet.errors import UserError
from aognet.geometry import sphere
from aognet.geometry.camera import Camera
from aognet.geometry.cubemap import face_cameras
from aognet.geometry.perspective import footprint

# Yaw and pitch of the 21 views in the order of the published AOG-Net code, which starts from a view at (0, 0).
PUBLISHED = (
    *((0, -25), (0, 25), (-45, 0), (45, 0), (-90, 0), (-90, -25), (-90, 25), (90, 0), (90, -25), (90, 25)),
    *((-105, 0), (105, 0), (180, 0), (180, 25), (180, -25)),
    *((0, -45), (90, -45), (-90, -45), (0, 45), (-90, 45), (90, 45)),
)
PLANNING_HEIGHT = 64
MAX_SIZE = 4096
MAX_PIXELS = 2**30  # of all views of a plan
STEPS_DEGREES = (15, 10, 5)
LEVEL_PREFERENCE = 0.5
STEEP_DEGREES = 45  # views of sky and ground look at least so far up or down
HIGH_DEGREES = 40  # and cover what lies higher or lower than this


@dataclass(frozen=True)
class PlanConfig:
    """Which views to paint.

    ``kind`` is one of:

    - ``cover``: few views, computed from what is known.
    - ``anchored``: first sky and ground, while a copy of what is known stands behind (the anchor), then without it the
      views that cover the rest (after "A recipe for generating 3D worlds from a single image", ICCV 2025).
    - ``published``: the 21 views of the paper's code, in waves.
    - ``sequential``: the same views, one after the other, as in that code.
    - ``cube``: the six faces of a level cube in one wave, for methods that paint them together. It ignores ``overlap``
      and ``margin``.

    ``fov_degrees`` and ``size`` describe the square views. ``overlap`` is the least known share of a view when it is
    painted. ``margin`` is the share of a view's size along each edge that is seen but not painted, so that two views
    never only touch.
    """

    kind: Literal["cover", "anchored", "published", "sequential", "cube"] = "cover"
    fov_degrees: float = 90.0
    size: int = 512
    overlap: float = 0.3
    margin: float = 0.05

    def __post_init__(self) -> None:
        if self.kind not in ("cover", "anchored", "published", "sequential", "cube"):
            said = "must be cover, anchored, published, sequential or cube"
            raise UserError(said, key="kind", value=self.kind)
        if self.kind == "cube" and self.fov_degrees < 90:
            raise UserError("must be at least 90 for the faces of a cube", key="fov_degrees", value=self.fov_degrees)
        if not 20 <= self.fov_degrees <= 150:
            raise UserError("must lie in [20, 150]", key="fov_degrees", value=self.fov_degrees)
        if not 8 <= self.size <= MAX_SIZE or self.size % 8:
            raise UserError(f"must be a multiple of 8 in [8, {MAX_SIZE}]", key="size", value=self.size)
        if not 0 < self.overlap < 0.7:
            raise UserError("must lie in (0, 0.7)", key="overlap", value=self.overlap)
        if not 0 <= self.margin <= 0.2:
            raise UserError("must lie in [0, 0.2]", key="margin", value=self.margin)


@dataclass(frozen=True)
class Step:
    """One view of a plan and the number of its wave. Waves are painted in order.

    ``anchored``: while it is painted, the anchor (`anchor_of`) counts as known.
    """

    camera: Camera
    wave: int
    anchored: bool = False


@dataclass(frozen=True)
class Plan:
    """Views in the order in which they are painted, waves together."""

    steps: tuple[Step, ...]

    @property
    def waves(self) -> list[list[Camera]]:
        """The cameras of each wave."""
        count = self.steps[-1].wave + 1 if self.steps else 0
        return [[step.camera for step in self.steps if step.wave == wave] for wave in range(count)]


def make_plan(config: PlanConfig, known: Bool[Tensor, "height width"], yaw_degrees: float = 0.0) -> Plan:
    """Return a plan that leaves no pixel of a canvas unknown, given the mask of its known pixels.

    ``yaw_degrees`` is the yaw of the frame in which the plan is made, a whole number of columns of the canvas. If
    canvas and frame are turned, the plan turns with them.

    :raises UserError: if its views have more than ``MAX_PIXELS`` pixels together.
    """
    known = known.cpu()
    columns = round(yaw_degrees / 360 * known.shape[1]) % known.shape[1]
    if columns == 0:
        return _bounded(_planned(config, known), config)
    steps = _planned(config, known.roll(-columns, 1)).steps
    turned = [replace(step, camera=step.camera.turned(yaw_degrees)) for step in steps]
    # Completed again: rounding may take a pixel from the edge of a turned view.
    return _bounded(Plan(tuple(_completed(turned, config, known))), config)


def _bounded(plan: Plan, config: PlanConfig) -> Plan:
    count = len(plan.steps)
    if count * config.size**2 > MAX_PIXELS:
        raise UserError(
            f"plan: {count} views of {config.size}x{config.size} are more than {MAX_PIXELS} pixels; take a smaller "
            f"size, a wider fov_degrees (it is {config.fov_degrees:g}) or less overlap and margin"
        )
    return plan


def _planned(config: PlanConfig, known: Bool[Tensor, "height width"]) -> Plan:
    if config.kind == "cube":
        faces = face_cameras(config.size, config.fov_degrees)
        return Plan(tuple(Step(camera.turned(_heading(known)), wave=0) for camera in faces))
    if config.kind in ("published", "sequential"):
        heading = _heading(known)
        cameras = [_camera(config, yaw, pitch).turned(heading) for yaw, pitch in PUBLISHED]
        one_by_one = config.kind == "sequential"
        steps = [Step(*step) for step in zip(cameras, range(len(cameras)), strict=True)] if one_by_one else None
        steps = steps or _waves_in_order(cameras, known)
    elif config.kind == "anchored":
        steps = _anchored(config, known)
    else:
        steps = _cover(config, _shrunk(known), known)
    return Plan(tuple(_completed(steps, config, known)))


def known_before(plan: Plan, known: Bool[Tensor, "height width"], step: int) -> Bool[Tensor, "height width"]:
    """Return the mask of what is known when a step of the plan is painted: the input, all views of earlier waves, and
    the anchor if the step has one.
    """
    painted = known.clone(memory_format=torch.contiguous_format)
    for earlier in plan.steps:
        if earlier.wave < plan.steps[step].wave:
            _paint(painted, earlier, known)
    return painted | anchor_of(known) if plan.steps[step].anchored else painted


def anchor_of(known: Bool[Tensor, "*batch height width"]) -> Bool[Tensor, "*batch height width"]:
    """Return where a copy of what is known stands, half a turn behind it: where nothing is known."""
    return known.roll(known.shape[-1] // 2, -1) & ~known


def _paint(known: Bool[Tensor, "height width"], step: Step, start: Bool[Tensor, "height width"]) -> bool:
    """Make known what a step paints, all that it looks at but the anchor of the ``start``. Return whether that is
    anything.
    """
    index, pixels = _index(step.camera, known.shape[0]), known.view(-1)
    fresh = ~pixels[index]
    if step.anchored:
        fresh &= ~anchor_of(start).flatten()[index]
    pixels[index[fresh]] = True
    return bool(fresh.any())


def _heading(known: Bool[Tensor, "height width"]) -> float:
    """Return the yaw in degrees of the middle of what is known, or 0 where nothing or everything round about is
    known.
    """
    longitudes, across = sphere.pixel_longitudes(known.shape[1]), sphere.pixel_latitudes(known.shape[0]).cos()
    # Of the mean direction, weighted with solid angles: latitudes and longitudes can be summed apart.
    sideways, ahead = (
        across.square() @ (known.double() @ around) / known.numel() for around in (longitudes.sin(), longitudes.cos())
    )
    if math.hypot(sideways, ahead) < 1e-3:
        return 0.0
    # Rounded, so that a photograph at yaw 0 gets exactly the published angles.
    return round(math.degrees(math.atan2(sideways, ahead)), 1)


def _camera(config: PlanConfig, yaw: float | int, pitch: float | int) -> Camera:
    margin = round(config.margin * config.size)
    return Camera(float(yaw), float(pitch), 0.0, config.fov_degrees, config.size, config.size, margin)


def _index(camera: Camera, height: int) -> Tensor:
    return footprint(camera, height, 2 * height, 1, torch.device("cpu")).index


def _waves_in_order(cameras: Sequence[Camera], known: Tensor) -> list[Step]:
    """Put each view in the first wave after all earlier views that show pixels it paints, or that paint pixels it
    shows.
    """
    height = known.shape[0]
    fresh = [_mask(camera, height) & ~known.flatten() for camera in cameras]
    seen = [_mask(replace(camera, margin=0), height) for camera in cameras]
    waves: list[int] = []
    for i in range(len(cameras)):
        met = [j for j in range(i) if bool((seen[i] & fresh[j] | fresh[i] & seen[j]).any())]
        waves.append(max((waves[j] + 1 for j in met), default=0))
    order = sorted(range(len(cameras)), key=lambda i: (waves[i], i))
    return [Step(cameras[i], waves[i]) for i in order]


def _mask(camera: Camera, height: int) -> Tensor:
    mask = torch.zeros(2 * height * height, dtype=torch.bool)
    mask[_index(camera, height)] = True
    return mask


@dataclass(frozen=True)
class Candidates:
    """All views that the cover plan chooses from, and their footprints on a small panorama.

    ``painted`` is what each view certainly paints, so that what counts as covered is covered. ``seen`` is what it sees.
    ``reach`` is the most that it may see, so that views of one wave stay apart at any size.
    """

    cameras: list[Camera]
    painted: Bool[Tensor, "cameras cells"]
    seen: Bool[Tensor, "cameras cells"]
    reach: Bool[Tensor, "cameras cells"]

    @cached_property
    def painted_area(self) -> Float[Tensor, "cameras cells"]:
        """The solid angle of what each view paints, per cell, up to a constant factor."""
        return self.painted * _areas()

    @cached_property
    def seen_area(self) -> Float[Tensor, "cameras cells"]:
        """The solid angle of what each view shows, per cell, up to a constant factor."""
        return self.seen * _areas()


@lru_cache(maxsize=8)
def _candidates(config: PlanConfig) -> Candidates:
    # Neighbours must overlap by more than is asked for, or no view would be near enough to what is known.
    widest = config.fov_degrees * (1 - config.overlap) / 1.5
    step = next((degrees for degrees in STEPS_DEGREES if degrees <= widest), STEPS_DEGREES[-1])
    yaws = sorted(range(step - 180, 181, step), key=lambda yaw: (abs(yaw), yaw))
    pitches = sorted(range(-90, 91, step), key=lambda pitch: (abs(pitch), -pitch))
    cameras = [_camera(config, yaw, pitch) for pitch in pitches for yaw in ([0] if abs(pitch) == 90 else yaws)]
    cell = 180 / PLANNING_HEIGHT
    narrower = [replace(camera, fov_degrees=camera.fov_degrees - cell) for camera in cameras]
    whole = [replace(camera, margin=0) for camera in cameras]
    wider = [replace(camera, fov_degrees=camera.fov_degrees + 2 * cell) for camera in whole]
    return Candidates(cameras, *(_turned_masks(group) for group in (narrower, whole, wider)))


def _turned_masks(cameras: Sequence[Camera]) -> Bool[Tensor, "cameras cells"]:
    """Return what cameras cover at the planning size. Most masks are turned by eighths (whole cells) or mirrored from a
    few.
    """
    found: dict[Camera, Tensor] = {}
    masks = []
    for camera in cameras:
        eighths = round(camera.yaw_degrees / 45)
        rest = camera.yaw_degrees - 45 * eighths
        first = replace(camera, yaw_degrees=abs(rest))
        if first not in found:
            found[first] = _mask(first, PLANNING_HEIGHT).view(PLANNING_HEIGHT, -1)
        mask = found[first] if rest >= 0 else found[first].flip(-1)
        masks.append(mask.roll(eighths * PLANNING_HEIGHT // 4, -1).flatten())
    return torch.stack(masks)


def _cover(
    config: PlanConfig, covered: Tensor, known: Tensor, wanted: Tensor | None = None, allowed: Tensor | None = None
) -> list[Step]:
    """Cover the unknown sphere greedily, wave by wave, with the views that add most among those that overlap enough.

    ``covered``: cells, of a canvas of which ``known`` is known. Only the cells ``wanted`` are covered, with the
    cameras ``allowed``, as long as these overlap enough; None: all.
    """
    candidates = _candidates(config)
    wanted = torch.ones_like(covered) if wanted is None else wanted
    steps: list[Step] = []
    wave = 0
    while bool((wanted & ~covered).any()):
        # A photo smaller than a planning cell covers none, but the first view has to show it all the same.
        chosen = _choose_wave(config, covered, covered if bool(covered.any()) else ~_shrunk(~known), wanted, allowed)
        if not chosen:
            break
        steps += [Step(candidates.cameras[index], wave) for index in chosen]
        covered = covered | candidates.painted[chosen].any(0)
        wave += 1
    return steps


def _anchored(config: PlanConfig, known: Tensor) -> list[Step]:
    """Cover sky and ground while the anchor stands, then the rest without it."""
    anchor = anchor_of(known)
    if not bool(anchor.any()):
        return _cover(config, _shrunk(known), known)
    steep = torch.tensor([abs(camera.pitch_degrees) >= STEEP_DEGREES for camera in _candidates(config).cameras])
    high_rows = sphere.pixel_latitudes(PLANNING_HEIGHT).abs() > math.radians(HIGH_DEGREES)
    high, both = high_rows.repeat_interleave(2 * PLANNING_HEIGHT), known | anchor
    first = [replace(step, anchored=True) for step in _cover(config, _shrunk(both), both, high, steep)]
    painted = known.clone(memory_format=torch.contiguous_format)
    for step in first:
        _paint(painted, step, known)
    count = first[-1].wave + 1 if first else 0
    rest = _cover(config, _shrunk(painted), painted)
    return first + [replace(step, wave=step.wave + count) for step in rest]


def _areas() -> Float[Tensor, "cells"]:
    return sphere.pixel_latitudes(PLANNING_HEIGHT).cos().float().repeat_interleave(2 * PLANNING_HEIGHT)


def _choose_wave(
    config: PlanConfig, covered: Tensor, seen: Tensor, wanted: Tensor, allowed: Tensor | None
) -> list[int]:
    candidates = _candidates(config)
    rest = (~covered).float()
    gain = candidates.painted_area @ (wanted * rest)
    gain = gain if allowed is None else gain * allowed
    strange = candidates.seen_area @ rest / candidates.seen_area.sum(-1)
    overlapping = (1 - strange >= config.overlap) & (gain > 0)
    if not bool(overlapping.any()):
        return _nearest(config, _areas() * seen, gain > 0) if allowed is None else []
    gain = gain * overlapping * _preference(config)
    best, chosen = gain.max(), []
    while bool(gain.max() > 0.6 * best) and bool(gain.max() > 0):
        chosen.append(int(gain.argmax()))
        taken = (candidates.reach[chosen] & ~covered).any(0)
        gain = gain * ~(candidates.reach & taken).any(1)
    return chosen


def _nearest(config: PlanConfig, seen_area: Float[Tensor, "cells"], useful: Bool[Tensor, "cameras"]) -> list[int]:
    """Choose a view where no view overlaps enough (a small photo, a thin rest): the one that shows most of what is
    known, near its centre.

    If nothing is known, choose the first candidate, which looks straight ahead.
    """
    candidates = _candidates(config)
    if not bool(useful.any()):
        return []
    vectors = sphere.pixel_directions(PLANNING_HEIGHT, 2 * PLANNING_HEIGHT).reshape(-1, 3).float()
    centre = functional.normalize(seen_area @ vectors, dim=0)
    facing = torch.stack([camera.forward for camera in candidates.cameras]).float() @ centre
    share = candidates.painted.float() @ seen_area / seen_area.sum().clamp_min(1e-9)
    return [int((share + 0.05 * facing).where(useful, -torch.inf).argmax())]


@lru_cache(maxsize=8)
def _preference(config: PlanConfig) -> Float[Tensor, "cameras"]:
    """Return the preference of each view. Level views come first: the horizon decides what sky and ground look like."""
    pitches = torch.tensor([abs(camera.pitch_degrees) for camera in _candidates(config).cameras])
    return 1 - LEVEL_PREFERENCE * pitches / 90


def _shrunk(known: Bool[Tensor, "height width"]) -> Bool[Tensor, "pixels"]:
    """Return what is known at the planning size. A cell counts as known if all its pixels are known."""
    unknown = (~known)[None, None].float()
    size = (PLANNING_HEIGHT, 2 * PLANNING_HEIGHT)
    if known.shape[0] >= PLANNING_HEIGHT:
        return functional.adaptive_max_pool2d(unknown, size)[0, 0].flatten() == 0
    return functional.interpolate(unknown, size=size, mode="nearest")[0, 0].flatten() == 0


def _completed(steps: list[Step], config: PlanConfig, known: Bool[Tensor, "height width"]) -> list[Step]:
    """Add views of what the steps leave unknown at the canvas's own size, down to the last pixel."""
    height, width = known.shape
    start, known = known, known.clone(memory_format=torch.contiguous_format)
    kept = [step for step in steps if _paint(known, step, start)]
    longitudes, latitudes = sphere.pixel_longitudes(width), sphere.pixel_latitudes(height)
    while not bool(known.all()):
        row, column = (~known).nonzero(as_tuple=True)
        rest = sphere.directions(longitudes[column], latitudes[row])
        # Aim at the unknown pixel that has most of the others near, and the camera there sees them all at once.
        aim = rest[int((rest[:: max(len(rest) // 512, 1)] @ rest.sum(0)).argmax()) * max(len(rest) // 512, 1)]
        yaw = math.degrees(math.atan2(float(aim[0]), float(aim[2])))
        camera = _camera(config, yaw, math.degrees(math.asin(float(aim[1].clamp(-1, 1)))))
        kept.append(Step(camera, kept[-1].wave + 1 if kept else 0))
        known.view(-1)[_index(camera, height)] = True
    waves = {wave: number for number, wave in enumerate(sorted({step.wave for step in kept}))}
    return [replace(step, wave=waves[step.wave]) for step in kept]


def known_by(cameras: Sequence[Camera], height: int) -> Bool[Tensor, "height width"]:
    """Return the union of the footprints of cameras on a panorama of ``height`` x ``2 height``."""
    known = torch.zeros(2 * height * height, dtype=torch.bool)
    for camera in cameras:
        known[_index(camera, height)] = True
    return known.view(height, 2 * height)


def overlap_of(camera: Camera, known: Bool[Tensor, "height width"]) -> Float[Tensor, ""]:
    """Return the share of a view's solid angle that is known."""
    height = known.shape[0]
    index = _index(replace(camera, margin=0), height)
    area = sphere.pixel_latitudes(height).cos().repeat_interleave(2 * height)[index]
    return (area * known.flatten()[index]).sum() / area.sum()
