"""Captions for a folder of panoramas: split between processes, in batches, and resumable at every image."""

import logging
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from aognet.callbacks import UNHEARD, Cancelled, Listener
from aognet.captioning.backends import build_captioner
from aognet.captioning.captioner import Captioner, CaptionerConfig
from aognet.captioning.parts import CaptionsFile
from aognet.errors import Setting, UserError
from aognet.geometry.camera import Camera
from aognet.geometry.perspective import look_all
from aognet.io.captions import CaptionRecord, check_captions, fold, load_captions
from aognet.io.files import clear_unfinished, made_folder
from aognet.io.formats import KINDS
from aognet.io.images import load_image, resize_panorama
from aognet.io.listing import find_images
from aognet.io.matching import match
from aognet.system.locking import exclusive
from aognet.system.processes import Processes

log = logging.getLogger(__name__)

Item = TypeVar("Item")

MAX_VIEWS = 3600
# Captioning models see a few hundred pixels: what is finer than this would only fill memory while it waits.
LONGEST_SIDE = 1024


@dataclass(frozen=True)
class FolderCaptionsConfig:
    """What is described, and where captions go.

    ``name``: captions go to ``NAME.jsonl``, those of views to ``NAME_aug.jsonl``. ``augment``: describe views too.
    ``stride_degrees``: between the yaws of 90-degree views, in (0, 360]. ``view_size``: the size of views in pixels.
    ``batch_size``: how many images are described together. ``overwrite``: forget existing captions. ``limit``: at most
    so many images (0: all).
    """

    image_dir: Path
    out_dir: Path
    name: str
    augment: bool = False
    stride_degrees: float = 30.0
    view_size: int = 512
    batch_size: int = 8
    overwrite: bool = False
    limit: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.stride_degrees <= 360:
            raise UserError("must be more than 0 and at most 360", key="stride_degrees", value=self.stride_degrees)
        if self._views > MAX_VIEWS:
            said = f"asks for {self._views} views, more than {MAX_VIEWS}"
            raise UserError(said, key="stride_degrees", value=self.stride_degrees)
        if Path(self.name).name != self.name or self.name in ("", ".", ".."):
            raise UserError("must be a plain file name", key="name", value=self.name)
        for key, least in (("view_size", 16), ("batch_size", 1), ("limit", 0)):
            if getattr(self, key) < least:
                raise UserError(f"must be at least {least}", key=key, value=getattr(self, key))
        if not self.image_dir.is_dir():
            raise UserError(f"{self.image_dir}: no such folder", key="image_dir")

    @property
    def _views(self) -> int:
        return math.ceil(360 / self.stride_degrees - 1e-9)

    @property
    def yaws(self) -> tuple[float, ...]:
        """The yaws of the views in degrees: 0, stride, 2 stride, ... all the way round."""
        return tuple(number * self.stride_degrees for number in range(self._views))

    @property
    def files(self) -> list["Output"]:
        """The captions files to fill."""
        views = [Output(CaptionsFile(self.out_dir, f"{self.name}_aug"), self.yaws)] if self.augment else []
        return [Output(CaptionsFile(self.out_dir, self.name)), *views]


@dataclass(frozen=True)
class Output:
    """A captions file and the yaws (degrees) of the views that it describes. Without yaws it describes whole images."""

    file: CaptionsFile
    yaws: tuple[float, ...] = ()


@dataclass
class Task:
    """The captions that one image still lacks in one captions file."""

    name: str
    output: Output
    found: list[str] = field(default_factory=list)

    @property
    def pictures(self) -> int:
        """How many captions it takes."""
        return max(len(self.output.yaws), 1)

    @property
    def done(self) -> bool:
        """Whether every caption is there."""
        return len(self.found) == self.pictures

    def record(self, captioner: Captioner) -> CaptionRecord:
        """Return the captions that were found. Equal captions of several views become one."""
        made = {"model": captioner.model, "revision": captioner.revision}
        if not self.output.yaws:
            return CaptionRecord(self.name, tuple(text for text in self.found if text), **made)
        texts, yaws = fold(self.found, self.output.yaws)
        return CaptionRecord(self.name, texts, yaws, **made, extra={"views": len(self.found)})


