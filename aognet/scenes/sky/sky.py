"""The sky of a scene: air lit by sun or moon, clouds on a curved layer, stars, and the light that falls on the land."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from aognet.scenes.plane import Flat
from aognet.scenes.rays import Rays, blend, smooth
from aognet.scenes.sky.atmosphere import SUN_RADIUS, Daylight, daylight, mie_phase
from aognet.scenes.sky.stars import Stars
from aognet.scenes.world import Disc

Weather = Literal["clear", "cloudy", "overcast", "sunset", "twilight", "night", "foggy"]
MOONLIGHT = 2.5e-6  # of the full moon, in parts of the sun's
_DISC = np.pi * np.sin(SUN_RADIUS) ** 2  # projected solid angle of the disc
_AIRGLOW = np.array([5.0e-8, 6.0e-8, 9.0e-8], np.float32)


@dataclass(frozen=True)
class Sky:
    """The sky of a scene. ``sunlight`` falls on a surface that faces the sun (or moon), ``ambient`` on every surface,
    both as radiances.
    """

    weather: Weather
    light: np.ndarray  # unit vector towards the sun or the moon
    sunlight: np.ndarray
    ambient: np.ndarray
    visibility: float  # metres at which haze hides 63%
    cover: float  # part of the sky behind clouds, 0: none
    daylight: Daylight
    scale: np.ndarray  # (3,) what the light of ``daylight`` is multiplied by: far less than 1 by moonlight
    veil: np.ndarray  # (3,) radiance that is everywhere: airglow, or the grey of fog and closed clouds
    town: np.ndarray  # (3,) glow of town lights in the low sky
    clouds: tuple[Flat, Flat, Flat]
    stars: Stars
    cloud_lit: np.ndarray
    cloud_dark: np.ndarray
    discs: tuple[Disc, ...] = field(default=())

    @property
    def is_dark(self) -> bool:
        return self.weather == "night"

    @property
    def is_grey(self) -> bool:
        """Whether there is no sun, no blue sky and no hard shadow."""
        return self.weather in ("overcast", "foggy")

    @property
    def elevation_degrees(self) -> float:
        """The height of the sun or moon over the horizon."""
        return float(np.degrees(np.arcsin(self.light[1])))

    @property
    def horizon(self) -> np.ndarray:
        """The mean radiance (3,) of the lowest sky."""
        return self._clear(_RING * np.cos(0.05) + np.array([0, np.sin(0.05), 0])).mean(0).astype(np.float32)

    def air(self, rays: Rays) -> np.ndarray:
        """Return the radiance (n, 3) of the far air at the horizon, into which haze fades."""
        low = rays.circle * np.float32(np.cos(0.03))
        low[:, 1] = np.float32(np.sin(0.03))
        return self._clear(low).astype(np.float32)

    def radiance(self, rays: Rays) -> np.ndarray:
        """Return the radiance (n, 3) of the sky behind everything, without the disc."""
        return self.look(rays)[0]

    def look(self, rays: Rays) -> tuple[np.ndarray, np.ndarray]:
        """Return the radiance (n, 3) of the sky without the disc, and the part (n,) of a disc's light that clouds let
        through.
        """
        color = self._clear(rays.directions)
        through = np.full(len(color), 0.0 if self.is_grey else 1.0, np.float32)
        if self.is_dark:
            color += self.stars(rays)
        if self.cover > 0:
            amount, tint = self._clouds(rays)
            color = blend(color, tint, amount)
            through *= (1 - amount) ** 4
        return color.astype(np.float32), through.astype(np.float32)

    def _clear(self, directions: np.ndarray) -> np.ndarray:
        up = np.clip(directions[:, 1], 0, 1).astype(np.float32)
        if self.is_grey:
            # The CIE's overcast sky: three times as bright overhead as at the horizon; fog has no such slope.
            rise = 0.45 + 0.55 * up if self.weather == "overcast" else 0.92 + 0.08 * up
            towards = 1 + 0.25 * smooth(directions @ self.light, 0.2, 1.0)
            return self.veil * (rise * towards)[:, None]
        color = self.daylight.radiance(directions) * self.scale + self.veil
        return color + self.town * np.exp(-up * 5)[:, None]

    def _clouds(self, rays: Rays) -> tuple[np.ndarray, np.ndarray]:
        """Return how much of the sky the clouds hide (n,), and their radiance (n, 3)."""
        up = np.clip(rays.directions[:, 1], 0, 1)
        # Distance to a layer one unit high above a small round earth, so that clouds crowd towards the horizon.
        radius = 25.0
        distance = np.sqrt((radius * up) ** 2 + 2 * radius + 1) - radius * up
        points = rays.directions * distance[:, None]
        width = rays.pixel * distance / np.maximum(up, 0.05)
        level = 2.2 * (0.5 - self.cover)
        large, small, fine = self.clouds
        shape = large(points)
        density = shape + 0.24 * small(points, width * 0.5) + 0.05 * fine(points, width * 0.5) - level
        if self.weather == "overcast":
            tone = np.clip(0.5 + 0.22 * density - 0.22 * level, 0, 1)
            tint = blend(np.broadcast_to(self.cloud_dark, points.shape), self.cloud_lit, tone)
            return smooth(up, 0.0, 0.25) * 0.8, tint * (0.55 + 0.45 * up)[:, None]
        shade = shape - large(points + self.light * np.float32(0.18))
        amount = smooth(density, -0.25, 0.7) * smooth(up, 0.0, 0.06)
        thick = smooth(density, 0.0, 1.8)
        bright = np.clip(0.8 + 0.7 * shade - 0.55 * thick * (0.35 + 0.65 * up), 0.0, 1.25)
        tint = blend(np.broadcast_to(self.cloud_dark, points.shape), self.cloud_lit, bright)
        # Thin rims let light through forward: the silver lining.
        rim = mie_phase(rays.directions @ self.light, 0.7) * (1 - thick)
        tint = tint + self.cloud_lit * np.minimum(rim, 4.0)[:, None] * 0.6
        far = 1 - np.exp(-np.maximum(distance - 1, 0) / 7)
        return amount, blend(tint, self.air(rays), far * 0.75)


_RING = np.array([[np.sin(a), 0.0, np.cos(a)] for a in np.arange(8) * np.pi / 4])
_HEIGHTS = {  # elevation of the sun or the moon in degrees
    "clear": (12, 68), "cloudy": (14, 65), "overcast": (25, 60), "foggy": (20, 60),
    "sunset": (1.2, 6.5), "twilight": (-5.0, -1.2), "night": (16, 55),
}  # fmt: skip
_COVERS = {"cloudy": (0.38, 0.62), "overcast": (1.2, 1.2), "sunset": (0.3, 0.5), "twilight": (0.28, 0.42)}
_VISIBILITY = {"clear": 30e3, "cloudy": 26e3, "overcast": 9e3, "sunset": 22e3, "twilight": 22e3, "night": 20e3}


def draw_sky(
    rng: np.random.Generator, weather: Weather, height: float | None = None, azimuth: float | None = None
) -> Sky:
    """Draw a random sky of that weather. ``height`` and ``azimuth`` (from +z to +x) of the sun are degrees."""
    drawn = float(rng.uniform(*_HEIGHTS[weather])), float(rng.uniform(0, 360))
    rise = np.radians(drawn[0] if height is None else height)
    turn = np.radians(drawn[1] if azimuth is None else azimuth)
    light = np.array([np.cos(rise) * np.sin(turn), np.sin(rise), np.cos(rise) * np.cos(turn)], np.float32)
    clear = daylight(light, float(rng.choice([0.8, 1.6, 3.0], p=[0.35, 0.45, 0.2])))
    cover = float(rng.uniform(*_COVERS[weather])) if weather in _COVERS else 0.0
    if weather in ("sunset", "twilight") and rng.random() < 0.3:
        cover = 0.0
    noises = Flat(rng, rng.uniform(1.2, 2.4), "cloud"), Flat(rng, 0.35, "cloud"), Flat(rng, 0.07)
    scale, veil, town = np.ones(3, np.float32), np.zeros(3, np.float32), np.zeros(3, np.float32)
    sunlight, ambient = clear.sunlight, clear.ambient
    discs = [Disc(light, SUN_RADIUS, sunlight * np.float32(np.pi / _DISC))] if light[1] > -SUN_RADIUS else []
    if weather == "night":
        scale = np.array([0.85, 0.95, 1.15], np.float32) * np.float32(MOONLIGHT)
        veil, sunlight, ambient = _AIRGLOW, sunlight * scale, ambient * scale + _AIRGLOW
        discs = [Disc(light, np.radians(0.2591), sunlight * np.float32(np.pi / _DISC))]
    elif weather in ("overcast", "foggy"):
        level = rng.uniform(0.1, 0.2) * (0.3 + 0.7 * light[1])
        veil = np.array([0.95, 1.0, 1.06], np.float32) * np.float32(level)
        sunlight, ambient, discs = veil * np.float32(0.15), veil * np.float32(0.85), []
    else:
        ambient = ambient + sunlight * np.float32(0.12 * min(cover, 1) * max(light[1], 0.1))
    high = sunlight if weather != "twilight" else clear.radiance(_towards(light))[0].astype(np.float32) * 0.5
    return Sky(
        weather=weather,
        light=light,
        sunlight=sunlight,
        ambient=ambient.astype(np.float32),
        visibility=float(rng.uniform(70, 170) if weather == "foggy" else _VISIBILITY[weather] * rng.uniform(0.6, 1.5)),
        cover=cover,
        daylight=clear,
        scale=scale,
        veil=veil,
        town=town,
        clouds=noises,
        stars=Stars(rng),
        cloud_lit=veil * np.float32(1.1)
        if weather == "overcast"
        else (high * np.float32(0.1 + 0.42 * np.sqrt(max(light[1], 0))) + ambient * 1.5).astype(np.float32),
        cloud_dark=veil * np.float32(0.5)
        if weather == "overcast"
        else (high * np.float32(0.02 + 0.1 * np.sqrt(max(light[1], 0))) + ambient * 1.2).astype(np.float32),
        discs=tuple(discs),
    )


def _towards(light: np.ndarray) -> np.ndarray:
    """Return the direction (1, 3) of the horizon below the light."""
    level = np.hypot(light[0], light[2])
    return np.array([[light[0] / level, 0.03, light[2] / level]])
