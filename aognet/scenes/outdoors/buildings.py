"""Solids that stand on the ground, and how their faces look: walls with windows, roofs, lamps."""

from collections.abc import Sequence

import numpy as np

from aognet.scenes.outdoors.film import EYE, Film, haze
from aognet.scenes.outdoors.ground import lamp_light
from aognet.scenes.rays import Noise, Rays, blend, cell_values, dot, rgb, smooth, stripes
from aognet.scenes.sky.sky import Sky
from aognet.scenes.solids import Solid, shadowed, trace
from aognet.scenes.world import LUX

_FACADES = ("concrete", "brick", "plaster", "glass")
_WINDOW = 220 * LUX  # radiance of a lit window
Lamp = tuple[np.ndarray, np.ndarray]  # place and radiant intensity / pi

_DOORS = 0.28  # part of the places for windows on the ground floor that have a door instead
_DOOR_PAINT = np.stack([rgb(0.3, 0.18, 0.1), rgb(0.15, 0.3, 0.22), rgb(0.2, 0.25, 0.42), rgb(0.45, 0.12, 0.1)])


class Buildings:
    """A layer of solids, each with the label of what it belongs to."""

    def __init__(self, rng, sky: Sky, solids: Sequence[Solid], labels: Sequence[int], lamps: Sequence[Lamp] = ()):
        self.sky, self.solids, self.lamps = sky, list(solids), list(lamps)
        self.labels = np.array(labels, np.int16)
        self.casters = [solid for solid in self.solids if solid.radius > 2.5]
        self.grain, self.stain = Noise(rng, 0.08), Noise(rng, 3.0, "cloud")
        self.lit_part = rng.uniform(0.22, 0.45)
        self.materials = np.array([solid.material for solid in solids])
        self.colors = np.stack([solid.color for solid in solids])

    def paint(self, film: Film) -> None:
        rays = film.rays
        hits = trace(rays, self.solids)
        chosen = np.flatnonzero(hits.index >= 0)
        if not chosen.size:
            return
        near, index, normals = rays.take(chosen), hits.index[chosen], hits.normals[chosen]
        distance = hits.distance[chosen]
        points = near.directions * distance[:, None]
        footprint = near.pixel * distance / np.clip(-dot(normals, near.directions), 0.15, 1)
        albedo, glow = self._surface(near, points, normals, footprint, index)
        shade = albedo * self._light(points, normals) + glow
        film.lay(chosen, haze(self.sky, near, shade, distance), distance, self.labels[index])

    def _surface(self, rays: Rays, points, normals, footprint, index) -> tuple[np.ndarray, np.ndarray]:
        grain = 1 + 0.05 * self.grain(points, footprint) + 0.05 * self.stain(points)
        albedo = self.colors[index] * grain[:, None]
        glow = np.zeros_like(albedo)
        materials = self.materials[index]
        for name in np.unique(materials):
            here = np.flatnonzero(materials == name)
            if name in _FACADES:
                parts = self._facade(
                    name, rays.take(here), points[here], normals[here], footprint[here], index[here], albedo[here]
                )
                albedo[here], glow[here] = parts
            elif name == "roof":
                albedo[here] *= (0.7 + 0.3 * stripes(points[here, 1], 0.22, 0.7, footprint[here]))[:, None]
            elif name == "snowy roof":
                white = np.clip(normals[here, 1] * 4, 0, 1)
                albedo[here] = blend(albedo[here], rgb(0.93, 0.94, 0.97), white)
            elif name == "lamp" and self.sky.is_dark:
                glow[here] = rgb(1.0, 0.85, 0.6) * np.float32(0.06)
        return albedo, glow

    def _light(self, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        sky = self.sky
        facing = np.clip(normals @ sky.light, 0, 1) * (sky.light[1] > 0)
        lit = np.flatnonzero(facing > 0)
        if lit.size and not sky.is_grey and not self.lamps:  # beside lamps the moon's shadows are not seen
            lifted = points[lit] + normals[lit] * np.float32(0.03)
            facing[lit] *= ~shadowed(lifted, self.casters, sky.light)
        up = 0.6 + 0.4 * normals[:, 1]
        foot = 0.6 + 0.4 * smooth(points[:, 1] + EYE, 0.0, 2.5)
        # The sunlit ground and opposite walls light what the sun does not reach.
        bounced = 0.1 * np.clip(sky.light[1], 0, 1)
        light = sky.sunlight * (facing + bounced)[:, None] + sky.ambient * (up * foot)[:, None]
        for place, power in self.lamps:
            offset = points - place
            close = np.flatnonzero(dot(offset, offset) < 30**2)
            light[close] += lamp_light(place, power, points[close], normals[close])
        return light

    def _doors(self, albedo, beside, up, footprint, index, doors) -> np.ndarray:
        """Return the albedo (n, 3) of walls with doors where ``doors`` is true. ``beside`` is metres from the middle of
        the nearest.
        """
        paint = _DOOR_PAINT[(cell_values(index, np.full_like(index, 5)) * len(_DOOR_PAINT)).astype(int)]
        for half, high, color in ((0.62, 2.25, rgb(0.8, 0.78, 0.74)), (0.5, 2.1, paint)):
            part = np.clip((half - beside) / footprint + 0.5, 0, 1) * np.clip((high - up) / footprint + 0.5, 0, 1)
            albedo = blend(albedo, np.broadcast_to(color, albedo.shape), part * doors)
        return albedo

    def _facade(self, name, rays, points, normals, footprint, index, albedo):
        """Return the albedo and glow (n, 3) of walls with rows of windows."""
        across = points[:, 0] * normals[:, 2] - points[:, 2] * normals[:, 0]
        up = points[:, 1] + EYE
        shape = cell_values(index, np.full_like(index, 7))
        wide, high = 2.2 + 1.6 * shape, 3.0 + 0.6 * cell_values(index, np.full_like(index, 9))
        part = 0.86 if name == "glass" else 0.45
        if name == "brick":
            rows = stripes(up, 0.16, 0.14, footprint)
            bricks = cell_values(np.floor(up / 0.16), np.floor(across / 0.4)) - 0.5
            albedo = albedo * (1 + 0.35 * bricks / (1 + (12 * footprint) ** 2) - 0.25 * (rows - 0.14))[:, None]
        # The ground floor is of another, darker stone.
        albedo = albedo * (1 - 0.3 * np.clip((0.75 * high - up) / footprint + 0.5, 0, 1))[:, None]
        pane = stripes(across / wide, 1.0, part, footprint / wide) * stripes(
            up / high - 0.45, 1.0, 0.55, footprint / high
        )
        frame = stripes(across / wide, 1.0, part + 0.08, footprint / wide) * stripes(
            up / high - 0.45, 1.0, 0.61, footprint / high
        )
        pane, frame = pane * (normals[:, 1] < 0.5), frame * (normals[:, 1] < 0.5)
        if name != "glass":
            column = np.rint(across / wide)
            doors = (cell_values(column, index, np.full_like(index, 3)) < _DOORS) & (up < 0.95 * high)
            pane, frame = pane * ~doors, frame * ~doors
            albedo = self._doors(albedo, np.abs(across - column * wide), up, footprint, index, doors)
        dice = cell_values(np.rint(across / wide), np.rint(up / high - 0.45), index)
        albedo = blend(albedo, np.broadcast_to(rgb(0.82, 0.8, 0.77), albedo.shape), (frame - pane) * 0.6)
        panes = rgb(0.16, 0.19, 0.22) * (0.5 + dice)[:, None]
        albedo = blend(albedo, panes, pane)
        # Panes mirror the sky by Fresnel's law: more, the flatter one looks at them.
        facing = np.clip(-dot(normals, rays.directions), 0, 1)
        fresnel = 0.05 + 0.95 * (1 - facing) ** 5 if name != "glass" else 0.25 + 0.75 * (1 - facing) ** 5
        bounced = rays.directions + 2 * facing[:, None] * normals
        bounced[:, 1] = np.abs(bounced[:, 1]) + 0.02
        bounced /= np.sqrt(dot(bounced, bounced))[:, None]
        shine = self.sky.radiance(Rays(bounced, rays.pixel * 8)) * (fresnel * (0.5 + 0.5 * dice))[:, None]
        lamps = self.lit_part * {"night": 1.0, "twilight": 0.6, "sunset": 0.2}.get(self.sky.weather, 0.0)
        if lamps:
            warm = rgb(1.0, 0.78, 0.45) + (rgb(0.9, 0.92, 0.9) - rgb(1.0, 0.78, 0.45)) * (dice[:, None] * 7 % 1.0) ** 3
            shine = shine + (dice < lamps)[:, None] * warm * np.float32(_WINDOW) * (0.4 + 1.5 * dice / lamps)[:, None]
        return albedo, shine * pane[:, None]
