"""Folders of scenes: images, depth and captions on disk, made by several processes and completed by a second run."""

import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from aognet.callbacks import UNHEARD, Listener
from aognet.errors import Setting, UserError
from aognet.io.captions import CaptionRecord, fold, load_records, save_records
from aognet.io.files import clear_unfinished, made_folder, write_atomically
from aognet.io.hdr import write_exr
from aognet.io.text_files import read_json
from aognet.scenes import VERSION, Captions, Scene, describe_scene, make_scene
from aognet.system.locking import exclusive
from aognet.system.workers import work_through

Format = Literal["jpg", "png", "exr"]
SETTINGS = "scenes.json"
WRITTEN = (SETTINGS, "captions.jsonl", "captions_aug.jsonl")
SCENE = r"scene_\d+\.(jpg|png|exr)"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SceneFolder:
    """A folder of scenes. Scene ``number`` has the seed ``seed + number``. Where ``kinds`` are given, scenes take them
    in turn.
    """

    out_dir: Path
    height: int
    seed: int
    kinds: tuple[str, ...] | None
    format: Format
    depth_dir: Path | None = None
    overwrite: bool = False

    def image(self, number: int) -> Path:
        """Return the path of a scene's image."""
        return self.out_dir / f"scene_{number:06d}.{self.format}"

    def depth(self, number: int) -> Path | None:
        """Return the path of a scene's distances, if they are wanted: EXR, float32 metres in channel "Z", inf for the
        sky.
        """
        return None if self.depth_dir is None else self.depth_dir / f"scene_{number:06d}.exr"

    def is_finished(self, number: int) -> bool:
        """Return whether all files of a scene exist."""
        depth = self.depth(number)
        return self.image(number).exists() and (depth is None or depth.exists())

    def claim(self) -> None:
        """Record the settings of the scenes in the folders, which must exist.

        :raises UserError: if they cannot be written, or have scenes that were made with other settings.
        """
        path = self.out_dir / SETTINGS
        mine = {key: asdict(self)[key] for key in ("seed", "height", "kinds", "format")} | {"version": VERSION}
        mine = json.loads(json.dumps(mine))
        theirs = read_json(path) if path.exists() else None
        if theirs is not None and theirs != mine and not self.overwrite:
            other = next(key for key in mine if theirs.get(key) != mine[key])
            said = f"{path}: the scenes here have {other} {theirs.get(other)}, not {mine[other]}; "
            raise UserError(said, "choose another folder, the same settings, or ", Setting("overwrite"))
        if theirs is not None and theirs != mine:
            # Half overwritten, the folder would be a mix that the next run takes for finished.
            for old in [*self.out_dir.glob("scene_[0-9]*.*"), *self.out_dir.glob("captions*.jsonl")]:
                old.unlink()
        write_atomically(path, json.dumps(mine) + "\n")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folders and hold them against other processes. Unfinished files of killed processes are removed."""
        folders = {"out_dir": self.out_dir}
        if self.depth_dir is not None and self.depth_dir.resolve() != self.out_dir.resolve():
            folders["depth_dir"] = self.depth_dir
        with ExitStack() as stack:
            for key, folder in folders.items():
                stack.enter_context(made_folder(folder, key))
                stack.enter_context(exclusive(folder))
                clear_unfinished(folder, lambda name: name in WRITTEN or re.fullmatch(SCENE, name) is not None)
            yield

    def make(self, number: int) -> Captions:
        """Write the files of a scene and return its captions."""
        scene = make_scene(self.seed + number, self.height, self._kind(number))
        depth = self.depth(number)
        if depth is not None:
            write_exr({"Z": scene.depth}, depth)
        _save(scene, self.image(number))
        return Captions(scene.caption, scene.captions_at)

    def describe(self, number: int) -> Captions:
        """Return the captions of a scene whose files exist."""
        return describe_scene(self.seed + number, self._kind(number))

    def make_or_describe(self, number: int) -> Captions:
        """Make a scene that is unfinished or to be overwritten, or describe it. Return its captions."""
        return self.describe(number) if self.is_finished(number) and not self.overwrite else self.make(number)

    def _kind(self, number: int) -> str | None:
        return self.kinds[number % len(self.kinds)] if self.kinds else None


def fill(folder: SceneFolder, count: int, workers: int, listener: Listener = UNHEARD) -> int:
    """Make the first ``count`` scenes of a folder and its captions files. Return how many failed."""
    with folder.held():
        folder.claim()
        return _fill(folder, count, workers, listener)


def _fill(folder: SceneFolder, count: int, workers: int, listener: Listener) -> int:
    files = [folder.image(number).name for number in range(count)]
    paths = folder.out_dir / "captions.jsonl", folder.out_dir / "captions_aug.jsonl"
    whole, views = (_records(path) for path in paths)
    known = {
        number
        for number, file in enumerate(files)
        if file in whole and file in views and folder.is_finished(number) and not folder.overwrite
    }
    failed = 0
    try:
        wanted = [number for number in range(count) if number not in known]
        for number, done in enumerate(work_through(folder.make_or_describe, wanted, workers), start=1):
            file = files[done.item]
            if done.result is None:
                failed += 1
                log.error("%s: %s", file, done.error)
            else:
                whole[file] = CaptionRecord(file, (done.result.whole,))
                views[file] = CaptionRecord(file, *fold(list(done.result.at.values()), list(done.result.at)))
            listener.tell("scenes", number, len(wanted))
    finally:
        # Also when stopped: what is finished keeps its captions.
        for path, records in zip(paths, (whole, views), strict=True):
            save_records([records[file] for file in sorted(records)], path)
    return failed


def _records(path: Path) -> dict[str, CaptionRecord]:
    return {record.file: record for record in load_records(path)} if path.exists() else {}


def _save(scene: Scene, path: Path) -> None:
    """Write the radiance as float32 EXR (half would lose moonlit nights), or the image as a camera shows it."""
    if path.suffix == ".exr":
        write_exr({name: scene.radiance[..., at] for at, name in enumerate("RGB")}, path)
        return
    buffer = io.BytesIO()
    pixels = Image.fromarray((scene.image * 255).round().astype(np.uint8))
    pixels.save(buffer, "JPEG" if path.suffix == ".jpg" else "PNG", quality=95)
    write_atomically(path, buffer.getvalue())
