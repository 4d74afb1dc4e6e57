"""Where panoramas come from: folders, manifests (CSV, JSONL), or images with one prompts.txt (CubeDiff's layout)."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from aognet.data.splits import Split, SplitConfig, part_named
from aognet.errors import UserError
from aognet.io.captions import MAX_CHARACTERS, CaptionRecord, a_few, check_captions, load_captions, load_records
from aognet.io.files import is_file, is_folder
from aognet.io.formats import KINDS
from aognet.io.listing import NamedFiles, find_images
from aognet.io.tables import read_table
from aognet.io.text_files import read_text

log = logging.getLogger(__name__)

MAX_BYTES = 512 * 2**20


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Which panoramas are used.

    - ``folders`` are searched recursively. ``limits`` says how many images of each folder are used at most, in the same
      order (0: all). ``repeats`` says how many times each folder's images are in an epoch (none: once), so that a few
      can count like many.
    - ``manifests`` are files that name the images (paths relative to them): CSV with the column ``file`` and optionally
      ``caption`` and ``split``; JSONL as for captions, optionally with ``split``; ``prompts.txt`` with a line for each
      image beside it or in ``images``, in the order of their names.
    - ``captions`` (JSONL files): only the images of the folders that they name are used. ``augmented_captions`` (JSONL
      files) say more about the same images. ``strict_captions`` refuses images without a caption and captions without
      an image, which are otherwise reported.
    - ``limit``: at most so many images in all (0: all). ``split``: which part of them is taken.
    """

    folders: list[str] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)
    repeats: list[int] = field(default_factory=list)
    manifests: list[str] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    augmented_captions: list[str] = field(default_factory=list)
    strict_captions: bool = False
    limit: int = 0
    split: SplitConfig = field(default_factory=SplitConfig)

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise UserError("must not be negative", key="limit", value=self.limit)
        if any(limit < 0 for limit in self.limits):
            raise UserError("must not be negative", key="limits", value=self.limits)
        if self.limits and len(self.limits) != len(self.folders):
            raise UserError(
                f"must be one number for each of {len(self.folders)} folders", key="limits", value=self.limits
            )
        if self.repeats and (len(self.repeats) != len(self.folders) or min(self.repeats) < 1):
            raise UserError(
                f"must be a number from 1 on for each of {len(self.folders)} folders", key="repeats", value=self.repeats
            )


@dataclass(frozen=True)
class CaptionedFile:
    """A panorama's file, its name (relative to where it was found) and its captions.

    ``yaws`` has, for each of the ``augmented`` captions, the directions in degrees of the views that it describes.
    """

    path: Path
    name: str
    captions: tuple[str, ...] = ()
    augmented: tuple[str, ...] = ()
    yaws: tuple[tuple[float, ...], ...] = ()
    split: str | None = None


def find_entries(config: SourceConfig) -> list[CaptionedFile]:
    """Return the panoramas of a ``SourceConfig``, in the order of sources and names.

    :raises UserError: if there are none.
    """
    entries = [*_from_folders(config), *(entry for path in config.manifests for entry in _read_manifest(Path(path)))]
    entries = _with_augmented(entries, config.augmented_captions)
    split = Split(config.split)
    part = config.split.part
    if missing := split.missing(entry.name for entry in entries):
        log.warning("%s: %d of its names are no panorama's (%s)", config.split.list, len(missing), a_few(missing))
    # A split column says what belongs where; names are hashed only where there is none.
    taken = [
        entry
        for entry in entries
        if (split.takes(entry.name) if entry.split is None or config.split.list else part in ("all", entry.split))
    ]
    if not taken:
        named = f" that {', '.join(config.captions)} names" if config.captions else ""
        chosen = f" in the part {part!r}" if entries else ""
        where = ", ".join([*config.folders, *config.manifests])
        raise UserError(f"folders: no panorama ({KINDS}){named}{chosen} in {where}")
    return taken[: config.limit or None]


