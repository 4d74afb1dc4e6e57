"""What commands that make files of a panorama share: their flags, where the panorama lies, and what may be written."""

import argparse
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aognet.errors import UserError

if TYPE_CHECKING:
    from aognet.geometry.camera import Camera


def add_files(parser: argparse.ArgumentParser, written: str, required: bool = True) -> None:
    """Add ``--out``, which may be repeated, and ``--overwrite``. ``written`` says what --out writes."""
    parser.add_argument(
        "--out", type=Path, action="append", required=required, default=[], metavar="FILE", help=written
    )
    parser.add_argument("--overwrite", action="store_true", help="write over files that are there")


def check_suffixes(paths: Sequence[Path], known: Collection[str]) -> None:
    """Raise UserError for the first file of --out whose suffix is none of those ``known``."""
    for path in paths:
        if path.suffix.lower() not in known:
            raise UserError(f"must end in {', '.join(known)}", key="out", value=path)


def find_source(source: Path) -> tuple[Path, str, "Camera | None"]:
    """Return the panorama's file, its words, and the camera of the photograph from which it was painted."""
    from aognet.generate.run_files import result_file
    from aognet.generate.view_journal import open_journal
    from aognet.io.files import is_file, is_folder
    from aognet.io.gpano import description_of

    if is_folder(source):
        journal = open_journal(source)
        if not journal.shown:
            raise UserError(f"{source}: this run is not finished; repeat the command that paints or changes it")
        return source / result_file(journal.encoding), journal.asked.request.prompt, journal.photo_camera
    if not is_file(source):
        raise UserError(f"{source}: no such file or folder")
    return source, description_of(source), None


def check_targets(paths: Sequence[Path], source: Path, overwrite: bool) -> None:
    """Raise UserError naming the first file that must not be written (`check_target`), or would be written twice."""
    seen: set[Path] = set()
    for path in paths:
        try:
            check_target(path, source, overwrite)
            place = path.resolve()
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            if isinstance(error, UserError):
                raise
            raise UserError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error})") from error
        if place in seen:
            raise UserError(f"{path}: would be written twice")
        seen.add(place)


def check_target(path: Path, source: Path, overwrite: bool) -> None:
    """Raise UserError for a file that is the source, one of a run's own, or there already."""
    from aognet.generate.run_files import JOURNAL, OUTPUTS

    if path.is_dir():
        raise UserError(f"{path}: is a folder, no file to write")
    if path.exists() and source.exists() and path.samefile(source):
        raise UserError(f"{path}: is the panorama itself or its depth; write to another file")
    for folder in (path.parent, path.parent.parent):
        if (folder / JOURNAL).is_file() and path.relative_to(folder).as_posix() in OUTPUTS:
            raise UserError(f"{path}: is the name of one of the run's own files; write to another file")
    if os.path.lexists(path) and not overwrite:
        raise UserError(f"{path}: is there already; --overwrite replaces it")
