"""The results of a finished (or taken-back) run: the panorama as a sphere for viewers, and a page to look around in."""

from collections.abc import Sequence
from pathlib import Path

from aognet.canvas import Canvas
from aognet.generate.pixels import packed, write_canvas, write_picture
from aognet.generate.run_files import DEPTH, LIGHT_RESULT, RADIANCE, STYLED, SUFFIX, UPSCALED, is_displaced, truth_file
from aognet.geometry.cubemap import FACES
from aognet.io.files import write_atomically
from aognet.io.gpano import save_panorama
from aognet.io.images import merged
from aognet.io.meshes import MeshShape, placed_mesh, write_mesh
from aognet.io.panorama_files import display_levels, encoded, write_image, write_light
from aognet.io.viewer import write_viewer
from aognet.result import Result


def write_truth(folder: Path, truth: Canvas) -> None:
    """Write the panorama that a run's photograph was taken from, transparent where it is unknown."""
    path = folder / truth_file(truth.encoding)
    if truth.unknown_pixels:
        write_canvas(truth, path)
    else:
        write_picture(packed(truth.image[0], truth.encoding).cpu(), path, truth.encoding)


def write_results(folder: Path, result: Result, faces: bool = False, meshes: Sequence[str] = ()) -> None:
    """Write ``result.png`` (with GPano metadata), ``viewer.html`` and ``prompt.txt``; linear light also as
    ``result.exr``. What was made of it is written as ``styled.png``, ``upscaled.png``, ``result.exr`` (float16) and
    ``result.hdr``, and the page shows it.

    For linear light, ``result.png`` and the viewer show it tone-mapped. ``faces``: also write the six faces of the
    cubemap. ``meshes``: also write these (`aognet.generate.run_files.MESHES`), displaced by the ``depth.png`` there.
    """
    shown = encoded(result.panorama, result.encoding, "srgb")
    image = merged(display_levels(shown))
    save_panorama(image, folder / "result.png", description=result.prompt)
    light = result.light
    if result.encoding == "linear":
        result.save(folder / LIGHT_RESULT)
        light = result.panorama
    elif light is not None:
        for name in (LIGHT_RESULT, RADIANCE):
            write_light(light, folder / name)
    if result.styled is not None:
        image = merged(display_levels(result.styled))
        save_panorama(image, folder / STYLED, description=result.prompt)
    if result.upscaled is not None:
        image = merged(display_levels(result.upscaled))
        save_panorama(image, folder / UPSCALED, description=result.prompt)
    title = result.prompt or folder.name
    write_viewer(image, folder / "viewer.html", title=title, photo_camera=result.camera, light=light)
    write_atomically(folder / "prompt.txt", result.prompt + "\n")
    if faces:
        (folder / "faces").mkdir(exist_ok=True)
        for name, face in zip(FACES, result.faces(), strict=True):
            write_image(face, folder / "faces" / f"{name}{SUFFIX[result.encoding]}")
    for name in meshes:
        shape = MeshShape(displace=folder / DEPTH if is_displaced(name) else None)
        write_mesh(shown, placed_mesh(shape.rows_of(Path(name).suffix, shown.shape[-2]), shape), folder / name)
