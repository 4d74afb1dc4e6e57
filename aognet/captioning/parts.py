"""Captions as they are found: hidden part files beside ``NAME.jsonl``, one for each process, which are merged into it.

A part file only grows, by whole lines, so a killed process loses at most the line that it was writing. ``merge`` adds
the parts of any number of processes to the captions file, atomically.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from aognet.errors import UserError
from aognet.io.captions import CaptionRecord, load_records, parse_record, save_records
from aognet.io.matching import match


class CaptionsFile:
    """``NAME.jsonl`` in a folder, and its parts."""

    def __init__(self, folder: Path, name: str):
        self.folder, self.name, self.path = folder, name, folder / f"{name}.jsonl"

    def records(self) -> list[CaptionRecord]:
        """Return the records of the captions file; none if there is no file.

        :raises UserError: naming file and line.
        """
        return load_records(self.path) if self.path.is_file() else []

    def parts(self) -> list[Path]:
        """Return the part files."""
        pattern = rf"\.{re.escape(self.name)}\.\d+\.part"
        return sorted(path for path in self.folder.iterdir() if re.fullmatch(pattern, path.name))

    def add(self, record: CaptionRecord, process: int) -> None:
        """Append a record to the part file of a process."""
        path = self.folder / f".{self.name}.{process}.part"
        try:
            with path.open("ab") as file:
                file.write(f"{record.line()}\n".encode())
        except OSError as error:
            raise UserError(f"{path}: cannot write this file ({error.strerror})") from error

    def merge(self, order: Sequence[str]) -> list[CaptionRecord]:
        """Merge the parts into the captions file: the images of ``order`` first, then all others that it has.

        A record that is already there stays as it is, whatever a part says: it may have been edited by hand.
        """
        there, parts = self.records(), self.parts()
        if not parts:
            return there
        known = {record.file for record in there}
        found = {record.file: record for path in parts for record in _whole_lines(path)}
        place = {name: number for number, name in enumerate(order)}
        merged = [*there, *(record for name, record in found.items() if name not in known)]
        merged.sort(key=lambda record: place.get(record.file, len(place)))
        save_records(merged, self.path)
        self.forget_parts()
        return merged

    def forget(self, names: Sequence[str], every: Sequence[str]) -> None:
        """Drop the records of these images, which are the first of ``every`` image, and the parts."""
        self.forget_parts()
        if self.path.is_file():
            records = self.records()
            gone = {*match((record.file for record in records), every).keys[: len(names)]}
            save_records([record for record in records if record.file not in gone], self.path)

    def forget_parts(self) -> None:
        """Remove the part files."""
        for path in self.parts():
            path.unlink()


def _whole_lines(path: Path) -> list[CaptionRecord]:
    """Return the records of a part file. What follows the last line end was never finished."""
    lines = path.read_bytes().split(b"\n")[:-1]
    return [parse_record(line.decode(), f"{path}, line {number}") for number, line in enumerate(lines, start=1)]
