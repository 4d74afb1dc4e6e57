"""What a network's configuration may say, and the wrapper around FAED's encoder."""

import sys
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from aognet.config import LoadedConfig, build_config
from aognet.errors import UserError
from aognet.perception.load_network import load_network
from aognet.perception.network import EMBEDDED, FeatureNetwork, NetworkConfig


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "resnet"}, "kind must be one of inception, clip, faed, efficientnet, got 'resnet'"),
        ({"model": " "}, "model must name a file, a folder or a hub id"),
        ({"dtype": "float8"}, "dtype must be one of float32, bfloat16, float16, got 'float8'"),
        ({"resize": "nearest"}, "resize must be one of antialiased, tensorflow, got 'nearest'"),
        ({"rows": "edges"}, "rows must be one of centres, endpoints, got 'edges'"),
        ({"resize": "tensorflow"}, "resize is for kind inception, not for clip"),
        ({"kind": "inception", "centre_crop": True}, "centre_crop is for kind clip, not for inception"),
        ({"kind": "inception", "rows": "endpoints"}, "rows is for kind faed, not for inception"),
        ({"kind": "faed", "classes": ["barn", "pond"]}, "classes is for kind clip, not for faed"),
        ({"kind": "faed", "dtype": "bfloat16"}, "dtype of faed must be float32, got 'bfloat16'"),
        ({"classes": ["barn"]}, "classes must be none or at least 2"),
        ({"classes": ["barn", "barn"]}, "classes must be different words"),
        ({"classes": ["barn", ""]}, "classes must be different words"),
        ({"text_encoder": "text_encoder"}, "text_encoder needs image_encoder.*got 'text_encoder'"),
        ({"image_encoder": "image_encoder", "classes": ["barn", "pond"]}, "classes need text_encoder"),
    ],
)
def test_a_wrong_value_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        NetworkConfig(**({"kind": "clip", "model": "folder"} | options))


def test_is_built_from_yaml() -> None:
    values = {"kind": "clip", "model": "folder", "classes": ["barn", "pond"], "centre_crop": True}
    config = build_config(LoadedConfig(values, {"": "networks.yaml"}), NetworkConfig)
    assert config == NetworkConfig(kind="clip", model="folder", classes=["barn", "pond"], centre_crop=True)
    assert EMBEDDED.model == "assets/embedded"
    with pytest.raises(UserError, match="networks.yaml"):
        build_config(LoadedConfig(values | {"crop": True}, {"": "networks.yaml"}), NetworkConfig)


class Encoder(nn.Module):
    """Stands in for FAED's: the mean of each channel."""

    dim, fingerprint = 3, "0123456789abcdef"

    @classmethod
    def load(cls, model: str, rows: str, revision: str | None) -> "Encoder":
        encoder = cls()
        encoder.loaded = (model, rows, revision)
        return encoder

    def features(self, images: Tensor) -> Tensor:
        return images.double().mean((2, 3))


def test_wraps_the_encoder_of_faed(monkeypatch: pytest.MonkeyPatch) -> None:
    faed = ModuleType("aognet.perception.faed")
    faed.PanoramaEncoder = Encoder
    monkeypatch.setitem(sys.modules, "aognet.perception.faed", faed)
    config = NetworkConfig(kind="faed", model="folder", rows="endpoints")
    network = load_network(config, torch.device("cpu"))
    assert isinstance(network, FeatureNetwork)
    assert network.encoder.loaded == ("folder", "endpoints", None)
    assert network.name == "FAED encoder, 3 features, rows as endpoints, from folder, sha256 0123456789ab"
    images = torch.rand(2, 3, 8, 16)
    assert_close(network.features(images), images.mean((2, 3)))
    other = load_network(NetworkConfig(kind="faed", model="folder"), torch.device("cpu"))
    assert other.fingerprint != network.fingerprint
    for ask in (lambda: network.texts(["a barn"]), lambda: network.logits(torch.zeros(1, 3))):
        with pytest.raises(UserError, match="FAED encoder"):
            ask()
