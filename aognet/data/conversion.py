"""Conversion of folders of linear light (EXR, HDR) to folders of ordinary images, for ``misc/exr2png.py``."""

import json
import logging
import math
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Integer

from aognet.callbacks import UNHEARD, Listener
from aognet.errors import Setting, UserError
from aognet.io.files import clear_unfinished, made_folder, write_atomically
from aognet.io.formats import LIGHT_SUFFIXES
from aognet.io.hdr import MAX_PIXELS, read_light
from aognet.io.listing import find_images
from aognet.io.text_files import read_json
from aognet.io.tonemap import ToneMap, clean, tone_map_to_levels
from aognet.system.locking import exclusive
from aognet.system.workers import work_through

FORMATS = {"png8": ".png", "png16": ".png", "jpeg": ".jpg"}
RECORD, REPORT = "exr2png.json", "exr2png_report.json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Conversion:
    """What is made of every file. ``size`` is (height, width) of the images, or None for the size of each file.
    ``format`` is one of `FORMATS`.
    """

    tone: ToneMap = field(default_factory=ToneMap)
    size: tuple[int, int] | None = None
    format: str = "png8"

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UserError(f"must be one of {', '.join(FORMATS)}", key="format", value=self.format)
        if self.size and (min(self.size) < 1 or math.prod(self.size) > MAX_PIXELS):
            raise UserError(
                f"must be from 1x1 to {MAX_PIXELS} pixels", key="size", value=f"{self.size[0]}x{self.size[1]}"
            )