Picture = tuple[Task, Tensor]
"""An image [3, rows, columns] in [-1, 1] and the task that wants its caption."""


def caption_folder(
    config: FolderCaptionsConfig, captioner: CaptionerConfig, processes: Processes, listener: Listener = UNHEARD
) -> int:
    """Describe the images that have no captions yet. Return how many images could not be used, in all processes.

    The captioner is loaded only if there is something to do.

    :raises UserError: for a folder without images, a file that is no captions file, and a captioner that cannot be
        loaded.
    """
    every = image_names(config.image_dir)
    with ExitStack() as stack:
        if processes.first:
            stack.enter_context(_held(config))
        return _caption_missing(config, captioner, processes, every, listener)


@contextmanager
def _held(config: FolderCaptionsConfig) -> Iterator[None]:
    """Hold the output folder, made if missing, and its captions files against other runs, for all processes."""
    with made_folder(config.out_dir, "out_dir"), ExitStack() as stack:
        names = {output.file.path.name for output in config.files}
        for name in sorted(names):
            stack.enter_context(exclusive(config.out_dir, name))
        clear_unfinished(config.out_dir, names.__contains__)
        yield


def _caption_missing(
    config: FolderCaptionsConfig,
    captioner: CaptionerConfig,
    processes: Processes,
    every: Sequence[str],
    listener: Listener,
) -> int:
    names = every[: config.limit or None]
    if processes.first:
        _merge(config, names)
    processes.wait()
    images, failures = _missing(config, names, every), 0
    if images:
        loaded = build_captioner(captioner, processes.device)
        processes.wait()
        if config.overwrite and processes.first:
            for output in config.files:
                output.file.forget(names, every)
        processes.wait()
        ours = images[processes.number :: processes.count]
        try:
            failures = processes.total(_caption_all(config, ours, loaded, processes, listener))
        except (KeyboardInterrupt, Cancelled):
            if processes.count == 1:
                _merge(config, names)
            raise
    if processes.first:
        _merge(config, names)
        _report(config, names, captioner.model_name)
    processes.wait()
    return failures


def image_names(folder: Path) -> list[str]:
    """Return the paths of the images below a folder, relative to it with ``/``, in order."""
    names = [path.relative_to(folder).as_posix() for path in find_images(folder, "image_dir")]
    if not names:
        raise UserError(f"{folder}: no image ({KINDS}) in it", key="image_dir")
    return names


def _missing(config: FolderCaptionsConfig, names: Sequence[str], every: Sequence[str]) -> list[list[Task]]:
    """Return what is to do, by image. All tasks of an image go to one process, so that it is decoded once.

    ``names`` are the first of ``every`` image.
    """
    tasks: dict[str, list[Task]] = {}
    for output in config.files:
        there = () if config.overwrite else (record.file for record in output.file.records())
        for name, key in zip(names, match(there, every).keys, strict=False):
            if key is None:
                tasks.setdefault(name, []).append(Task(name, output))
    return [tasks[name] for name in names if name in tasks]


def _merge(config: FolderCaptionsConfig, names: Sequence[str]) -> None:
    for output in config.files:
        output.file.merge(names)


def _report(config: FolderCaptionsConfig, names: Sequence[str], model: str) -> None:
    """Log what was written, and what in it a user may not expect."""
    for output in config.files:
        path, records = output.file.path, output.file.records()
        others = [record for record in records if _made_otherwise(record, model, output.yaws)]
        if others:
            log.warning(
                "%s: %d of %d records were there already, made by another model or with another stride (%s by %s), "
                "and were kept; %s makes them anew",
                *(path, len(others), len(records), others[0].file, others[0].model, Setting("overwrite")),
            )
        if not config.limit and path.is_file():
            check_captions(load_captions(path), names, str(path))
        log.info("%s: %d images have captions", path, len(records))


