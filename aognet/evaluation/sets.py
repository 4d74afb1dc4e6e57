"""The generated and the reference set: their panoramas, pairs, captions and sizes, checked before anything is measured.

A folder holds image files, or the runs of `inference.py`; a run counts as one panorama.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from aognet.errors import Setting, UserError
from aognet.evaluation.protocol import MIN_HEIGHT
from aognet.geometry.camera import Camera
from aognet.io.captions import a_few, load_records
from aognet.io.decoding import has_16_bits, open_image
from aognet.io.exif import read_exif
from aognet.io.formats import KINDS, LIGHT_SUFFIXES
from aognet.io.images import check_shape, load_image
from aognet.io.listing import files_below, images_among
from aognet.io.matching import match, normal
from aognet.io.pillow_warnings import as_log_lines

RUN = "run.json"
# A run's panoramas, by the encoding that its run.json notes; earlier versions note none.
RESULT = {"srgb": "result.png", "linear": "result.exr"}
TRUTH = {"srgb": "gt.png", "linear": "gt.exr"}
MAX_RUN_BYTES = 2**24


@dataclass(frozen=True)
class PanoramaFile:
    """A panorama file, and the ``name`` that finds its reference and its captions.

    ``folder``: the run of `inference.py` that wrote it; None for any other file.
    """

    name: str
    path: Path
    folder: Path | None = None

    @property
    def stem(self) -> str:
        """The name without its suffix: a PNG and a JPEG of one name are a pair."""
        return self.name if self.folder else str(Path(self.name).with_suffix("").as_posix())


@dataclass(frozen=True)
class PanoramaCaptions:
    """``whole``: captions of the panorama; ``views``: captions of views, each with the yaws (degrees) it is true of."""

    whole: tuple[str, ...] = ()
    views: tuple[tuple[str, tuple[float, ...]], ...] = ()

    def near(self, yaw_degrees: float, reach_degrees: float) -> list[str]:
        """Return the captions of views whose yaw differs from ``yaw_degrees`` by at most ``reach_degrees``."""
        return [
            text
            for text, yaws in self.views
            if any(abs((yaw - yaw_degrees + 180) % 360 - 180) <= reach_degrees for yaw in yaws)
        ]


@dataclass(frozen=True)
class Unit:
    """What is measured together: a generated panorama and its reference, or one of them alone.

    ``photo``: the camera of the photograph that the generated panorama continues.
    """

    generated: PanoramaFile | None
    reference: PanoramaFile | None
    photo: Camera | None = None


@dataclass(frozen=True)
class Sets:
    """Both sets, checked. ``captions``: of the generated panoramas, by name. ``height``: rows that are measured."""

    units: list[Unit]
    captions: dict[str, PanoramaCaptions]
    height: int
    warnings: list[str]


def find_sets(
    generated_folder: Path,
    reference_folder: Path,
    captions: Sequence[Path] = (),
    height: int | None = None,
    unpaired: bool = False,
    photo_fov: float | None = None,
    limit: int = 0,
) -> Sets:
    """Find the panoramas of both folders, their pairs, captions and sizes.

    ``captions``: files of them. ``height``: the rows of all panoramas; None: what all files have. ``unpaired``: no
    generated panorama has a reference of its own. ``photo_fov``: field of view (degrees) of the photographs, where no
    run says it. ``limit``: at most so many panoramas of each set; 0: all.

    :raises UserError: naming what is wrong.
    """
    generated = find_panoramas(generated_folder, "generated")[: limit or None]
    reference = find_panoramas(reference_folder, "reference", TRUTH)
    pairs = {} if unpaired else pair(generated, reference)
    reference = [pairs[item.name] for item in generated] if pairs and limit else reference
    reference = reference[: limit or None]
    rows, warnings = check_sizes({"generated": generated, "reference": reference}, height)
    if not pairs and not unpaired:
        warnings.append("no name is in both sets: the sets are compared as a whole, without pairs")
    if len(generated) != len(reference):
        warnings.append(
            f"{len(generated)} generated panoramas against {len(reference)} references: Fréchet distances are biased "
            "by the number of pictures, compare them only between runs of these numbers"
        )
    units = [Unit(item, pairs.get(item.name), photo_camera(item, photo_fov)) for item in generated]
    paired = {item.path for item in pairs.values()}
    units += [Unit(None, item) for item in reference if item.path not in paired]
    return Sets(units, find_captions(generated, captions), rows, warnings)


def find_panoramas(folder: Path, key: str, wanted: Mapping[str, str] = RESULT) -> list[PanoramaFile]:
    """Find all panoramas below a folder; a run of `inference.py` gives its ``wanted`` file (encoding -> name).

    :raises UserError: naming the setting ``key``, if there are none, or two of one name.
    """
    files = files_below(folder, key)
    folders = sorted(path.parent for path in files if path.name == RUN)
    runs = {run: run / wanted[_encoding(run)] for run in folders}
    if missing := {run: path for run, path in runs.items() if not path.is_file()}:
        names = " or ".join(sorted({path.name for path in missing.values()}))
        raise UserError(f"{folder}: {len(missing)} run(s) without {names}: {a_few([*map(str, missing)])}", key=key)
    items = [PanoramaFile(_relative(run, folder), path, run) for run, path in runs.items()]
    others = (path for path in files if runs.keys().isdisjoint(path.parents))
    items += [PanoramaFile(path.relative_to(folder).as_posix(), path) for path in images_among(others, folder)]
    if not items:
        raise UserError(f"{folder}: no panorama ({KINDS}) in it", key=key)
    twice = [stem for stem, count in Counter(normal(item.stem) for item in items).items() if count > 1]
    if twice:
        raise UserError(f"{folder}: has several images of one name: {a_few(twice)}", key=key)
    return items


def _relative(run: Path, folder: Path) -> str:
    return run.relative_to(folder).as_posix() if run != folder else run.resolve().name


def pair(generated: Sequence[PanoramaFile], reference: Sequence[PanoramaFile]) -> dict[str, PanoramaFile]:
    """Map the name of each generated panorama to its reference of the same name, whatever the suffix.

    A run is paired with the image it started from. Empty if no name is in both sets.

    :raises UserError: if only some of the generated panoramas have a reference.
    """
    by_stem = {normal(item.stem): item for item in reference}
    # A run's folder has a safe and unique name; the name of the image it started from may differ from it.
    runs, files = [item for item in generated if item.folder], {one.name: one for one in reference if not one.folder}
    of_runs = {run.name: files.get(key or "") for run, key in zip(runs, keys_of(runs, files), strict=True)}
    pairs = ((item, of_runs.get(item.name) or by_stem.get(normal(item.stem))) for item in generated)
    found = {item.name: one for item, one in pairs if one is not None}
    if found and len(found) < len(generated):
        missing = [item.name for item in generated if item.name not in found]
        said = f"lacks {len(missing)} of {len(generated)} generated panoramas: {a_few(missing)}; name them alike, or "
        raise UserError(said, Setting("unpaired"), " compares the sets as a whole", key="reference")
    return found


@dataclass(frozen=True)
class ImageHeader:
    """An image file's size, and what is ``odd`` about its colours (empty: nothing); known before it is decoded."""

    width: int
    height: int
    odd: str = ""


