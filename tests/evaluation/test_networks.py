"""The networks of a protocol: what is loaded for each role, and what distances in their features are called."""

from pathlib import Path

import pytest
from safetensors.torch import save_file

from aognet.errors import UserError
from aognet.evaluation import networks
from aognet.evaluation.networks import NamedNetwork, load_networks
from aognet.evaluation.protocol import load_protocol
from aognet.perception import inception
from aognet.perception.efficientnet import EfficientNetLite0
from aognet.perception.load_network import load_network
from aognet.perception.network import NetworkConfig
from aognet.scenes import KINDS
from tests.evaluation.folders import ALONE


@pytest.mark.parametrize(
    ("label", "titles"),
    {
        "fid": ("FID", "KID", "OmniFID", "Inception Score"),
        "inception": ("Fréchet distance", "Kernel distance", "Omni-Fréchet distance", "Class score of 10 words"),
        "clip": ("CLIP-FID", "CLIP-KID", "CLIP-OmniFID", "Class score of 10 words"),
        "embedded": ("Fréchet distance", "Kernel distance", "Omni-Fréchet distance", "Class score of 10 words"),
        "efficientnet": ("Fréchet distance", "Kernel distance", "Omni-Fréchet distance", "Class score of 10 words"),
        "faed": ("FAED", "Kernel distance", "Omni-Fréchet distance", "Class score of 10 words"),
    }.items(),
)
def test_only_fids_inception_gives_a_fid(
    label: str, titles: tuple[str, ...], inception_weights: dict[int, str]
) -> None:
    network = load_network(NetworkConfig("inception", inception_weights[10]), ALONE.device)
    one = NamedNetwork(network, label)
    assert tuple(one.title(kind) for kind in ("frechet", "kernel", "omnifid", "inception_score")) == titles
    assert ("(FID)" in one.short) == (label == "fid")


@pytest.mark.parametrize(
    ("classes", "features", "label"), [(1008, 128, "fid"), (1008, 2048, "inception"), (10, 128, "inception")]
)
def test_an_inception_is_known_by_its_classes_and_features(
    inception_weights: dict[int, str], classes: int, features: int, label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inception, "FEATURES", features)
    monkeypatch.setattr(networks, "load_network", load_network)  # what is loaded must not outlive this test
    protocol = load_protocol("ours", models={"inception": inception_weights[classes]})
    loaded = load_networks(protocol, "float32", ALONE.device)
    assert {role: named.label for role, named in loaded.named.items()} == {
        "image": label,
        "clip": "embedded",
        "faed": "faed",
    }
    assert set(loaded.absent) == {"lpips"}


def test_the_embedded_network_tells_all_kinds_of_scenes_apart() -> None:
    assert networks.EMBEDDED_CLASSES == KINDS, "the classes name the scenes that the embedded model learned from"


def test_efficientnet_has_its_own_name_and_nothing_stands_in_for_it(tmp_path: Path) -> None:
    save_file(EfficientNetLite0(divisor=8).state_dict(), tmp_path / "weights.safetensors")
    protocol = load_protocol("imagenet", models={"efficientnet": str(tmp_path / "weights.safetensors")})
    (named,) = load_networks(protocol, "float32", ALONE.device).named.values()
    assert (named.short, named.title("frechet")) == ("EfficientNet-Lite0", "Fréchet distance")
    with pytest.raises(UserError, match="efficientnet must name its weights"):
        load_networks(load_protocol("imagenet", embedded=True), "float32", ALONE.device)
