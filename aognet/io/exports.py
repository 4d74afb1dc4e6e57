"""What other programs need of a panorama: other formats and sizes, a cubemap, a mesh, a page to look around in."""

from dataclasses import dataclass, field, fields
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.geometry.cubemap import FACES
from aognet.io.files import made_folder
from aognet.io.hdr import MAX_PIXELS
from aognet.io.meshes import MESH_SUFFIXES, PLY, MeshShape, PlacedMesh, placed_mesh, write_mesh
from aognet.io.panorama_files import (
    AS_READ,
    WRITTEN_SUFFIXES,
    encoded,
    encoding_of,
    picture,
    write_faces,
    write_panorama,
)
from aognet.io.tonemap import ToneMap
from aognet.io.value_range import Encoding
from aognet.io.viewer import write_viewer

PAGE = ".html"


@dataclass(frozen=True)
class Export:
    """``files``: panoramas by suffix (`aognet.io.panorama_files.WRITTEN_SUFFIXES`), ``.html``: the viewer's page,
    ``.ply`` or ``.glb``: a mesh of the ``shape``.
    ``faces``: folder of a cubemap, in files of ``face_suffix`` with ``face_size`` rows (default: half the panorama's).
    ``tone``: how linear light becomes what PNG, JPEG and the page hold. ``photo``: what the page can outline.
    """

    files: tuple[Path, ...] = ()
    faces: Path | None = None
    face_suffix: str = ".png"
    face_size: int | None = None
    tone: ToneMap = AS_READ
    description: str = ""
    photo: Camera | None = None
    shape: MeshShape = field(default_factory=MeshShape)

    def __post_init__(self) -> None:
        if not self.targets:
            raise UserError("must name files to write, or faces a folder for those of a cubemap", key="files")
        for path in self.targets:
            if path.suffix.lower() not in (*WRITTEN_SUFFIXES, PAGE, *MESH_SUFFIXES):
                known = ", ".join((*WRITTEN_SUFFIXES, PAGE, *MESH_SUFFIXES))
                key = "files" if path in self.files else "face_suffix"
                raise UserError(f"must end in {known}", key=key, value=path)
        self._check_shape()
        if self.face_size is not None and not 1 <= 6 * self.face_size**2 <= MAX_PIXELS:
            most = f"must be at least 1, and six faces at most {MAX_PIXELS} pixels"
            raise UserError(most, key="face_size", value=self.face_size)

    def _check_shape(self) -> None:
        """Raise UserError for what is said of a mesh where none is written: it would change nothing."""
        suffixes = {path.suffix.lower() for path in self.files}
        for one in fields(MeshShape):
            value = getattr(self.shape, one.name)
            of = (PLY,) if one.name == "points" else MESH_SUFFIXES
            if value != one.default and not suffixes & set(of):
                raise UserError(f"changes nothing without a file {' or '.join(of)}", key=one.name, value=value)

    @property
    def targets(self) -> tuple[Path, ...]:
        """Every file that is written."""
        faces = () if self.faces is None else (self.faces / f"{name}{self.face_suffix}" for name in FACES)
        return (*self.files, *faces)

    def shows_light(self, encoding: Encoding) -> bool:
        """Whether ``tone`` matters: light becomes display values in one of the files."""
        return encoding == "linear" and any(encoding_of(path) == "srgb" for path in self.targets)


def export_panorama(image: Float[Tensor, "3 height width"], encoding: Encoding, export: Export) -> None:
    """Write all that ``export`` names, each file atomically, over files of these names.

    :param image: a panorama as `aognet.io.panorama_files.read_panorama` gives it.
    :raises UserError: naming the file, if one cannot be written; folders that were made for it are gone again.
    """
    height, placed = image.shape[-2], dict[int, PlacedMesh]()
    meshes = {path: export.shape.rows_of(path.suffix.lower(), height) for path in export.files if _is_mesh(path)}
    for rows in meshes.values():  # read before anything is written
        placed[rows] = placed.get(rows) or placed_mesh(rows, export.shape)
    for path in export.files:
        with made_folder(path.parent):
            if path in meshes:
                shown = encoded(image, encoding, "srgb", export.tone)
                write_mesh(shown, placed[meshes[path]], path, export.shape.points)
            elif path.suffix.lower() == PAGE:
                page = picture(image, encoding, export.tone)
                title, light = export.description or path.stem, image if encoding == "linear" else None
                write_viewer(page, path, title=title, photo_camera=export.photo, light=light)
            else:
                write_panorama(image, path, encoding, description=export.description, tone=export.tone)
    if export.faces is not None:
        with made_folder(export.faces):
            write_faces(
                image, export.faces, encoding, suffix=export.face_suffix, size=export.face_size, tone=export.tone
            )


def _is_mesh(path: Path) -> bool:
    return path.suffix.lower() in MESH_SUFFIXES
