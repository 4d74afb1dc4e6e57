"""Features at four scales: those of the network itself, whatever the mode, and gradients reach the images."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from aognet.errors import UserError
from aognet.perception.efficientnet import EfficientNetLite0, load_efficientnet
from aognet.perception.network_weights import digest
from aognet.perception.pyramid import AFTER, FeaturePyramid
from tests.perception.test_efficientnet import random_weights


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pyramid") / "weights.safetensors"
    save_file(random_weights(), path)
    return path


def features_of(network: EfficientNetLite0, images: torch.Tensor) -> list[torch.Tensor]:
    """What the blocks of the whole network put out, its norms not folded."""
    seen: list[torch.Tensor] = []
    for number in AFTER:
        network._blocks[number].register_forward_hook(lambda _, __, output: seen.append(output))
    network((127.5 * images + 0.5) / 128)
    return seen


def test_features_are_those_of_the_network_in_either_mode(file: Path):
    network, pyramid = load_efficientnet(str(file)), FeaturePyramid.load(str(file), 64)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    expected = features_of(network, images)
    assert [one.shape[2] for one in expected] == [16, 8, 4, 2]
    assert pyramid.channels == [one.shape[1] for one in expected]
    for mode in (True, False):
        for found, wanted in zip(pyramid.train(mode)(images), expected, strict=True):
            assert_close(found, wanted, rtol=1e-3, atol=1e-4)
    assert pyramid.digest == digest([load_efficientnet(str(file))])


def test_images_of_other_sizes_are_resized_and_get_gradients(file: Path):
    pyramid = FeaturePyramid.load(str(file), 64)
    images = torch.rand(1, 3, 24, 24).requires_grad_()
    sum(one.square().mean() for one in pyramid(images)).backward()
    assert images.grad is not None and images.grad.abs().amin((0, 1)).max() > 0
    assert not any(value.requires_grad for value in pyramid.parameters())


def test_a_file_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(UserError, match="none.safetensors: no such file"):
        FeaturePyramid.load(str(tmp_path / "none.safetensors"), 64)
