"""Where the files of uploads, jobs and versions lie."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from aognet.io.text_files import read_json

FILES = (
    *("result.png", "thumbnail.jpg", "viewer.html", "run.json", "prompt.txt", "result.exr", "result.hdr"),
    *("input.png", "input.exr", "depth.png", "upscaled.png"),
)
"""Files of a version that are served."""
MAX_RUN_BYTES = 16 * 2**20
"""Of a run's journal, as its own reader allows."""


class Folders:
    """The files below the studio's folder. Places are relative to it, and come from the tables alone."""

    def __init__(self, root: Path):
        self.root = root

    def path(self, place: str) -> Path:
        """Return the path of a place."""
        return self.root / place

    def upload(self, file: str) -> Path:
        """Return the path of an upload's file."""
        return self.root / "uploads" / file

    def inputs(self, job: str) -> Path:
        """Return the folder of what a job starts from, besides uploads and versions; made if it is missing."""
        folder = self.root / "inputs" / job
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def begin(self, job: str, fence: int, before: str | None) -> tuple[str, Path]:
        """Return place and path of the folder in which a holder of a job paints, with what earlier ones painted.

        Each holder has a folder of its own, so what an earlier one still writes is read by nobody. Finished files are
        never changed, only replaced: they are linked, not copied.
        """
        place = f"runs/{job}/{fence}/panorama"
        path = self.root / place
        if path.exists():  # this holder tries again
            return place, path
        path.parent.mkdir(parents=True, exist_ok=True)
        if before is not None and self.path(before).is_dir():
            shutil.copytree(self.path(before), path, copy_function=_linked)
        else:
            path.mkdir()
        return place, path

    def settle(self, job: str, place: str | None) -> None:
        """Remove the folders of a job's holders but one. None: all, and its inputs."""
        runs = self.root / "runs" / job
        kept = None if place is None else self.path(place).parent
        with suppress(FileNotFoundError):
            for folder in runs.iterdir():
                if folder != kept:
                    shutil.rmtree(folder, ignore_errors=True)
        if place is None:
            shutil.rmtree(runs, ignore_errors=True)
            shutil.rmtree(self.root / "inputs" / job, ignore_errors=True)


def shared_run(path: Path) -> dict[str, Any]:
    """Return what a run's journal tells to others: without paths of this machine."""
    content = read_json(path, "run", MAX_RUN_BYTES)
    return {key: _named(value) for key, value in content.items() if key != "files"}


def _named(value: Any) -> Any:
    """Return plain values in which absolute paths are names."""
    if isinstance(value, dict):
        return {key: _named(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_named(inner) for inner in value]
    return Path(value).name if isinstance(value, str) and value.startswith("/") else value


def _linked(source: str, target: str) -> str:
    """Link a file, or copy it where the file system has no links. One that is gone by now is left out."""
    with suppress(FileNotFoundError):
        try:
            os.link(source, target)
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                raise
            shutil.copy2(source, target)
    return target