def check_sizes(sets: dict[str, Sequence[PanoramaFile]], height: int | None) -> tuple[int, list[str]]:
    """Return the rows at which all panoramas are measured, and warnings about files without 8-bit colours.

    ``sets``: name -> its panoramas.

    :raises UserError: naming a file that is no panorama, and for mixed sizes.
    """
    sizes: dict[tuple[int, int], str] = {}
    warnings = []
    for name, items in sets.items():
        odd: dict[str, list[str]] = {}
        for item in items:
            header = _header(item.path)
            check_shape(header.height, header.width, str(item.path))
            sizes.setdefault((header.width, header.height), str(item.path))
            if header.odd:
                odd.setdefault(header.odd, []).append(item.name)
        warnings += [f"{name}: {len(names)} file(s) {what}: {a_few(names)}" for what, names in odd.items()]
    if height is None and len(sizes) > 1:
        named = ", ".join(f"{width}x{rows} ({path})" for (width, rows), path in list(sizes.items())[:3])
        said = f"the panoramas have several sizes: {named}; "
        raise UserError(said, Setting("height"), " brings all of them to one")
    (_, rows), path = next(iter(sizes.items()))
    if height is None and rows < MIN_HEIGHT:
        raise UserError(f"{path}: a panorama must have at least {MIN_HEIGHT} rows to be measured, this has {rows}")
    return height or rows, warnings


def _header(path: Path) -> ImageHeader:
    if path.suffix.lower() in LIGHT_SUFFIXES:
        rows, columns = load_image(path).shape[-2:]
        return ImageHeader(columns, rows, "hold linear light and were tone-mapped")
    try:
        with as_log_lines(str(path)), open_image(path) as image:
            # In a PNG without EXIF data before its pixels, Pillow would decode all pixels to look behind them. Pillow
            # gives the upright size of a TIFF file.
            has_exif = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
            turned = has_exif and read_exif(image, str(path)).orientation >= 5
            width, height = (image.height, image.width) if turned else image.size
            return ImageHeader(width, height, _oddity(image))
    # Pillow raises many kinds for broken files: OSError, SyntaxError, ValueError, struct.error, decompression bombs.
    except Exception as error:
        raise UserError(f"{path}: not a readable image ({error})") from error


