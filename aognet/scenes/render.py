"""From a world to a panorama: sampling (denser at edges), the discs of sun and moon, and a camera's exposure."""

import numpy as np

from aognet.geometry.sphere import pixel_directions
from aognet.io.srgb import encode_srgb
from aognet.scenes.rays import Rays
from aognet.scenes.world import Disc, Seen, World

_CHUNK = 1 << 16  # rays at a time, so that the arrays stay in the processor's cache
_EDGE, _EDGE_PART = 0.1, 0.09  # contrast from which pixels are sampled again, and how many at most
_DISC_SAMPLES = 1024
_GREY = np.array([0.25, 0.6, 0.15], np.float32)


def render(world: World, height: int, turn: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return radiance (height, 2 * height, 3), distance and labels (height, 2 * height) of a world turned by a matrix.

    Distances and labels are those of the pixels' centres. Radiance is averaged where neighbours differ.
    """
    width, pixel = 2 * height, np.pi / height
    directions = pixel_directions(height, width).numpy().reshape(-1, 3)
    whole = look(world, directions @ turn.T, pixel)
    radiance = np.maximum(whole.radiance, 0)
    factor = np.float32(exposure(radiance.reshape(height, width, 3)))
    edges = _edges(encode_srgb(_shoulder(radiance @ _GREY * factor)).reshape(height, width))
    rows, columns = np.divmod(edges, width)
    total = radiance[edges]
    # A rotated square of samples around each pixel's centre.
    for right, down in ((-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125)):
        longitudes = ((columns + 0.5 + right) / width - 0.5) * 2 * np.pi
        latitudes = (0.5 - (rows + 0.5 + down) / height) * np.pi
        flat = np.cos(latitudes)
        around = np.stack([flat * np.sin(longitudes), np.sin(latitudes), flat * np.cos(longitudes)], 1)
        total += np.maximum(look(world, around @ turn.T, pixel).radiance, 0)
    radiance[edges] = total / 5
    radiance = radiance.reshape(height, width, 3)
    for disc in world.discs:
        _shine(world, disc, turn, radiance)
    return radiance, whole.distance.reshape(height, width), whole.label.reshape(height, width)


def look(world: World, directions: np.ndarray, pixel: float) -> Seen:
    """Return what a world shows along directions (n, 3)."""
    directions = np.ascontiguousarray(directions, np.float32)
    count = len(directions)
    parts = [world.seen(Rays(directions[at : at + _CHUNK], pixel)) for at in range(0, count, _CHUNK)]
    if not parts:
        empty = np.zeros(0, np.float32)
        return Seen(np.zeros((0, 3), np.float32), empty, empty.astype(np.int16), empty)
    names = ("radiance", "distance", "label", "through")
    return Seen(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _shine(world: World, disc: Disc, turn: np.ndarray, radiance: np.ndarray) -> None:
    """Add a disc's light to the pixels it covers, in equal shares of its solid angle. No light is lost at any size."""
    directions, seen = disc_samples(world, disc)
    height, width = radiance.shape[:2]
    local = directions @ turn
    rows = (0.5 - np.arcsin(np.clip(local[:, 1], -1, 1)) / np.pi) * height
    rows = np.clip(rows.astype(int), 0, height - 1)
    columns = ((np.arctan2(local[:, 0], local[:, 2]) / (2 * np.pi) + 0.5) * width).astype(int) % width
    share = 2 * np.pi * (1 - np.cos(disc.radius)) / len(local)
    edges = np.sin((0.5 - np.arange(height + 1) / height) * np.pi)
    solid_angle = (edges[:-1] - edges[1:]) * 2 * np.pi / width
    light = np.bincount(rows * width + columns, seen * share, height * width).reshape(height, width)
    radiance += (light / solid_angle[:, None])[..., None].astype(np.float32) * disc.radiance


def disc_samples(world: World, disc: Disc) -> tuple[np.ndarray, np.ndarray]:
    """Return directions (n, 3) evenly over a disc, and how much of the light along each comes through (n,)."""
    number = np.arange(_DISC_SAMPLES) + 0.5
    # Even in 1 - cosine is even in solid angle; the golden angle spreads them around.
    cosine = 1 - (1 - np.cos(disc.radius)) * number / _DISC_SAMPLES
    around = number * np.pi * (3 - np.sqrt(5))
    side = np.cross(disc.direction, [0.0, 1.0, 0.0] if abs(disc.direction[1]) < 0.9 else [1.0, 0.0, 0.0])
    side = side / np.linalg.norm(side)
    other = np.cross(disc.direction, side)
    sine = np.sqrt(1 - cosine**2)
    directions = cosine[:, None] * disc.direction + sine[:, None] * (
        np.cos(around)[:, None] * side + np.sin(around)[:, None] * other
    )
    return directions, look(world, directions, 2 * disc.radius / 32).through


def exposure(radiance: np.ndarray) -> float:
    """Return the factor by which a camera's automatic exposure multiplies linear light (height, width, 3).

    It brings the geometric mean, weighted by solid angle, to a grey that is darker for dark scenes, so that a night
    still looks like one (the key of Krawczyk, Myszkowski and Seidel 2005, with a camera's longer range).
    """
    height = radiance.shape[0]
    weights = np.cos((0.5 - (np.arange(height) + 0.5) / height) * np.pi)[:, None]
    value = radiance.mean(-1)
    # What is black beside the rest counts as dark, not as black: a lit street under a night sky keeps its detail.
    floor = 0.04 * float(np.minimum(value, np.quantile(value, 0.98)).mean())
    light = np.log(np.maximum(value, max(floor, 1e-9)))
    mean = float(np.exp((light * weights).sum() / (weights.sum() * radiance.shape[1])))
    dark = np.clip(-np.log10(mean / 0.03), 0, 5.5) / 5.5
    bright = float(np.clip(np.log10(mean / 0.1), 0, 1))
    return (0.3 + 0.3 * bright - 0.22 * dark**0.6) / mean


def display(radiance: np.ndarray, factor: float) -> np.ndarray:
    """Return linear light as sRGB in [0, 1]: straight up to 0.5, then a shoulder that reaches 1 at infinity."""
    linear = radiance * np.float32(factor)
    # Less contrast than in nature, as cameras do: shadows and the deep sky come up, highlights down.
    value = linear @ _GREY
    linear = linear * (np.maximum(value, 1e-4) / 0.3)[..., None] ** np.float32(-0.2)
    # Half of the shoulder keeps the hue, so that a sunset stays orange; the other half bleaches as sensors do.
    peak = np.maximum(linear.max(-1, keepdims=True), np.float32(1e-6))
    bent = 0.45 * _shoulder(linear) + 0.55 * linear * (_shoulder(peak) / peak)
    return np.clip(encode_srgb(bent), 0, 1).astype(np.float32)


def _shoulder(linear: np.ndarray) -> np.ndarray:
    return np.where(linear < 0.5, linear, 1 - 0.5 * np.exp(-(np.maximum(linear, 0.5) - 0.5) / 0.5))


def glare(radiance: np.ndarray, factor: float) -> np.ndarray:
    """Return linear light (height, width, 3) with the light that a lens scatters around the brightest thing, if it is
    very bright.
    """
    height, width = radiance.shape[:2]
    directions = pixel_directions(height, width).numpy().reshape(-1, 3).astype(np.float32)
    flat = radiance.reshape(-1, 3)
    bright = np.flatnonzero(flat.max(1) * factor > 60)
    if not bright.size:
        return radiance
    # By night the moon must not look like a sun.
    strength = 1.0 if factor < 1e4 else 0.15
    power = (
        strength
        * flat[bright]
        * (np.hypot(directions[bright, 0], directions[bright, 2]) * (np.pi / height) ** 2)[:, None]
    )
    weights = power.sum(1)
    center = weights @ directions[bright]
    center /= max(np.linalg.norm(center), 1e-6)
    square = 2 - 2 * directions @ center  # of the angle, nearly
    near = 0.0004 / (2 * np.pi * (square + 0.02**2) ** 1.5)
    spread = near + 0.016 * np.exp(-square / 0.04) / (np.pi * 0.04)
    return radiance + (spread[:, None] * power.sum(0)).reshape(radiance.shape)


def _edges(value: np.ndarray) -> np.ndarray:
    """Return the flat indices of the pixels of a grey image that differ most from a neighbour."""
    across, down = np.abs(np.roll(value, -1, 1) - value), np.abs(np.diff(value, axis=0))
    contrast = np.maximum(across, np.roll(across, 1, 1))
    contrast[1:] = np.maximum(contrast[1:], down)
    contrast[:-1] = np.maximum(contrast[:-1], down)
    contrast = contrast.ravel()
    most = max(int(contrast.size * _EDGE_PART), 1)
    limit = max(_EDGE, float(np.partition(contrast, -most)[-most]))
    return np.flatnonzero(contrast >= limit)