def _from_folders(config: SourceConfig) -> list[CaptionedFile]:
    captions: dict[str, list[str]] = {}
    for file in config.captions:
        captions |= load_captions(Path(file))
    found: list[CaptionedFile] = []
    for number, folder in enumerate(config.folders):
        images = _images(Path(folder))
        images = images[: config.limits[number] or None] if config.limits else images
        found += images * config.repeats[number] if config.repeats else images
    if not config.captions:
        return found
    names, paths = [entry.name for entry in found], [entry.path for entry in found]
    keys = check_captions(captions, names, ", ".join(config.captions), config.strict_captions, paths)
    pairs = zip(found, keys, strict=True)
    return [replace(entry, captions=tuple(captions[key])) for entry, key in pairs if key is not None]


def _images(folder: Path) -> list[CaptionedFile]:
    return [CaptionedFile(path, path.relative_to(folder).as_posix()) for path in find_images(folder, "folders")]


def _with_augmented(entries: list[CaptionedFile], files: Sequence[str]) -> list[CaptionedFile]:
    if not files:
        return entries
    records = {record.file: record for file in files for record in load_records(Path(file))}
    captions = {name: record.captions for name, record in records.items()}
    names, paths = [entry.name for entry in entries], [entry.path for entry in entries]
    keys = check_captions(captions, names, ", ".join(files), paths=paths)
    return [_augmented(entry, None if key is None else records[key]) for entry, key in zip(entries, keys, strict=True)]


def _augmented(entry: CaptionedFile, record: CaptionRecord | None) -> CaptionedFile:
    if record is None:
        return entry
    yaws = record.yaws or tuple(() for _ in record.captions)
    return replace(entry, augmented=record.captions, yaws=yaws)


def _read_manifest(path: Path) -> list[CaptionedFile]:
    """Return the images that a manifest names and that exist. Missing ones are reported."""
    if not is_file(path):
        raise UserError(f"manifests: no such file: {path}")
    readers: dict[str, Callable[[Path], Iterable[CaptionedFile]]] = {".csv": _csv, ".jsonl": _jsonl, ".txt": _prompts}
    if path.suffix.lower() not in readers:
        raise UserError(f"manifests: expected a .csv, .jsonl or .txt file, got {path}")
    named, files = list(readers[path.suffix.lower()](path)), NamedFiles(path.parent)
    places = [entry.path if is_file(entry.path) else files.find(entry.name) for entry in named]
    found = [replace(entry, path=place) for entry, place in zip(named, places, strict=True) if place is not None]
    if missing := [entry.name for entry, place in zip(named, places, strict=True) if place is None]:
        log.warning("%s: %d of %d images are missing (%s)", path, len(missing), len(named), a_few(missing))
    splits: dict[Path, str | None] = {}
    for entry in found:
        if splits.setdefault(entry.path, entry.split) != entry.split:
            raise UserError(f"{path}: {entry.name} is in two parts, {splits[entry.path]} and {entry.split}")
    return found


def _csv(path: Path) -> Iterable[CaptionedFile]:
    for number, row in read_table(path, ("file",), ("caption", "split")):
        captions = (row["caption"][:MAX_CHARACTERS],) if row["caption"] else ()
        split = part_named(row["split"], f"{path}, line {number}")
        yield CaptionedFile(path.parent / row["file"], row["file"], captions, split=split)


def _jsonl(path: Path) -> Iterable[CaptionedFile]:
    for record in load_records(path):
        split = record.extra.get("split")
        if not isinstance(split, str | None):
            raise UserError(f"{path}: split must be a text, got {split!r:.80} for {record.file}")
        part = part_named(split, f"{path}, {record.file}")
        yield CaptionedFile(path.parent / record.file, record.file, record.captions, split=part)


def _prompts(path: Path) -> Iterable[CaptionedFile]:
    folder = path.parent / "images"
    images = _images(folder if is_folder(folder) else path.parent)
    prompts = _lines(path)
    while prompts and not prompts[-1]:
        prompts.pop()
    if len(prompts) != len(images):
        raise UserError(f"{path}: has {len(prompts)} prompts for {len(images)} images")
    return [replace(image, captions=(prompt,)) for image, prompt in zip(images, prompts, strict=True)]


def _lines(path: Path) -> list[str]:
    """Return the lines of a text file. Only line feeds end them: other separators may be part of a text."""
    return [line.strip() for line in read_text(path, "manifest", MAX_BYTES).split("\n")]