def _oddity(image: Image.Image) -> str:
    if image.mode in ("I", "I;16", "I;16B", "F"):
        return "hold 16-bit grey, measured as 8-bit colours"
    if image.mode in ("1", "L", "LA"):
        return "are grey, measured as colours of equal parts"
    if image.mode == "CMYK":
        return f"hold CMYK colours, converted {'by their' if image.info.get('icc_profile') else 'without a'} profile"
    return "hold 16 bits a colour, measured as 8" if has_16_bits(image) else ""


def photo_camera(item: PanoramaFile, fov_degrees: float | None) -> Camera | None:
    """Return the camera of the photograph that a panorama continues: its run's, or one ahead with ``fov_degrees``."""
    if item.folder is not None:
        try:
            camera = _request(item.folder)["camera"]
            return Camera(**camera) if camera else None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(f"{item.folder / RUN}: its request.camera cannot be read ({error})") from error
    return None if fov_degrees is None else Camera(fov_degrees=fov_degrees, width=64, height=64)


def keys_of(items: Sequence[PanoramaFile], keys: Iterable[str]) -> list[str | None]:
    """Find the key that names each panorama: by the image that its run started from, else by its own name."""
    keys = list(keys)
    places = [source_of(item) or item.path for item in items]
    names = [str(place) if item.folder else item.name for item, place in zip(items, places, strict=True)]
    found = match(keys, names, places)
    left = [key for key in keys if key not in found.keys]
    by_name = match(left, [item.name for item in items]).keys
    return [
        key or (None if number in found.unclear else other)
        for number, (key, other) in enumerate(zip(found.keys, by_name, strict=True))
    ]


def source_of(item: PanoramaFile) -> Path | None:
    """Return the image that a run of `inference.py` started from, as its ``run.json`` says; None if there is none."""
    if item.folder is None or not (item.folder / RUN).is_file():
        return None
    try:
        request = _request(item.folder)
        photos = request.get("photos") or [{}]
        source = photos[0].get("image") or request.get("truth") or request.get("panorama") or request.get("partial")
        return Path(source) if source else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{item.folder / RUN}: what the run started from cannot be read ({error})") from error


def _request(folder: Path) -> dict[str, Any]:
    """Read what a run was asked for; raises OSError, ValueError or RecursionError."""
    content = _noted(folder)
    # Version 3 notes the camera beside the request, earlier ones within.
    request = content["request"]
    return {"camera": content.get("camera")} | request


def _encoding(folder: Path) -> str:
    """Read the encoding of a run's panoramas; srgb where it cannot be read, which `photo_camera` tells."""
    try:
        encoding = _noted(folder).get("encoding")
    except (OSError, ValueError, AttributeError, RecursionError):
        encoding = None
    return encoding if isinstance(encoding, str) and encoding in RESULT else "srgb"


def _noted(folder: Path) -> Any:
    """Read a run's ``run.json``; raises OSError, ValueError or RecursionError."""
    path = folder / RUN
    if path.stat().st_size > MAX_RUN_BYTES:
        raise ValueError(f"the file is larger than {MAX_RUN_BYTES} bytes")
    return json.loads(path.read_text(encoding="utf-8"))


def find_captions(items: Sequence[PanoramaFile], files: Sequence[Path]) -> dict[str, PanoramaCaptions]:
    """Map names to captions, from captions files, or without files from the prompts of the runs.

    :raises UserError: if a file cannot be read, or if some panoramas have no caption where others do.
    """
    if not files:
        return _prompts(items)
    whole: dict[str, list[str]] = {}
    views: dict[str, list[tuple[str, tuple[float, ...]]]] = {}
    for path in files:
        for record in load_records(path):
            if record.yaws is None:
                whole.setdefault(record.file, []).extend(record.captions)
            else:
                views.setdefault(record.file, []).extend(zip(record.captions, record.yaws, strict=True))
    of_whole, of_views = (keys_of(items, table) for table in (whole, views))
    found = {
        item.name: PanoramaCaptions(
            tuple(text for text in whole.get(one or "", []) if text.strip()),
            tuple((text, yaws) for text, yaws in views.get(other or "", []) if text.strip()),
        )
        for item, one, other in zip(items, of_whole, of_views, strict=True)
    }
    missing = [name for name, captions in found.items() if not captions.whole and not captions.views]
    if missing:
        named = ", ".join(str(path) for path in files)
        said = f"{named}: {len(missing)} of {len(items)} panoramas have none: {a_few(missing)}"
        raise UserError(said, key="captions")
    return found


def _prompts(items: Sequence[PanoramaFile]) -> dict[str, PanoramaCaptions]:
    found = {}
    for item in items:
        path = item.folder / "prompt.txt" if item.folder else None
        if path is None or not path.is_file():
            return {}
        prompt = path.read_text(encoding="utf-8", errors="replace")[:2000].strip()
        if not prompt:
            return {}
        found[item.name] = PanoramaCaptions((prompt,))
    return found
