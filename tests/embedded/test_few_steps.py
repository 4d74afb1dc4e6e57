"""A UNet learns to paint in few steps: what its critic sees, what each side wants, and that it paints as it learned."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.testing import assert_close

from aognet.data.outpainting import OutpaintingBatch
from aognet.diffusion.inpaint import TextContext, inpaint_latents
from aognet.diffusion.sampling.noise import generators
from aognet.embedded.autoencoder import AutoencoderTraining
from aognet.embedded.clip import ClipTraining
from aognet.embedded.clip.tokenizer import train_tokenizer
from aognet.embedded.few_steps import FewStepTraining
from aognet.embedded.few_steps.critic import LinearDecoder, text_vectors
from aognet.embedded.few_steps.energy import described, energy_score
from aognet.embedded.few_steps.model import joined
from aognet.embedded.inpainting import InpaintingTraining
from aognet.errors import UserError
from aognet.gan.augmentation import AugmentationConfig
from aognet.gan.projected import ProjectedDiscriminatorConfig
from aognet.geometry.camera import Camera
from aognet.training.setup import TrainerConfig, prepare_parameters
from tests.embedded.test_embedded_stages import images_of
from tests.perception.test_efficientnet import random_weights

PLAIN = AugmentationConfig(probability=0.0)
NEITHER = {"mean_weight": 0.0, "energy_weight": 0.0, "adversarial_weight": 0.0, "drop_known": 0.0, "drop_text": 0.0}
TEXTS = ["a red barn in a field", "a kitchen with a window", "boats and gulls", "snow on pines"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained inpainting model with the parts that it is trained on."""
    folder = tmp_path_factory.mktemp("few_steps")
    torch.manual_seed(0)
    AutoencoderTraining(AutoencoderTraining.Config(channels=(8, 16), groups=1)).save_pretrained(folder)
    train_tokenizer(TEXTS, vocabulary=560).save_pretrained(folder / "words")
    clip = ClipTraining.Config(
        tokenizer=str(folder / "words"), hidden_size=16, projection_size=12, heads=2, text_layers=1, image_layers=1,
        image_size=16, patch_size=8,
    )  # fmt: skip
    ClipTraining(clip).save_pretrained(folder)
    prior = InpaintingTraining.Config(
        vae=str(folder), text=str(folder), channels=(16, 32, 32), attention=(False, True, False), head_dim=8, groups=8,
    )  # fmt: skip
    InpaintingTraining(prior).save_pretrained(folder)
    # Without shifts, which would hide what little the pictures of random decoders differ in.
    weights = {key: value * 0 if "bias" in key or "mean" in key else value for key, value in random_weights().items()}
    save_file(weights, folder / "efficientnet.safetensors")
    return folder


def critic_of(folder: Path) -> ProjectedDiscriminatorConfig:
    weights = str(folder / "efficientnet.safetensors")
    return ProjectedDiscriminatorConfig(weights, size=64, channels=4, widest=8, class_dim=4)


def training_of(folder: Path, **settings: Any) -> FewStepTraining:
    """The training of a small UNet. Settings of its own go to it, others to the training."""
    torch.manual_seed(0)
    names = {one.name for one in fields(InpaintingTraining.Config)}
    given = {"start": str(folder), "vae": str(folder), "text": str(folder)}
    own = {key: value for key, value in settings.items() if key in names and key != "known_weight"}
    unet = InpaintingTraining(InpaintingTraining.Config(**(given | own)))
    others = {key: value for key, value in settings.items() if key not in own}
    return FewStepTraining(FewStepTraining.Config(**({"projected": critic_of(folder)} | others)), unet)


@pytest.fixture
def training(folder: Path) -> FewStepTraining:
    return training_of(folder, drop_known=0.0, drop_text=0.0)


def views(count: int = 4) -> OutpaintingBatch:
    known = torch.zeros(count, 1, 32, 32, dtype=torch.bool)
    known[..., :12] = True
    return OutpaintingBatch(
        images_of()[:count], known, [Camera(width=32, height=32)] * count, torch.zeros(count, 6, 3, 8, 8),
        torch.zeros(count, 6, 1, 8, 8, dtype=torch.bool), TEXTS[:count], torch.arange(count),
    )  # fmt: skip


