"""The state of long work on the disk, so that a killed run goes on behind the last that was kept."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from aognet.io.files import write_atomically

IDENTITY = "identity"
TENSORS = {"image", "mean", "square", "step"}


class KeptState:
    """A file of tensors. That of another ``identity`` is not taken."""

    def __init__(self, path: Path, identity: str):
        self.path = path
        self.identity = torch.tensor(list(hashlib.sha256(identity.encode()).digest()), dtype=torch.uint8)

    def read(self, shape: torch.Size) -> dict[str, Tensor] | None:
        """Return the tensors; None if they are not there, whole, of the same work and with images of this shape."""
        try:
            found = load(self.path.read_bytes())
        except (OSError, SafetensorError):
            return None
        same = set(found) == TENSORS | {IDENTITY} and torch.equal(found.pop(IDENTITY), self.identity)
        sizes = same and all(found[name].shape == shape for name in TENSORS - {"step"}) and found["step"].numel() == 1
        return found if sizes else None

    def write(self, tensors: Mapping[str, Tensor]) -> None:
        """Replace what is there by these. Raises UserError naming the file."""
        kept = {name: value.detach().cpu().clone() for name, value in tensors.items()}
        write_atomically(self.path, save({**kept, IDENTITY: self.identity}))

    def remove(self) -> None:
        """Remove the file: what it was for is done."""
        with suppress(OSError):
            self.path.unlink()