@dataclass(frozen=True)
class FileToConvert:
    """One file to read and one file to write."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Failure:
    """A file that could not be converted, relative to the folder of all files, and one line that says why."""

    file: str
    reason: str


@dataclass(frozen=True)
class Outcome:
    """How many images a run made, how many were there already, and what failed."""

    made: int
    skipped: int
    failed: list[Failure]


def convert_folder(
    image_dir: Path,
    out_dir: Path,
    conversion: Conversion,
    workers: int,
    overwrite: bool = False,
    listener: Listener = UNHEARD,
) -> Outcome:
    """Make an image of every EXR and HDR file below ``image_dir``, at the same place below ``out_dir``.

    ``exr2png.json`` in ``out_dir`` records the settings and since when they hold. Images younger than that are finished
    and skipped. If there are images of other or unknown settings, nothing is done unless ``overwrite`` is set.
    ``overwrite`` records a new time, so that all images are made again, also by a later run without it.
    ``exr2png_report.json`` lists the files that failed; the next run tries them again.

    :raises UserError: before anything is written: no files, two files that would become one image, other settings, a
        folder that cannot be read or written.
    """
    jobs = find_jobs(image_dir, out_dir, FORMATS[conversion.format])
    with made_folder(out_dir, "out_dir"), exclusive(out_dir):
        written = {RECORD, REPORT, *(job.target.name for job in jobs)}
        for folder in {out_dir, *(job.target.parent for job in jobs)}:
            clear_unfinished(folder, written.__contains__)
        since = adopt_settings(out_dir, conversion, jobs, overwrite)
        waiting = [job for job in jobs if not job.target.is_file() or job.target.stat().st_mtime_ns < since]
        failed: list[Failure] = []
        try:
            convert_all(image_dir, waiting, conversion, workers, failed, listener)
        finally:
            done = sum(job.target.is_file() and job.target.stat().st_mtime_ns >= since for job in waiting)
            failed.sort(key=lambda failure: failure.file)
            outcome = Outcome(done, len(jobs) - len(waiting), failed)
            write_atomically(out_dir / REPORT, json.dumps(asdict(outcome), indent=1, ensure_ascii=False) + "\n")
    return outcome


def convert_all(
    image_dir: Path,
    jobs: Sequence[FileToConvert],
    conversion: Conversion,
    workers: int,
    failed: list[Failure],
    listener: Listener = UNHEARD,
) -> None:
    """Convert in several processes. Failures are logged and added to ``failed``."""
    # The largest first: a core that gets one last would work alone at the end.
    jobs = sorted(jobs, key=_bytes_of, reverse=True)
    function = partial(_convert_job, conversion=conversion)
    for number, done in enumerate(work_through(function, jobs, workers, isolate=True), start=1):
        if done.error is not None:
            name = done.item.source.relative_to(image_dir).as_posix()
            failed.append(Failure(name, done.error.removeprefix(f"{done.item.source}: ")))
            _log.warning("%s: %s", name, failed[-1].reason)
        listener.tell("images", number, len(jobs))


def convert(source: Path, target: Path, conversion: Conversion) -> None:
    """Read, shrink, tone-map and write one image, atomically. Missing folders are made.

    :raises UserError: naming the file.
    """
    light = read_light(source, MAX_PIXELS)
    if conversion.size and conversion.size != light.shape[:2]:
        _check_shrinks(source, light.shape[:2], conversion.size)
        light = shrink(clean(light), *conversion.size)
    levels = tone_map_to_levels(light, np.uint16 if conversion.format == "png16" else np.uint8, conversion.tone)
    content = encode(levels, FORMATS[conversion.format])
    with made_folder(target.parent):
        write_atomically(target, content)


def _check_shrinks(source: Path, old: tuple[int, int], new: tuple[int, int]) -> None:
    had, asked = (f"{height}x{width}" for height, width in (old, new))
    if new[0] > old[0] or new[1] > old[1]:
        raise UserError(f"{source}: is {had}, smaller than the {asked} asked for")
    if abs(old[0] * new[1] / (old[1] * new[0]) - 1) > 0.01:
        raise UserError(f"{source}: is {had}, of another shape than the {asked} asked for")


def shrink(
    light: Float32[np.ndarray, "rows columns 3"], height: int, width: int
) -> Float32[np.ndarray, "height width 3"]:
    """Shrink light: each pixel is the mean over its area, cut at fractions of pixels. The mean of the image stays the
    same.
    """
    import cv2

    return cv2.resize(light, (width, height), interpolation=cv2.INTER_AREA)


def encode(levels: Integer[np.ndarray, "height width 3"], suffix: str) -> bytes:
    """Return RGB levels, uint8 or uint16 (PNG only), as the content of a PNG or JPEG file."""
    import cv2

    if suffix == ".png":
        # Run lengths take a sixth of the time of zlib's search for repetitions, and an eighth more room on photographs.
        options = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
        # Choosing a filter for every row pays with 8 bits alone.
        filters = cv2.IMWRITE_PNG_FAST_FILTERS if levels.dtype == np.uint8 else cv2.IMWRITE_PNG_FILTER_SUB
        options += [cv2.IMWRITE_PNG_FILTER, filters]
    else:
        options = [cv2.IMWRITE_JPEG_QUALITY, 95]
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(suffix, cv2.cvtColor(levels, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def find_jobs(image_dir: Path, out_dir: Path, suffix: str) -> list[FileToConvert]:
    """Return every EXR and HDR file below ``image_dir`` (`aognet.io.listing`), with its image.

    :raises UserError: if there is no such folder or file, or two files would become one image.
    """
    sources = find_images(image_dir, "image_dir", LIGHT_SUFFIXES)
    jobs = [FileToConvert(path, out_dir / path.relative_to(image_dir).with_suffix(suffix)) for path in sources]
    if not jobs:
        raise UserError(f"{image_dir}: holds no {' or '.join(LIGHT_SUFFIXES)} file")
    places: dict[str, Path] = {}
    for job in jobs:
        # Names that differ in case or in how accents are written are one name on some systems.
        place = unicodedata.normalize("NFC", str(job.target)).casefold()
        if place in places:
            raise UserError(f"{places[place]} and {job.source} would both become {job.target}; rename one")
        places[place] = job.source
    return jobs


def adopt_settings(out_dir: Path, conversion: Conversion, jobs: Sequence[FileToConvert], overwrite: bool) -> int:
    """Record the settings in ``out_dir``, or find the same settings there. Return since when they hold, in ns.

    :raises UserError: if there are images of other or unknown settings and ``overwrite`` is not set.
    """
    record = out_dir / RECORD
    settings = json.loads(json.dumps(asdict(conversion)))
    known = _recorded(record)
    if known.get("settings") == settings and isinstance(known.get("since"), int) and not overwrite:
        return known["since"]
    images = (job.target.with_suffix(suffix) for job in jobs for suffix in FORMATS.values())
    if not overwrite and (image := next((path for path in images if path.exists()), None)):
        before, after = (_flat(found) for found in (known.get("settings"), settings))
        differ = [
            f"{name} {before[name]}, not {after[name]}"
            for name in after
            if before.get(name, after[name]) != after[name]
        ]
        how = f"was made with {'; '.join(differ)}" if differ else f"is there, but {RECORD} does not say how it was made"
        said = f"{image}: {how}; write to another "
        raise UserError(said, Setting("out_dir"), ", or make all images again with ", Setting("overwrite"))
    write_atomically(record, "{}")
    since = record.stat().st_mtime_ns  # by the clock that the images get their times from
    write_atomically(record, json.dumps({"settings": settings, "since": since}, indent=1) + "\n")
    return since


def _recorded(record: Path) -> dict:
    try:
        return read_json(record)
    except UserError:
        return {}


def _flat(settings: object) -> dict:
    """Return the settings with those of tone mapping beside the others; {} for anything else."""
    if not isinstance(settings, dict) or not isinstance(settings.get("tone"), dict):
        return {}
    return settings["tone"] | {name: value for name, value in settings.items() if name != "tone"}


def _convert_job(job: FileToConvert, conversion: Conversion) -> None:
    """Convert in a worker. What the OpenEXR library writes to stderr is dropped: it would hide the one line about the
    error.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    convert(job.source, job.target, conversion)


def _bytes_of(job: FileToConvert) -> int:
    return job.source.stat().st_size if job.source.is_file() else 0
