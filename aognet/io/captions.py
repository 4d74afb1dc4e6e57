"""Captions of panoramas: a JSONL file with one object a line.

``{"file": "inside/hall.jpg", "captions": ["a hall", ...]}``. ``file`` is the image's path relative to its folder, with
``/``, or only its name (`aognet.io.matching`). A line may also have ``"yaws": [[0.0, 30.0], ...]`` (for each caption,
the directions in degrees of the views that gave it), ``"model"`` and ``"revision"`` (which model wrote it). Other keys
are kept as they are.
"""

import json
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aognet.errors import UserError
from aognet.io.files import is_file, write_atomically
from aognet.io.matching import match
from aognet.io.tables import fold_names, hint

log = logging.getLogger(__name__)

MAX_BYTES = 512 * 2**20
MAX_CHARACTERS = 2000
NAMED_AT_MOST, MAX_SAID = 3, 100
KEYS = ("file", "captions", "yaws", "model", "revision", "split")


@dataclass(frozen=True)
class CaptionRecord:
    """One line of a captions file. ``yaws`` are degrees, one group for each caption. ``extra`` has the keys of other
    programs.
    """

    file: str
    captions: tuple[str, ...]
    yaws: tuple[tuple[float, ...], ...] | None = None
    model: str | None = None
    revision: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """Return the record as JSON on one line, without a line end. Bytes of a file name that are not UTF-8 are
        escaped.
        """
        known = {"yaws": self.yaws, "model": self.model, "revision": self.revision}
        said = {key: value for key, value in known.items() if value is not None}
        content = {"file": self.file, "captions": self.captions, **said, **self.extra}
        return json.dumps(content, ensure_ascii=False).encode(errors="backslashreplace").decode()


def load_captions(path: Path) -> dict[str, list[str]]:
    """Return the captions by file name.

    :raises UserError: naming file and line, for anything that is not a caption record.
    """
    captions: dict[str, list[str]] = {}
    for record in load_records(path):
        captions.setdefault(record.file, []).extend(record.captions)
    return captions


