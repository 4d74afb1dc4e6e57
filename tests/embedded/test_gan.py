"""A small generator: what its training saves, learns, refuses, and that a killed training goes on bit for bit."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from aognet.data.random_views import ViewBatch
from aognet.embedded.gan import GanTraining
from aognet.errors import UserError
from aognet.gan.augmentation import AugmentationConfig
from aognet.gan.biggan import BigGan, BigGanConfig, ConditionalNorm
from aognet.gan.discriminator import Discriminator, DiscriminatorConfig
from aognet.gan.projected import ProjectedDiscriminatorConfig
from aognet.gan.reconstruction import ReconstructionConfig
from aognet.gan.spectral import folded, normed, settle
from aognet.gan.standing import measure_statistics
from aognet.gan.view_directions import directed
from aognet.nn.weights import copy_tensors
from aognet.training.phases import HasPhases
from aognet.training.trainable import Trainable
from benchmarks import generated_views
from main import main
from tests.perception.test_efficientnet import random_weights
from tests.training.resuming import WEIGHTS, check_resuming_changes_nothing
from tests.training.toy import fresh_processes

NAMES = ["dark", "light", "looking up", "looking down"]
GENERATOR = BigGanConfig(
    layers=[[1, 2, 2], [1, 2, 1]],
    classes=4,
    z_dim=4,
    class_dim=4,
    width=8,
    attention_at=1,
    statistics=3,
    class_names=NAMES,
)
TINY = GanTraining.Config(
    generator=GENERATOR, discriminator=DiscriminatorConfig(channels=(8, 16, 16), attention_at=1), statistics_batches=1
)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of EfficientNet-Lite0, narrow."""
    path = tmp_path_factory.mktemp("features") / "weights.safetensors"
    save_file(random_weights(), path)
    return path


@pytest.fixture(params=["images", "projected", "brought back"])
def config(request: pytest.FixtureRequest, features: Path) -> GanTraining.Config:
    """Both kinds of discriminators, the second also with views that come back."""
    if request.param == "images":
        return TINY
    projected = ProjectedDiscriminatorConfig(str(features), size=64, channels=4, widest=8, class_dim=4)
    back = ReconstructionConfig(channels=8) if request.param == "brought back" else None
    return replace(TINY, discriminator=None, projected=projected, reconstruction=back)


def training(config: GanTraining.Config = TINY, seed: int = 0) -> GanTraining:
    torch.manual_seed(seed)
    return GanTraining(config).train()


def batch_of(first: int = 0, count: int = 8) -> ViewBatch:
    """Dark and light images, brighter where they look up."""
    seeds = torch.arange(first, first + count)
    light, pitch = seeds % 2, torch.linspace(-90, 90, count)
    grey = (light * 1.0 - 0.5 + pitch / 600)[:, None, None, None].expand(-1, 3, 16, 16)
    noise = torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(first))
    return ViewBatch(grey + 0.05 * noise, [NAMES[one] for one in light], seeds, pitch)


def optimizers(gan: GanTraining) -> dict[str, torch.optim.Optimizer]:
    rates, parts = {"discriminator": 4e-3, "generator": 2e-3}, gan.trainable_parts()
    return {
        name: torch.optim.Adam([one for part in of.parts for one in parts[part].parameters()], rates[name], (0.0, 0.9))
        for name, of in gan.optimizers().items()
    }


def learn(gan: GanTraining, steps: int) -> None:
    """As the trainer does: the parts of other optimizers get no gradients."""
    found = optimizers(gan)
    for step in range(steps):
        for name, optimizer in found.items():
            for part, module in gan.trainable_parts().items():
                module.requires_grad_(part in gan.optimizers()[name].parts)
            optimizer.zero_grad()
            gan.training_step(batch_of(8 * step), name, step)["loss"].backward()
            optimizer.step()


def test_it_is_what_the_trainer_expects() -> None:
    gan = training()
    assert isinstance(gan, Trainable) and isinstance(gan, HasPhases)
    assert set(gan.optimizers()) == set(gan.trainable_parts())


@pytest.mark.parametrize("network", [BigGan(GENERATOR), Discriminator(TINY.of_images, 4)])
def test_folded_weights_compute_what_the_normed_network_does(network: torch.nn.Module) -> None:
    again = BigGan(GENERATOR) if isinstance(network, BigGan) else Discriminator(TINY.of_images, 4)
    classes = torch.eye(4)[:2]
    inputs = (torch.randn(2, 4), classes) if isinstance(network, BigGan) else (torch.randn(2, 3, 16, 16), classes)
    normed(network).train()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3).add_(0.01 * torch.randn_like(parameter))
        network(*inputs)
        settle(network)
        again.load_state_dict(folded(network))
        assert_close(again.eval()(*inputs), network.eval()(*inputs), rtol=1e-4, atol=1e-5)
        for layer in again.modules():
            if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
                assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2) == pytest.approx(1, abs=5e-2)


