"""Clear air lit by the sun, at any height of the sun down to deep twilight.

Single scattering (Nishita et al., "Display of the Earth Taking into Account Atmospheric Scattering", SIGGRAPH 1993) by
Rayleigh particles and aerosols, absorption by ozone, and all further orders by the isotropic approximation of Hillaire,
"A Scalable and Production Ready Sky and Atmosphere Rendering Technique" (EGSR 2020), section 5, with its coefficients
for 680, 550 and 440 nm. Lengths are kilometres. Radiance is in the unit of ``world``: the sun's irradiance is pi.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional

SUN_RADIUS = np.radians(0.2665)
_GROUND, _TOP = 6360.0, 6460.0
_RAYLEIGH = np.array([5.802e-3, 13.558e-3, 33.1e-3])
_MIE, _MIE_LOSS = 3.996e-3, 8.396e-3
_OZONE = np.array([0.650e-3, 1.881e-3, 0.085e-3])
_ALBEDO = 0.3  # of the ground, for light that bounces back into the air
_FORWARD = 0.8  # g of the aerosols' phase function
# Three wavelengths stand for red, green and blue; a screen's primaries are broader, so each takes of its neighbours.
_PRIMARIES = np.array([[0.9, 0.1, 0.0], [0.04, 0.92, 0.04], [0.0, 0.08, 0.92]])
_HEIGHTS, _COSINES = 24, 96
_ROWS, _COLUMNS, _STEPS = 48, 32, 28


def _densities(height: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    height = np.maximum(height, 0)
    return np.exp(-height / 8), np.exp(-height / 1.2), np.maximum(0, 1 - np.abs(height - 25) / 15)


def _loss(height: np.ndarray, haze: float) -> np.ndarray:
    """Return the extinction (..., 3) per kilometre."""
    rayleigh, mie, ozone = (density[..., None] for density in _densities(height))
    return rayleigh * _RAYLEIGH + mie * _MIE_LOSS * haze + ozone * _OZONE


def _to_top(radius: np.ndarray, cosine: np.ndarray) -> np.ndarray:
    """Return the distance to the top of the air in kilometres."""
    return -radius * cosine + np.sqrt(np.maximum(radius**2 * (cosine**2 - 1) + _TOP**2, 0))


def _to_ground(radius: np.ndarray, cosine: np.ndarray) -> np.ndarray:
    """Return the distance to the ground in kilometres, inf where the ray misses it."""
    square = radius**2 * (cosine**2 - 1) + _GROUND**2
    return np.where((cosine < 0) & (square > 0), -radius * cosine - np.sqrt(np.maximum(square, 0)), np.inf)


class Air:
    """The transmittance and multiple scattering of the air for one amount of haze (1: clear). They do not depend on the
    sun.
    """

    def __init__(self, haze: float):
        self.haze = haze
        self.heights = 100 * (np.arange(_HEIGHTS) / (_HEIGHTS - 1)) ** 2
        # Dense near the horizontal, where the light's path changes fastest.
        part = np.linspace(-1, 1, _COSINES)
        self.cosines = np.sign(part) * part**2
        radius, cosine = np.meshgrid(_GROUND + self.heights + 1e-3, self.cosines, indexing="ij")
        self._table = self._integrate(radius, cosine)
        self._multiple = self._scatter()

    def _integrate(self, radius: np.ndarray, cosine: np.ndarray) -> np.ndarray:
        steps = (np.arange(40) + 0.5) / 40
        length = _to_top(radius, cosine)
        # Steps grow with the square, so that the dense air near a low start is met by many.
        along = length[..., None] * steps**2
        height = np.sqrt(radius[..., None] ** 2 + along**2 + 2 * (radius * cosine)[..., None] * along) - _GROUND
        depth = (_loss(height, self.haze) * (2 * steps * length[..., None] / 40)[..., None]).sum(-2)
        return np.where(np.isinf(_to_ground(radius, cosine))[..., None], np.exp(-depth), 0.0)

    def _places(self, height: np.ndarray, cosine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = np.sqrt(np.clip(height, 0, 100) / 100) * (_HEIGHTS - 1)
        columns = (np.sign(cosine) * np.sqrt(np.abs(cosine)) + 1) / 2 * (_COSINES - 1)
        return rows, columns

    def transmittance(self, height: np.ndarray, cosine: np.ndarray) -> np.ndarray:
        """Return the part (..., 3) of sunlight that reaches a height in kilometres. ``cosine`` is the sine of the sun's
        elevation.
        """
        return _bilinear(self._table, *self._places(height, cosine))

    def multiple(self, height: np.ndarray, cosine: np.ndarray) -> np.ndarray:
        """Return the radiance (..., 3) of light scattered more than once, per unit of scattering, for a sun of
        irradiance 1.
        """
        return _bilinear(self._multiple, *self._places(height, cosine))

    def _scatter(self) -> np.ndarray:
        """Compute multiple scattering (Hillaire 2020, equations 5 to 10)."""
        heights, suns = np.meshgrid(self.heights, self.cosines, indexing="ij")
        second, factor = np.zeros((*heights.shape, 3)), np.zeros((*heights.shape, 3))
        radius = _GROUND + heights + 1e-3
        around = (np.arange(4) + 0.5) * np.pi / 4
        for cosine in (np.arange(6) + 0.5) / 3 - 1:
            view = np.full_like(radius, cosine)
            ground = _to_ground(radius, view)
            length = np.minimum(ground, _to_top(radius, view))
            for azimuth in around:
                towards = cosine * suns + np.sqrt((1 - cosine**2) * (1 - suns**2)) * np.cos(azimuth)
                through = np.ones((*radius.shape, 3))
                for number in range(8):
                    low, high = (number / 8) ** 2, ((number + 1) / 8) ** 2
                    along, step = length * (low + high) / 2, (length * (high - low))[..., None]
                    here = np.sqrt(radius**2 + along**2 + 2 * radius * cosine * along)
                    sun = (radius * suns + along * towards) / here
                    rayleigh, mie, _ = _densities(here - _GROUND)
                    scattering = rayleigh[..., None] * _RAYLEIGH + (mie * _MIE * self.haze)[..., None]
                    loss = _loss(here - _GROUND, self.haze)
                    share = through * scattering * (1 - np.exp(-loss * step)) / np.maximum(loss, 1e-9) / 24
                    second += share * self.transmittance(here - _GROUND, sun) / (4 * np.pi)
                    factor += share
                    through = through * np.exp(-loss * step)
                sun = (radius * suns + length * towards) / _GROUND
                lit = self.transmittance(np.zeros_like(sun), sun) * np.maximum(sun, 0)[..., None] * _ALBEDO / np.pi
                second += np.where(np.isfinite(ground)[..., None], through * lit / 24, 0)
        return second / (1 - np.minimum(factor, 0.95))


def _bilinear(table: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    i = np.clip(rows.astype(int), 0, table.shape[0] - 2)
    j = np.clip(columns.astype(int), 0, table.shape[1] - 2)
    a, b = (rows - i)[..., None], (columns - j)[..., None]
    return (1 - a) * ((1 - b) * table[i, j] + b * table[i, j + 1]) + a * (
        (1 - b) * table[i + 1, j] + b * table[i + 1, j + 1]
    )


@lru_cache(maxsize=8)
def air_of(haze: float) -> Air:
    """Return the air of an amount of haze. It is computed once."""
    return Air(haze)


@dataclass(frozen=True)
class Daylight:
    """The clear sky for one sun. ``table`` (1, 6, rows, columns) is over elevation and azimuth from the sun."""

    light: np.ndarray  # (3,) unit vector to the sun
    sunlight: np.ndarray  # (3,) irradiance of the sun's disc / pi, facing it; 0 below the horizon
    ambient: np.ndarray  # (3,) irradiance of the sky on level ground / pi
    table: torch.Tensor

    def radiance(self, directions: np.ndarray) -> np.ndarray:
        """Return the radiance (n, 3) of the clear sky without the disc. Below the horizon it is that of the horizon."""
        up = np.clip(directions[:, 1], 0, 1)
        rows = np.sqrt(np.arcsin(up) * (2 / np.pi)) * 2 - 1
        level = np.hypot(directions[:, 0], directions[:, 2]) * max(np.hypot(self.light[0], self.light[2]), 1e-6)
        flat = (directions[:, 0] * self.light[0] + directions[:, 2] * self.light[2]) / np.maximum(level, 1e-6)
        columns = np.sqrt(np.arccos(np.clip(flat, -1, 1)) / np.pi) * 2 - 1
        grid = torch.from_numpy(np.stack([columns, rows], 1).astype(np.float32))[None, None]
        found = functional.grid_sample(self.table, grid, mode="bilinear", padding_mode="border", align_corners=True)
        values = found[0, :, 0].numpy()
        towards = directions @ self.light
        return np.ascontiguousarray((values[:3] + values[3:] * mie_phase(towards)).T)


def mie_phase(cosine: np.ndarray, g: float = _FORWARD) -> np.ndarray:
    """Return the phase function of aerosols (Cornette and Shanks 1992)."""
    top = 3 * (1 - g * g) * (1 + cosine**2)
    return top / (8 * np.pi * (2 + g * g) * (1 + g * g - 2 * g * cosine) ** 1.5)


def daylight(light: np.ndarray, haze: float) -> Daylight:
    """Return the clear sky over a camera near the ground, for the sun at a unit vector, which may be below the
    horizon.
    """
    air = air_of(haze)
    elevations = np.pi / 2 * np.linspace(0, 1, _ROWS) ** 2
    azimuths = np.pi * np.linspace(0, 1, _COLUMNS) ** 2
    elevation, azimuth = np.meshgrid(elevations, azimuths, indexing="ij")
    sine, height = np.sin(elevation), float(light[1])
    towards = np.cos(elevation) * np.sqrt(max(1 - height**2, 0)) * np.cos(azimuth) + sine * height
    radius = _GROUND + 0.05
    length = _to_top(np.full_like(sine, radius), sine)
    rayleigh_phase = 3 / (16 * np.pi) * (1 + towards**2)
    smooth_part, mie_part, through = np.zeros((*sine.shape, 3)), np.zeros((*sine.shape, 3)), np.ones((*sine.shape, 3))
    for number in range(_STEPS):
        low, high = (number / _STEPS) ** 2, ((number + 1) / _STEPS) ** 2
        along, step = length * (low + high) / 2, (length * (high - low))[..., None]
        here = np.sqrt(radius**2 + along**2 + 2 * radius * sine * along)
        sun = (radius * height + along * towards) / here
        rayleigh, mie, _ = (density[..., None] for density in _densities(here - _GROUND))
        loss = _loss(here - _GROUND, haze)
        share = through * (1 - np.exp(-loss * step)) / np.maximum(loss, 1e-9)
        sunlit, mie = air.transmittance(here - _GROUND, sun), mie * _MIE * haze
        scattered = air.multiple(here - _GROUND, sun)
        smooth_part += share * (rayleigh * _RAYLEIGH * rayleigh_phase[..., None] * sunlit)
        smooth_part += share * (rayleigh * _RAYLEIGH + mie) * scattered
        mie_part += share * mie * sunlit
        through = through * np.exp(-loss * step)
    table = np.pi * np.concatenate([smooth_part @ _PRIMARIES.T, mie_part @ _PRIMARIES.T], -1)
    direct = air.transmittance(np.zeros(1), np.array([height]))[0] * (height > 0)
    # Around the horizon part of the disc is hidden.
    direct = (_PRIMARIES @ direct) * np.clip(height / SUN_RADIUS * 0.5 + 0.5, 0, 1)
    whole = table[..., :3] + table[..., 3:] * mie_phase(towards)[..., None]
    weights = (sine * np.cos(elevation))[..., None]
    inner = np.trapezoid(whole * weights, azimuths, axis=1)
    ambient = 2 * np.trapezoid(inner, elevations, axis=0) / np.pi
    tensor = torch.from_numpy(np.moveaxis(table, -1, 0).astype(np.float32))[None].contiguous()
    return Daylight(light.astype(np.float32), direct.astype(np.float32), ambient.astype(np.float32), tensor)
