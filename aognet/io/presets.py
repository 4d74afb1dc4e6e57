"""Exports that are ready for one program each: its formats, its names of files, its way to turn a panorama.

A preset fills a folder, and a README.txt there says what to do in the program. Where a program puts the middle of a
panorama was taken from its source or documentation; ``tests/io/test_presets.py`` has each formula.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from aognet.errors import Setting, UserError
from aognet.geometry.camera import Camera
from aognet.geometry.cube_layouts import CROSS, STRIP, VERTICAL_CROSS, CubeLayout, laid_out
from aognet.geometry.cubemap import FACES, faces_of
from aognet.geometry.perspective import rotate
from aognet.io import preset_notes as notes
from aognet.io.exports import Export, export_panorama
from aognet.io.files import files_in, filled_folder, write_atomically
from aognet.io.formats import LIGHT_SUFFIXES
from aognet.io.hdr import MAX_PIXELS
from aognet.io.pannellum import LEAST_TILE, MOST_TILE, TILE, write_tiles
from aognet.io.panorama_files import AS_READ, encoded, encoding_of, write_image
from aognet.io.tonemap import ToneMap
from aognet.io.value_range import Encoding

README = "README.txt"
PICTURES = (".png", ".jpg", *LIGHT_SUFFIXES)
UNITY_SLOTS = ("FrontTex", "LeftTex", "BackTex", "RightTex", "UpTex", "DownTex")
"""The slots of Unity's shader ``Skybox/6 Sided``, in the order of ``FACES``: its ``_LeftTex`` is at +X, the right."""


@dataclass(frozen=True)
class PresetOptions:
    """``layout`` and ``format`` (``png``, ``exr``, ...): those that a preset offers; default: its first, and of light a
    format that keeps light. ``face_size``: rows of a face; default: half of the panorama's, and for tiles the
    panorama's columns divided by pi. ``tile_size``: rows of a tile of Pannellum. ``tone``: how light becomes display
    values. ``description`` goes into metadata and the page, ``photo`` into the page.
    """

    layout: str = ""
    format: str = ""
    face_size: int | None = None
    tile_size: int | None = None
    tone: ToneMap = AS_READ
    description: str = ""
    photo: Camera | None = None

    def __post_init__(self) -> None:
        if self.face_size is not None and not 1 <= 6 * self.face_size**2 <= MAX_PIXELS:
            most = f"must be at least 1, and six faces at most {MAX_PIXELS} pixels"
            raise UserError(most, key="face_size", value=self.face_size)
        if self.tile_size is not None and not LEAST_TILE <= self.tile_size <= MOST_TILE:
            raise UserError(f"must be from {LEAST_TILE} to {MOST_TILE}", key="tile_size", value=self.tile_size)


