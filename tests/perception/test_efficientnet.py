"""EfficientNet-Lite0 against a second reading of its table with the same weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

from aognet.errors import UserError
from aognet.perception.efficientnet import EfficientNetLite0, SameConv2d
from aognet.perception.load_network import load_network
from aognet.perception.network import FeatureNetwork, NetworkConfig

CPU = torch.device("cpu")
# Kernel and stride of each of the 16 blocks, as the published configuration lists them.
BLOCKS = [(3, 1), (3, 2), (3, 1), (5, 2), (5, 1), (3, 2), (3, 1), (3, 1), (5, 1), (5, 1), (5, 1), (5, 2)]
BLOCKS += [(5, 1), (5, 1), (5, 1), (3, 1)]


def random_weights(divisor: int = 8) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    state = EfficientNetLite0(divisor).state_dict()
    for key, value in state.items():
        if key.endswith(("running_var", "bn0.weight", "bn1.weight", "bn2.weight")):
            state[key] = torch.rand(value.shape, generator=generator) + 0.5
        elif value.is_floating_point():
            state[key] = torch.randn(value.shape, generator=generator) / max(value[0].numel(), 4) ** 0.5
    return state


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("efficientnet") / "weights.safetensors"
    save_file(random_weights(), path)
    return path


@pytest.fixture(scope="module")
def network(file: Path) -> FeatureNetwork:
    return load_network(NetworkConfig(kind="efficientnet", model=str(file)), CPU)


def second_reading(weights: dict[str, Tensor], images: Tensor) -> Tensor:
    def convolved(x: Tensor, key: str, stride: int = 1, groups: int = 1) -> Tensor:
        kernel = weights[f"{key}.weight"]
        size, k = x.shape[-1], kernel.shape[-1]
        total = max((-(-size // stride) - 1) * stride + k - size, 0)
        padded = torch.zeros(*x.shape[:2], size + total, size + total)
        first = total // 2
        padded[..., first : first + size, first : first + size] = x
        return functional.conv2d(padded, kernel, stride=stride, groups=groups)

    def normed(x: Tensor, key: str) -> Tensor:
        mean, variance, scale, shift = (
            weights[f"{key}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-3).sqrt() * scale + shift

    bytes_ = images * 127.5 + 127.5
    x = normed(convolved((bytes_ - 127) / 128, "_conv_stem", 2), "_bn0").clamp(0, 6)
    for number, (kernel, stride) in enumerate(BLOCKS):
        key, before = f"_blocks.{number}", x
        if f"{key}._expand_conv.weight" in weights:
            x = normed(convolved(x, f"{key}._expand_conv"), f"{key}._bn0").clamp(0, 6)
        assert weights[f"{key}._depthwise_conv.weight"].shape[-1] == kernel
        x = normed(convolved(x, f"{key}._depthwise_conv", stride, x.shape[1]), f"{key}._bn1").clamp(0, 6)
        x = normed(convolved(x, f"{key}._project_conv"), f"{key}._bn2")
        x = x + before if x.shape == before.shape else x
    return normed(convolved(x, "_conv_head"), "_bn1").clamp(0, 6).mean((2, 3))


def test_features_and_logits_are_those_of_the_table(file: Path, network: FeatureNetwork):
    weights = random_weights()
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(1)) * 2 - 1
    expected = second_reading(weights, images)
    found = network.features(images)
    assert found.shape == (2, network.dim) == (2, 160)
    assert expected.std() > 1e-3
    assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert_close(network.logits(found), found @ weights["_fc.weight"].T + weights["_fc.bias"], atol=1e-5, rtol=1e-4)


def test_it_has_as_many_weights_as_published():
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in EfficientNetLite0().parameters()) == 4_652_008


@pytest.mark.parametrize(("size", "kernel", "stride"), [(7, 3, 2), (8, 3, 2), (8, 5, 2), (9, 5, 1), (8, 1, 1)])
def test_same_padding_has_the_odd_pixel_behind(size: int, kernel: int, stride: int):
    """Output ``i`` lies on input ``stride i``; what TensorFlow pads before is the smaller half."""
    convolution = SameConv2d(1, 1, kernel, stride, bias=False)
    x = torch.randn(1, 1, size, size + 2)
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    with torch.no_grad():
        found = convolution(x)
        first = functional.pad(x, (8, 8, 8, 8))[..., 8 - total // 2 :, :][..., :kernel, :]
        across = max((-(-(size + 2) // stride) - 1) * stride + kernel - size - 2, 0) // 2
        corner = (first[..., 8 - across : 8 - across + kernel] * convolution.weight).sum()
    assert found.shape[-2:] == (-(-size // stride), -(-(size + 2) // stride))
    assert_close(found[0, 0, 0, 0], corner)


def test_it_is_no_fid_and_says_so(file: Path, network: FeatureNetwork):
    assert isinstance(network, FeatureNetwork) and network.name.startswith("EfficientNet-Lite0 (ImageNet")
    assert not network.is_fid_inception and not network.reads_text and network.classes == 1000
    with pytest.raises(UserError, match="reads no texts"):
        network.texts(["a barn"])
    images = torch.rand(1, 3, 64, 96) * 2 - 1
    assert network.features(images).shape == (1, 160)
    with pytest.raises(UserError, match="resize is for kind inception, not for efficientnet"):
        NetworkConfig(kind="efficientnet", model="x", resize="tensorflow")


def test_weights_that_do_not_fit_are_named(tmp_path: Path):
    weights = random_weights()
    del weights["_blocks.3._bn1.bias"]
    save_file(weights, tmp_path / "missing.safetensors")
    with pytest.raises(UserError, match="_blocks.3._bn1.bias"):
        load_network(NetworkConfig(kind="efficientnet", model=str(tmp_path / "missing.safetensors")), CPU)
