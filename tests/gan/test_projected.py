"""Discriminators of projected features: what is frozen, what sees what, and what a score depends on."""

import pytest
import torch
from torch.testing import assert_close

from aognet.errors import UserError
from aognet.gan.projected import ProjectedDiscriminator, ProjectedDiscriminatorConfig, RandomMixing

CHANNELS = (3, 5, 14, 40)
CONFIG = ProjectedDiscriminatorConfig(features="weights", size=128, channels=4, widest=8, class_dim=4)
DIGEST = "ab" * 32


def features_of(count: int = 2, size: int = 128) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = [size // 2**scale for scale in range(2, 6)]
    return [
        torch.randn(count, width, one, one, generator=generator) for width, one in zip(CHANNELS, sizes, strict=True)
    ]


def discriminator(config: ProjectedDiscriminatorConfig = CONFIG) -> ProjectedDiscriminator:
    torch.manual_seed(0)
    return ProjectedDiscriminator(config, CHANNELS, 6, DIGEST)


def test_a_scale_has_what_coarser_ones_have_and_nothing_of_finer_ones():
    mixing, before = RandomMixing(CHANNELS, (4, 8, 16, 32), seed=0), features_of()
    mixed = mixing(before)
    for changed in range(4):
        after = [one + (scale == changed) for scale, one in enumerate(before)]
        moved = [not torch.equal(one, other) for one, other in zip(mixing(after), mixed, strict=True)]
        assert moved == [scale <= changed for scale in range(4)]


def test_mixing_is_linear_and_comes_from_its_seed_alone():
    first = RandomMixing(CHANNELS, (4, 8, 16, 32), seed=1)
    torch.rand(7)
    again, other = (RandomMixing(CHANNELS, (4, 8, 16, 32), seed=seed) for seed in (1, 2))
    inputs = features_of()
    for a, b, c, doubled in zip(
        first(inputs), again(inputs), other(inputs), first([2 * one for one in inputs]), strict=True
    ):
        assert torch.equal(a, b) and not torch.equal(a, c)
        assert_close(doubled, 2 * a)


def test_projections_are_frozen_and_kept():
    network = discriminator()
    assert not any(name.startswith("mixing") for name, _ in network.named_parameters())
    kept = network.state_dict()
    assert {f"mixing.across_channels.{scale}.weight" for scale in range(4)} < kept.keys()
    assert bytes(kept["digest"].tolist()).hex() == DIGEST


@pytest.mark.parametrize("size, places", [(128, 4 * 16), (64, 3 * 16 + 4)])
def test_scores_are_at_places_of_every_scale_and_gradients_reach_all_features(size: int, places: int):
    network = discriminator(ProjectedDiscriminatorConfig("weights", size, channels=4, widest=8, class_dim=4))
    inputs = [one.requires_grad_() for one in features_of(size=size)]
    scores = network(inputs, torch.eye(6)[:2])
    assert scores.shape == (2, places)
    (scores * torch.randn(places)).sum().backward()
    for one in inputs:
        assert one.grad is not None and one.grad.abs().sum() > 0


def test_every_scale_compares_with_the_classes():
    network, inputs = discriminator(), features_of()
    scores = [network(inputs, torch.eye(6)[first : first + 2]).detach() for first in (0, 2)]
    moved = (scores[0] != scores[1]).view(2, 4, 16).any(2)
    assert moved.all()


def test_features_of_another_network_are_refused():
    network = discriminator()
    network.check_features(DIGEST)
    with pytest.raises(UserError, match=r"projected.features has weights of SHA-256 cdcdcd.*with those of ababab"):
        network.check_features("cd" * 32)


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"features": " "}, "features must name the weights"),
        ({"size": 100}, r"size must be a multiple of 32 in \[64, 1024\], got 100"),
        ({"size": 32}, "size must be a multiple of 32"),
        ({"channels": 0}, "channels must lie in"),
        ({"widest": 5000}, "widest must lie in"),
        ({"class_dim": 0}, "class_dim must lie in"),
    ],
)
def test_configurations_that_cannot_work(changed: dict, said: str):
    with pytest.raises(UserError, match=said):
        ProjectedDiscriminatorConfig(**{"features": "weights", **changed})
