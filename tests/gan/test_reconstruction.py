"""What brings views back: its distance, its information, and that the generator learns from it without a judge."""

import pytest
import torch
from safetensors.torch import save_file
from torch.distributions import Independent, Normal, kl_divergence

from aognet.data.random_views import ViewBatch
from aognet.embedded.gan import GanTraining
from aognet.errors import UserError
from aognet.gan.biggan import BigGanConfig
from aognet.gan.projected import ProjectedDiscriminatorConfig
from aognet.gan.reconstruction import ReconstructionConfig, ViewEncoder, information, view_distance
from tests.perception.test_efficientnet import random_weights

LAYERS = [[1, 2, 2], [1, 2, 1]]


def test_information_is_the_divergence_of_normal_distributions() -> None:
    mean, log_variance = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    found = Independent(Normal(mean, (log_variance / 2).exp()), 1)
    expected = kl_divergence(found, Independent(Normal(torch.zeros(5, 7), torch.ones(5, 7)), 1)).mean()
    torch.testing.assert_close(information(mean, log_variance), expected)
    assert information(torch.zeros(2, 3), torch.zeros(2, 3)) == 0


def test_a_view_is_as_far_from_itself_as_nothing() -> None:
    image, feature = torch.randn(2, 3, 8, 8), torch.randn(2, 4, 2, 2)
    assert view_distance(image, image, [feature], [3 * feature]) < 1e-6, "features count by their direction"
    assert view_distance(image, image + 0.25, [feature], [feature]).item() == pytest.approx(0.25, abs=1e-5)
    assert view_distance(image, image, [feature], [-feature]).item() == pytest.approx(4, rel=1e-5)


def test_an_encoder_sees_features_and_colours() -> None:
    torch.manual_seed(0)
    encoder = ViewEncoder((6, 8), 2, 5, ReconstructionConfig(channels=4))
    features, image = (
        [torch.randn(1, 2, 8, 8), torch.randn(1, 6, 4, 4), torch.randn(1, 8, 2, 2)],
        torch.rand(1, 3, 16, 16),
    )
    mean, log_variance = encoder(features, image)
    assert mean.shape == log_variance.shape == (1, 5)
    for changed in ([*features[:2], -features[2]], [features[0], -features[1], features[2]]):
        assert not torch.equal(encoder(changed, image)[0], mean)
    assert not torch.equal(encoder(features, 1 - image)[0], mean)


@pytest.mark.parametrize(
    "changed", [{"weight": -1.0}, {"information_weight": -1.0}, {"adversarial_start": -1}, {"channels": 0}]
)
def test_settings_that_cannot_be(changed: dict) -> None:
    with pytest.raises(UserError, match=f"^{next(iter(changed))} must"):
        ReconstructionConfig(**changed)


@pytest.fixture(scope="module")
def gan(tmp_path_factory: pytest.TempPathFactory) -> GanTraining:
    path = tmp_path_factory.mktemp("features") / "weights.safetensors"
    save_file(random_weights(), path)
    generator = BigGanConfig(
        layers=LAYERS, classes=1, z_dim=4, class_dim=4, width=8, attention_at=1, statistics=3, class_names=["any"]
    )
    back = ReconstructionConfig(channels=8, adversarial_start=10**6, information_weight=1e-3)
    projected = ProjectedDiscriminatorConfig(str(path), size=64, channels=4, widest=8, class_dim=4)
    torch.manual_seed(0)
    return GanTraining(GanTraining.Config(generator=generator, projected=projected, reconstruction=back)).train()


def views(first: int) -> ViewBatch:
    """Images that are light above or below."""
    seeds = torch.arange(first, first + 8)
    rows = torch.linspace(-1, 1, 16)[:, None].expand(3, 16, 16)
    images = torch.stack([rows if seed % 2 else -rows for seed in seeds.tolist()])
    return ViewBatch(images, ["any"] * 8, seeds, torch.zeros(8))


@pytest.mark.slow
def test_views_come_back_before_anything_is_judged(gan: GanTraining) -> None:
    judging, painting = gan.optimizers()["discriminator"], gan.optimizers()["generator"]
    assert not judging.phases[0].is_due(5) and set(painting.parts) == {"generator", "encoder"}
    parameters = [one for name in painting.parts for one in gan.trainable_parts()[name].parameters()]
    optimizer = torch.optim.Adam(parameters, 1e-2)
    for step in range(120):
        losses = gan.training_step(views(8 * step), "generator", step)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
    assert all(one.grad is None for one in gan.discriminator.parameters())
    shown = gan.preview(views(0))
    back, truth = shown["brought back"], shown["views"]
    right = (back - truth).abs().mean()
    assert right < 0.7 * (back - truth.roll(1, 0)).abs().mean(), "it is this view that comes back, not any"
