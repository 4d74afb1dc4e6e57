"""Level ground: grass, sand, snow, stones, and the roads, paths and furrows painted on it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aognet.scenes.outdoors.film import EYE, Film, haze
from aognet.scenes.outdoors.shadows import ShadowMap
from aognet.scenes.plane import Flat
from aognet.scenes.rays import Rays, blend, rgb, smooth, stripes
from aognet.scenes.sky.sky import Sky


@dataclass(frozen=True)
class Soil:
    """How a ground looks: two colours in patches, and how strong its grain is at 2 cm, 10 cm, 60 cm and 7 m."""

    first: np.ndarray
    second: np.ndarray
    grain: tuple[float, float, float, float]
    bump: float = 0.0  # strength of waves of some metres lit by the sun
    ripple: float = 0.0
    flowers: np.ndarray | None = None


@dataclass(frozen=True)
class GroundPoints:
    """Points (n, 3) on the ground, the length of ground that a pixel covers there, and the colour found so far."""

    rays: Rays
    points: np.ndarray
    footprint: np.ndarray
    albedo: np.ndarray
    label: np.ndarray


Overlay = Callable[[GroundPoints], None]  # paints onto albedo and label


class Ground:
    """A plane ``height`` metres below the camera."""

    def __init__(self, rng, sky: Sky, soil: Soil, label: int = 0, height: float = EYE):
        self.sky, self.soil, self.label, self.height = sky, soil, label, height
        self.grains = [Flat(rng, scale) for scale in (0.024, 0.1, 0.6, 7.0)]
        self.patches = Flat(rng, rng.uniform(8, 25), "cloud")
        self.waves = Flat(rng, rng.uniform(5, 12))
        self.petals = [Flat(rng, 0.07), Flat(rng, 0.16)]
        self.shadow: ShadowMap | None = None
        self.overlays: list[Overlay] = []
        self.lamps: list[tuple[np.ndarray, np.ndarray]] = []  # places and radiant intensities / pi

    def paint(self, film: Film) -> None:
        chosen = np.flatnonzero(film.rays.directions[:, 1] < -2e-4)
        if not chosen.size:
            return
        near = film.rays.take(chosen)
        distance = self.height / -near.directions[:, 1]
        points = near.directions * distance[:, None]
        footprint = near.pixel * distance / np.sqrt(-near.directions[:, 1])
        labels = np.full(len(points), self.label, np.int16)
        spots = GroundPoints(near, points, footprint, self.albedo(points, footprint), labels)
        for overlay in self.overlays:
            overlay(spots)
        shade = spots.albedo * self._light(points, footprint, distance)
        film.lay(chosen, haze(self.sky, near, shade, distance), distance, spots.label)

    def _light(self, points: np.ndarray, footprint: np.ndarray, distance: np.ndarray) -> np.ndarray:
        sky = self.sky
        sun = np.full(len(points), max(float(sky.light[1]), 0.0), np.float32)
        if self.soil.bump:
            step = np.array([sky.light[0], 0, sky.light[2]], np.float32)
            rise = self.waves(points + step, footprint) - self.waves(points, footprint)
            fine = self.grains[2](points + step * np.float32(0.25), footprint) - self.grains[2](points, footprint)
            strength = self.soil.bump * min(1.0, 2 * float(sky.light[1]))
            sun = np.clip(sun - strength * (0.9 * rise + 0.2 * fine), 0.0, 1.2) * (sky.light[1] > 0)
        open_ = np.ones(len(points), np.float32)
        if self.shadow is not None:
            close = np.flatnonzero(distance < 1.5 * self.shadow.reach)
            dark = self.shadow(points[close])
            sun[close] *= 1 - dark
            open_[close] -= 0.25 * dark
        light = sky.sunlight * sun[:, None] + sky.ambient * open_[:, None]
        for place, power in self.lamps:
            light += lamp_light(place, power, points)
        return light

    def albedo(self, points: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Return the colours (n, 3) of the bare ground."""
        soil = self.soil
        color = blend(np.broadcast_to(soil.first, points.shape), soil.second, smooth(self.patches(points), -1.2, 1.2))
        value = np.ones(len(points), np.float32)
        for noise, strength in zip(self.grains, soil.grain, strict=True):
            if strength:
                # Beyond some distance a grain is far below a pixel: its lookup would only add zeros.
                seen = np.flatnonzero(footprint < 3 * noise.scale)
                value[seen] += strength * noise(points[seen], footprint[seen])
        if soil.ripple:
            # Sand ripples of 35 cm, gone where a pixel no longer shows them.
            bent = points[:, 0] * 0.5 + points[:, 2] + 0.5 * self.grains[2](points) + 1.5 * self.waves(points)
            value += soil.ripple * np.sin(bent * np.float32(2 * np.pi / 0.35)) / (1 + (9 * footprint) ** 2)
        color = color * np.clip(value, 0.15, 2.2)[:, None]
        if soil.flowers is not None:
            seen = np.flatnonzero(footprint < 0.25)
            dots = self.petals[0](points[seen], footprint[seen]) + 0.5 * self.petals[1](points[seen])
            color[seen] = blend(color[seen], soil.flowers, smooth(dots, 1.7, 2.2))
        return color


