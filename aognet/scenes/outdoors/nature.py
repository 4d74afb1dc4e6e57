"""What scenes in nature are made of: soils, woods, slopes, and how they are added to a scene."""

import numpy as np

from aognet.scenes.outdoors.ground import Ground, GroundPoints, Overlay, Soil
from aognet.scenes.outdoors.scene import Outdoors
from aognet.scenes.outdoors.shadows import ShadowMap
from aognet.scenes.outdoors.terrain import Material, Shape, Slopes, Terrain
from aognet.scenes.outdoors.trees import Species, Trees, Wood
from aognet.scenes.plane import Flat
from aognet.scenes.rays import Noise, blend, cell_values, jitter, rgb, smooth, stripes

_BARK = rgb(0.36, 0.3, 0.25)
WOODS: dict[str, Species] = {
    "trees": Species("round", (rgb(0.33, 0.42, 0.18), rgb(0.4, 0.48, 0.22), rgb(0.28, 0.38, 0.18)), _BARK),
    "pine trees": Species("cone", (rgb(0.2, 0.3, 0.19), rgb(0.25, 0.35, 0.2)), _BARK),
    "poplars": Species("tall", (rgb(0.33, 0.43, 0.2), rgb(0.38, 0.46, 0.22)), _BARK),
    "autumn trees": Species(
        "round", (rgb(0.75, 0.45, 0.13), rgb(0.82, 0.62, 0.2), rgb(0.62, 0.25, 0.12), rgb(0.5, 0.48, 0.2)), _BARK
    ),
    "bare trees": Species("bare", (rgb(0.4, 0.36, 0.33),), rgb(0.33, 0.3, 0.28)),
    "snowy trees": Species("cone", (rgb(0.2, 0.28, 0.2),), _BARK, snow=0.55),
    "palm trees": Species("palm", (rgb(0.33, 0.42, 0.17), rgb(0.4, 0.45, 0.2)), rgb(0.5, 0.43, 0.33)),
    "bushes": Species("round", (rgb(0.4, 0.42, 0.25), rgb(0.46, 0.45, 0.28)), _BARK),
}


def grass(rng, dry: bool = False) -> Soil:
    """Return a lawn or a meadow."""
    greens = [(rgb(0.3, 0.37, 0.19), rgb(0.37, 0.42, 0.22)), (rgb(0.27, 0.35, 0.17), rgb(0.4, 0.42, 0.24))]
    first, second = greens[int(rng.integers(2))] if not dry else (rgb(0.58, 0.52, 0.33), rgb(0.5, 0.48, 0.28))
    return Soil(jitter(rng, first), jitter(rng, second), (0.34, 0.2, 0.06, 0.05), bump=0.03)


def snow_soil() -> Soil:
    white = rgb(0.93, 0.94, 0.97)
    return Soil(white, white * 0.96, (0.02, 0.02, 0.02, 0.03), bump=0.09)


def sand_soil(rng) -> Soil:
    sand = jitter(rng, pick_color(rng, (0.84, 0.75, 0.58), (0.78, 0.68, 0.52), (0.9, 0.85, 0.75)))
    return Soil(sand, sand * 0.9, (0.08, 0.05, 0.05, 0.05), 0.08)


def pick_color(rng, *colors) -> np.ndarray:
    """Return one of the sRGB colours as a linear colour."""
    return rgb(*colors[int(rng.integers(len(colors)))])


def add_ground(scene: Outdoors, soil: Soil, noun: str, reach: float | None = 70.0) -> Ground:
    """Return level ground, with a map for the shadows of what stands on it."""
    ground = Ground(scene.rng, scene.sky, soil, scene.label(noun, ground=True))
    if reach and not scene.sky.is_grey and scene.sky.light[1] > 0.02:
        ground.shadow = ShadowMap(scene.sky.light, reach)
    scene.layers.append(ground)
    return ground