def test_what_is_saved_generates_and_fits_the_configuration(tmp_path: Path) -> None:
    gan = training()
    learn(gan, 2)
    gan.save_pretrained(tmp_path / "saved")
    told = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert told["method"] == "ganorama" and told["generator"]["class_names"] == NAMES
    again, weights = (
        BigGan(BigGanConfig(**told["generator"])).eval(),
        load_file(tmp_path / "saved" / "model.safetensors"),
    )
    assert {value.dtype for value in weights.values()} == {torch.float16}
    copy_tensors(weights, {f"generator.{name}": value for name, value in again.state_dict().items()}, "saved")
    z, classes = torch.randn(4, 4).clamp(-2, 2), torch.eye(4)
    with torch.no_grad():
        assert_close(again(z, classes, 0.5), gan.finished().eval()(z, classes, 0.5), rtol=0, atol=2e-2)


def test_saving_changes_nothing_of_what_is_trained(tmp_path: Path) -> None:
    gan = training()
    learn(gan, 1)
    before = {name: value.clone() for name, value in gan.state_dict().items()}
    gan.finished()
    gan.preview(batch_of())
    for name, value in gan.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_statistics_are_those_of_many_images_of_the_truncation() -> None:
    """With them an image alone looks as it does in a batch, and each truncation has its own."""
    torch.manual_seed(1)
    generator, gan = BigGan(GENERATOR), training()
    measure_statistics(generator, gan.drawn_classes, batches=2, batch_size=32)
    assert not generator.norm.means[0].equal(generator.norm.means[-1])
    seen: list[torch.Tensor] = []
    norms = [module for module in generator.modules() if isinstance(module, ConditionalNorm)]
    norms[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    before = [norm.means.clone() for norm in norms]
    measure_statistics(generator, gan.drawn_classes, batches=2, batch_size=32)
    assert all(norm.means.equal(means) for norm, means in zip(norms, before, strict=True))
    for place in range(3):
        found = torch.cat(seen[2 * place : 2 * place + 2])
        assert_close(norms[0].means[place], found.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
        assert_close(norms[0].variances[place], found.var((0, 2, 3)), rtol=0.1, atol=1e-3)


def test_classes_change_images_from_the_start_as_z_does() -> None:
    gan = training(replace(TINY, generator=replace(GENERATOR, z_dim=32, class_dim=32)))
    z, level = torch.randn(2, 32, 32, generator=torch.Generator().manual_seed(0)), torch.zeros(32)
    classes = [directed(torch.eye(4)[number].expand(32, -1), level) for number in range(2)]
    with torch.no_grad():
        first, other_class, other_z = (
            gan.generator(*pair) for pair in ((z[0], classes[0]), (z[0], classes[1]), (z[1], classes[0]))
        )
    assert (other_class - first).std() > 0.5 * (other_z - first).std()


def test_directions_are_shares_of_the_last_two_classes() -> None:
    found = directed(torch.eye(4)[:3], torch.tensor([90.0, 0.0, -45.0]))
    assert_close(found, torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0.5]]))


def test_a_step_depends_on_the_seeds_of_its_batch_alone(config: GanTraining.Config) -> None:
    losses = []
    for number in range(2):
        gan = training(config)
        torch.manual_seed(number)  # what else is drawn does not matter
        losses.append([gan.training_step(batch_of(), phase, 0)["loss"] for phase in ("discriminator", "generator")])
    assert losses[0] == losses[1]


