"""Where the files of uploads, jobs and versions lie: in the studio's folder, or in storage that machines share.

A *place* is the name of a file or a run's folder below either, such as ``uploads/ID.png`` or
``runs/JOB/FENCE/panorama``. Places come from the tables alone; nothing that a client names is ever opened.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aognet.io.files import flush
from aognet.io.text_files import read_json
from aognet.request import Request

FILES = (
    *("result.png", "thumbnail.jpg", "viewer.html", "run.json", "prompt.txt", "result.exr", "result.hdr"),
    *("input.png", "input.exr", "depth.png", "upscaled.png", "styled.png"),
)
"""Files of a version that are served."""
MAX_RUN_BYTES = 16 * 2**20
"""Of a run's journal, as its own reader allows."""
ABANDONED_SECONDS = 24 * 3600.0
BinaryFile = Any
"""A file that was opened for reading bytes. Those of fsspec share no class with each other."""
_TEMPORARY = "desk-"
_OURS = re.compile(
    r".*/(uploads/[0-9a-z]+[0-9a-z.]*|inputs/[0-9a-z]+/\w+\.png|runs/([0-9a-z]+)/\d+/panorama/(\w[\w/.]*))",
    re.DOTALL,
)


class StorageError(Exception):
    """The storage does not answer, or not as it should. What was asked of it may be asked again."""


@dataclass(frozen=True)
class Desk:
    """Files of the storage as files of this machine, while a job or an answer needs them.

    ``root``: the folder below which they have their places. ``inputs``: where what is drawn of a job's request goes.
    ``bring``: is asked for files that are not there yet. ``keep``: is told what was drawn.
    """

    root: Path
    inputs: Path
    bring: Callable[[str, Path], None] | None = None
    keep: Callable[[Path, str], None] | None = None

    def path(self, place: str) -> Path:
        """Return the path of a file. Where the storage has none of that place, nothing is there."""
        path = self.root / place
        if self.bring is not None and not path.exists():
            with suppress(FileNotFoundError):
                self.bring(place, path)
        return path

    def upload(self, file: str) -> Path:
        """Return the path of an upload's file."""
        return self.path(f"uploads/{file}")

    def journal(self, place: str) -> Path:
        """Return the folder of a run, in which its journal is. Its other files are there where `path` was asked."""
        return self.path(f"{place}/run.json").parent

    def drawn(self, job: str, name: str, draw: Callable[[Path], None]) -> Path:
        """Return the path of a file that ``draw`` wrote of what a job asks for."""
        path = self.inputs / job / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(path)
        if self.keep is not None:
            self.keep(path, f"inputs/{job}/{name}")
        return path

    def brought(self, request: Request, run: str) -> Request:
        """Return the request of an earlier ``run`` (a place) with the paths that its files have here.

        The run may have been painted on another machine, or before the studio's folder was moved.
        """

        def here(path: str) -> str:
            found = _OURS.fullmatch(path)
            if found is None or ".." in found[1]:
                return path
            own = found[2] is not None and run.startswith(f"runs/{found[2]}/")
            return str(self.path(f"{run}/{found[3]}" if own else found[1]))

        photos = [replace(photo, image=here(photo.image)) for photo in request.photos]
        panorama, mask = (None if path is None else here(path) for path in (request.panorama, request.mask))
        return replace(request, photos=photos, panorama=panorama, mask=mask)


class Storage:
    """The studio's folder, which is the storage of all its processes."""

    def __init__(self, root: Path):
        self.root = root

    def check(self) -> None:
        """Raise UserError if the storage cannot be used."""

    def here(self, place: str) -> Path | None:
        """Return the path of a file of the storage; None where it is not on this machine."""
        return self.root / place

    def open(self, place: str) -> BinaryFile:
        """Open a file for reading.

        :raises FileNotFoundError: if there is none.
        :raises StorageError: if it cannot be had now.
        """
        return (self.root / place).open("rb")

    def put(self, source: Path, place: str) -> None:
        """Keep a file of the studio's folder whole under a new name. The ``source`` may be gone then."""
        target = self.root / place
        target.parent.mkdir(parents=True, exist_ok=True)
        flush(source)
        source.replace(target)

    @contextmanager
    def desk(self) -> Iterator[Desk]:
        """Yield a desk for one answer, of which nothing is left."""
        with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=self.root) as place:
            yield Desk(self.root, Path(place))

    def job_desk(self, place: str) -> Desk:
        """Return the desk of who paints in a place."""
        return Desk(self.root, self.root / "inputs")

    def begin(self, job: str, fence: int, before: str | None) -> tuple[str, Path]:
        """Return place and path of the folder in which a holder of a job paints, with what earlier ones painted.

        Each holder has a folder of its own, so what an earlier one still writes is read by nobody. Finished files are
        never changed, only replaced: they are linked, not copied.
        """
        place = place_of(job, fence)
        path = self.root / place
        if path.exists():  # this holder tries again
            return place, path
        path.parent.mkdir(parents=True, exist_ok=True)
        if before is not None and (self.root / before).is_dir():
            shutil.copytree(self.root / before, path, copy_function=linked)
        else:
            path.mkdir()
        return place, path

    def push(self, place: str, whole: bool = False) -> None:
        """See to it that what is painted in a place is in the storage. ``whole``: nothing follows.

        :raises StorageError: if it is not; the next call tries again.
        """

    def settle(self, job: str, place: str | None) -> None:
        """Remove the folders of a job's holders but one. None: all, and its inputs."""
        runs = self.root / "runs" / job
        kept = None if place is None else (self.root / place).parent
        with suppress(FileNotFoundError):
            for folder in runs.iterdir():
                if folder != kept:
                    shutil.rmtree(folder, ignore_errors=True)
        if place is None:
            shutil.rmtree(runs, ignore_errors=True)
            shutil.rmtree(self.root / "inputs" / job, ignore_errors=True)

    def sweep(self, is_open: Callable[[str], bool]) -> None:
        """Remove what killed processes left on this machine. ``is_open``: whether a job has not ended."""
        for folder in self.root.glob(f"{_TEMPORARY}*"):
            with suppress(FileNotFoundError):
                if time.time() - folder.stat().st_mtime > ABANDONED_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)


def place_of(job: str, fence: int) -> str:
    """Return the place of the run of a job's holder."""
    return f"runs/{job}/{fence}/panorama"


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


def linked(source: str, target: str) -> str:
    """Link a file, or copy it where the file system has no links. One that is gone by now is left out."""
    with suppress(FileNotFoundError):
        try:
            os.link(source, target)
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                raise
            shutil.copy2(source, target)
    return target