def lamp_light(place: np.ndarray, power: np.ndarray, points: np.ndarray, up: np.ndarray | None = None) -> np.ndarray:
    """Return the light (n, 3) of a lamp on level ground, or on surfaces that face (n, 3) ``up``."""
    offset = place - points
    square = np.einsum("ij,ij->i", offset, offset)
    facing = offset[:, 1] if up is None else np.maximum(np.einsum("ij,ij->i", offset, up), 0)
    return (np.maximum(facing, 0) / np.maximum(square, 0.3) ** 1.5)[:, None] * power


def road(
    rng,
    color,
    half_width: float,
    label: int,
    marked: bool,
    winding: float = 0.0,
    edge: float = 0.08,
    shift: float = 0.0,
) -> Overlay:
    """Return a road or path along z. Its middle passes ``shift`` metres beside the camera and winds by some metres."""
    grain = [Flat(rng, 0.05), Flat(rng, 0.6), Flat(rng, 5.0, "cloud")]
    phase = rng.uniform(0, 6.28)

    def paint(spots: GroundPoints) -> None:
        points, footprint = spots.points, spots.footprint
        bend = winding * (np.sin(points[:, 2] * 0.03 + phase) - np.sin(phase)) + shift
        across = points[:, 0] - bend
        close = np.flatnonzero(np.abs(across) < half_width + 3 * edge + 2 * footprint)
        across, width, here = across[close], footprint[close], points[close]
        ragged = edge * (grain[1](here, width) + 0.5 * grain[0](here, width))
        cover = np.clip((half_width - np.abs(across) + ragged) / (width + 2 * edge) + 0.5, 0, 1)
        value = 1 + 0.12 * grain[0](here, width) + 0.06 * grain[1](here, width) + 0.08 * grain[2](here)
        if not marked and edge > 0.03:
            # Wheels keep two tracks bare and pale.
            tracks = np.exp(-(((np.abs(across) - 0.55 * half_width) / (0.22 * half_width)) ** 2))
            value = value * (0.86 + 0.22 * tracks)
        surface = color * value[:, None]
        if marked:
            dashes = stripes(here[:, 2], 7.0, 0.45, width)
            line = np.clip((0.07 - np.abs(across)) / (width + 0.02) + 0.5, 0, 1) * dashes
            rims = np.clip((0.06 - np.abs(np.abs(across) - half_width + 0.25)) / (width + 0.02) + 0.5, 0, 1)
            surface = blend(surface, rgb(0.88, 0.88, 0.84), np.clip(line + rims, 0, 1) * 0.85)
        spots.albedo[close] = blend(spots.albedo[close], surface, cover)
        spots.label[close[cover > 0.5]] = label

    return paint


def furrows(rng, period: float, crop: np.ndarray, soil: np.ndarray, label: int, angle: float) -> Overlay:
    """Return rows of a crop over the whole field."""
    wobble, tuft = Flat(rng, 6.0), Flat(rng, 0.3)
    c, s = np.cos(angle), np.sin(angle)

    def paint(spots: GroundPoints) -> None:
        points, width = spots.points, spots.footprint
        across = points[:, 0] * c + points[:, 2] * s + 0.12 * wobble(points, width)
        rough = tuft(points, width)
        leaves = stripes(across + 0.05 * rough, period, 0.5, width + 0.1)
        mixed = blend(np.broadcast_to(soil, points.shape), crop, leaves)
        spots.albedo[:] = mixed * (1 + 0.25 * rough * (0.3 + leaves))[:, None]
        spots.label[:] = label

    return paint
