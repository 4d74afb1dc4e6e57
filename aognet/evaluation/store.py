"""What was found out about a panorama stays on disk, named by its content: nothing is measured twice."""

import hashlib
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from aognet.errors import UserError
from aognet.home import default_folder, expanded
from aognet.io.files import is_utf8, make_room, write_atomically

SUFFIX = ".safetensors"
OURS = re.compile(r"[0-9a-f]{24}\.safetensors")  # `aognet.evaluation.protocol.digest_of`


@dataclass
class Store:
    """A folder of named tensors, shared by processes and runs; at most ``gigabytes`` outlive a run."""

    folder: Path = field(default_factory=lambda: Path(default_folder("evaluation")))
    gigabytes: float = 20.0

    def __post_init__(self) -> None:
        self.folder = expanded(self.folder)
        self.started = time.time()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--cache: cannot make {self.folder} ({error.strerror})") from error

    def get(self, key: str) -> dict[str, Tensor] | None:
        """The tensors of that name; None if there are none, or a file that cannot be read."""
        try:
            return load(self._path(key).read_bytes())
        except (OSError, SafetensorError):
            return None

    def has(self, key: str) -> bool:
        """Whether there is a whole file of that name; its header tells. One that is broken is removed."""
        path = self._path(key)
        try:
            if is_utf8(path):
                with safe_open(path, "pt"):
                    pass
            else:  # the library opens no such file
                load(path.read_bytes())
            os.utime(path)  # what was used last goes last
        except FileNotFoundError:
            return False
        except SafetensorError:
            with suppress(OSError):
                path.unlink()
            return False
        except OSError:  # a folder that may only be read
            pass
        return True

    def put(self, key: str, tensors: dict[str, Tensor]) -> None:
        """Keeps tensors under a name. Raises UserError where they cannot be written."""
        write_atomically(self._path(key), save({name: value.cpu().contiguous() for name, value in tensors.items()}))

    def prune(self) -> None:
        """Removes what this run did not use, as far as the folder is too full."""
        make_room(self.folder, OURS, int(self.gigabytes * 2**30), 0, self.started)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{SUFFIX}"


def digest_of_content(content: bytes) -> str:
    """Names a file by what is in it."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()