@dataclass(frozen=True)
class PanoramaExport:
    """What is written: a panorama, in files of a ``suffix``, into an empty ``folder``."""

    image: Float[Tensor, "3 height width"]
    encoding: Encoding
    folder: Path
    suffix: str
    options: PresetOptions

    def path(self, stem: str) -> Path:
        """Return the path of a file with the panorama or with parts of it."""
        return self.folder / f"{stem}{self.suffix}"

    def values(self) -> Float[Tensor, "3 height width"]:
        """Return the panorama in the encoding of the files."""
        return encoded(self.image, self.encoding, encoding_of(self.path("a")), self.options.tone)

    def faces(self) -> Float[Tensor, "1 6 3 size size"]:
        """Return the cubemap in the encoding of the files."""
        return faces_of(self.values()[None], self.options.face_size or max(self.image.shape[-2] // 2, 1))


@dataclass(frozen=True)
class Layout:
    """What lies in the files. ``write`` makes them; ``note`` is the README. ``sized`` and ``tiled``: it heeds the
    ``face_size`` and the ``tile_size``.
    """

    write: Callable[[PanoramaExport], None]
    note: str
    sized: bool = False
    tiled: bool = False


@dataclass(frozen=True)
class Preset:
    """What a program takes. The first of the ``layouts`` is written by default; ``""`` is the only one. ``suffixes``:
    of the formats that it takes.
    """

    title: str
    description: str
    suffixes: tuple[str, ...]
    layouts: Mapping[str, Layout]

    def suffix(self, options: PresetOptions, encoding: Encoding) -> str:
        """Return the suffix that is written: the one asked for, or the first that needs no other encoding."""
        if options.format:
            return _suffix(options.format)
        fitting = [suffix for suffix in self.suffixes if encoding_of(Path(f"a{suffix}")) == encoding]
        return (fitting or self.suffixes)[0]

    def layout(self, options: PresetOptions) -> Layout:
        """Return the layout that is written."""
        return self.layouts[options.layout or next(iter(self.layouts))]

    def check(self, options: PresetOptions) -> None:
        """Raise UserError naming the first option that this preset does not offer, or that would change nothing."""
        choices = {"layout": [name for name in self.layouts if name]}
        choices["format"] = [suffix.removeprefix(".") for suffix in self.suffixes]
        asked = {"layout": options.layout, "format": _suffix(options.format).removeprefix(".")}
        for key, known in choices.items():
            if asked[key] and asked[key] not in known:
                problem = f"must be one of {', '.join(known)}" if known else "changes nothing here: there is one"
                raise UserError(problem, key=key, value=getattr(options, key))
        layout = self.layout(options)
        for key, heeded in (("face_size", layout.sized), ("tile_size", layout.tiled)):
            if getattr(options, key) is not None and not heeded:
                raise UserError("changes nothing in this export", key=key, value=getattr(options, key))

    def shows_light(self, options: PresetOptions, encoding: Encoding) -> bool:
        """Return whether ``tone`` matters: light becomes display values."""
        return encoding == "linear" and encoding_of(Path(f"a{self.suffix(options, encoding)}")) == "srgb"


def _suffix(format_: str) -> str:
    return f".{format_.lower().removeprefix('.')}" if format_ else ""


def preset_named(name: str) -> Preset:
    """Return a preset of `PRESETS`.

    :raises UserError: for another name; it tells the nearest.
    """
    if name in PRESETS:
        return PRESETS[name]
    close = get_close_matches(name.lower(), PRESETS, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise UserError(f"must be one of {', '.join(PRESETS)}{hint}", key="preset", value=name)


def check_folder(folder: Path, overwrite: bool) -> None:
    """Raise UserError for a folder that cannot be filled: its name is impossible, a file is in its place, or it has
    files that may not be written over.
    """
    try:
        folder.stat()
        full = any(folder.iterdir()) and not overwrite
    except FileNotFoundError:
        return
    except NotADirectoryError as error:
        raise UserError(f"{folder}: is a file or lies in one, it is no folder to fill", key="folder") from error
    except (OSError, ValueError) as error:  # ValueError: a name that no folder can have
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{folder}: cannot fill this folder ({reason})", key="folder") from error
    if full:
        raise UserError(f"{folder}: has files in it; choose a new folder, or ", Setting("overwrite"), " replaces them")


def export_preset(
    image: Float[Tensor, "3 height width"],
    encoding: Encoding,
    name: str,
    folder: Path,
    options: PresetOptions = PresetOptions(),
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """Fill ``folder`` with what a program needs of a panorama, all at once; return the files.

    With ``overwrite`` the folder may have files: those of the same names are replaced, one by one.

    :param image: a panorama as `aognet.io.panorama_files.read_panorama` gives it.
    :param name: of one of `PRESETS`.
    :raises UserError: naming the option or the file; nothing is there then that was not there before.
    """
    preset, folder = preset_named(name), folder.absolute()
    preset.check(options)
    check_folder(folder, overwrite)
    suffix, layout = preset.suffix(options, encoding), preset.layout(options)
    with filled_folder(folder) as unfinished:
        layout.write(PanoramaExport(image, encoding, unfinished, suffix, options))
        write_atomically(unfinished / README, layout.note.replace("{suffix}", suffix))
        files = [path.relative_to(unfinished) for path in files_in(unfinished)]
    return tuple(folder / path for path in files)


def _panorama(export: PanoramaExport, yaw_degrees: float = 0.0) -> None:
    """Write the panorama, turned so that ``yaw_degrees`` is in the middle. It has no metadata, which would be wrong
    then.
    """
    write_image(rotate(export.values()[None], yaw_degrees)[0], export.path("panorama"))


def _blender(export: PanoramaExport) -> None:
    _panorama(export)
    write_atomically(export.folder / "world.py", notes.BLENDER_SCRIPT)


def _exported(export: PanoramaExport, stem: str) -> None:
    """Write what `aognet.io.exports.export_panorama` makes of a file's suffix."""
    said = export.options
    wanted = Export((export.path(stem),), tone=said.tone, description=said.description, photo=said.photo)
    export_panorama(export.image, export.encoding, wanted)


def _pannellum(export: PanoramaExport) -> None:
    said = export.options
    write_tiles(export.values(), export.folder, export.suffix, said.face_size, said.tile_size or TILE)


def _cube(export: PanoramaExport, layout: CubeLayout, stem: str = "cubemap") -> None:
    write_image(laid_out(export.faces(), layout)[0], export.path(stem))


def _faces(export: PanoramaExport, names: Sequence[str] = FACES) -> None:
    for name, face in zip(names, export.faces()[0], strict=True):
        write_image(face, export.path(name))


PRESETS: Mapping[str, Preset] = {
    "unity": Preset(
        "Unity",
        "A skybox: a panorama, a strip of six faces, or six textures.",
        PICTURES,
        {
            "panorama": Layout(_panorama, notes.UNITY_PANORAMA),
            "strip": Layout(partial(_cube, layout=STRIP, stem="strip"), notes.UNITY_STRIP, sized=True),
            "faces": Layout(partial(_faces, names=UNITY_SLOTS), notes.UNITY_FACES, sized=True),
        },
    ),
    "unreal": Preset(
        "Unreal Engine",
        "Light for a Sky Light or an HDRI Backdrop, turned so that the middle is ahead.",
        (".hdr",),
        {"": Layout(partial(_panorama, yaw_degrees=-90.0), notes.UNREAL)},
    ),
    "godot": Preset(
        "Godot",
        "A sky, turned so that the middle is ahead.",
        PICTURES,
        {"": Layout(partial(_panorama, yaw_degrees=180.0), notes.GODOT)},
    ),
    "blender": Preset(
        "Blender",
        "Light for the World, and a script that sets it up.",
        (".exr",),
        {"": Layout(_blender, notes.BLENDER)},
    ),
    "web": Preset(
        "Web page",
        "One page to look around, without a network.",
        (".html",),
        {"": Layout(partial(_exported, stem="viewer"), notes.WEB)},
    ),
    "glb": Preset(
        "glTF",
        "A sphere around the viewer, unlit.",
        (".glb",),
        {"": Layout(partial(_exported, stem="panorama"), notes.GLB)},
    ),
    "photosphere": Preset(
        "Photo sphere",
        "A JPEG that photo services open as a sphere.",
        (".jpg",),
        {"": Layout(partial(_exported, stem="panorama"), notes.PHOTOSPHERE)},
    ),
    "pannellum": Preset(
        "Pannellum",
        "Tiles in several resolutions for a web page.",
        (".jpg", ".png"),
        {"": Layout(_pannellum, notes.PANNELLUM, sized=True, tiled=True)},
    ),
    "cubemap": Preset(
        "Cubemap",
        "Six faces, in six files or in one.",
        PICTURES,
        {
            "faces": Layout(_faces, notes.FACES, sized=True),
            "strip": Layout(partial(_cube, layout=STRIP), notes.STRIP, sized=True),
            "cross": Layout(partial(_cube, layout=CROSS), notes.CROSS, sized=True),
            "vertical-cross": Layout(partial(_cube, layout=VERTICAL_CROSS), notes.VERTICAL_CROSS, sized=True),
        },
    ),
}
"""By the name that a person types, and that the service calls them by."""