def _made_otherwise(record: CaptionRecord, model: str, yaws: Sequence[float]) -> bool:
    """Return whether a record says that it was made in another way. A record without a model was made by hand."""
    seen = {yaw for group in record.yaws or () for yaw in group}
    views = record.extra.get("views", len(seen))
    return record.model is not None and (record.model != model or views != len(yaws) or not seen <= set(yaws))


def _caption_all(
    config: FolderCaptionsConfig,
    images: Sequence[Sequence[Task]],
    captioner: Captioner,
    processes: Processes,
    listener: Listener,
) -> int:
    """Describe images in full batches, which may mix views of several images. Return how many cannot be used."""
    failed: list[str] = []
    waiting: list[Picture] = []
    total = sum(task.pictures for tasks in images for task in tasks)
    described = 0

    def describe(count: int) -> None:
        nonlocal described
        batch, waiting[:] = waiting[:count], waiting[count:]
        _describe(batch, captioner, processes.number)
        described += len(batch)
        if processes.first:
            listener.tell("pictures", described, total)

    for pictures in ahead(_all_pictures(config, images, failed)):
        waiting += pictures
        while len(waiting) >= config.batch_size:
            describe(config.batch_size)
    if waiting:
        describe(len(waiting))
    return len(failed)


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the same items. The next item is made while one is in use."""
    with ThreadPoolExecutor(1) as worker:
        coming = worker.submit(lambda: list(islice(items, 1)))
        while following := coming.result():
            coming = worker.submit(lambda: list(islice(items, 1)))
            yield from following


def _describe(batch: Sequence[Picture], captioner: Captioner, process: int) -> None:
    """Describe one batch and write down every image that it completes."""
    texts = captioner.caption([picture for _, picture in batch])
    for (task, _), text in zip(batch, texts, strict=True):
        task.found.append(text)
        if task.done:
            task.output.file.add(task.record(captioner), process)


def _all_pictures(
    config: FolderCaptionsConfig, images: Sequence[Sequence[Task]], failed: list[str]
) -> Iterator[list[Picture]]:
    """Yield what is to be described, a few pictures at a time. Images that cannot be used are named and added to
    ``failed``.
    """
    for tasks in images:
        try:
            yield from _pictures(config, tasks)
        except UserError as error:
            log.error("%s; left out", error)
            failed.append(tasks[0].name)


def _pictures(config: FolderCaptionsConfig, tasks: Sequence[Task]) -> Iterator[list[Picture]]:
    """Yield the pictures of one image that are to be described, at most a batch at a time.

    As in the published code, the whole panorama is described from its equirectangular picture.

    :raises UserError: for an unusable file.
    """
    path = config.image_dir / tasks[0].name
    image = load_image(path)
    for task in tasks:
        if not task.output.yaws:
            yield [(task, shrunk(image))]
            continue
        rows, columns = image.shape[-2:]
        if abs(columns - 2 * rows) > 1:
            raise UserError(f"{path}: views need a panorama, twice as wide as high; this image is {columns}x{rows}")
        # Rows enough for the pixels of a 90-degree view: averaged once instead of in every view.
        panorama = resize_panorama(image[None], min(rows, 2 * config.view_size))
        cameras = [Camera(yaw, width=config.view_size, height=config.view_size) for yaw in task.output.yaws]
        for first in range(0, len(cameras), config.batch_size):
            views = look_all(panorama, cameras[first : first + config.batch_size])[0]
            yield [(task, view) for view in views]


def shrunk(image: Float[Tensor, "3 rows columns"]) -> Float[Tensor, "3 _ _"]:
    """Return the image with at most ``LONGEST_SIDE`` rows and columns."""
    scale = LONGEST_SIDE / max(image.shape[-2:])
    if scale >= 1:
        return image
    size = [max(round(side * scale), 1) for side in image.shape[-2:]]
    return functional.interpolate(image[None], size=size, mode="bicubic", antialias=True)[0].clamp(-1, 1)
