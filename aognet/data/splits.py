"""Which panoramas are for training, validation and testing: by a list in a file, or by a hash of the name."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aognet.errors import UserError
from aognet.io.matching import without_kind
from aognet.io.text_files import read_text

Part = Literal["all", "train", "validation", "test"]
MAX_BYTES = 64 * 2**20
NAMES: dict[str, Part] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What tables call the parts."""


def part_named(text: str | None, where: str) -> Part | None:
    """Return the part that a table names, or None if it names none.

    :raises UserError: starting with ``where``, for any other text.
    """
    name = (text or "").strip().casefold()
    if name and name not in NAMES:
        raise UserError(f"{where}: split must be one of {', '.join(NAMES)}, got {text!r:.80}")
    return NAMES.get(name)


@dataclass(frozen=True)
class SplitConfig:
    """Which ``part`` of the panoramas is taken.

    With ``list`` (a text file, one file name a line) the listed panoramas are the part. Folder and suffix do not
    matter, so that a list of EXR files fits the PNG files made of them. Without a list, every name is hashed: the same
    name is in the same part on every machine, and a new panorama moves no other.
    """

    part: Part = "all"
    list: str | None = None
    validation: float = 0.05
    test: float = 0.1

    def __post_init__(self) -> None:
        for name in ("validation", "test"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError("must be a share between 0 and 1", key=name, value=getattr(self, name))
        if self.validation + self.test > 1:
            raise UserError("and test are more than everything", key="validation", value=[self.validation, self.test])


class Split:
    """Decides which names belong to the part of a ``SplitConfig``."""

    def __init__(self, config: SplitConfig):
        self.config = config
        self.listed = None if config.list is None else _read_list(Path(config.list))

    def missing(self, names: Iterable[str]) -> list[str]:
        """Return the names in the list that are not among the ``names`` of files, without folders and suffixes."""
        return sorted((self.listed or set()) - set(map(_stem, names)))

    def takes(self, name: str) -> bool:
        """Return whether the panorama of a file name belongs to the part."""
        if self.listed is not None:
            return _stem(name) in self.listed
        return self.config.part in ("all", self.part_of(name))

    def part_of(self, name: str) -> Part:
        """Return the part that a file name is hashed into."""
        digest = hashlib.sha256(_stem(name).encode(errors="surrogatepass")).digest()
        share = int.from_bytes(digest[:8], "big") / 2**64
        if share < self.config.test:
            return "test"
        return "validation" if share < self.config.test + self.config.validation else "train"


def _read_list(path: Path) -> set[str]:
    lines = read_text(path, "list of names", MAX_BYTES).split("\n")
    names = {_stem(line.strip()) for line in lines if line.strip() and not line.lstrip().startswith("#")}
    if not names:
        raise UserError(f"{path}: names no panorama")
    return names


def _stem(name: str) -> str:
    """Return the file name without folders and without the suffix of an image. Names with other dots keep them."""
    return without_kind(name).rpartition("/")[2]