def add_trees(scene: Outdoors, noun: str, distances, part: float, height: float = 9.0, kind: str = "",
              ground: Ground | None = None) -> None:  # fmt: skip
    """Add rings of trees from far to near, which cast shadows on ``ground``."""
    label, species = scene.label(noun), WOODS[kind or noun]
    rings = [Trees(scene.rng, scene.sky, species, float(distance), height, part, label) for distance in distances]
    for ring in rings:
        if ground is not None and ground.shadow is not None:
            ring.cast(ground.shadow)
    scene.layers.append(Wood(rings))


def slope_material(rng, rock, cover, labels: tuple[int, int], snow: float | None = None, wooded: float = 0.0,
                   snow_label: int = 0) -> Material:  # fmt: skip
    """Return a material: rock where it is steep, ``cover`` where it is gentle, woods below, snow above the part
    ``snow`` of the height.
    """
    patches, grain, strata = Flat(rng, 260.0, "cloud"), Flat(rng, 12.0), Noise(rng, 60.0, "cloud")
    canopy, blades, tufts = Flat(rng, 9.0), Flat(rng, 0.024), Flat(rng, 0.1)
    wood = rgb(0.17, 0.25, 0.13)

    def paint(slopes: Slopes) -> tuple[np.ndarray, np.ndarray]:
        points, up = slopes.points, slopes.normals[:, 1]
        rough = strata(points, slopes.footprint)
        steep = 1 - smooth(up + 0.05 * rough, 0.72, 0.86)
        stone = rock * (1 + 0.16 * rough + 0.1 * grain(points, slopes.footprint))[:, None]
        green = cover * (1 + 0.12 * patches(points) + 0.1 * grain(points, slopes.footprint))[:, None]
        if wooded:
            trees = smooth(patches(points) + 1.6 * (wooded - slopes.part) + 0.25 * rough, -0.1, 0.25)
            # From inside, woods are more than a colour of the ground: they begin some way off.
            trees *= smooth(np.hypot(points[:, 0], points[:, 2]), 60.0, 200.0)
            leaf = wood * np.clip(1 + 0.45 * canopy(points, slopes.footprint), 0.3, 2)[:, None]
            green = blend(green, leaf, trees)
        close = np.flatnonzero(slopes.footprint < 0.4)
        if close.size:
            here, width = points[close], slopes.footprint[close]
            green[close] *= np.clip(1 + 0.3 * blades(here, width) + 0.2 * tufts(here, width), 0.2, 2)[:, None]
        albedo = blend(green, stone, steep)
        labels_ = np.where(steep > 0.5, labels[0], labels[1]).astype(np.int16)
        if snow is not None:
            line = slopes.part + 0.05 * rough + 0.04 * patches(points) - snow
            white = smooth(line, -0.015, 0.03) * smooth(up + 0.08 * rough, 0.5, 0.68)
            albedo = blend(albedo, rgb(0.93, 0.95, 0.98), white)
            labels_[white > 0.5] = snow_label
        return albedo, labels_

    return paint


def add_mountains(scene: Outdoors, noun: str, snow: float | None, near: float = 500.0, height: float = 2300.0,
                  wooded: float = 0.45, cover=None) -> None:  # fmt: skip
    """Add alpine mountains around a level valley."""
    rng = scene.rng
    label = scene.label(noun)
    rock = jitter(rng, pick_color(rng, (0.47, 0.45, 0.43), (0.5, 0.46, 0.41), (0.42, 0.42, 0.43)))
    cover = rgb(0.33, 0.39, 0.2) if cover is None else cover
    material = slope_material(rng, rock, cover, (label, label), snow, wooded, label)
    shape = Shape("alpine", 11000.0, height * rng.uniform(0.85, 1.2), (near, near * 4.5), 24000.0)
    scene.layers.append(Terrain(rng, scene.sky, shape, material))


