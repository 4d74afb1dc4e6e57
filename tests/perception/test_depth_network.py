"""Networks that estimate depth: as transformers runs them, on images of any shape, or refused in one line."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from aognet.errors import UserError
from aognet.perception.depth_network import DepthNetwork, DepthNetworkConfig
from tests.generate.painter import smooth_photo
from tests.tiny import tiny_depth_network

CPU = torch.device("cpu")
DESCRIBED = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.2], "size": {"height": 56, "width": 56}}


def saved(folder: Path, network: Any, **described: Any) -> DepthNetworkConfig:
    network.save_pretrained(folder)
    if described:
        (folder / "preprocessor_config.json").write_text(json.dumps(described))
    return DepthNetworkConfig(str(folder))


def test_it_runs_as_in_transformers(tmp_path: Path):
    network = tiny_depth_network()
    loaded = DepthNetwork.load(saved(tmp_path, network, **DESCRIBED, ensure_multiple_of=14), CPU)
    image = smooth_photo(56, 56)[None]
    mean, std = (torch.tensor(DESCRIBED[key]).view(3, 1, 1) for key in ("image_mean", "image_std"))
    expected = network(pixel_values=(image / 2 + 0.5 - mean) / std).predicted_depth[:, None]
    found = loaded(image)
    assert_close(found, expected)
    assert found.std() > 0.01
    larger = functional.interpolate(image, scale_factor=2, mode="bicubic", antialias=True)
    assert_close(functional.avg_pool2d(loaded(larger), 2), found, atol=0.3 * float(found.max()), rtol=0)


@pytest.mark.parametrize(
    ("kind", "size", "sides"),
    [
        ("depth_anything", (90, 120), (56, 70)),
        ("depth_anything", (120, 30), (112, 56)),
        ("depth_anything", (10, 10), (56, 56)),
        ("dpt", (90, 120), (32, 32)),
    ],
)
def test_images_of_any_shape(kind: str, size: tuple[int, int], sides: tuple[int, int], tmp_path: Path):
    loaded = DepthNetwork.load(saved(tmp_path, tiny_depth_network(kind)), CPU)
    assert loaded.sides(*size) == sides
    found = loaded(smooth_photo(*size)[None])
    assert found.shape == (1, 1, *size) and found.isfinite().all()


def test_distances_become_inverse(tmp_path: Path):
    network = tiny_depth_network(depth_estimation_type="metric", max_depth=20)
    loaded = DepthNetwork.load(saved(tmp_path, network), CPU)
    image = smooth_photo(56, 56)[None]
    nearness = loaded(image)
    loaded.estimates_distance = False
    assert_close(nearness, 1 / loaded(image))


def broken(folder: Path, how: str) -> DepthNetworkConfig:
    config = saved(folder, tiny_depth_network(), **DESCRIBED)
    described = json.loads((folder / "config.json").read_text())
    preprocessing = folder / "preprocessor_config.json"
    if how == "another kind":
        (folder / "config.json").write_text(json.dumps(described | {"model_type": "clip"}))
    elif how == "no config":
        (folder / "config.json").unlink()
    elif how == "no weights":
        (folder / "model.safetensors").unlink()
    elif how == "a huge size":
        preprocessing.write_text(json.dumps(DESCRIBED | {"size": 10**6}))
    elif how == "a grey mean":
        preprocessing.write_text(json.dumps(DESCRIBED | {"image_mean": [0.5]}))
    elif how == "no JSON":
        preprocessing.write_text("{")
    return config


BROKEN = {
    "another kind": "model_type is 'clip'; known depth networks are depth_anything, dpt",
    "no config": "the weights of a part alone",
    "no weights": "model.safetensors",
    "a huge size": "has the size 1000000 in steps of 14",
    "a grey mean": "image_mean and image_std must have 3 numbers",
    "no JSON": "preprocessor_config.json",
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_is_no_depth_network_is_refused_in_one_line(how: str, tmp_path: Path):
    with pytest.raises(UserError, match=BROKEN[how]) as caught:
        DepthNetwork.load(broken(tmp_path / "network", how), CPU)
    assert str(tmp_path / "network") in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError, match="no such folder"):
        DepthNetwork.load(DepthNetworkConfig(str(tmp_path / "none")), CPU)


def test_numbers_that_are_none_are_refused(tmp_path: Path):
    loaded = DepthNetwork.load(saved(tmp_path, tiny_depth_network()), CPU)
    loaded.network.head.conv3.bias.fill_(torch.nan)
    with pytest.raises(UserError, match="gives no numbers for this image in float32"):
        loaded(smooth_photo(56, 56)[None])
