"""The Text2Light model in the repository: small, it paints what words say, and the light of it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from aognet import Generator, Request, load
from aognet.metrics.clip_score import clip_score
from aognet.metrics.seam import wrap_gradient_ratio
from aognet.perception.load_network import load_network
from aognet.perception.network import EMBEDDED

ROOT = Path(__file__).resolve().parents[1]
TEXT2LIGHT, SRITMO = ROOT / "assets" / "text2light", ROOT / "assets" / "sritmo"
ROWS = 256
PROMPTS = (
    "a snowy field at sunset",
    "a green forest under a blue sky",
    "a desert with sand dunes at noon",
    "a city street at night",
    "a living room with a sofa",
)


@pytest.fixture(scope="module")
def model() -> Generator:
    return load(config=ROOT / "config" / "inference_text2light.yaml", settings=["device=cpu"])


@pytest.fixture(scope="module")
def painted(model: Generator) -> list[Tensor]:
    """Panoramas [3, rows, columns] in [0, 1] of words."""
    return [model.generate(Request(prompt, name=prompt)).panorama for prompt in PROMPTS]


def test_it_holds_nothing_but_weights_and_settings_and_is_small():
    files = [path for folder in (TEXT2LIGHT, SRITMO) for path in folder.iterdir()]
    assert {path.name for path in files} == {"config.json", "model.safetensors"}
    assert sum(path.stat().st_size for path in files) <= 6_000_000


@pytest.mark.slow
def test_panoramas_show_what_words_say(painted: list[Tensor]):
    images = torch.stack(painted) * 2 - 1
    assert images.shape == (len(PROMPTS), 3, ROWS, 2 * ROWS)
    network = load_network(EMBEDDED, torch.device("cpu"))
    seen, words = network.features(images), network.texts(list(PROMPTS))
    own = clip_score(seen, words).mean()
    others = torch.stack([clip_score(seen.roll(turn, 0), words).mean() for turn in range(1, len(PROMPTS))]).mean()
    assert own > others + 15
    assert painted[3][:, : ROWS // 4].mean() < min(painted[n][:, : ROWS // 4].mean() for n in (0, 1, 2)) - 0.1, "night"
    ground = painted[1][:, 3 * ROWS // 4 :].mean((1, 2))
    assert ground.argmax() == 1, "green"


@pytest.mark.slow
def test_the_panorama_has_no_seam(painted: list[Tensor]):
    ratios = wrap_gradient_ratio(torch.stack(painted), 1 / 16)
    assert 0.5 <= ratios.mean() <= 1.5


@pytest.mark.slow
def test_another_seed_is_another_panorama(model: Generator, painted: list[Tensor]):
    again, other = (model.generate(Request(PROMPTS[1], name=PROMPTS[1], seed=seed)).panorama for seed in (0, 1))
    assert torch.equal(again, painted[1]) and (other - again).abs().mean() > 0.02


@pytest.mark.slow
def test_light_comes_with_it(model: Generator, tmp_path: Path):
    result = model.generate(Request(PROMPTS[0], name="light"), tmp_path / "light")
    assert result.light is not None and result.light.shape == (3, ROWS, 2 * ROWS)
    assert {"result.png", "result.exr", "result.hdr", "viewer.html"} <= {path.name for path in result.folder.iterdir()}
    assert bool(torch.isfinite(result.light).all()) and result.light.min() >= 0
