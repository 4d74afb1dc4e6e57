"""Captions of panoramas: a JSONL file with one object a line, ``{"file": "name.jpg", "captions": ["...", ...]}``."""

import json
from pathlib import Path

from aognet.errors import UserError
from aognet.files import write_atomically

MOST_BYTES = 512 * 2**20
MOST_CHARACTERS = 2000


def load_captions(path: Path) -> dict[str, list[str]]:
    """Captions by file name. Raises UserError naming file and line for anything that is not a caption record."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such captions file")
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"{path}: captions file is larger than {MOST_BYTES} bytes")
    captions: dict[str, list[str]] = {}
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    name, texts = _record(line, f"{path}, line {number}")
                    captions.setdefault(name, []).extend(texts)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}, after line {number}: not UTF-8 text ({error.reason})") from error
    except OSError as error:
        raise UserError(f"{path}: cannot read the captions file ({error.strerror})") from error
    return captions


def _record(line: str, where: str) -> tuple[str, list[str]]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:  # ValueError: bad JSON, or a number of thousands of digits
        raise UserError(f"{where}: not JSON ({error})") from error
    if not isinstance(record, dict) or not isinstance(record.get("file"), str):
        raise UserError(f'{where}: expected {{"file": "...", "captions": ["..."]}}, got {line.strip()[:80]}')
    texts = record.get("captions")
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UserError(f"{where}: captions must be a list of strings, got {texts!r:.80}")
    try:
        "".join([record["file"], *texts]).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: holds half a character that no file can keep ({error.reason})") from error
    return record["file"], [text[:MOST_CHARACTERS] for text in texts]


def save_captions(captions: dict[str, list[str]], path: Path) -> None:
    """Writes captions as ``load_captions`` reads them."""
    lines = [json.dumps({"file": name, "captions": texts}, ensure_ascii=False) for name, texts in captions.items()]
    write_atomically(path, "".join(f"{line}\n" for line in lines))
