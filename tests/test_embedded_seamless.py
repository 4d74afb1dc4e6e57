"""The seamless model in the repository: small, whole from words alone, and open where the depth that it is given is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from aognet import Generator, Request, load
from aognet.metrics.clip_score import clip_score
from aognet.metrics.seam import pole_gradient_ratio, wrap_gradient_ratio
from aognet.perception.clip import ClipNetwork
from aognet.perception.network import NetworkConfig
from aognet.scenes import make_scene

ROOT = Path(__file__).resolve().parents[1]
SEAMLESS, EMBEDDED = ROOT / "assets" / "seamless", ROOT / "assets" / "embedded"
CONFIG = ROOT / "config" / "inference_seamless.yaml"
HEIGHT = 256
SEEDS = (935_000, 935_001)  # of scenes that no training used
PROMPTS = (
    "A wide beach under a blue sky.",
    "A snowy mountain valley at sunset.",
    "A bedroom with a large window.",
    "A city street at night.",
)


@pytest.fixture(scope="module")
def model() -> Generator:
    return load(config=CONFIG, settings=["device=cpu"])


@pytest.fixture(scope="module")
def painted(model: Generator) -> list[Float[Tensor, "3 height width"]]:
    """What is painted of words alone."""
    return [model.generate(Request(prompt, name=f"words {n}")).panorama for n, prompt in enumerate(PROMPTS)]


def test_it_holds_nothing_but_weights_and_settings_and_is_small():
    files = [path for path in SEAMLESS.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".safetensors", ".json"}
    assert sum(path.stat().st_size for path in files) <= 4_000_000


@pytest.mark.slow
def test_words_alone_make_a_whole_panorama_without_a_seam(painted: list[Tensor]):
    near = [wrap_gradient_ratio(picture[None], 1 / 16).item() for picture in painted]
    assert 0.7 <= sum(near) / len(near) <= 1.3
    poles = [pole_gradient_ratio(picture[None]).item() for picture in painted]
    assert sum(poles) / len(poles) <= 2.5
    for picture in painted:
        assert picture.shape == (3, HEIGHT, 2 * HEIGHT)
        assert picture.std() > 0.05


@pytest.mark.slow
def test_there_is_sky_above_and_ground_below(painted: list[Tensor]):
    """By day the upper half is bluer than the lower one, everywhere around."""
    beach = painted[0]
    blueness = (beach[2] - beach[0]).unflatten(1, (8, -1)).mean(-1)
    assert (blueness[20:100].mean(0) > blueness[160:240].mean(0) + 0.1).all()


@pytest.mark.slow
def test_words_decide_what_is_painted(painted: list[Tensor]):
    """The CLIP score of each picture with its own words, and with those of the others."""
    parts = ("image_encoder", "feature_extractor", "text_encoder", "tokenizer")
    clip = ClipNetwork.load(NetworkConfig("clip", str(EMBEDDED), **{part: part for part in parts}), torch.device("cpu"))
    squares = torch.stack([picture[..., HEIGHT // 2 : -HEIGHT // 2] * 2 - 1 for picture in painted])
    features, texts = clip.features(squares), clip.texts(list(PROMPTS))
    scores = torch.stack([clip_score(features, texts.roll(-turn, 0)) for turn in range(len(PROMPTS))])
    assert scores[0].mean() > scores[1:].mean() + 10


@pytest.mark.slow
def test_the_depth_decides_where_a_room_is_open(model: Generator, tmp_path: Path):
    """What is infinitely far is outside: brighter there than beside it, more than the same words and noise make it."""
    gains = []
    for seed in SEEDS:
        scene, file = make_scene(seed, HEIGHT, "bedroom"), tmp_path / f"{seed}.npy"
        np.save(file, scene.depth)
        outside = torch.from_numpy(np.isinf(scene.depth))
        beside = functional.max_pool2d(outside[None].float(), 41, 1, 20)[0].bool() & ~outside
        asked = Request(scene.caption, name=f"room {seed}")
        pictures = [model.generate(one).panorama.mean(0) for one in (replace(asked, depth=str(file)), asked)]
        with_depth, without = (picture[outside].mean() - picture[beside].mean() for picture in pictures)
        gains.append(with_depth - without)
    assert sum(gains) / len(gains) > 0.1
