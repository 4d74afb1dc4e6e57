"""Every method that paints with a backbone can learn to paint in few steps: what is judged, and what learns."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from aognet.commands.train import with_objective
from aognet.config import load_config
from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.embedded.few_steps import FewStepTraining
from aognet.embedded.few_steps.model import squares
from aognet.errors import UserError
from aognet.gan.projected import ProjectedDiscriminatorConfig
from aognet.methods.cubediff.model import CubeDiff
from aognet.methods.seamless.model import Seamless
from aognet.targets import check
from tests.methods import test_aognet, test_cubediff, test_seamless_training
from tests.perception.test_efficientnet import random_weights
from tests.tiny import tiny_components, tiny_streams

LORA = {"train": "lora", "lora_rank": 2, "lora_layers": "all"}


def backbone_of(prediction: str = "v_prediction", channels: int = 9) -> Backbone:
    parts = tiny_components("sd2", channels, prediction)
    parts.pop("image_encoder", None)
    return Backbone.of(**parts)


def cubediff() -> tuple[Any, Any]:
    config = CubeDiff.Config(backbone=BackboneConfig("tiny"), fov_degrees=test_cubediff.FOV, **LORA)
    return CubeDiff(config, backbone_of()), test_cubediff.batch_of()


def seamless() -> tuple[Any, Any]:
    model = Seamless(Seamless.Config(backbone=BackboneConfig("tiny"), **LORA), backbone_of())
    return model, test_seamless_training.batch_of([3, 8])


def aognet(tmp_path: Path) -> tuple[Any, Any]:
    parts = tiny_components("sd2", 9, "v_prediction")
    folder = tmp_path / "backbone"
    for name in ("vae", "unet", "text_encoder", "tokenizer", "scheduler", "image_encoder"):
        if name in parts:
            parts[name].save_pretrained(folder / name)
    return tiny_streams(folder), test_aognet.batch_of()


@pytest.fixture
def critic(tmp_path: Path) -> ProjectedDiscriminatorConfig:
    save_file(random_weights(), tmp_path / "efficientnet.safetensors")
    weights = str(tmp_path / "efficientnet.safetensors")
    return ProjectedDiscriminatorConfig(weights, size=64, channels=4, widest=8, class_dim=4)


@pytest.mark.parametrize("make", [cubediff, seamless, aognet], ids=["cubediff", "seamless", "aognet"])
def test_a_method_learns_and_nothing_else(
    make: Callable[..., tuple[Any, Any]], critic: ProjectedDiscriminatorConfig, tmp_path: Path
):
    model, batch = make(tmp_path) if make is aognet else make()
    own = model.trainable_parts()
    training = FewStepTraining(FewStepTraining.Config(projected=critic), model)
    assert training.trainable_parts() == own | {"discriminator": training.critic.discriminator}
    found = training(batch)
    found["loss"].backward()
    assert all(value.isfinite() for value in found.values())
    learned = [parameter for part in own.values() for parameter in part.parameters()]
    assert any(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in learned)
    assert training.preview(batch)["one step"].shape == training.preview(batch)["target"].shape
    training.save_pretrained(tmp_path / "final")
    written = {path.name for path in (tmp_path / "final").iterdir()}
    assert {"config.json", "model.safetensors", "settings.json"} <= written


@pytest.mark.parametrize("make", [cubediff, seamless, aognet], ids=["cubediff", "seamless", "aognet"])
def test_what_is_drawn_here_never_depends_on_what_the_method_draws(
    make: Callable[..., tuple[Any, Any]],
    critic: ProjectedDiscriminatorConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """Which views are hidden says nothing of their timesteps, noise and augmentation: all streams are others."""
    model, batch = make(tmp_path) if make is aognet else make()
    training = FewStepTraining(FewStepTraining.Config(projected=critic), model)
    denoising, sequence = model.denoising, np.random.SeedSequence
    streams: list[set[int]] = []
    drawn: set[int] = set()

    def watched(numbers: list[int]) -> np.random.SeedSequence:
        drawn.add(numbers[1])
        return sequence(numbers)

    def begun(batch: Any) -> Any:
        given = denoising(batch)
        streams.append(drawn.copy())
        drawn.clear()
        return given

    monkeypatch.setattr(np.random, "SeedSequence", watched)
    model.denoising = begun
    training(batch)
    assert streams[0] and drawn and not drawn & streams[0]


def test_faces_that_belong_together_are_learned_in_one_step(critic: ProjectedDiscriminatorConfig):
    model, batch = cubediff()
    training, seen = FewStepTraining(FewStepTraining.Config(projected=critic), model), []
    predict = model.predict

    def watched(latents: Tensor, timesteps: Tensor, *rest: Any, **options: Any) -> Tensor:
        seen.append(timesteps)
        return predict(latents, timesteps, *rest, **options)

    model.predict = watched
    for seed in range(6):
        batch.seeds[:] = torch.arange(2) + 10 * seed
        training(batch)
    steps = torch.stack(seen).unflatten(1, (2, 6))
    assert (steps == steps[..., :1]).all()
    assert len(steps[..., 0].unique()) > 1


def test_wide_latents_are_judged_square_by_square():
    latents = torch.arange(2 * 3 * 4 * 8.0).view(2, 3, 4, 8)
    parts = squares(latents)
    assert parts.shape == (4, 3, 4, 4)
    assert torch.equal(parts[0], latents[0, ..., :4]) and torch.equal(parts[3], latents[1, ..., 4:])
    assert squares(parts) is parts


def test_what_predicts_noise_is_told_apart_by_it(critic: ProjectedDiscriminatorConfig):
    """A perfect prediction of the noise gives the view back; from pure noise there is none."""
    backbone = backbone_of("epsilon")
    model = Seamless(Seamless.Config(backbone=BackboneConfig("tiny"), **LORA), backbone)
    training = FewStepTraining(FewStepTraining.Config(projected=critic), model)
    given = model.denoising(test_seamless_training.batch_of([3, 8]))
    noise = given.condition.noise
    painted = training._painted(type(given)(**(vars(given) | {"predict": lambda *_: noise})))
    torch.testing.assert_close(painted, given.latents, atol=1e-3, rtol=1e-3)
    backbone.training_scheduler.alphas_cumprod[-1] = 0
    with pytest.raises(UserError, match="predicts noise, from which pure noise cannot be told apart"):
        FewStepTraining(FewStepTraining.Config(projected=critic), model)


def test_a_unet_that_is_not_told_what_is_known_is_refused(critic: ProjectedDiscriminatorConfig):
    model = Seamless(Seamless.Config(backbone=BackboneConfig("tiny"), **LORA), backbone_of(channels=4))
    with pytest.raises(UserError, match="not told what is known"):
        FewStepTraining(FewStepTraining.Config(projected=critic), model)


def test_an_objective_that_does_not_fit_is_named(tmp_path: Path):
    """A model that has no views to paint, a class that is no objective, and a key that it does not have."""
    written = "objective: {target: few_steps, projected: {features: a}}"
    path = tmp_path / "a.yaml"
    for section, said in (
        (
            written.replace("}}", "}, energy_wight: 3}"),
            r"objective.energy_wight is an unknown key; did you mean 'energy_",
        ),
        ("objective: {target: clip, tokenizer: b}", r"objective.target does not fit here, ClipTraining has no learner"),
        ("objective: {projected: {features: a}}", r"objective.target is missing"),
    ):
        path.write_text(section)
        with pytest.raises(UserError, match=said):
            check(load_config([path]).section("objective"), "learner")
    path.write_text(written)
    with pytest.raises(UserError, match=r"objective.target does not fit the section model: Linear cannot learn so"):
        with_objective(load_config([path]).section("objective"), torch.nn.Linear(2, 2))


def test_an_objective_takes_the_place_of_a_methods_loss(critic: ProjectedDiscriminatorConfig, tmp_path: Path):
    (tmp_path / "b.yaml").write_text(
        f"objective: {{target: few_steps, projected: {{features: {critic.features}, size: 64}}}}"
    )
    section = load_config([tmp_path / "b.yaml"]).section("objective")
    model, batch = cubediff()
    given, learns = {"features": critic.features, "size": 64}, with_objective(section, model)
    assert isinstance(learns, FewStepTraining) and learns.method is model
    assert {name: getattr(learns.config.projected, name) for name in given} == given
    assert learns(batch)["loss"].isfinite()