def trained(training: FewStepTraining, part: str, steps: int, rate: float) -> list[dict[str, float]]:
    """What is told in each step while only one part learns."""
    optimizer, told = torch.optim.Adam(training.trainable_parts()[part].parameters(), lr=rate), []
    for _ in range(steps):
        training.zero_grad()
        found = training(views())
        found["loss"].backward()
        optimizer.step()
        told.append({name: value.item() for name, value in found.items()})
    return told


def test_each_side_learns_what_it_wants(folder: Path):
    training = training_of(folder, **(NEITHER | {"adversarial_weight": 1.0}))
    told = trained(training, "discriminator", 30, 2e-2)
    assert told[-1]["judged"] < 0.7 * told[0]["judged"]
    assert told[-1]["real"] > told[-1]["painted"] + 0.5
    again = trained(training, "unet", 15, 2e-3)
    assert again[-1]["painted"] > told[-1]["painted"] + 0.1


def test_what_is_painted_comes_nearer_to_the_view_in_pixels_and_features(folder: Path):
    for name, weights in (("distance", {"mean_weight": 1.0}), ("near", {"energy_weight": 1.0})):
        training = training_of(folder, **(NEITHER | weights), often=(0.0, 0.0, 0.0, 1.0), augmentation=PLAIN)
        told = trained(training, "unet", 20, 3e-3)
        assert told[-1][name] < 0.95 * told[0][name], name


def test_one_pass_gives_each_side_the_gradient_of_its_own_loss(folder: Path):
    """As if the discriminator's loss and the painter's were computed one after the other."""
    training = training_of(folder, drop_known=0.0, drop_text=0.0, augmentation=PLAIN)
    prepare_parameters(TrainerConfig(), training, torch.device("cpu"))
    training.eval()  # no power iterations between the two
    parts = {name: list(part.parameters()) for name, part in training.trainable_parts().items()}
    training(views())["loss"].backward()
    both = {name: [parameter.grad.clone() for parameter in of] for name, of in parts.items()}
    learned = {id(parameter) for of in parts.values() for parameter in of}
    assert {id(parameter) for parameter in training.parameters() if parameter.grad is not None} == learned

    given = training.method.denoising(views())
    texts, critic, config = text_vectors(given.text.tokens), training.critic, training.config
    signal = training.backbone.training_scheduler.alphas_cumprod[training._timesteps(given)][:, None, None, None]
    weights = given.condition.mask * signal + config.known_weight * (1 - given.condition.mask)
    loss, seen, vectors = torch.zeros(()), [], []
    for one in (given, training._noised_anew(given)):
        painted = training._painted(one)
        loss = loss + config.mean_weight * ((painted - given.latents).square() * weights).mean() / 2
        images = critic.images(joined(painted, given))
        seen.append(critic.features(images))
        vectors.append(described(seen[-1], images))
    real = critic.features(critic.images(given.latents))
    energy = energy_score(*vectors, described(real, critic.images(given.latents)))
    features = [torch.cat(pair) for pair in zip(*seen, strict=True)]
    judged = critic.discriminator(features, texts.repeat(2, 1))
    loss = loss + config.energy_weight * energy.loss - config.adversarial_weight * judged.mean()
    alone = torch.autograd.grad(loss, parts["unet"], retain_graph=True)
    for found, expected in zip(both["unet"], alone, strict=True):
        assert_close(found, expected, atol=1e-6, rtol=1e-3)
    of_painted = critic.discriminator([one.detach() for one in features], texts.repeat(2, 1))
    of_others = critic.discriminator(real, texts[[2, 3, 0, 1]])
    hinge = (1 - critic.discriminator(real, texts)).relu().mean()
    hinge = hinge + 0.5 * ((1 + of_painted).relu().mean() + (1 + of_others).relu().mean())
    alone = torch.autograd.grad(hinge, parts["discriminator"])
    for found, expected in zip(both["discriminator"], alone, strict=True):
        assert_close(found, expected, atol=1e-6, rtol=1e-3)


def test_a_view_and_what_is_painted_of_it_are_augmented_alike(training: FewStepTraining):
    batch, calls, seen = views(), [], training._seen
    given = training.method.denoising(batch)
    training._painted = lambda given: given.latents
    training._seen = lambda *parts: calls.append(seen(*parts)[0]) or seen(*parts)
    found = training(batch)
    of_truth, of_both = calls
    assert torch.equal(torch.cat([of_truth, of_truth]), of_both)
    assert not torch.equal(of_truth, training.critic.images(given.latents))
    assert found["distance"] == 0 and found["near"] == found["spread"] < 0.1


