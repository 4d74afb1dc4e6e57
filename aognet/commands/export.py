"""Write a panorama, a trained LoRA or learned words in the formats that other programs read.

aognet export outputs/beach --out beach.exr --out beach.jpg --faces skybox
aognet export outputs/beach --out beach.glb --displace depth.exr --cut 1.5
aognet export outputs/beach --preset unity --folder skybox
aognet export logs/panoramas --out pytorch_lora_weights.safetensors
aognet export logs/panoramas --out embeddings.pti

The source is the folder of a finished run, or any panorama (PNG, JPEG, EXR, HDR and others). What is written follows
from the suffix: .png and .jpg carry the metadata of a sphere, .exr and .hdr hold linear light, .html is a page to look
around in. .ply and .glb (glTF) are the sphere as a mesh, or a scene with --displace. Of a model that was trained by
LoRA, .safetensors is a file of the LoRA. .pti has words that were learned, and special_params.json beside it their
other name. --preset fills a folder with what one program needs, and a README.txt that says what to do with it. The
source "test-card" is a panorama with a letter on each side. Nothing that is there is written over without --overwrite.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aognet import cli
from aognet.commands.written_files import add_files, check_targets, find_source
from aognet.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from aognet.geometry.camera import Camera
    from aognet.io.exports import Export
    from aognet.io.tonemap import ToneMap
    from aognet.io.value_range import Encoding

FILES = ("out", "faces")
PRESET = ("folder", "layout", "format", "tile_size")
SHAPE = ("displace", "depth_kind", "near", "far", "cut", "points", "mesh_rows")
LORA, WORDS = ".safetensors", ".pti"
log = logging.getLogger("aognet.export")


def parse(arguments: Sequence[str] | None, program: str | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program, description=__doc__.splitlines()[0])
    add = parser.add_argument
    add(
        "source",
        type=Path,
        metavar="SOURCE",
        help="a panorama, the folder of a finished run, a model trained by LoRA, or test-card",
    )
    add_files(
        parser,
        "to write, by suffix: .png or .jpg, .exr or .hdr (linear light), .html (a page), .ply or .glb (a mesh); "
        "repeatable. "
        ".safetensors: the LoRA of a model, as diffusers names it; .pti: its learned words",
        required=False,
    )
    add("--faces", type=Path, metavar="DIR", help="folder for a cubemap: front, right, back, left, up and down")
    add("--face_format", "--face-format", help="png, jpg, exr or hdr (default: png)")
    add("--face_size", "--face-size", type=int, metavar="N", help="rows of a face (default: half the panorama's)")
    add_preset(parser)
    add_shape(parser)
    add("--size", metavar="HxW", help="of the panorama, such as 1024x2048 (default: as it is)")
    add("--curve", help="of linear light in .png, .jpg and .html: published (default), srgb or filmic")
    add("--exposure", type=float, help="of the same, in stops: 1 doubles the light, -1 halves it")
    add("--description", help="in the metadata and on the page (default: the source's own)")
    return parser.parse_args(arguments)


def add_preset(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `aognet.io.presets`."""
    add = parser.add_argument_group("presets (what one program needs, in a folder)").add_argument
    known = "unity, unreal, godot, blender, web, glb, photosphere, pannellum or cubemap"
    add("--preset", metavar="NAME", help=known)
    add("--folder", type=Path, metavar="DIR", help="to fill; new or empty (default: the preset's name)")
    layouts = "unity: panorama (default), strip or faces; cubemap: faces (default), strip, cross or vertical-cross"
    add("--layout", help=layouts)
    add("--format", help="of its pictures: png, jpg, exr or hdr (default: what fits the panorama)")
    add("--tile_size", "--tile-size", type=int, metavar="N", help="pannellum: rows of a tile (default: 512)")


