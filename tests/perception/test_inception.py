"""Inception-v3 against a second reading of its papers, against Pillow's resize, and what a weights file may hold."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

from aognet.errors import UserError
from aognet.perception.inception import FID_CLASSES, Inception, InceptionNetwork
from aognet.perception.load_network import load_network
from aognet.perception.network import FeatureNetwork, NetworkConfig
from tests.slow import rest_slow

CPU = torch.device("cpu")
DIVISOR = 16
WEIGHTS = dict[str, Tensor]


def random_weights(classes: int) -> WEIGHTS:
    """A network a sixteenth as wide, with batch norms that do something."""
    generator = torch.Generator().manual_seed(classes)
    state = Inception(classes, DIVISOR).state_dict()
    for key, value in state.items():
        if value.ndim == 4:
            state[key] = torch.randn(value.shape, generator=generator) * (2 / value[0].numel()) ** 0.5
        elif value.is_floating_point():
            low = 0.5 if "running_var" in key or key.endswith("bn.weight") else -0.5
            state[key] = low + torch.rand(value.shape, generator=generator)
    return state


def saved(weights: WEIGHTS, path: Path) -> str:
    save_file({key: value.contiguous() for key, value in weights.items()}, path)
    return str(path)


def loaded(model: str, **options: str) -> FeatureNetwork:
    return load_network(NetworkConfig(kind="inception", model=model, **options), CPU)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """Random weights by their number of classes."""
    folder = tmp_path_factory.mktemp("inception")
    return {classes: saved(random_weights(classes), folder / f"{classes}.safetensors") for classes in (FID_CLASSES, 10)}


def images_of(height: int, width: int, count: int = 2) -> Tensor:
    """Random bytes as images in [-1, 1]."""
    return torch.randint(0, 256, (count, 3, height, width), generator=torch.Generator().manual_seed(5)) / 127.5 - 1


def by_hand(weights: WEIGHTS, x: Tensor, fid: bool) -> Tensor:
    """The network written out once more, layer by layer, from torchvision's names and the graph's pools."""

    def conv(x: Tensor, name: str, padding: tuple[int, int] | int = 0, stride: int = 1) -> Tensor:
        x = functional.conv2d(x, weights[f"{name}.conv.weight"], stride=stride, padding=padding)
        mean, var, weight, bias = (
            weights[f"{name}.bn.{key}"].view(1, -1, 1, 1) for key in ("running_mean", "running_var", "weight", "bias")
        )
        return ((x - mean) / (var + 0.001).sqrt() * weight + bias).clamp(min=0)

    def mean_pool(x: Tensor) -> Tensor:
        total = functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1)), 3, 1)
        inside = functional.avg_pool2d(functional.pad(torch.ones_like(x), (1, 1, 1, 1)), 3, 1)
        return total / inside if fid else total

    def largest(x: Tensor) -> Tensor:
        return functional.max_pool2d(functional.pad(x, (1, 1, 1, 1)), 3, 1)  # nothing is below 0 after a ReLU

    x = conv(x, "Conv2d_1a_3x3", stride=2)
    x = functional.max_pool2d(conv(conv(x, "Conv2d_2a_3x3"), "Conv2d_2b_3x3", 1), 3, 2)
    x = functional.max_pool2d(conv(conv(x, "Conv2d_3b_1x1"), "Conv2d_4a_3x3"), 3, 2)
    for name in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
        five = conv(conv(x, f"{name}.branch5x5_1"), f"{name}.branch5x5_2", 2)
        double = conv(conv(x, f"{name}.branch3x3dbl_1"), f"{name}.branch3x3dbl_2", 1)
        double = conv(double, f"{name}.branch3x3dbl_3", 1)
        pooled = conv(mean_pool(x), f"{name}.branch_pool")
        x = torch.cat([conv(x, f"{name}.branch1x1"), five, double, pooled], 1)
    double = conv(conv(x, "Mixed_6a.branch3x3dbl_1"), "Mixed_6a.branch3x3dbl_2", 1)
    double = conv(double, "Mixed_6a.branch3x3dbl_3", stride=2)
    x = torch.cat([conv(x, "Mixed_6a.branch3x3", stride=2), double, functional.max_pool2d(x, 3, 2)], 1)
    wide, tall = (0, 3), (3, 0)
    for name in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
        seven = conv(conv(x, f"{name}.branch7x7_1"), f"{name}.branch7x7_2", wide)
        seven = conv(seven, f"{name}.branch7x7_3", tall)
        double = conv(conv(x, f"{name}.branch7x7dbl_1"), f"{name}.branch7x7dbl_2", tall)
        double = conv(conv(double, f"{name}.branch7x7dbl_3", wide), f"{name}.branch7x7dbl_4", tall)
        double = conv(double, f"{name}.branch7x7dbl_5", wide)
        pooled = conv(mean_pool(x), f"{name}.branch_pool")
        x = torch.cat([conv(x, f"{name}.branch1x1"), seven, double, pooled], 1)
    three = conv(conv(x, "Mixed_7a.branch3x3_1"), "Mixed_7a.branch3x3_2", stride=2)
    seven = conv(conv(x, "Mixed_7a.branch7x7x3_1"), "Mixed_7a.branch7x7x3_2", wide)
    seven = conv(conv(seven, "Mixed_7a.branch7x7x3_3", tall), "Mixed_7a.branch7x7x3_4", stride=2)
    x = torch.cat([three, seven, functional.max_pool2d(x, 3, 2)], 1)
    for name in ("Mixed_7b", "Mixed_7c"):
        pooled = largest(x) if fid and name == "Mixed_7c" else mean_pool(x)
        three, double = conv(x, f"{name}.branch3x3_1"), conv(x, f"{name}.branch3x3dbl_1")
        double = conv(double, f"{name}.branch3x3dbl_2", 1)
        ends = [
            conv(end, f"{name}.{key}{side}", padding)
            for end, key in ((three, "branch3x3_2"), (double, "branch3x3dbl_3"))
            for side, padding in (("a", (0, 1)), ("b", (1, 0)))
        ]
        x = torch.cat([conv(x, f"{name}.branch1x1"), *ends, conv(pooled, f"{name}.branch_pool")], 1)
    return x.flatten(2).mean(2)


@pytest.mark.parametrize("classes", [FID_CLASSES, 10])
def test_equals_a_second_reading(files: dict[int, str], classes: int) -> None:
    network, weights, images = loaded(files[classes]), random_weights(classes), images_of(299, 299)
    bytes_ = (images + 1) * 127.5
    scaled = (bytes_ - 128) / 128 if classes == FID_CLASSES else images
    found = network.features(images)
    assert found.shape == (2, 2048 // DIVISOR) == (2, network.dim)
    assert found.dtype == torch.float32 and found.std() > 0.1
    assert_close(found, by_hand(weights, scaled, fid=classes == FID_CLASSES), atol=2e-4, rtol=1e-4)
    assert not torch.allclose(found, by_hand(weights, scaled, fid=classes != FID_CLASSES), atol=1e-2)


def test_logits_of_fids_network_come_without_the_bias(files: dict[int, str]) -> None:
    for classes in files:
        network, weights = loaded(files[classes]), random_weights(classes)
        features = torch.randn(3, network.dim)
        expected = features @ weights["fc.weight"].T + (0 if classes == FID_CLASSES else weights["fc.bias"])
        assert_close(network.logits(features), expected)
        assert network.classes == classes


@pytest.mark.parametrize("size", rest_slow(map(pytest.param, [(64, 128), (512, 512)])))
def test_resizes_as_pillow_does(files: dict[int, str], size: tuple[int, int]) -> None:
    images = images_of(*size, count=1)
    planes = [Image.fromarray(plane.astype(np.float32)) for plane in images[0].numpy()]
    resized = np.stack([np.asarray(plane.resize((299, 299), Image.Resampling.BICUBIC)) for plane in planes])
    network = loaded(files[10])
    assert_close(
        network.features(images), network.features(torch.from_numpy(resized)[None].clamp(-1, 1)), atol=1e-3, rtol=1e-3
    )


@pytest.mark.parametrize("size", rest_slow(map(pytest.param, [(64, 128), (400, 310)])))
def test_resizes_as_the_first_fid_did(files: dict[int, str], size: tuple[int, int]) -> None:
    images = images_of(*size, count=1)
    resized = torch.empty(1, 3, 299, 299)
    rows, columns = size
    for v in range(299):
        y, dy = divmod(v * rows / 299, 1)
        upper, lower = images[0, :, int(y)], images[0, :, min(int(y) + 1, rows - 1)]
        row = upper + (lower - upper) * dy
        for u in range(299):
            x, dx = divmod(u * columns / 299, 1)
            left, right = row[:, int(x)], row[:, min(int(x) + 1, columns - 1)]
            resized[0, :, v, u] = left + (right - left) * dx
    network = loaded(files[10], resize="tensorflow")
    assert_close(network.features(images), network.features(resized), atol=1e-3, rtol=1e-3)
    assert not torch.allclose(network.features(images), loaded(files[10]).features(images), atol=1e-2)


@pytest.mark.parametrize(("classes", "count"), [(1000, 23_834_568), (FID_CLASSES, 23_850_960)])
def test_has_the_published_number_of_parameters(classes: int, count: int) -> None:
    with torch.device("meta"):
        network = Inception(classes)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_only_the_whole_network_with_1008_classes_is_fids(files: dict[int, str]) -> None:
    with torch.device("meta"):
        whole = Inception()
    config = NetworkConfig(kind="inception", model="fid.safetensors")
    network = InceptionNetwork(whole.to_empty(device="cpu"), config, CPU)
    assert network.is_fid_inception and "FID's Inception-v3 (1008 classes, 2048 features" in network.name
    for file in files.values():
        assert not loaded(file).is_fid_inception
        assert "not FID's" in loaded(file).name


def test_the_fingerprint_is_of_weights_and_preprocessing(files: dict[int, str], tmp_path: Path) -> None:
    weights = random_weights(10)
    first = loaded(files[10])
    assert isinstance(first, FeatureNetwork)
    assert loaded(saved(weights, tmp_path / "model.safetensors")).fingerprint == first.fingerprint
    assert loaded(str(tmp_path)).fingerprint == first.fingerprint
    assert loaded(files[10], resize="tensorflow").fingerprint != first.fingerprint
    assert loaded(files[10], dtype="bfloat16").fingerprint != first.fingerprint
    weights["Mixed_6c.branch7x7_2.bn.running_var"][0] += 0.01
    assert loaded(saved(weights, tmp_path / "model.safetensors")).fingerprint != first.fingerprint


def test_bfloat16_is_near(files: dict[int, str]) -> None:
    images = images_of(299, 299)
    exact, near = loaded(files[10]).features(images), loaded(files[10], dtype="bfloat16").features(images)
    assert near.dtype == torch.float32
    assert (near - exact).norm() / exact.norm() < 0.05


def test_what_training_leaves_in_a_file_is_left_out(files: dict[int, str], tmp_path: Path) -> None:
    weights = random_weights(10) | {"AuxLogits.fc.weight": torch.zeros(3, 3), "AuxLogits.conv0.bn.bias": torch.ones(2)}
    weights = {
        key: value for key, value in weights.items() if not key.startswith("Mixed_7") or "num_batches" not in key
    }
    assert loaded(saved(weights, tmp_path / "a.safetensors")).fingerprint == loaded(files[10]).fingerprint


def test_what_cannot_be_loaded_is_named(files: dict[int, str], tmp_path: Path) -> None:
    def without(*keys: str) -> WEIGHTS:
        return {key: value for key, value in random_weights(10).items() if key not in keys}

    (tmp_path / "weights.pth").write_bytes(b"pickled")
    (tmp_path / "broken.safetensors").write_bytes(b"broken")
    (tmp_path / "empty").mkdir()
    bad = {
        "no_fc": (without("fc.weight"), "'fc.weight', .* is not in it"),
        "no_first": (without("Conv2d_1a_3x3.conv.weight"), "'Conv2d_1a_3x3.conv.weight' is not in it"),
        "missing": (without("Mixed_6b.branch_pool.bn.bias"), "missing, the first is 'Mixed_6b.branch_pool.bn.bias'"),
        "unknown": (random_weights(10) | {"head.weight": torch.ones(2)}, "unknown here, the first is 'head.weight'"),
        "wide": (random_weights(10) | {"Mixed_5b.branch1x1.conv.weight": torch.ones(5, 12, 1, 1)}, "has shape"),
        "odd": (random_weights(10) | {"Conv2d_1a_3x3.conv.weight": torch.ones(7, 3, 3, 3)}, "7 output channels"),
        "scalar": (random_weights(10) | {"fc.weight": torch.tensor(1.0)}, "'fc.weight', .* is not in it"),
    }
    cases = [(saved(weights, tmp_path / f"{name}.safetensors"), said) for name, (weights, said) in bad.items()]
    cases += [
        (str(tmp_path / "weights.pth"), "weights.pth: not a .safetensors file"),
        (str(tmp_path / "broken.safetensors"), "broken.safetensors: not a readable safetensors file"),
        (str(tmp_path / "none.safetensors"), "none.safetensors: no such file"),
        (str(tmp_path / "none"), "none: no such folder"),
        (str(tmp_path / "empty"), "needs a model.safetensors in it, or one .safetensors file; it has 0"),
        (str(tmp_path), "it has 8"),
        ("someone/no-inception-of-ours", "hf download someone/no-inception-of-ours"),
    ]
    for model, said in cases:
        with pytest.raises(UserError, match=said) as caught:
            loaded(model)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="reads no texts"):
        loaded(files[10]).texts(["a barn"])