def test_it_paints_twice_of_other_noise_and_all_else_alike(training: FewStepTraining):
    given = training.method.denoising(views())
    again = training._noised_anew(given)
    assert again.condition.noise.shape == given.condition.noise.shape
    assert (again.condition.noise != given.condition.noise).all()
    assert torch.equal(training._noised_anew(given).condition.noise, again.condition.noise)
    assert again.condition.image is given.condition.image and again.latents is given.latents
    assert torch.equal(training._timesteps(again), training._timesteps(given))
    assert not torch.equal(training._painted(again), training._painted(given))


def test_a_single_view_is_refused(training: FewStepTraining):
    with pytest.raises(UserError, match=r"trainer.batch_size must be at least 2"):
        training(views(1))


def test_a_linear_decoder_is_found_again(training: FewStepTraining, monkeypatch: pytest.MonkeyPatch):
    """What is fitted to a decoder that is linear in 3x3 latent pixels is that decoder."""
    space = training.backbone.latents
    first = training.critic.decoder
    torch.manual_seed(2)
    with torch.no_grad():
        first.weight.copy_(torch.randn_like(first.weight) / 10)
        first.bias.copy_(torch.randn_like(first.bias) / 10)
    monkeypatch.setattr(type(space), "decode", lambda self, latents: first(latents))
    again = LinearDecoder(space)
    assert_close(again.weight, first.weight, atol=1e-5, rtol=1e-4)
    assert_close(again.bias, first.bias, atol=1e-5, rtol=1e-4)


def test_no_other_linear_decoder_comes_nearer(training: FewStepTraining):
    """What is fitted is the best for such latents as it was fitted to: any change makes it worse."""
    space, linear = training.backbone.latents, training.critic.decoder
    generator = torch.Generator().manual_seed(0)
    latents = torch.cat([torch.randn(6, space.channels, 16, 16, generator=generator) for _ in range(6)])
    with torch.no_grad():
        decoded = space.decode(latents)
        best = (linear(latents) - decoded).square().mean()
        for seed in range(8):
            torch.manual_seed(seed)
            kept = linear.weight.clone()
            linear.weight.add_(torch.randn_like(kept) / 20)
            assert (linear(latents) - decoded).square().mean() > best
            linear.weight.copy_(kept)
    assert best < 0.6 * decoded.var()


def test_the_critic_hears_what_is_written_and_not_how_long_it_is(training: FewStepTraining):
    tokens = torch.randn(3, 5, 16)
    vectors = text_vectors(tokens)
    assert_close(vectors.square().mean(1), torch.ones(3))
    assert_close(text_vectors(3 * tokens), vectors)
    given = training.eval().method.denoising(views())
    features, tokens = training.critic.features(training.critic.images(given.latents)), given.text.tokens
    scores, others = (training.critic.scores(features, features, each) for each in (tokens, tokens.flip(0)))
    assert scores.real == scores.painted == scores.to_painter != others.real


def test_the_critic_sees_known_places_as_they_are(training: FewStepTraining):
    given = training.method.denoising(views())
    painted = training._painted(given)
    both, known = joined(painted, given), (given.condition.mask < 0.5).expand_as(given.latents)
    assert known.any() and torch.equal(both[known], given.latents[known])
    assert torch.equal(both[~known], painted[~known])


def test_a_step_is_what_painting_does_in_it(folder: Path):
    """From pure noise in one step: the same latents as from the scheduler that such a UNet paints with."""
    training = training_of(folder, often=(1.0,), drop_known=0.0, drop_text=0.0)
    assert training.timesteps.tolist() == [999]
    batch, backbone = views(), training.backbone
    given, context = training.method.denoising(batch), TextContext.of_prompts(backbone, batch.prompts)
    with torch.no_grad():
        training._timesteps = lambda given: torch.full((len(given.latents),), 999)
        painted = training._painted(given)
        expected = inpaint_latents(backbone, given.condition, context, training.sampler, generators(batch.seeds))
    assert training._signal(torch.tensor([999])).abs().max() < 1e-6  # nothing of the view shows through
    assert_close(painted, expected, atol=1e-4, rtol=1e-4)


