"""Moving pixels: views of a panorama and painting a view back, beside other libraries, the published recipe, the limit.

python benchmarks/geometry.py [--height 2048] [--size 512] [--threads 2]

*First*: with a camera that was not used before; *again*: with one that was, as in every panorama after the first and
every step of training. The recipe's paste-back computes where each pixel of the panorama lies in the view, as the
published code does. The limit is a plain copy of the bytes that must be touched. Prints Markdown tables.
"""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aognet.system import threads  # noqa: E402

threads.settle()

import numpy as np  # noqa: E402
import torch  # noqa: E402

from aognet.canvas import Canvas  # noqa: E402
from aognet.geometry import perspective  # noqa: E402
from aognet.geometry.camera import Camera  # noqa: E402
from benchmarks.tables import measured, milliseconds, table  # noqa: E402

CAMERAS = {"level": (30.0, 0.0), "across the wrap": (180.0, 20.0), "pole": (0.0, 90.0)}

Result = TypeVar("Result")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--height", type=int, default=2048, help="rows of the panorama")
    parser.add_argument("--size", type=int, default=512, help="pixels of the square views")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    panorama = torch.rand(1, 3, options.height, 2 * options.height)
    for name, (yaw, pitch) in CAMERAS.items():
        camera = Camera(yaw, pitch, width=options.size, height=options.size)
        sys.stdout.write(
            f"{name}, view of {options.size}x{options.size}\n\n{views(panorama, camera, options.threads)}\n"
        )
        sys.stdout.write(f"{name}, painted back\n\n{painting(camera, options.height, options.threads)}\n")


def views(panorama: torch.Tensor, camera: Camera, threads: int) -> str:
    """Bilinear views without antialiasing, as the others give them."""
    import cv2
    from equilib import equi2pers
    from py360convert import e2p

    cv2.setNumThreads(threads)
    size, pixels = camera.width, panorama[0].permute(1, 2, 0).contiguous().numpy()
    turn = {"roll": 0.0, "pitch": -math.radians(camera.pitch_degrees), "yaw": math.radians(camera.yaw_degrees)}
    ways: dict[str, Callable[[], object]] = {
        "pyequilib, PyTorch": lambda: equi2pers(panorama, [turn], size, size, camera.fov_degrees, mode="bilinear"),
        "py360convert": lambda: e2p(
            pixels, camera.fov_degrees, camera.yaw_degrees, camera.pitch_degrees, (size, size), mode="bilinear"
        ),
        "here, first": lambda: forgetting(lambda: perspective.look(panorama, camera, antialias=False)),
        "here, again": lambda: perspective.look(panorama, camera, antialias=False),
        "here, again, antialiased": lambda: perspective.look(panorama, camera),
    }
    # Of every pixel that is shown three channels; of every pixel of the view its place and three channels.
    touched = shown(camera, len(pixels)) * 12 + size * size * (8 + 12)
    ways[f"a copy of {touched / 1e6:.0f} MB"] = copy_of(touched)
    times = {name: measured(way, threads) for name, way in ways.items()}
    (slow, _), (other, _), *_, (limit, _) = times.values()
    rows = [
        (name, milliseconds(found), slow / found[0], other / found[0], found[0] / limit)
        for name, found in times.items()
    ]
    return table(("view", "ms", "times pyequilib", "times py360convert", "times the copy's time"), rows)


def painting(camera: Camera, height: int, threads: int) -> str:
    """A view painted into a canvas of which nothing is known."""
    view, canvas = torch.rand(1, 3, camera.height, camera.width), Canvas.empty(height)
    # Of every pixel: its number and place in the view, its four channels; and the view itself.
    touched = shown(camera, height) * (8 + 8 + 16) + view.nbytes
    picture, image, known = view[0].permute(1, 2, 0).numpy(), *empty(height)
    times = {
        "recipe: grid of the whole canvas, NumPy": measured(lambda: paste(picture, camera, image, known), 1, 0.1),
        "here, first": measured(lambda: forgetting(lambda: canvas.paint_(view, camera)), threads),
        "here, again": measured(lambda: canvas.paint_(view, camera), threads),
        "here, again: sampling the view alone": measured(lambda: perspective.project(view, camera, height), threads),
        f"a copy of {touched / 1e6:.0f} MB": measured(copy_of(touched), threads),
    }
    (recipe, _), (limit, _) = list(times.values())[0], list(times.values())[-1]
    rows = [(name, milliseconds(found), recipe / found[0], found[0] / limit) for name, found in times.items()]
    return table(("painting", "ms", "times the recipe", "times the copy's time"), rows)


def shown(camera: Camera, height: int) -> int:
    """How many pixels of a panorama a view shows."""
    return len(perspective.footprint(camera, height, 2 * height, 1, torch.device("cpu")).index)


def copy_of(count: int) -> Callable[[], object]:
    """Copies so many bytes."""
    source, target = (torch.zeros(count, dtype=torch.uint8) for _ in range(2))
    return lambda: target.copy_(source)


def forgetting(run: Callable[[], Result]) -> Result:
    """Runs with a camera as if it had never been used."""
    perspective.view_grid.cache_clear()
    perspective.footprint.cache_clear()
    return run()


def empty(height: int) -> tuple[np.ndarray, np.ndarray]:
    """An image and a mask, as the recipe holds them."""
    return np.zeros((height, 2 * height, 3), np.float32), np.zeros((height, 2 * height), bool)


def paste(view: np.ndarray, camera: Camera, image: np.ndarray, known: np.ndarray) -> None:
    """The recipe's paste-back: every pixel of the panorama is projected into the view, those inside are written."""
    height, width = known.shape
    longitude = ((np.arange(width) + 0.5) / width - 0.5) * 2 * np.pi
    latitude = (0.5 - (np.arange(height) + 0.5) / height) * np.pi
    longitude, latitude = np.meshgrid(longitude, latitude)
    world = np.stack([np.cos(latitude) * np.sin(longitude), np.sin(latitude), np.cos(latitude) * np.cos(longitude)], -1)
    x, y, z = np.moveaxis(world @ camera.rotation.numpy(), -1, 0)
    ahead = np.where(z > 1e-9, z, 1)
    column = x / ahead * camera.focal_pixels + camera.width / 2 - 0.5
    row = camera.height / 2 - 0.5 - y / ahead * camera.focal_pixels
    first, last = camera.margin - 0.5, camera.width - camera.margin - 0.5
    inside = (z > 1e-9) & (column >= first) & (column <= last) & (row >= first) & (row <= last)
    values = bilinear(view, np.clip(column, 0, camera.width - 1), np.clip(row, 0, camera.height - 1))
    fresh = inside & ~known
    image[fresh] = values[fresh]
    known[inside] = True


def bilinear(view: np.ndarray, column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Values of an image at fractional positions inside it."""
    left, top = np.floor(column).astype(int), np.floor(row).astype(int)
    right, bottom = np.minimum(left + 1, view.shape[1] - 1), np.minimum(top + 1, view.shape[0] - 1)
    across, down = (column - left)[..., None], (row - top)[..., None]
    upper = view[top, left] * (1 - across) + view[top, right] * across
    lower = view[bottom, left] * (1 - across) + view[bottom, right] * across
    return upper * (1 - down) + lower * down


if __name__ == "__main__":
    main()
