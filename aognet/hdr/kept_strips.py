"""Strips of a large result on the disk, so that a killed run goes on behind the last of them."""

import shutil
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from aognet.io.files import write_atomically

IDENTITY = "identity.txt"


class KeptStrips:
    """A folder of strips. Those of another ``identity`` are removed."""

    def __init__(self, folder: Path, identity: str):
        self.folder = folder
        try:
            same = (folder / IDENTITY).read_text(encoding="utf-8") == identity
        except (OSError, UnicodeDecodeError):
            same = False
        if not same:
            self.remove()
            folder.mkdir(parents=True)
            write_atomically(folder / IDENTITY, identity)

    def read(self, begin: int, end: int, *shape: int) -> tuple[Tensor, Tensor] | None:
        """Return the two tensors of a strip; None if it is not there, whole and of this shape."""
        try:
            found = load(self._path(begin, end).read_bytes())
        except (OSError, SafetensorError):
            return None
        both = found.get("display"), found.get("log_light")
        if both[0] is None or both[1] is None or any(tuple(one.shape) != shape for one in both if one is not None):
            return None
        return both[0], both[1]

    def keep(self, begin: int, end: int, display: Tensor, log_light: Tensor) -> None:
        """Write a strip. Raises UserError naming the file."""
        write_atomically(self._path(begin, end), save({"display": display.clone(), "log_light": log_light.clone()}))

    def remove(self) -> None:
        """Remove the folder: what it was for is done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, begin: int, end: int) -> Path:
        return self.folder / f"{begin:05d}-{end:05d}.safetensors"