def add_shape(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `aognet.io.meshes.MeshShape`."""
    add = parser.add_argument_group("meshes (.ply and .glb)").add_argument
    add("--displace", type=Path, metavar="FILE", help="a depth map of the panorama: its vertices are so far away")
    add("--depth_kind", "--depth-kind", choices=["auto", "distance", "inverse"], help="what it holds (default: auto)")
    add("--near", type=float, metavar="M", help="metres to white of inverse depth (default: 1)")
    add("--far", type=float, metavar="M", help="metres to black (default: 20); distances are cut off there")
    add("--cut", type=float, metavar="RATIO", help="leave out triangles whose vertices' distances differ more, as 1.5")
    add("--points", action="store_true", default=None, help=".ply has points only, one for each pixel")
    add("--mesh_rows", "--mesh-rows", type=int, metavar="N", help="rows of vertices (default: 512, 128 for a sphere)")


def main(arguments: Sequence[str] | None = None, program: str | None = None) -> None:
    options = parse(arguments, program)
    with cli.flags(options, {"files": "--out", "face_suffix": "--face_format"}):
        export(options)


def export(options: argparse.Namespace) -> None:
    """Check everything, then read, then write."""
    if any(path.suffix.lower() in (LORA, WORDS) for path in options.out):
        export_trained(options)
    else:
        export_source(options)


def export_trained(options: argparse.Namespace) -> None:
    """Write the LoRA or the words of a trained model."""
    from aognet.diffusion.learning_words import export_words
    from aognet.diffusion.lora.exported import export_lora
    from aognet.diffusion.word_files import SPECIAL
    from aognet.methods.pretrained import locate

    others = ("faces", "face_format", "size", "face_size", "curve", "exposure", "description", "preset")
    others += (*PRESET, *SHAPE)
    if given := [f"--{name}" for name in others if getattr(options, name) is not None]:
        raise UserError(f"{given[0]} is of a panorama, and --out {options.out[0]} is of a model")
    if len(options.out) > 1:
        raise UserError(f"--out {options.out[1]}: of a model one file is written at a time")
    folder, [file] = locate(str(options.source)), options.out
    words = file.suffix.lower() == WORDS
    check_targets([file, *([file.with_name(SPECIAL)] if words else [])], folder, options.overwrite)
    if words:
        log.info("wrote %s, with the words %s", file, "".join(export_words(folder, file)))
        return
    log.info("wrote %s, which changes %d layers", file, export_lora(folder, file))


def export_source(options: argparse.Namespace) -> None:
    """Write a panorama."""
    from aognet.commands.generate import panorama_height
    from aognet.io.hdr import MAX_PIXELS

    height = None if options.size is None else panorama_height(options.size)
    if height is not None and not 1 <= 2 * height**2 <= MAX_PIXELS:
        raise UserError(f"--size {options.size}: a panorama has at least 1 row and at most {MAX_PIXELS} pixels")
    card = is_card(options.source)
    source, description, photo = (options.source, "test card", None) if card else find_source(options.source)
    if options.description is not None:
        description = options.description
    if options.preset is not None:
        fill_folder(options, source, height, description, photo)
    else:
        write_files(options, source, height, description, photo)


def write_files(
    options: argparse.Namespace, source: Path, height: int | None, description: str, photo: "Camera | None"
) -> None:
    """Write what --out and --faces name."""
    from aognet.io.exports import export_panorama

    if given := [f"--{name}" for name in PRESET if getattr(options, name) is not None]:
        raise UserError(f"{given[0]} changes nothing without --preset")
    wanted = read_export(options, description, photo)
    for read in filter(None, (source, options.displace)):
        check_targets(wanted.targets, read, options.overwrite)
    image, encoding = read_source(source, height)
    check_tone(options, source, wanted.shows_light(encoding))
    export_panorama(image, encoding, wanted)
    for path in (*wanted.files, *([wanted.faces] if wanted.faces else [])):
        log.info("wrote %s", path)


def fill_folder(
    options: argparse.Namespace, source: Path, height: int | None, description: str, photo: "Camera | None"
) -> None:
    """Write what --preset names."""
    from aognet.io.presets import PresetOptions, check_folder, export_preset, preset_named

    if given := [f"--{name}" for name in (*FILES, "face_format", *SHAPE) if getattr(options, name) not in (None, [])]:
        raise UserError(f"{given[0]} cannot be given with --preset, which has files of its own")
    preset, folder = preset_named(options.preset), options.folder or Path(options.preset)
    wanted = PresetOptions(
        options.layout or "",
        options.format or "",
        options.face_size,
        options.tile_size,
        read_tone(options),
        description,
        photo,
    )
    preset.check(wanted)
    check_folder(folder, options.overwrite)
    check_folder_is_free(folder, source)
    image, encoding = read_source(source, height)
    check_tone(options, source, preset.shows_light(wanted, encoding))
    files = export_preset(image, encoding, options.preset, folder, wanted, options.overwrite)
    log.info("wrote %s: %d files; its README.txt says what to do in %s", folder, len(files), preset.title)


def check_folder_is_free(folder: Path, source: Path) -> None:
    """Raise UserError for a folder that has the panorama itself, or a run's own files."""
    from aognet.generate.run_files import JOURNAL
    from aognet.io.files import is_file

    if is_file(source) and source.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{folder}: has the panorama itself in it; choose another --folder")
    for place in (folder, folder.parent):
        if is_file(place / JOURNAL):
            raise UserError(f"{folder}: is a run's own folder; choose another --folder")


def read_source(source: Path, height: int | None) -> "tuple[Tensor, Encoding]":
    """Return the panorama of a file, or the test card, and its encoding."""
    from aognet.io.orientation_card import orientation_card
    from aognet.io.panorama_files import read_panorama

    return (orientation_card(height or 1024), "srgb") if is_card(source) else read_panorama(source, height)


def is_card(source: Path) -> bool:
    """Return whether the test card is meant: no file has its name."""
    from aognet.io.files import is_file
    from aognet.io.orientation_card import NAME

    return source == Path(NAME) and not is_file(source)


def check_tone(options: argparse.Namespace, source: Path, shows_light: bool) -> None:
    """Raise UserError for --curve and --exposure where no light becomes display values."""
    if (options.curve is not None or options.exposure is not None) and not shows_light:
        raise UserError(
            f"{source}: --curve and --exposure show linear light in .png, .jpg or .html files; here they change nothing"
        )


def read_tone(options: argparse.Namespace) -> "ToneMap":
    from aognet.io.tonemap import ToneMap

    return ToneMap(options.curve or "published", exposure=options.exposure or 0.0)


def read_export(options: argparse.Namespace, description: str, photo: "Camera | None") -> "Export":
    """Return what the flags ask for. Raises UserError for what cannot be written."""
    from aognet.io.exports import Export
    from aognet.io.meshes import MeshShape
    from aognet.io.panorama_files import WRITTEN_SUFFIXES

    if not options.out and options.faces is None:
        raise UserError("--out FILE, --faces DIR or --preset NAME must say what is to be written")
    suffix = f".{(options.face_format or 'png').lower().removeprefix('.')}"
    if suffix not in WRITTEN_SUFFIXES:
        known = ", ".join(one.removeprefix(".") for one in WRITTEN_SUFFIXES)
        raise UserError(f"--face_format must be one of {known}; got {options.face_format!r}")
    shape = MeshShape(**{key: getattr(options, key) for key in SHAPE if getattr(options, key) is not None})
    return Export(
        tuple(options.out),
        options.faces,
        suffix,
        options.face_size,
        read_tone(options),
        description,
        photo,
        shape,
    )
