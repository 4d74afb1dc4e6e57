"""The generator in the repository: small, its classes look like what they are called, and the sphere has no seam."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from aognet import Generator, Request, load
from aognet.metrics.seam import pole_gradient_ratio

ROOT = Path(__file__).resolve().parents[1]
GANORAMA = ROOT / "assets" / "ganorama"
HEIGHT = 256
CLASSES = ("meadow", "dunes", "sea", "autumn forest", "snow field", "night city")


@pytest.fixture(scope="module")
def model() -> Generator:
    settings = ["device=cpu", f"generator.height={HEIGHT}", "generator.finding.steps=4"]
    return load(config=ROOT / "config" / "inference_ganorama.yaml", settings=settings)


@pytest.fixture(scope="module")
def painted(model: Generator) -> dict[str, Tensor]:
    """Panoramas [3, height, width] in [0, 1] of classes."""
    return {label: model.generate(Request(label=label, name=label)).panorama for label in CLASSES}


def test_it_holds_nothing_but_weights_and_settings_and_is_small():
    files = list(GANORAMA.iterdir())
    assert {path.name for path in files} == {"config.json", "model.safetensors"}
    assert sum(path.stat().st_size for path in files) <= 4_000_000


@pytest.mark.slow
def test_a_class_looks_like_what_it_is_called(painted: dict[str, Tensor]):
    ground = {label: image[:, 3 * HEIGHT // 4 :].mean((1, 2)) for label, image in painted.items()}
    sky = {label: image[:, : HEIGHT // 4].mean((1, 2)) for label, image in painted.items()}
    red, green, blue = range(3)
    assert ground["meadow"].argmax() == green and ground["sea"].argmax() == blue
    assert ground["dunes"].argmax() == red and ground["dunes"].argmin() == blue
    assert ground["snow field"].mean() > max(ground[label].mean() for label in ("meadow", "sea", "autumn forest"))
    assert sky["night city"].mean() < min(sky[label].mean() for label in ("meadow", "dunes", "sea"))
    trees = {label: image[:, 5 * HEIGHT // 16 : HEIGHT // 2].mean((1, 2)) for label, image in painted.items()}
    assert trees["autumn forest"][red] - trees["autumn forest"][blue] > 0.04


@pytest.mark.slow
def test_the_sphere_has_neither_seam_nor_hole(painted: dict[str, Tensor]):
    images = torch.stack(list(painted.values()))
    steps = (images - images.roll(1, -1)).abs().mean((0, 1, 2))
    # The generator has a line in the middle of a view, and one looks at the wrap: beside these it is like any other.
    assert steps[0] < 1.5 * steps[:: 2 * HEIGHT // 8].mean()
    assert pole_gradient_ratio(images).mean() <= 2
    assert (images.std((2, 3)) > 0.05).all()
    assert (images[:, :, [0, -1]].mean((1, 2, 3)) > 0.05).all(), "poles are seen"


@pytest.mark.slow
def test_seeds_differ_and_one_seed_does_not(model: Generator, painted: dict[str, Tensor]):
    again, other = (model.generate(Request(label="meadow", name="meadow", seed=seed)).panorama for seed in (0, 1))
    assert torch.equal(again, painted["meadow"]) and (other - again).abs().mean() > 0.02


@pytest.mark.slow
def test_words_pick_a_class(model: Generator):
    result = model.generate(Request("A wide beach with sand under a blue sky.", name="words"))
    ground = result.panorama[:, 3 * HEIGHT // 4 :].mean((1, 2))
    assert ground[0] > ground[2], "sand"