def test_steps_are_learned_as_often_as_wanted(folder: Path):
    training = training_of(folder, often=(3.0, 0.0, 1.0))
    assert training.sampler.steps == 3 and training.timesteps[0] == 999
    drawn, steps = training._drawn_timesteps(torch.arange(4000)), training.timesteps.tolist()
    first, last = ((drawn > steps[1]) & (drawn <= steps[0])).sum(), (drawn <= steps[2]).sum()
    assert first + last == 4000 and 2850 < first < 3150
    exact = [int((drawn == step).sum()) for step in steps]
    assert exact[1] == 0 and 1350 < exact[0] < 1650 and 420 < exact[2] < 580
    assert len(drawn.unique()) > 400  # the others lie anywhere before the next step


def test_what_is_dropped_is_dropped_for_both_sides(folder: Path):
    training = training_of(folder, drop_known=0.999, drop_text=0.999)
    given = training.method.denoising(views())
    assert given.condition.mask.all()
    nothing = training.backbone.conditioner.with_unconditional([])[1].tokens
    assert torch.equal(given.text.tokens, nothing.expand_as(given.text.tokens))


def test_a_step_is_repeated_bit_by_bit(training: FewStepTraining):
    kept = {key: value.clone() for key, value in training.critic.state_dict().items()}
    first = training(views())["loss"]
    training.critic.load_state_dict(kept)  # the power iterations of its norms go on with every step
    assert torch.equal(training(views())["loss"], first)


def test_what_it_writes_goes_on_and_says_how_it_paints(training: FewStepTraining, folder: Path, tmp_path: Path):
    preview = training.preview(views(2))
    assert preview["one step"].shape == (2, 3, 32, 32) and preview["one step"].isfinite().all()
    training.save_pretrained(tmp_path)
    again = training_of(folder, start=str(tmp_path))
    theirs, mine = (one.trainable_parts()["unet"].state_dict() for one in (again, training))
    assert theirs.keys() == mine.keys() and all(torch.equal(value, theirs[key]) for key, value in mine.items())
    assert json.loads((tmp_path / "settings.json").read_text()) == {
        "sampler": {"scheduler": "lcm", "steps": 4, "guidance": 1.0}
    }


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"often": ()}, "often"),
        ({"often": (1.0, -1.0)}, "often"),
        ({"often": (0.0,)}, "often"),
        ({"energy_weight": -1.0}, "energy_weight"),
    ],
)
def test_settings_that_make_no_sense_are_named(wrong: dict, named: str):
    with pytest.raises(UserError, match=named):
        FewStepTraining.Config(projected=ProjectedDiscriminatorConfig("a"), **wrong)


def test_a_unet_that_predicts_noise_is_refused(folder: Path, tmp_path: Path):
    from diffusers import DDIMScheduler, UNet2DConditionModel

    UNet2DConditionModel.from_pretrained(folder, subfolder="unet").save_pretrained(tmp_path / "unet")
    DDIMScheduler(prediction_type="epsilon", rescale_betas_zero_snr=True).save_pretrained(tmp_path / "scheduler")
    with pytest.raises(UserError, match=r"model predicts noise, from which"):
        training_of(folder, start=str(tmp_path))


def test_encoded_views_teach_what_the_views_teach(training: FewStepTraining):
    from aognet.data.latents import LatentBatch

    batch = views()
    given = training.method.denoising(batch)
    parts = (given.latents, given.condition.image, given.condition.mask < 0.5)
    encoded = LatentBatch(*parts, batch.prompts, batch.seeds)
    training.eval()
    found: list[Tensor] = [training(one)["loss"] for one in (batch, encoded)]
    assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)


def test_a_view_is_learned_from_once(folder: Path):
    with pytest.raises(UserError, match=r"model.draws must be 1"):
        training_of(folder, draws=2)(views())


def test_true_views_with_the_texts_of_others_count_as_wrong_unless_it_is_the_same_text(training: FewStepTraining):
    batch = views()
    given = training.method.denoising(batch)
    features, tokens = training.critic.features(training.critic.images(given.latents)), given.text.tokens
    optimizer = torch.optim.Adam(training.critic.discriminator.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        training.critic.scores(features, features, tokens).hinge.backward()
        optimizer.step()
    training.eval()
    scores = training.critic.scores(features, features, tokens)
    assert scores.real > scores.mistaken + 0.15
    same = tokens[:1].expand_as(tokens)
    judged = training.critic.scores(features, features, same)
    plain = training.critic.discriminator(features, text_vectors(same))
    assert_close(judged.hinge, (1 - plain).relu().mean() + 0.5 * (1 + plain).relu().mean())