@pytest.mark.slow
def test_it_learns_two_classes(config: GanTraining.Config) -> None:
    augmentation = AugmentationConfig(colour=0.0, translation=0.125, cutout=0.25)
    gan = training(replace(config, augmentation=augmentation), seed=3)
    learn(gan, 300 if config.projected else 150)  # random features say less of an image than its pixels do
    z, level = torch.randn(16, 4).clamp(-2, 2), torch.zeros(16)
    with torch.no_grad():
        finished = gan.finished().eval()
        dark, light = (
            finished(z, directed(torch.eye(4)[number].expand(16, -1), level), 1.0).mean() for number in range(2)
        )
    assert light - dark > 0.5, (dark, light)


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"generator": replace(GENERATOR, class_names=[])}, "generator.class_names must name the classes"),
        ({"discriminator": DiscriminatorConfig(channels=(8,) * 7)}, "discriminator.channels halve 16 pixels too often"),
        ({"projected": ProjectedDiscriminatorConfig("weights")}, "discriminator and projected exclude each other"),
        ({"reconstruction": ReconstructionConfig()}, "reconstruction compares features"),
        ({"statistics_batches": 0}, "statistics_batches must be at least 1"),
        ({"dtype": "int8"}, "dtype must be one of"),
    ],
)
def test_configurations_that_cannot_work(changed: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        replace(TINY, **changed)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"channels": (8,)}, "channels"),
        ({"channels": (16, 8)}, "channels"),
        ({"channels": (2, 4)}, "channels"),
        ({"channels": (8, 8), "attention_at": 2}, "attention_at must lie in"),
    ],
)
def test_discriminators_that_cannot_be(settings: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        DiscriminatorConfig(**settings)


def test_a_prompt_that_names_no_class_is_told() -> None:
    gan = training()
    with pytest.raises(UserError, match="'A beach' is no class; .*'dark'"):
        gan.classes_of(replace(batch_of(), prompts=["A beach"] * 8))


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """``main.py`` with the tiny networks on a folder of two panoramas."""
    for number, grey in enumerate((60, 190)):
        Image.new("RGB", (64, 32), (grey, grey, 90)).save(tmp_path / f"scene_{number}.png")
    rows = [json.dumps({"file": f"scene_{number}.png", "captions": [NAMES[number]]}) for number in range(2)]
    (tmp_path / "kinds.jsonl").write_text("\n".join(rows) + "\n")
    networks = (
        "generator: {layers: [[1, 2, 2], [1, 2, 1]], classes: 4, z_dim: 4, class_dim: 4, width: 8, attention_at: null, "
        f"statistics: 2, class_names: {NAMES}}}, discriminator: {{channels: [8, 16, 16]}}, statistics_batches: 1"
    )
    views = (
        f"folders: [{tmp_path}], captions: [{tmp_path / 'kinds.jsonl'}], height: 32, size: 16, cache: {{folder: null}}"
    )
    trainer = "max_steps: 5, batch_size: 2, num_workers: 0, device: cpu, threads: 1, log_every: 1, checkpoint_every: 2"
    (tmp_path / "gan.yaml").write_text(
        f"model: {{target: gan, {networks}}}\n"
        f"data: {{train: {{target: views, {views}}}, validation: {{target: views, {views}, seed: 7}}}}\n"
        f"trainer: {{{trainer}, ema_decay: 0.9, mixed_precision: bf16, images_every: 3}}\n"
    )
    return lambda *arguments: main(["--out_dir", str(tmp_path), "-b", str(tmp_path / "gan.yaml"), *arguments])


def projected_settings(features: Path) -> list[str]:
    """Settings of a discriminator of features in the place of the tiny configuration's own."""
    settings = {"features": features, "size": 64, "channels": 4, "widest": 8, "class_dim": 4}
    return ["model.discriminator=null", *(f"model.projected.{key}={value}" for key, value in settings.items())]


@pytest.fixture(autouse=True)
def clean_slate():
    yield from fresh_processes()


@pytest.mark.parametrize("projected", [False, True], ids=["images", "projected"])
def test_a_stopped_training_goes_on_bit_for_bit(
    tmp_path: Path, train: Callable[..., int], features: Path, projected: bool
) -> None:
    """The norms' vectors, both optimizers and the average are in the checkpoint."""
    more = projected_settings(features) if projected else []
    for name, tensors in check_resuming_changes_nothing(train, tmp_path, *more).items():
        assert any("_u" in key for key in tensors) == (name == WEIGHTS)


def test_features_stay_out_of_the_checkpoint_and_others_are_refused(
    tmp_path: Path, train: Callable[..., int], features: Path
) -> None:
    settings = projected_settings(features)
    assert train("-n", "gan", "trainer.max_steps=1", *settings) == 0
    kept = load_file(tmp_path / "gan/checkpoints/step-00000001/weights.safetensors")
    assert not any("pyramid" in key or "_conv" in key for key in kept)
    other = {key: value * 1.5 for key, value in random_weights().items()}
    save_file(other, tmp_path / "other.safetensors")
    settings[1] = f"model.projected.features={tmp_path / 'other.safetensors'}"
    with pytest.raises(UserError, match=r"projected.features.* has weights of SHA-256 .* was trained with those of"):
        train("-n", "gan", "--resume", *settings)


def test_generated_views_are_compared_with_held_out_ones(
    tmp_path: Path, train: Callable[..., int], capsys: pytest.CaptureFixture
) -> None:
    assert train("-n", "gan", "trainer.max_steps=1") == 0
    command = ["--model", str(tmp_path / "gan" / "final"), "--views", "3", "--sheet", str(tmp_path / "sheet.png")]
    generated_views.main([*command, "-b", str(tmp_path / "gan.yaml"), "--truncation", "0.5"])
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0].strip("| ") for row in rows] == ["dark", "light", "all"]
    # An untrained generator is further away than other views of the same panoramas.
    assert float(rows[-1][1]) > float(rows[-1][2].strip("| "))
    assert Image.open(tmp_path / "sheet.png").size == (8 * 20, 6 * 20)


def test_the_trainings_mistakes_are_one_line(tmp_path: Path, train: Callable[..., int]) -> None:
    (tmp_path / "kinds.jsonl").write_text('{"file": "scene_0.png", "captions": ["A dark room."]}\n')
    with pytest.raises(UserError, match=r"'A dark room.' is no class"):
        train("-n", "words")
    with pytest.raises(UserError, match=r"gan.yaml|command line.*augmentation.colour must lie in \[0, 1\]"):
        train("-n", "keys", "model.augmentation.colour=3")