def load_records(path: Path) -> list[CaptionRecord]:
    """Return the lines of a captions file, in their order.

    :raises UserError: naming file and line, as `load_captions`.
    """
    path = Path(path)
    if not is_file(path):
        raise UserError(f"{path}: no such captions file")
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path}: captions file is larger than {MAX_BYTES} bytes")
    records: list[CaptionRecord] = []
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    records.append(parse_record(line, f"{path}, line {number}"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}, after line {number}: not UTF-8 text ({error.reason})") from error
    except OSError as error:
        raise UserError(f"{path}: cannot read the captions file ({error.strerror})") from error
    further = {key: hint(key, KEYS) for record in records for key in record.extra if key not in KEYS}
    if meant := [said for said in further.values() if "?" in said]:
        log.warning("%s: unknown key(s) %s are not used", path, ", ".join(meant))
    return records


def parse_record(line: str, where: str) -> CaptionRecord:
    """Parse one line of a captions file. Captions are cut at ``MAX_CHARACTERS``.

    :raises UserError: with a message that starts with ``where``.
    """
    try:
        record = _folded(json.loads(line, object_pairs_hook=_once))
    except (ValueError, RecursionError) as error:  # ValueError: bad JSON, or a number of thousands of digits
        raise UserError(f"{where}: not JSON ({error})") from error
    if not isinstance(record, dict) or not isinstance(record.get("file"), str):
        raise UserError(f'{where}: expected {{"file": "...", "captions": ["..."]}}, got {line.strip()[:80]}')
    texts = record.pop("captions", None)
    if texts is None and (other := [key for key in record if key.startswith("caption")]):
        raise UserError(f"{where}: needs 'captions', a list of strings; it has {other[0]!r}")
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UserError(f"{where}: captions must be a list of strings, got {texts!r:.80}")
    for key in ("model", "revision"):
        if not isinstance(record.get(key), str | None):
            raise UserError(f"{where}: {key} must be a string, got {record[key]!r:.80}")
    yaws = _yaws(record.pop("yaws", None), len(texts), where)
    named = {key: record.pop(key, None) for key in ("file", "model", "revision")}
    parsed = CaptionRecord(captions=tuple(text[:MAX_CHARACTERS] for text in texts), yaws=yaws, extra=record, **named)
    try:
        parsed.file.encode(errors="surrogateescape")  # as Python reads file names that are not UTF-8
        json.dumps([texts, record, {**named, "file": ""}], ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: holds half a character that no file can keep ({error.reason})") from error
    return parsed


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"the key {Counter(key for key, _ in pairs).most_common(1)[0][0]!r} stands there twice")
    return found


def _folded(record: Any) -> Any:
    """Return a record whose known keys have their usual spelling, whatever their case and the blanks around them."""
    if not isinstance(record, dict):
        return record
    names = [name if name in KEYS else key for key, name in zip(record, fold_names(record), strict=True)]
    return _once(list(zip(names, record.values(), strict=True)))


def _yaws(groups: Any, captions: int, where: str) -> tuple[tuple[float, ...], ...] | None:
    if groups is None:
        return None
    try:
        yaws = tuple(tuple(float(yaw) for yaw in group) for group in groups if isinstance(group, list))
        if not isinstance(groups, list) or len(yaws) != len(groups) or not all(map(math.isfinite, sum(yaws, ()))):
            raise ValueError
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{where}: yaws must be lists of degrees, got {groups!r:.80}") from error
    if len(yaws) != captions:
        raise UserError(f"{where}: {captions} captions need as many lists of yaws, got {len(yaws)}")
    return yaws


def save_captions(captions: Mapping[str, Sequence[str]], path: Path) -> None:
    """Write captions so that ``load_captions`` can read them."""
    save_records([CaptionRecord(name, tuple(texts)) for name, texts in captions.items()], path)


def save_records(records: Sequence[CaptionRecord], path: Path) -> None:
    """Write records atomically, so that ``load_records`` can read them.

    :raises UserError: if the file cannot be written.
    """
    write_atomically(path, "".join(f"{record.line()}\n" for record in records))


def fold(captions: Sequence[str], yaws: Sequence[float]) -> tuple[tuple[str, ...], tuple[tuple[float, ...], ...]]:
    """Return the captions that differ in more than case and spaces, each with the yaws (degrees) of its views. Empty
    captions are dropped.
    """
    texts: dict[str, str] = {}
    groups: dict[str, list[float]] = {}
    for caption, yaw in zip(captions, yaws, strict=True):
        text = " ".join(caption.split())
        if text:
            texts.setdefault(text.casefold(), text)
            groups.setdefault(text.casefold(), []).append(yaw)
    return tuple(texts.values()), tuple(tuple(group) for group in groups.values())


def check_captions(
    captions: Mapping[str, Sequence[str]],
    names: Sequence[str],
    where: str,
    refuse: bool = False,
    paths: Sequence[Path] | None = None,
) -> list[str | None]:
    """Return the key of each image's captions, in the order of the images, as `aognet.io.matching.match` finds it.

    Warns of captions whose image is missing, of images without a caption, and of keys that could mean several images.
    ``where`` is what messages name, such as the captions file.

    :raises UserError: instead of warning, if ``refuse``.
    """
    matches = match(captions, names, paths)
    meant = {*matches.keys, *(key for keys in matches.unclear.values() for key in keys)}
    numbers = [number for number in range(len(names)) if number not in matches.unclear]
    own = ((number, matches.keys[number]) for number in numbers)
    bare = [names[number] for number, key in own if key is None or not any(captions.get(key, ()))]
    unclear = [f"{names[number]}: {' or '.join(sorted(keys)[:2])}" for number, keys in matches.unclear.items()]
    findings = (
        ("caption(s) for missing images", [name for name in captions if name not in meant]),
        ("image(s) without caption", bare),
        ("image(s) whose caption is not clear", unclear),
        ("caption(s) shared by images of one name in several folders", _shared(names, matches.keys, paths or names)),
    )
    said = [f"{len(found)} {what} ({a_few(found)})" for what, found in findings if found]
    if said and refuse:
        raise UserError(f"{where}: {', '.join(said)}")
    if said:
        log.warning("%s: %s", where, ", ".join(said))
    return matches.keys


def _shared(names: Sequence[str], keys: Sequence[str | None], places: Sequence[Path | str]) -> list[str]:
    """Return the names with a key that belong to images at several places."""
    found = {(name, place) for name, key, place in zip(names, keys, places, strict=True) if key is not None}
    return [name for name, count in Counter(name for name, _ in found).items() if count > 1]


def a_few(names: Sequence[str]) -> str:
    """Return the first of many names, for a message."""
    said = [name if len(name) <= MAX_SAID else f"{name[:MAX_SAID]}..." for name in names[:NAMED_AT_MOST]]
    return ", ".join([*said, *(["..."] if len(names) > NAMED_AT_MOST else [])])
