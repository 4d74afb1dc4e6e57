"""The sky: a gradient with a sun or a moon and their glow, clouds on a curved layer, stars."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from aognet.data.synthetic.rays import Noise, Rays, blend, jitter, rgb, smooth

Weather = Literal["clear", "cloudy", "overcast", "sunset", "night", "foggy"]


@dataclass(frozen=True)
class Sky:
    """Colours are linear; ``sunlight`` falls on a surface that faces the sun, ``ambient`` on every surface."""

    weather: Weather
    zenith: np.ndarray
    horizon: np.ndarray
    glow: np.ndarray
    light: np.ndarray  # unit vector towards the sun or the moon
    sunlight: np.ndarray
    ambient: np.ndarray
    visibility: float  # metres at which haze hides 63%
    cover: float  # part of the sky behind clouds, 0: none
    cloud: Noise
    wisps: Noise
    stars: Noise
    cloud_lit: np.ndarray
    cloud_dark: np.ndarray

    @property
    def is_dark(self) -> bool:
        return self.weather == "night"

    def air(self, rays: Rays) -> np.ndarray:
        """Colour (n, 3) of the far air at the horizon, which haze fades into."""
        towards = np.clip(rays.circle @ self.light, -1, 1)
        return self.horizon + self.glow * (smooth(towards, -0.4, 1.1) ** 2)[:, None] * 0.6

    def radiance(self, rays: Rays) -> np.ndarray:
        """Colour (n, 3) of the sky behind everything."""
        height = np.clip(rays.directions[:, 1], 0, 1)
        color = blend(np.broadcast_to(self.zenith, (len(height), 3)), self.air(rays), (1 - height) ** 3)
        towards = rays.directions @ self.light
        halo = 0.45 * np.exp((towards - 1) * 6) + 0.9 * np.exp((towards - 1) * 60)
        if self.weather in ("overcast", "foggy"):
            halo *= 0.25
        color += self.glow * halo[:, None]
        if self.is_dark:
            spots = smooth(self.stars(rays.directions), 2.6, 3.9) * smooth(height, 0.02, 0.3)
            color += spots[:, None] * np.float32(0.9)
        if self.cover > 0:
            color = self._clouds(rays, color, towards)
        if self.weather not in ("overcast", "foggy"):
            size, power = (0.012, 1.0) if self.is_dark else (0.014, 12.0)
            disc = np.clip((np.cos(size) - towards) / -2e-5 + 0.5, 0, 1)
            veil = 1.0 if self.cover < 0.5 else 0.5
            color = color + (self.sunlight / self.sunlight.max() * power * veil) * disc[:, None]
        return color

    def _clouds(self, rays: Rays, color: np.ndarray, towards: np.ndarray) -> np.ndarray:
        height = np.clip(rays.directions[:, 1], 0, 1)
        # Distance to a layer one unit high above a small round earth, so that clouds crowd towards the horizon.
        radius = 25.0
        distance = np.sqrt((radius * height) ** 2 + 2 * radius + 1) - radius * height
        points = rays.directions * distance[:, None]
        level = 2.2 * (0.5 - self.cover)
        density = self.cloud(points) + 0.22 * self.wisps(points) - level
        shaded = self.cloud(points + self.light * np.float32(0.12)) - level
        amount = smooth(density, -0.25, 0.85) * smooth(height, 0.0, 0.1)
        bright = np.clip(0.7 + 0.35 * (density - shaded) - 0.13 * density, 0, 1.15)
        tint = blend(np.broadcast_to(self.cloud_dark, color.shape), self.cloud_lit, bright)
        tint += self.glow * (np.exp((towards - 1) * 4) * 0.4)[:, None]
        far = 1 - np.exp(-np.maximum(distance - 1, 0) / 6)
        return blend(color, blend(tint, self.air(rays), far * 0.8), amount)


def draw_sky(rng: np.random.Generator, weather: Weather) -> Sky:
    """A random sky of that weather."""
    palette = {
        "clear": (rgb(0.36, 0.56, 0.82), rgb(0.76, 0.85, 0.92), rgb(0.8, 0.76, 0.66), (0.35, 1.15), 1.0, 0.34, 12000.0),
        "cloudy": (rgb(0.36, 0.55, 0.80), rgb(0.77, 0.85, 0.9), rgb(0.7, 0.68, 0.6), (0.35, 1.1), 0.85, 0.4, 10000.0),
        "overcast": (rgb(0.6, 0.64, 0.69), rgb(0.8, 0.82, 0.84), rgb(0.6, 0.6, 0.58), (0.5, 1.1), 0.12, 0.62, 7000.0),
        "sunset": (rgb(0.42, 0.5, 0.65), rgb(0.86, 0.7, 0.6), rgb(1.0, 0.6, 0.28), (0.03, 0.16), 0.75, 0.3, 8000.0),
        "night": (rgb(0.03, 0.05, 0.13), rgb(0.13, 0.17, 0.28), rgb(0.3, 0.33, 0.42), (0.3, 0.9), 0.05, 0.035, 9000.0),
        "foggy": (rgb(0.72, 0.74, 0.77), rgb(0.8, 0.81, 0.82), rgb(0.6, 0.6, 0.58), (0.5, 1.1), 0.08, 0.62, 70.0),
    }
    zenith, horizon, glow, heights, sun, ambient, visibility = palette[weather]
    height, azimuth = rng.uniform(*heights), rng.uniform(0, 2 * np.pi)
    light = [np.cos(height) * np.sin(azimuth), np.sin(height), np.cos(height) * np.cos(azimuth)]
    warm = {"sunset": rgb(1.0, 0.72, 0.45), "night": rgb(0.75, 0.85, 1.0)}.get(weather, rgb(1.0, 0.97, 0.9))
    horizon = jitter(rng, horizon, 0.1)
    cover = {"cloudy": rng.uniform(0.4, 0.65), "overcast": 1.7, "sunset": rng.choice([0.0, 0.35, 0.5])}.get(weather, 0)
    lit = {"sunset": rgb(0.98, 0.8, 0.7), "overcast": rgb(0.86, 0.87, 0.88)}.get(weather, rgb(0.98, 0.98, 0.98))
    dark = {"sunset": rgb(0.55, 0.48, 0.54), "overcast": rgb(0.58, 0.6, 0.64)}.get(weather, rgb(0.66, 0.7, 0.76))
    return Sky(
        weather=weather,
        zenith=jitter(rng, zenith, 0.2),
        horizon=horizon,
        glow=jitter(rng, glow, 0.15),
        light=np.array(light, np.float32),
        sunlight=warm * np.float32(sun * rng.uniform(0.85, 1.1)),
        ambient=((0.5 * horizon / horizon.mean() + 0.5) * ambient).astype(np.float32),
        visibility=visibility * rng.uniform(0.6, 1.5),
        cover=float(cover),
        cloud=Noise(rng, rng.uniform(1.3, 2.6), "cloud"),
        wisps=Noise(rng, 0.3, "cloud"),
        stars=Noise(rng, 0.012),
        cloud_lit=lit,
        cloud_dark=dark,
    )
