"""The autoencoder against its discriminator in one backward pass, and what a decoder trained alone leaves as it was."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.testing import assert_close

from aognet.embedded.autoencoder import AutoencoderTraining
from aognet.errors import UserError
from aognet.gan.patch_discriminator import PatchDiscriminator, adversarial_losses
from aognet.perception.lpips import Lpips, PerceptualDistance

SHAPE = {"channels": (8, 16), "groups": 1}


class Batch:
    def __init__(self, size: int = 32):
        x = torch.linspace(-2, 2, size)
        phases = torch.arange(12).view(4, 3, 1, 1) * 1.3
        self.images = (x + phases).sin() * (x[:, None] * 0.7 + phases).cos()
        self.seeds = torch.arange(4)


@pytest.fixture(scope="module")
def lpips(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(3)
    network = Lpips("vgg", divisor=16)
    for key, value in network.state_dict().items():
        if key.startswith("lin"):
            value.abs_()
    path = tmp_path_factory.mktemp("lpips") / "vgg.safetensors"
    save_file(network.state_dict(), path)
    return str(path)


def trained(config: AutoencoderTraining.Config, steps: int = 3) -> AutoencoderTraining:
    torch.manual_seed(0)
    training = AutoencoderTraining(config)
    parameters = [p for part in training.trainable_parts().values() for p in part.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        training(Batch())["loss"].backward()
        optimizer.step()
    return training


def test_one_backward_pass_gives_each_side_the_gradient_of_its_own_loss():
    torch.manual_seed(0)
    discriminator, real = PatchDiscriminator((4, 8)), torch.randn(2, 3, 16, 16)
    painted = torch.randn(2, 3, 16, 16, requires_grad=True)
    losses = adversarial_losses(discriminator, real, painted)
    (of_picture,) = torch.autograd.grad(losses.generator, painted, retain_graph=True)
    of_weights = torch.autograd.grad(losses.discriminator, list(discriminator.parameters()), retain_graph=True)
    (losses.generator + losses.discriminator).backward()
    assert_close(painted.grad, of_picture)
    assert of_picture.abs().max() > 0
    for parameter, expected in zip(discriminator.parameters(), of_weights, strict=True):
        assert_close(parameter.grad, expected)
    assert of_weights[0].abs().max() > 0


def test_each_side_wants_what_it_should():
    """More real-looking patches please the painter; the judge pays for patches that are on the wrong side of 1."""
    half = torch.nn.Conv2d(3, 1, 1)
    with torch.no_grad():
        half.weight.fill_(1 / 3)
        half.bias.zero_()
    images = {value: torch.full((1, 3, 4, 4), float(value)) for value in (-2, 0, 2)}
    assert adversarial_losses(half, images[2], images[-2]).discriminator == 0
    assert adversarial_losses(half, images[-2], images[2]).discriminator == 3
    assert adversarial_losses(half, images[2], images[2]).generator == -2
    assert adversarial_losses(half, images[2], images[0]).generator == 0


def test_the_discriminator_trains_beside_the_autoencoder(lpips: str):
    config = AutoencoderTraining.Config(
        **SHAPE, perceptual=lpips, perceptual_size=32, adversarial_weight=0.1, discriminator=(4, 8)
    )
    training = trained(config)
    assert training.trainable_parts().keys() == {"vae", "discriminator"}
    assert not any(p.requires_grad for p in training.perceptual.parameters())
    found = training(Batch())
    assert found.keys() == {"loss", "kl", "psnr", "lpips", "painter", "judge"}
    assert all(value.isfinite().all() for value in found.values())
    assert all(not value.requires_grad for name, value in found.items() if name != "loss")
    untrained = AutoencoderTraining(config)
    before = torch.cat([p.flatten() for p in PatchDiscriminator((4, 8)).parameters()])
    assert before.shape == torch.cat([p.flatten() for p in untrained.discriminator.parameters()]).shape
    judged = [training(Batch())["judge"].item() for _ in range(2)]
    assert judged[0] == judged[1]


def test_the_perceptual_distance_is_that_of_a_square_in_training_and_of_the_view_in_validation(lpips: str):
    config = AutoencoderTraining.Config(**SHAPE, perceptual=lpips, perceptual_size=32)
    training, batch = AutoencoderTraining(config), Batch(size=48)
    measure = PerceptualDistance.load(lpips, torch.device("cpu"))
    with torch.no_grad():
        training.eval()
        output = training.vae.decode(_latents(training, batch)).sample
        assert_close(training(batch)["lpips"], measure.distance(output, batch.images).mean())
        training.train()
        inside = training(batch)["lpips"]
        batch.seeds = batch.seeds + 4
        assert inside != training(batch)["lpips"]


def _latents(training: AutoencoderTraining, batch: Batch) -> Tensor:
    from aognet.diffusion.sampling.noise import noise_like

    posterior = training.vae.encode(batch.images).latent_dist
    return posterior.mean + posterior.std * noise_like(posterior.mean, batch.seeds, stream=0)


def test_a_decoder_trained_alone_leaves_latents_and_scale(tmp_path: Path, lpips: str):
    first = trained(AutoencoderTraining.Config(**SHAPE))
    first.finish([Batch(), Batch()])
    first.save_pretrained(tmp_path)
    config = AutoencoderTraining.Config(
        start=str(tmp_path), decoder_only=True, perceptual=lpips, adversarial_weight=0.1, discriminator=(4, 8)
    )
    second = trained(config)
    assert second.trainable_parts().keys() == {"decoder", "post_quant_conv", "discriminator"}
    second.finish([Batch(), Batch()])
    images = Batch().images
    with torch.no_grad():
        latents = [one.vae.encode(images).latent_dist.mode() for one in (first, second)]
        assert torch.equal(*latents)
        pictures = [one.vae.decode(latents[0]).sample for one in (first, second)]
    assert (pictures[0] - pictures[1]).abs().mean() > 1e-3
    assert second.vae.config.scaling_factor == first.vae.config.scaling_factor != 1


def test_going_on_takes_the_weights_and_shape_of_what_is_there(tmp_path: Path):
    first = trained(AutoencoderTraining.Config(**SHAPE))
    first.save_pretrained(tmp_path)
    second = AutoencoderTraining(AutoencoderTraining.Config(start=str(tmp_path)))
    state = second.vae.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in first.vae.state_dict().items())
    assert all(parameter.requires_grad for parameter in second.vae.parameters())


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"decoder_only": True}, "start"),
        ({"decoder_only": True, "start": "x", "guide_weight": 0.1}, "guide_weight"),
        ({"perceptual_size": 8}, "perceptual_size must be 0 or at least 32, got 8"),
    ],
)
def test_settings_that_make_no_sense_are_named(wrong: dict, named: str):
    with pytest.raises(UserError, match=named):
        AutoencoderTraining.Config(**wrong)
