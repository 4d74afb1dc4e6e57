"""Training of SR-iTMO: its losses, points that are asked as whole images are, and that it learns and resumes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from aognet.data.light_patches import LightPatchBatch, LightPatchSamples
from aognet.errors import UserError
from aognet.hdr.expanding import expand
from aognet.hdr.sritmo import PUBLISHED, SATURATED, SrItmo, SrItmoConfig
from aognet.methods.text2light.training_sritmo import SrItmoTraining, logarithm
from aognet.training.trainable import Trainable
from main import main
from tests.data.test_light_patches import light_folder, samples
from tests.hdr.plain_sritmo import plain_answer, plain_encoder

TINY = SrItmoConfig(features=8, blocks=1, sr_widths=(16, 16), itmo_widths=(16,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return light_folder(tmp_path_factory.mktemp("light"))


def training(network: SrItmoConfig = TINY, **changes: float) -> SrItmoTraining:
    torch.manual_seed(0)
    return SrItmoTraining(SrItmoTraining.Config(network=network, **changes))


def batch_of(data: LightPatchSamples, count: int = 4) -> LightPatchBatch:
    return data.collate([data[number] for number in range(count)])


@pytest.mark.parametrize("sphere", [False, True])
def test_points_are_asked_as_whole_images_are(folder: Path, sphere: bool):
    """All pixels of a patch at once, as points and by rows: the same answers."""
    model = training(replace(TINY, sphere=sphere))
    torch.nn.init.normal_(model.network.srmapper.layers[-1].weight)
    low = batch_of(samples(folder)).low[:1]
    cells = (torch.stack(torch.meshgrid(*[torch.arange(40.0, dtype=torch.float64)] * 2, indexing="ij"), -1) + 0.5) * 0.4
    found = expand(model.network, low[0], 2.5, whole=False)
    latitude = torch.pi * (0.5 - (torch.arange(40) + 0.5) / 40)
    directions = torch.stack([torch.zeros(40, 40), latitude[:, None].expand(40, 40)], -1)
    points = LightPatchBatch(
        low, (cells - 0.5).view(1, -1, 2), torch.tensor([0.4]), directions.view(1, -1, 2),
        torch.zeros(1, 1600, 3), torch.zeros(1, 1600, 3), torch.zeros(1, dtype=torch.long),
    )  # fmt: skip
    with torch.no_grad():
        display, light = model.asked(points)
    assert torch.allclose(display[0].T.view(3, 40, 40), found.display, atol=1e-5)
    assert torch.allclose(light[0].T.view(3, 40, 40), found.log_light, atol=1e-5)


def test_the_published_shape_is_asked_as_published(folder: Path):
    """Against the plain reading, at random points of a patch."""
    model = training(replace(PUBLISHED, features=8, blocks=2, sr_widths=(16,) * 4, itmo_widths=(16, 16), bgr=False))
    tensors = dict(model.network.state_dict())
    batch = batch_of(samples(folder, factors=(2.5, 2.5)), 1)
    local = ((batch.cells[0] + 0.5) / 16 * 2 - 1).float()
    cells = torch.full_like(local, 2 / 40)
    world = batch.directions[0] * torch.tensor([1.0, -1.0])
    with torch.no_grad():
        display, light = model.asked(batch)
        plain = plain_answer(tensors, plain_encoder(tensors, batch.low), local, cells, world)
    assert torch.allclose(display[0], plain[0], atol=1e-5) and torch.allclose(light[0], plain[1], atol=1e-5)


def test_the_losses(folder: Path):
    batch, model = batch_of(samples(folder, bright_patches=1.0)), training()
    model.asked = lambda one: (one.display + 0.1, logarithm(one.light, True) + 2.0)  # ty: ignore
    told = model(batch)
    assert torch.isclose(told["shown"], torch.tensor(0.1)) and told["invariant"].abs() < 1e-4
    assert torch.isclose(told["own"], torch.tensor(2.0)) and torch.isclose(told["beyond"], torch.tensor(2.0))
    assert torch.isclose(told["loss"], torch.tensor(4.1), atol=1e-3)
    published = training(own_weight=0.0, beyond_weight=0.0)
    published.asked = model.asked
    assert torch.isclose(published(batch)["loss"], torch.tensor(0.1), atol=1e-3), "its loss sees no scale"


def test_untrained_it_interpolates_and_shows_the_photographs_own_light(folder: Path):
    batch = batch_of(samples(folder, factors=(1.0, 1.0)))
    model = training()
    with torch.no_grad():
        display, light = model.asked(batch)
    own = (batch.display < 2 * SATURATED - 1) & (batch.light > 0.01)
    assert torch.allclose(display, batch.display, atol=1.5 / 255)
    assert (light - batch.light.log())[own].abs().median() < 0.02


def test_it_learns_what_lies_beyond(folder: Path):
    model, data = training(), samples(folder, bright_patches=1.0, bright_points=0.5, stops=0.5)
    assert isinstance(model, Trainable)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    told = []
    for step in range(30):
        loss = model(data.collate([data[2 * step + number] for number in range(2)]))
        optimizer.zero_grad()
        loss["loss"].backward()
        optimizer.step()
        told.append(float(loss["beyond"]))
    assert sum(told[-10:]) < 0.5 * sum(told[:5]) / 5 * 10


def test_previews_are_images(folder: Path):
    found = training().preview(batch_of(samples(folder), 2))
    assert {name: tuple(image.shape) for name, image in found.items()} == {
        name: (2, 3, 16, 16) for name in ("low", "display", "light +0 stops", "light -3 stops")
    }
    assert all(image.abs().max() <= 1 for image in found.values())


def test_a_stopped_training_goes_on_bit_for_bit(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    config = Path(__file__).resolve().parents[2] / "config" / "embedded" / "sritmo.yaml"
    of_folder = [
        f"data.{part}.{key}" for part in ("train", "validation") for key in (f"folders=[{folder}]", "captions=[]")
    ]
    common = [
        *of_folder, "data.train.split.part=all", "data.validation.split.part=all", "SHARE.size=16",
        *(f"data.{part}.{setting}" for part in ("train", "validation") for setting in ("points=32", "height=64")),
        "model.network.features=4", "model.network.blocks=1", "trainer.batch_size=2", "trainer.warmup_steps=1",
        "trainer.checkpoint_every=2", "trainer.validate_every=4", "trainer.validation_samples=2",
        "trainer.images_every=4", "trainer.image_samples=2",
    ]  # fmt: skip
    for name, steps in (("whole", [4]), ("parts", [2, 4])):
        for number, count in enumerate(steps):
            again = ["--resume"] if number else []
            arguments = ["-b", str(config), "-n", name, *again, *common, f"trainer.max_steps={count}"]
            assert not main([*arguments, "trainer.lr_schedule=constant"])
    whole, parts = (SrItmo.from_pretrained(tmp_path / "logs" / name / "final") for name in ("whole", "parts"))
    assert whole.config.features == 4 and not any(one.requires_grad for one in whole.parameters())
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name])


@pytest.mark.parametrize(("key", "value"), [("own_weight", -1.0), ("dtype", "int8")])
def test_settings_without_sense_are_refused(key: str, value: float | str):
    with pytest.raises(UserError, match=key):
        SrItmoTraining.Config(**{key: value})
