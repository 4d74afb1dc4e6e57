"""What a finished (or taken-back) run shows: the panorama as a sphere for viewers, and a page to look around in."""

from pathlib import Path

from aognet.canvas import Canvas
from aognet.generate.inputs import stored
from aognet.generate.run_files import TRUTH
from aognet.geometry.camera import Camera
from aognet.geometry.cubemap import FACES, faces_of
from aognet.io.files import write_atomically
from aognet.io.gpano import save_panorama
from aognet.io.images import png_bytes, save_image, to_pil
from aognet.io.viewer import write_viewer

FOLDER = "faces"


def write_truth(folder: Path, truth: Canvas) -> None:
    """``gt.png``: the panorama that a run's photograph was taken from, transparent where it is not known itself."""
    image = to_pil(truth.image[0]) if truth.unknown_pixels == 0 else stored(truth)
    write_atomically(folder / TRUTH, png_bytes(image))


def write_results(folder: Path, canvas: Canvas, prompt: str, camera: Camera | None, faces: bool = False) -> None:
    """``result.png`` (with GPano metadata), ``viewer.html`` and ``prompt.txt`` of a canvas of one panorama.

    ``faces``: the six of its cubemap, too.
    """
    image = to_pil(canvas.image[0])
    save_panorama(image, folder / "result.png", description=prompt)
    write_viewer(image, folder / "viewer.html", title=prompt or folder.name, photo_camera=camera)
    write_atomically(folder / "prompt.txt", prompt + "\n")
    if faces:
        write_faces(folder, canvas)


def write_faces(folder: Path, canvas: Canvas) -> None:
    """``faces/front.png``, ...: the cubemap of a canvas, 90 degrees each, half as many rows as the panorama."""
    (folder / FOLDER).mkdir(exist_ok=True)
    images = faces_of(canvas.image, canvas.height // 2)[0]
    for name, image in zip(FACES, images, strict=True):
        save_image(image, folder / FOLDER / f"{name}.png")
