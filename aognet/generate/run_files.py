"""Which files of a panorama's folder belong to its run. Only these are ever overwritten or removed.

They are the files that its journal lists. Everything else in the folder is foreign, whatever its name.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from aognet.errors import Setting, UserError
from aognet.geometry.cubemap import FACES
from aognet.io.files import clear_unfinished
from aognet.io.value_range import Encoding

JOURNAL = "run.json"
RESULTS = ("result.png", "viewer.html", "prompt.txt")
LIGHT_RESULT = "result.exr"
DEPTH = "depth.png"
"""The depth that a run was given, or that was estimated for it."""
MESHES = ("panorama.ply", "panorama.glb", "displaced.ply", "displaced.glb")
"""A run's panorama on the sphere, and as far away as its depth says."""
UPSCALED, RADIANCE, STYLED = "upscaled.png", "result.hdr", "styled.png"
"""A run's panorama made larger, the light that was made of it, which `LIGHT_RESULT` holds, too, and its other style."""
FOLDERS = ("steps", "faces")
STEP = re.compile(r"\d+\.(png|exr|safetensors)")
Owns = Callable[[str], bool]


def input_file(encoding: Encoding) -> str:
    """Return the name of what a run started from."""
    return f"input{SUFFIX[encoding]}"


def truth_file(encoding: Encoding) -> str:
    """Return the name of the ground truth of a run."""
    return f"gt{SUFFIX[encoding]}"


def result_file(encoding: Encoding) -> str:
    """Return the name of the panorama that a run painted, without rounding where it is linear light."""
    return LIGHT_RESULT if encoding == "linear" else RESULTS[0]


def face_files(encoding: Encoding) -> tuple[str, ...]:
    """Return the names of the faces of a run's cubemap."""
    return tuple(f"faces/{name}{SUFFIX[encoding]}" for name in FACES)


def mesh_files(ply: bool, glb: bool, displaced: bool) -> tuple[str, ...]:
    """Return the names of a run's meshes."""
    stem = "displaced" if displaced else "panorama"
    return tuple(f"{stem}.{suffix}" for suffix, wanted in (("ply", ply), ("glb", glb)) if wanted)


def expanded_files(hdr: bool, larger: bool, styled: bool) -> tuple[str, ...]:
    """Return the names of what is made of a run's panorama: light, a larger one, one in another style."""
    return (
        *([UPSCALED] if larger else []),
        *([LIGHT_RESULT, RADIANCE] if hdr else []),
        *([STYLED] if styled else []),
    )


def is_displaced(mesh: str) -> bool:
    """Return whether a mesh of a run is as far away as its depth says."""
    return mesh.startswith("displaced.")


def outputs_of(
    encoding: Encoding,
    truth: bool,
    faces: bool,
    depth: bool,
    meshes: Sequence[str] = (),
    expanded: Sequence[str] = (),
) -> tuple[str, ...]:
    """Return what a run writes, with and without a ground truth, the faces of its cubemap and a depth. ``meshes``: some
    of `MESHES`. ``expanded``: some of `expanded_files`.
    """
    return (
        input_file(encoding),
        *([truth_file(encoding)] if truth else []),
        *([DEPTH] if depth else []),
        *([LIGHT_RESULT] if encoding == "linear" else []),
        *RESULTS,
        *(face_files(encoding) if faces else ()),
        *meshes,
        *expanded,
    )


SUFFIX: dict[Encoding, str] = {"srgb": ".png", "linear": ".exr"}
OUTPUTS = tuple(
    dict.fromkeys(
        (
            *outputs_of("srgb", True, True, True, MESHES),
            *outputs_of("linear", True, True, True),
            *expanded_files(True, True, True),
        )
    )
)
"""What a run may write besides its journal and its steps."""


def files_there(folder: Path) -> Iterator[str]:
    """Yield the names (``steps/003.png``) of the files in a folder that have names of a run's files."""
    for name in (JOURNAL, *OUTPUTS):
        if os.path.lexists(folder / name):
            yield name
    with suppress(OSError):
        yield from sorted(f"steps/{path.name}" for path in (folder / "steps").iterdir() if STEP.fullmatch(path.name))


def check_foreign(folder: Path, owns: Owns) -> None:
    """Raise UserError naming the first file that has the name of a run's file but does not belong to its journal.

    Links in place of the subfolders are foreign, too: what lies behind them belongs to somebody else.
    """
    for name in FOLDERS:
        path = folder / name
        if os.path.lexists(path) and (path.is_symlink() or not path.is_dir()):
            raise _foreign(path)
    for name in files_there(folder):
        if not owns(name):
            raise _foreign(folder / name)


def _foreign(path: Path) -> UserError:
    said = f"{path}: is there already, and no run wrote it; choose another "
    return UserError(said, Setting("out_dir"), " or ", Setting("name"), ", or move it away")


def check_inputs(folders: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise UserError if a file that a run in one of the folders may write is one of the inputs, also by a link."""
    read = {_identity(path): path for path in inputs}
    for folder in folders:
        for name in files_there(folder):
            found = _identity(folder / name)
            if found is not None and found in read:
                said = f"{read[found]}: is an input, and painting into {folder} would write over it ({folder / name})"
                raise UserError(said, "; choose another ", Setting("out_dir"), " or ", Setting("name"))


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what identifies a file, whatever path leads to it; None if it does not exist."""
    try:
        status = path.stat()
        return status.st_dev, status.st_ino
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return None


def clear(folder: Path, leave: Owns) -> None:
    """Remove a run's files for which ``leave`` is false, and what killed writers of a run's files left.

    Call it only while holding the folder, and only if nothing in it is foreign.

    :raises UserError: naming a file that cannot be removed.
    """
    for place in (folder, *(folder / name for name in FOLDERS)):
        clear_unfinished(place, lambda name, place=place: _is_name((place / name).relative_to(folder).as_posix()))
    for name in list(files_there(folder)):
        if not leave(name):
            try:
                (folder / name).unlink(missing_ok=True)
            except OSError as error:
                raise UserError(f"{folder / name}: cannot be removed ({error.strerror})") from error
    if not any(leave(name) for name in OUTPUTS if name.startswith("faces/")):
        with suppress(OSError):  # not empty, or not there
            (folder / "faces").rmdir()


def _is_name(name: str) -> bool:
    """Return whether a run's file may have this name."""
    folder, _, step = name.rpartition("/")
    return name in (JOURNAL, *OUTPUTS) or (folder == "steps" and STEP.fullmatch(step) is not None)