def add_hills(scene: Outdoors, noun: str, cover, near: float = 90.0, height: float = 110.0, wooded: float = 0.5,
              period: float = 2600.0) -> None:  # fmt: skip
    """Add round hills some way off."""
    label = scene.label(noun)
    material = slope_material(scene.rng, cover * 0.9, cover, (label, label), None, wooded)
    shape = Shape("rolling", period, height * scene.rng.uniform(0.8, 1.3), (near, near * 6), 9000.0)
    scene.layers.append(Terrain(scene.rng, scene.sky, shape, material))


def slabs(rng, size: float, color: np.ndarray | None = None, near: float = np.inf) -> Overlay:
    """Return stone slabs, up to ``near`` metres ahead where they are of their own colour."""

    def paint(spots: GroundPoints) -> None:
        a, b, width = spots.points[:, 0] / size, spots.points[:, 2] / size, spots.footprint
        row = np.floor(b)
        lines = stripes(a + 0.5 * (row % 2), 1.0, 0.025, width / size) + stripes(b, 1.0, 0.025, width / size)
        tone = cell_values(np.floor(a + 0.5 * (row % 2)), row) - 0.5
        value = (1 + 0.16 * tone / (1 + (1.5 * width / size) ** 2)) * (1 - 0.45 * np.clip(lines, 0, 1))
        paved = (spots.albedo if color is None else color) * value[:, None]
        here = np.abs(spots.points[:, 2]) < near
        spots.albedo[here] = paved[here]

    return paint


def add_mesas(scene: Outdoors, red, noun: str = "red rocks", near: float = 350.0) -> None:
    """Add table mountains of layered rock."""
    rng = scene.rng
    label = scene.label(noun)
    bands, grain = Noise(rng, 90.0, "cloud"), Noise(rng, 10.0)

    def paint(slopes: Slopes) -> tuple[np.ndarray, np.ndarray]:
        height = slopes.points[:, 1] + 4 * bands(slopes.points, slopes.footprint)
        layers = (
            0.09 * np.sin(height * 0.32) + 0.07 * np.sin(height * 0.83) + 0.1 * grain(slopes.points, slopes.footprint)
        )
        steep = 1 - smooth(slopes.normals[:, 1], 0.7, 0.9)
        return red * (1 + (layers * (0.4 + steep) - 0.1 * steep))[:, None], np.full(len(height), label, np.int16)

    shape = Shape("mesa", 5200.0, rng.uniform(330, 520), (near, near * 3), 14000.0)
    scene.layers.append(Terrain(rng, scene.sky, shape, paint))


def add_shore_trees(scene: Outdoors, noun: str, height: float, ground: Ground, side: float = -1.0) -> None:
    """Add trees on the landward side (-z) only."""
    for distance in (40, 22):
        ring = Trees(scene.rng, scene.sky, WOODS[noun], float(distance), height, 0.6, scene.label(noun))
        angles = (np.arange(ring.count) + 0.5) / ring.count * 2 * np.pi
        ring.heights[np.cos(angles) * side < 0.25] = 0
        if ground.shadow is not None:
            ring.cast(ground.shadow)
        scene.layers.append(ring)
    scene.details.append((noun, noun))


def sand_material(rng, scene: Outdoors, noun: str, sand) -> Material:
    label = scene.label(noun, ground=True)
    grain, ripples, tone = Flat(rng, 0.05), Flat(rng, 3.0), Flat(rng, 40.0, "cloud")

    def paint(slopes: Slopes) -> tuple[np.ndarray, np.ndarray]:
        points, width = slopes.points, slopes.footprint
        bent = points[:, 0] * 0.4 + points[:, 2] * 0.9 + 0.5 * ripples(points, width)
        waves = np.sin(bent * np.float32(2 * np.pi / 0.32)) / (1 + (9 * width) ** 2)
        value = 1 + 0.03 * waves + 0.06 * grain(points, width) + 0.05 * tone(points)
        return sand * value[:, None], np.full(len(points), label, np.int16)

    return paint
