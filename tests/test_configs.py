"""Every YAML under config/ is read and checked as the command lines do, up to the point where models would be built."""

from pathlib import Path
from typing import Any

import pytest

from aognet.commands.train import SECTIONS, check_sections
from aognet.config import LoadedConfig, load_config
from aognet.data.latents import LatentSamples
from aognet.data.outpainting import OutpaintingSamples
from aognet.errors import UserError
from aognet.evaluation.protocol import load_protocol
from aognet.generate.inference import InferenceConfig, read_config, read_defaults
from aognet.methods.method import find_method
from aognet.methods.preferred import preferred_settings
from aognet.methods.pretrained import method_of
from aognet.studio.config import read_studio
from aognet.targets import target_class

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "config").rglob("*.yaml"))
TRAINING = [path for path in FILES if load_config([path]).has("data")]
OBJECTIVES = [path for path in FILES if load_config([path]).has("objective")]
"""They come after a training's own file."""
PROTOCOLS = sorted((ROOT / "config" / "evaluation").glob("*.yaml"))
STUDIO = ROOT / "config" / "studio.yaml"
INFERENCE = [path for path in FILES if path not in (*TRAINING, *OBJECTIVES, *PROTOCOLS, STUDIO)]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT / "config"))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in: what a config may only name, it must not need; what it needs, a test makes."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check_training(config: LoadedConfig) -> None:
    """What main.py checks before it builds; a tokenizer that an earlier command makes is put where it is looked for."""
    config.check_keys(SECTIONS)
    model = config.section("model")
    if model.values["target"] == "clip":
        Path(model.values["tokenizer"]).mkdir(parents=True, exist_ok=True)
    check_sections(config)


def checked_inference(config: LoadedConfig) -> tuple[InferenceConfig, Any]:
    """What inference.py checks before it looks at files, and the settings of the method."""
    checked = read_config(config)
    there = Path(checked.checkpoint).is_dir()
    method = method_of(checked.checkpoint) if there else find_method(checked.method or "aognet")
    return checked, read_defaults(config, method).settings


def test_what_there_is():
    assert {"train_config.yaml", "train_embedded.yaml", "embedded/vae.yaml"} <= {name(path) for path in TRAINING}
    assert {"inference_config.yaml"} <= {name(path) for path in INFERENCE}


@pytest.mark.parametrize("path", TRAINING, ids=name)
def test_training_configs(path: Path):
    check_training(load_config([path]))


@pytest.mark.parametrize("path", OBJECTIVES, ids=name)
@pytest.mark.parametrize("first", ["embedded/unet.yaml", "train_embedded.yaml", "train_embedded_cubediff.yaml"])
def test_objectives_after_trainings(first: str, path: Path):
    check_training(load_config([ROOT / "config" / first, path]))


@pytest.mark.parametrize("path", INFERENCE, ids=name)
def test_inference_configs(path: Path):
    checked_inference(load_config([path]))


@pytest.mark.parametrize("section", ["model", "data", "data.train", "data.validation", "trainer", ""])
@pytest.mark.parametrize("path", TRAINING, ids=name)
def test_unknown_keys_of_training_configs(path: Path, section: str):
    key = f"{section}.sample_sizes".strip(".")
    with pytest.raises(UserError, match=f"{key} is an unknown key"):
        check_training(load_config([path], [f"{key}=3"]))


@pytest.mark.parametrize("section", ["", "generator", "generator.plan", "generator.sampler", "inputs", "tiles"])
@pytest.mark.parametrize("path", INFERENCE, ids=name)
def test_unknown_keys_of_inference_configs(path: Path, section: str):
    settings = checked_inference(load_config([path]))[1]
    parent, _, own = section.partition(".")
    if parent == "generator" and own and not hasattr(settings, own):
        pytest.skip("a setting of other methods")
    key = f"{section}.sample_sizes".strip(".")
    with pytest.raises(UserError, match=f"{key} is an unknown key"):
        checked_inference(load_config([path], [f"{key}=3"]))


@pytest.mark.parametrize("path", TRAINING, ids=name)
def test_trained_and_validated_alike(path: Path):
    config = load_config([path])
    data = config.section("data")
    if not data.has("validation"):
        return
    train, validation = (data.section(split) for split in ("train", "validation"))
    if target_class(train) is LatentSamples:  # encoded views of what validation sees as pictures
        assert target_class(validation) is OutpaintingSamples
        train = train.section("views")
    else:
        assert target_class(train) is target_class(validation)
    # An autoencoder learns from crops what it is to do with whole views.
    keys = ("height", "face_size", "plan") + (() if config.values["model"]["target"] == "autoencoder" else ("size",))
    for key in keys:
        assert train.values.get(key) == validation.values.get(key), key
    chosen = [tuple(part.values.get(key) for key in ("captions", "split")) for part in (train, validation)]
    assert chosen[0] != chosen[1], "validation needs panoramas of its own, by captions or by a split"


def test_the_embedded_model_paints_with_the_sizes_it_was_trained_with():
    trained = load_config([ROOT / "config" / "train_embedded.yaml"]).values["data"]["train"]
    _, paints = checked_inference(load_config([ROOT / "config" / "inference_config.yaml"]))
    preferred = preferred_settings(ROOT / "assets" / "embedded" / "aognet", find_method("aognet"))
    assert paints.face_size == trained["face_size"]
    assert preferred.enlarge_views and paints.plan.size == 2 * trained["plan"]["size"]  # its upscaler doubles views
    assert paints.plan.fov_degrees == trained["plan"]["fov_degrees"]


def test_the_demo_is_there():
    inputs = checked_inference(load_config([ROOT / "config" / "inference_config.yaml"]))[0].inputs
    for place in (*inputs.photos, *inputs.captions):
        assert (ROOT / place).exists(), place


@pytest.mark.parametrize("path", PROTOCOLS, ids=name)
def test_protocols(path: Path):
    protocol = load_protocol(path.stem)
    assert protocol.name == path.stem and protocol.notes and protocol.measures
    assert set(protocol.networks) == {measure.network for measure in protocol.measures if measure.network}
    with pytest.raises(UserError, match="pictres is an unknown key; did you mean 'pictures'"):
        load_protocol(str(path), ["pictres={}"])


def test_the_studio():
    """Each model on offer is one that its inference config names."""
    config = read_studio(load_config([STUDIO]))
    for entry in config.models.values():
        checked_inference(entry.loaded())
    with pytest.raises(UserError, match="workers.cuont is an unknown key; did you mean 'count'"):
        read_studio(load_config([STUDIO], ["workers.cuont=2"]))
    with pytest.raises(UserError, match="host is not this machine alone, so give a token"):
        read_studio(load_config([STUDIO], ["host=0.0.0.0"]))
