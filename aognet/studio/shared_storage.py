"""Storage that machines share: an fsspec URL, such as that of a bucket or of a network share.

Every file in it is written once, and nothing that is read is ever changed. A run that is painted is pushed in layers:
what changed since the last push, and then a manifest, which says where each file of the run is. Who is killed while
pushing leaves a layer without a manifest, or with one that is cut short: the one before it is read. ::

    uploads/ID.png                                 inputs/JOB/mask.png
    runs/JOB/FENCE/panorama/files/000003/steps/002.png
    runs/JOB/FENCE/panorama/manifests/000003.json
"""

import json
import logging
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from aognet.errors import UserError, first_line
from aognet.generate.run_files import JOURNAL
from aognet.io.files import files_in, folders_in
from aognet.studio.config import StudioConfig
from aognet.studio.ids import new_id
from aognet.studio.storage import BinaryFile, Desk, Storage, StorageError, linked, place_of

log = logging.getLogger(__name__)
_TRIES = 20
_MOST_KNOWN = 2000
_RUN_FILE = re.compile(r"(runs/[0-9a-z]+/\d+/panorama)/(.+)", re.DOTALL)
Signature = tuple[int, int, int]
"""Tells a file from the one that replaces it: inode, time of change, size."""


@dataclass(frozen=True)
class Manifest:
    """The files of a run by their names, each with its place, and its folders. ``whole``: nothing follows."""

    number: int = 0
    files: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    whole: bool = False


@dataclass(frozen=True)
class Pushed:
    """What this process pushed of a run. ``arrived``: what a push that failed had brought already."""

    manifest: Manifest
    signatures: Mapping[str, Signature]
    arrived: dict[str, tuple[Signature, str]] = field(default_factory=dict)


