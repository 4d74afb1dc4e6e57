"""The panoramas of a folder, checked before anything is measured: files, or the folders that `inference.py` writes."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from PIL import Image
from torch import Tensor

from aognet.errors import UserError
from aognet.evaluation.protocol import MIN_HEIGHT
from aognet.geometry.camera import Camera
from aognet.io.captions import a_few
from aognet.io.decoding import decode_file, has_16_bits, open_image
from aognet.io.exif import read_exif
from aognet.io.formats import KINDS, LIGHT_SUFFIXES
from aognet.io.images import as_panorama, check_shape, load, load_image, panorama_bytes, to_uint8
from aognet.io.listing import files_below, images_among
from aognet.io.matching import match, normal
from aognet.io.pillow_warnings import as_log_lines

RESULT, TRUTH, RUN = "result.png", "gt.png", "run.json"
MAX_RUN_BYTES = 2**24


@dataclass(frozen=True)
class Item:
    """A panorama file and the name by which it finds its reference and its captions.

    ``folder``: where `inference.py` wrote it, if it did.
    """

    name: str
    path: Path
    folder: Path | None = None

    @property
    def stem(self) -> str:
        """The name without suffix: a PNG and a JPEG of one name are a pair."""
        return self.name if self.folder else str(Path(self.name).with_suffix("").as_posix())


@dataclass(frozen=True)
class Decoded:
    """A panorama as bytes, and which pixels it has (those that are not transparent)."""

    pixels: UInt8[np.ndarray, "height width 3"]
    known: Bool[Tensor, "1 1 height width"] | None


def find_items(folder: Path, option: str, wanted: str = RESULT) -> list[Item]:
    """All panoramas below a folder, by name; a run of `inference.py` counts as one (its ``wanted`` file).

    Raises UserError naming the ``option`` if there are none, or two of one name.
    """
    files = files_below(folder, option)
    runs = sorted(path.parent for path in files if path.name == RUN)
    items = [Item(_relative(run, folder), run / wanted, run) for run in runs if (run / wanted).is_file()]
    if missing := [str(run) for run in runs if not (run / wanted).is_file()]:
        raise UserError(f"{option}: {len(missing)} run(s) without {wanted}: {a_few(missing)}")
    of_runs = set(runs)
    others = (path for path in files if of_runs.isdisjoint(path.parents))
    items += [Item(path.relative_to(folder).as_posix(), path) for path in images_among(others, folder)]
    if not items:
        raise UserError(f"{option}: no panorama ({KINDS}) in {folder}")
    twice = [stem for stem, count in Counter(normal(item.stem) for item in items).items() if count > 1]
    if twice:
        raise UserError(f"{option}: {folder} has several images of one name: {a_few(twice)}")
    return items


def _relative(run: Path, folder: Path) -> str:
    return run.relative_to(folder).as_posix() if run != folder else run.resolve().name


def pair(generated: Sequence[Item], reference: Sequence[Item]) -> dict[str, Item]:
    """Name of a generated panorama -> its reference of the same name (suffix aside), for a run that of the image it
    started from; empty if no name is common.

    Raises UserError if only some of the generated have one.
    """
    by_stem = {normal(item.stem): item for item in reference}
    # The folder of a run has a safe and unique name, which that of its image need not be.
    runs, files = [item for item in generated if item.folder], {one.name: one for one in reference if not one.folder}
    of_runs = {run.name: files.get(key) for run, key in zip(runs, keys_of(runs, files), strict=True)}
    pairs = ((item, of_runs.get(item.name) or by_stem.get(normal(item.stem))) for item in generated)
    found = {item.name: one for item, one in pairs if one is not None}
    if found and len(found) < len(generated):
        missing = [item.name for item in generated if item.name not in found]
        raise UserError(
            f"--reference: {len(found)} of {len(generated)} generated panoramas have a reference of their name, these "
            f"have none: {a_few(missing)}; name them alike, or give --unpaired to compare the sets as a whole"
        )
    return found


@dataclass(frozen=True)
class Header:
    """What is known of an image file before it is decoded. ``odd``: what is unusual about it, or empty."""

    width: int
    height: int
    odd: str = ""


def check_sizes(sets: dict[str, Sequence[Item]], height: int | None) -> tuple[int, list[str]]:
    """The rows at which all panoramas are measured, and warnings about files that hold other than 8-bit colours.

    ``sets``: option -> its panoramas. Raises UserError naming a file that is no panorama, and for mixed sizes.
    """
    sizes: dict[tuple[int, int], str] = {}
    said = []
    for option, items in sets.items():
        odd: dict[str, list[str]] = {}
        for item in items:
            header = _header(item.path)
            check_shape(header.height, header.width, str(item.path))
            sizes.setdefault((header.width, header.height), str(item.path))
            if header.odd:
                odd.setdefault(header.odd, []).append(item.name)
        said += [f"{option}: {len(names)} file(s) {what}: {a_few(names)}" for what, names in odd.items()]
    if height is None and len(sizes) > 1:
        named = ", ".join(f"{width}x{rows} ({path})" for (width, rows), path in list(sizes.items())[:3])
        raise UserError(f"the panoramas have several sizes: {named}; --height ROWS brings all of them to one")
    (_, rows), path = next(iter(sizes.items()))
    if height is None and rows < MIN_HEIGHT:
        raise UserError(f"{path}: a panorama must have at least {MIN_HEIGHT} rows to be measured, this has {rows}")
    return height or rows, said


def _header(path: Path) -> Header:
    if path.suffix.lower() in LIGHT_SUFFIXES:
        rows, columns = load_image(path).shape[-2:]
        return Header(columns, rows, "hold linear light and were tone-mapped")
    try:
        with as_log_lines(str(path)), open_image(path) as image:
            # Of a PNG without EXIF data ahead of its pixels, Pillow would decode all of them to look behind; the size
            # of a TIFF file it tells upright.
            has_exif = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
            turned = has_exif and read_exif(image, str(path)).orientation >= 5
            width, height = (image.height, image.width) if turned else image.size
            return Header(width, height, _oddity(image))
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


def decode(content: bytes, item: Item, height: int) -> Decoded:
    """A panorama of ``height`` x ``2 height`` from the content of its file. Raises UserError naming the file."""
    if item.path.suffix.lower() in LIGHT_SUFFIXES:
        loaded = load(item.path)
        pixels = to_uint8(as_panorama(loaded, height, str(item.path))).permute(1, 2, 0).contiguous().numpy()
        opacity = None if loaded.opacity is None else loaded.opacity[0, ..., None].numpy()
        return Decoded(pixels, _known(opacity, height))
    picture = decode_file(content, str(item.path))
    return Decoded(panorama_bytes(picture, str(item.path), height), _known(picture.alpha, height))


def _known(opacity: np.ndarray | None, height: int) -> Tensor | None:
    """Which pixels are there, the nearest of [rows, columns, 1]; None where all are."""
    if opacity is None:
        return None
    sizes = zip((height, 2 * height), opacity.shape[:2], strict=True)
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(int) for new, old in sizes)
    nearest = opacity[..., 0][np.ix_(rows, columns)]
    return torch.from_numpy(nearest > 0)[None, None]


def photo_camera(item: Item, fov_degrees: float | None) -> Camera | None:
    """The camera of the photograph that a panorama continues: of its run, or looking ahead with ``fov_degrees``."""
    if item.folder is not None:
        try:
            camera = _request(item.folder)["camera"]
            return Camera(**camera) if camera else None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(f"{item.folder / RUN}: its request.camera cannot be read ({error})") from error
    return None if fov_degrees is None else Camera(fov_degrees=fov_degrees, width=64, height=64)


def keys_of(items: Sequence[Item], keys: Iterable[str]) -> list[str | None]:
    """Which of the names in a table means which item: that of the image that a run started from, else the item's."""
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


def source_of(item: Item) -> Path | None:
    """The image that a run of `inference.py` started from, as its ``run.json`` says; None if there is none."""
    try:
        request = _request(item.folder) if item.folder and (item.folder / RUN).is_file() else {}
        photos = request.get("photos") or [{}]
        source = photos[0].get("image") or request.get("truth") or request.get("partial")
        return Path(source) if source else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{item.folder / RUN}: what the run started from cannot be read ({error})") from error


def _request(folder: Path) -> dict[str, Any]:
    """What a run was asked for. Raises OSError, ValueError or RecursionError."""
    path = folder / RUN
    if path.stat().st_size > MAX_RUN_BYTES:
        raise ValueError(f"the file is larger than {MAX_RUN_BYTES} bytes")
    return {"camera": None} | json.loads(path.read_text(encoding="utf-8"))["request"]