class SharedStorage(Storage):
    """Files below an fsspec URL. Runs are painted in a folder of this machine, the ``root``, and pushed."""

    def __init__(self, root: Path, url: str):
        """Open the file system of a URL. Raises UserError naming the package that it needs, or what is wrong."""
        super().__init__(root)
        self.url = url
        self._system, base = _opened(url)
        self._base = base.rstrip("/")
        self._whole: dict[str, Manifest] = {}
        self._pushed: dict[str, Pushed] = {}

    def check(self) -> None:
        """Raise UserError if nothing can be written to the storage."""
        place = f".check-{new_id()}"
        try:
            self._write(b"{}", place)
            self._system.rm_file(self._path(place))
        except (StorageError, OSError) as error:
            reason = first_line(error.__cause__ or error)
            raise UserError(f"cannot be written to ({reason})", key="storage", value=without_secret(self.url)) from None

    def here(self, place: str) -> None:
        return None

    def open(self, place: str) -> BinaryFile:
        with self._asking():
            return self._system.open(self._path(self._found(place)), "rb")

    def put(self, source: Path, place: str) -> None:
        self._do(place, lambda path: self._system.put_file(str(source), path))

    @contextmanager
    def desk(self) -> Iterator[Desk]:
        with super().desk() as desk:
            yield Desk(desk.inputs / "files", desk.inputs, self._bring)

    def job_desk(self, place: str) -> Desk:
        root = (self.root / place).with_name("desk")
        return Desk(root, root / "inputs", self._bring, self.put)

    def begin(self, job: str, fence: int, before: str | None) -> tuple[str, Path]:
        """Return place and path of the folder in which a holder of a job paints, with what earlier ones pushed.

        Nothing of that is pushed again: the first manifest names the files where they are.
        """
        place = place_of(job, fence)
        path = self.root / place
        if place in self._pushed and path.exists():  # this holder tries again
            return place, path
        found = (None if before is None else self._manifest(before)) or Manifest()
        arriving = path.with_name("arriving")
        for folder in (path, arriving):
            shutil.rmtree(folder, ignore_errors=True)
        for folder in ("", *found.folders):
            (arriving / folder).mkdir(parents=True, exist_ok=True)
        for name, kept in found.files.items():
            self._bring(kept, arriving / name)
        arriving.rename(path)
        manifest = Manifest(1, found.files, found.folders)
        self._write_manifest(place, manifest)
        self._pushed[place] = Pushed(manifest, {name: _signature(path / name) for name in found.files})
        return place, path

    def push(self, place: str, whole: bool = False) -> None:
        before, folder = self._pushed[place], self.root / place
        leaving = folder.with_name("leaving")
        try:
            signatures, folders = _snapshot(folder, before.signatures, leaving)
            changed = [name for name, one in signatures.items() if before.signatures.get(name) != one]
            gone = before.signatures.keys() - signatures.keys()
            if not changed and not gone and whole == before.manifest.whole:
                return
            number = before.manifest.number + 1
            # Whether it arrives or not, no later push has its number.
            self._pushed[place] = replace(before, manifest=replace(before.manifest, number=number))
            files = {name: kept for name, kept in before.manifest.files.items() if name not in gone}
            for name in changed:
                if before.arrived.get(name, (None, ""))[0] != signatures[name]:
                    kept = f"{place}/files/{number:06d}/{name}"
                    self.put(leaving / name, kept)
                    before.arrived[name] = signatures[name], kept
                files[name] = before.arrived[name][1]
            manifest = Manifest(number, files, folders, whole)
            self._write_manifest(place, manifest)
            self._pushed[place] = Pushed(manifest, signatures)
        finally:
            shutil.rmtree(leaving, ignore_errors=True)

    def settle(self, job: str, place: str | None) -> None:
        """Remove what a job's holders pushed, but for the files of one run. None: all, and the job's inputs.

        What cannot be removed now is removed with the panorama, or stays: nothing reads it.
        """
        super().settle(job, None)
        self._pushed = {kept: one for kept, one in self._pushed.items() if not kept.startswith(f"runs/{job}/")}
        try:
            with self._asking():
                if place is None:
                    self._remove_all(f"runs/{job}")
                    self._remove_all(f"inputs/{job}")
                elif (manifest := self._manifest(place)) is not None:
                    kept = {*manifest.files.values(), _manifest_place(place, manifest.number)}
                    for path in self._system.find(self._path(f"runs/{job}")):
                        if f"runs/{job}/{path.rpartition(f'/runs/{job}/')[2]}" not in kept:
                            self._system.rm_file(path)
        except (StorageError, OSError) as error:
            log.warning("job %s left files in the storage: %s", job, error)

    def sweep(self, is_open: Callable[[str], bool]) -> None:
        super().sweep(is_open)
        for folder in (self.root / "runs").glob("*"):
            if not is_open(folder.name):
                shutil.rmtree(folder, ignore_errors=True)

    # Files

    def _path(self, place: str) -> str:
        return f"{self._base}/{place}"

    def _found(self, place: str) -> str:
        """Return where a file is kept. Raises FileNotFoundError for one that a run does not have."""
        of_run = _RUN_FILE.fullmatch(place)
        if of_run is None or of_run[2].startswith(("files/", "manifests/")):
            return place
        manifest = self._manifest(of_run[1])
        if manifest is None or of_run[2] not in manifest.files:
            raise FileNotFoundError(place)
        return manifest.files[of_run[2]]

    def _bring(self, place: str, target: Path) -> None:
        """Copy a file to this machine. Raises FileNotFoundError if there is none."""
        kept = self._found(place)
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.part")
        try:
            with self._asking():
                self._system.get_file(self._path(kept), str(unfinished))
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)

    def _write(self, content: bytes, place: str) -> None:
        self._do(place, lambda path: self._system.pipe_file(path, content))

    def _do(self, place: str, deed: Callable[[str], Any]) -> None:
        """Do what writes a file, once more with the folder above it where the file system wants one."""
        path = self._path(place)
        with self._asking():
            try:
                deed(path)
            except FileNotFoundError:
                self._system.makedirs(path.rpartition("/")[0], exist_ok=True)
                deed(path)

    def _remove_all(self, place: str) -> None:
        with suppress(FileNotFoundError):
            self._system.rm(self._path(place), recursive=True)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Make a StorageError of whatever a file system raises, but for files that are missing."""
        try:
            yield
        except (FileNotFoundError, StorageError):
            raise
        except Exception as error:  # each file system has errors of its own
            raise StorageError(f"the storage does not answer ({first_line(error)})") from error

    # Manifests

    def _manifest(self, place: str) -> Manifest | None:
        """Return the latest manifest of a run; None if nothing was pushed of it."""
        if place in self._whole:
            return self._whole[place]
        with self._asking():
            folder = self._path(f"{place}/manifests")
            self._system.invalidate_cache(folder)
            try:
                paths = self._system.ls(folder, detail=False)
            except FileNotFoundError:
                return None
            for path in sorted(paths, reverse=True):
                manifest = _read_manifest(self._system.cat_file(path))
                if manifest is not None:
                    break
            else:
                return None
        if manifest.whole:
            if len(self._whole) >= _MOST_KNOWN:
                self._whole = {}
            self._whole[place] = manifest
        return manifest

    def _write_manifest(self, place: str, manifest: Manifest) -> None:
        self._write(json.dumps(asdict(manifest)).encode(), _manifest_place(place, manifest.number))


def make_storage(config: StudioConfig) -> Storage:
    """Return the storage of a studio. Raises UserError for one that cannot be opened."""
    return SharedStorage(config.root, config.storage) if config.storage else Storage(config.root)


def without_secret(url: str) -> str:
    """Return a URL without the name and the word that it may have before its host."""
    return re.sub(r"//[^/@]*@", "//", url)


def _opened(url: str) -> tuple[Any, str]:
    import fsspec

    told = {"key": "storage", "value": without_secret(url)}
    try:
        return fsspec.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        raise UserError(f"needs a further package ({first_line(error)})", **told) from None
    except ValueError as error:
        raise UserError(f"is of no kind that is known ({first_line(error)})", **told) from None
    except Exception as error:  # each file system has errors of its own
        raise UserError(f"cannot be opened ({first_line(error)})", **told) from None


def _manifest_place(place: str, number: int) -> str:
    return f"{place}/manifests/{number:06d}.json"


def _read_manifest(content: bytes) -> Manifest | None:
    """Return a manifest; None for one that is cut short: JSON of an object that lacks its end is none."""
    try:
        found = json.loads(content)
        return Manifest(found["number"], found["files"], tuple(found["folders"]), found["whole"])
    except (ValueError, KeyError, TypeError):
        return None


def _snapshot(
    folder: Path, known: Mapping[str, Signature], target: Path
) -> tuple[dict[str, Signature], tuple[str, ...]]:
    """Link the files of a run that changed into ``target``, as they were together at one moment. Return the signatures
    of all, and the folders.

    A run's files are only ever replaced, its journal names them before they are there, and nothing that the journal
    names is replaced before it names something else. So they are of one moment if the journals stayed the same.

    :raises StorageError: if the run changes too fast.
    """
    for _ in range(_TRIES):
        shutil.rmtree(target, ignore_errors=True)
        journals = _journals(folder)
        found = {name: one for name in _names(folder) if (one := _signature_if_there(folder / name)) is not None}
        for name in found:
            if known.get(name) != found[name]:
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                linked(str(folder / name), str(target / name))
        folders = tuple(path.relative_to(folder).as_posix() for path in folders_in(folder))
        there = all((target / name).is_file() for name in found if known.get(name) != found[name])
        if there and _journals(folder) == journals:
            return found, folders
    raise StorageError("what is painted changes faster than it can be kept")


def _names(folder: Path) -> list[str]:
    names = [path.relative_to(folder).as_posix() for path in files_in(folder)]
    return [name for name in names if not any(part.startswith(".") for part in name.split("/"))]


def _journals(folder: Path) -> dict[Path, Signature | None]:
    return {path: _signature_if_there(path) for path in files_in(folder) if path.name == JOURNAL}


def _signature(path: Path) -> Signature:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _signature_if_there(path: Path) -> Signature | None:
    try:
        return _signature(path)
    except FileNotFoundError:
        return None
