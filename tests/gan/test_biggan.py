"""The generator is BigGAN-deep as published: its sizes, its numbers on public tensors, and its statistics."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from aognet.errors import UserError
from aognet.gan.biggan import BigGan, BigGanConfig, ConditionalNorm
from aognet.gan.public_biggan import CONFIG_KEYS, folded
from tests.gan.plain_biggan import PUBLISHED_LAYERS, TINY, Config, plain_images, public_config, public_tensors
from tests.slow import rest_slow

PARAMETERS = {128: 50_388_609, 256: 55_880_833, 512: 56_163_905}
TENSORS = {128: 506, 256: 602, 512: 698}


def our_config(public: Config, **changes: object) -> BigGanConfig:
    told = {ours: public[theirs] for theirs, ours in CONFIG_KEYS.items()} | changes
    return BigGanConfig(**told | {"layers": [[int(one) for one in layer] for layer in public["layers"]]})


def built(public: Config, tensors: dict[str, Tensor], **changes: object) -> BigGan:
    config = our_config(public, **changes)
    network = BigGan(config).eval()
    network.load_state_dict(folded(tensors, config))
    return network


@pytest.mark.parametrize("size", PARAMETERS)
def test_the_public_models_have_these_parameters_and_tensors(size: int) -> None:
    public = public_config(PUBLISHED_LAYERS[size], 128, z_dim=128, class_embed_dim=128, num_classes=1000, n_stats=51)
    config = BigGanConfig.published(size)
    assert config == our_config(public) and config.size == size == public["output_dim"]
    with torch.device("meta"):
        network = BigGan(config)
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[size]
    names = public_tensors(public_config(PUBLISHED_LAYERS[size], 4, n_stats=2, attention=4))
    assert len(names) == TENSORS[size]


@pytest.mark.parametrize(("size", "truncation"), rest_slow([(128, 0.37), (0, 0.0), (256, 1.0), (512, 0.2)], fast=2))
@torch.no_grad()
def test_images_and_features_are_those_of_a_plain_reading(size: int, truncation: float) -> None:
    """Also after each module: the attention counts as one, as in the public numbering."""
    public = public_config(PUBLISHED_LAYERS[size], 4, attention=7) if size in (256, 512) else TINY
    public = public_config(PUBLISHED_LAYERS[128]) if size == 128 else public
    tensors = public_tensors(public, seed=size)
    z, classes = torch.randn(2, 6, generator=torch.Generator().manual_seed(size)), torch.eye(5)[[1, 3]]
    wanted, features = plain_images(tensors, public, z, classes, truncation)
    seen: dict[int, Tensor] = {}

    def between(number: int, found: Tensor) -> Tensor:
        seen[number] = found
        return found

    images = built(public, tensors)(z, classes, truncation, between)
    assert images.shape[-1] == public["output_dim"] and images.std() > 0.01
    assert_close(images, wanted, atol=1e-5, rtol=0)
    assert list(seen) == list(range(len(features))) == list(range(len(public["layers"]) + 1))
    for number, wanted in enumerate(features):
        assert_close(seen[number], wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("truncation", [0.0, 0.1, 0.2, 0.5, 0.58, 0.6, 0.77, 1.0])
def test_statistics_between_two_truncations_lie_between(truncation: float) -> None:
    norm = ConditionalNorm(3, None, our_config(TINY, statistics=51)).eval()
    norm.means.copy_(torch.linspace(0, 1, 51)[:, None] * torch.tensor([1.0, -2.0, 5.0]))
    norm.variances.copy_(torch.linspace(2, 3, 51)[:, None].expand(-1, 3))
    mean, variance = norm.statistics_at(truncation)
    assert_close(mean, truncation * torch.tensor([1.0, -2.0, 5.0]))
    assert_close(variance, torch.full((3,), 2 + truncation))


@pytest.mark.parametrize("truncation", rest_slow([0.37, 0.2, 1.0]))
@torch.no_grad()
def test_published_interpolation_takes_each_share_for_the_other(truncation: float) -> None:
    tensors = public_tensors(TINY)
    z, classes = torch.randn(1, 6), torch.eye(5)[[2]]
    wanted, _ = plain_images(tensors, TINY, z, classes, truncation, swapped=True)
    ours = built(TINY, tensors, interpolation="published")(z, classes, truncation)
    assert_close(ours, wanted, atol=1e-5, rtol=0)
    linear = built(TINY, tensors)(z, classes, truncation)
    is_between = bool(math.modf(truncation * 5)[0])
    assert ((linear - wanted).abs().max() > 1e-3) == is_between


@torch.no_grad()
def test_one_set_of_statistics_serves_every_truncation() -> None:
    network = BigGan(our_config(TINY, statistics=1)).eval()
    images = [network(torch.ones(1, 6), torch.eye(5)[:1], truncation) for truncation in (0.0, 0.3, 1.0)]
    assert torch.equal(images[0], images[1]) and torch.equal(images[0], images[2])


@torch.no_grad()
def test_what_comes_between_takes_the_place_of_features() -> None:
    network = BigGan(our_config(TINY)).eval()
    z, classes = torch.randn(2, 6), torch.eye(5)[:2]
    mixed = network(z, classes, between=lambda number, x: x.flip(0) if number == len(TINY["layers"]) else x)
    assert_close(mixed, network(z, classes).flip(0))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"layers": []}, "layers"),
        ({"layers": [[0, 4]]}, "layers"),
        ({"layers": [[2, 4, 4]]}, "layers"),
        ({"layers": [[0, 2, 4]]}, "layers"),
        ({"layers": [[0, 4, 4], [0, 2, 2]]}, "layers"),
        ({"layers": [[0, 1, 1]] * 65}, "layers"),
        ({"layers": [[0, 10**6, 1]]}, "layers"),
        ({"width": 1}, "width"),
        ({"width": 10**9}, "width"),
        ({"classes": 0}, "classes"),
        ({"statistics": 10**9}, "statistics"),
        ({"eps": 0.0}, "eps"),
        ({"eps": math.nan}, "eps"),
        ({"attention_at": 5}, "attention_at"),
        ({"attention_at": 4, "width": 4}, "attention_at"),
        ({"class_names": ["one"]}, "class_names"),
    ],
)
def test_sizes_that_make_no_network_are_named(changes: dict[str, object], key: str) -> None:
    told = {"layers": [[0, 4, 4], [1, 4, 2], [0, 2, 2], [1, 2, 1]], "width": 8, "classes": 5, "attention_at": 2}
    with pytest.raises(UserError) as refused:
        BigGanConfig(**told | changes)
    assert refused.value.key == key and len(str(refused.value)) < 500


@pytest.mark.parametrize("truncation", [-0.1, 1.1, math.nan])
def test_a_truncation_outside_of_its_range_is_refused(truncation: float) -> None:
    with pytest.raises(UserError, match="truncation must lie in"):
        BigGan(our_config(TINY))(torch.zeros(1, 6), torch.eye(5)[:1], truncation)


@torch.no_grad()
def test_a_spectral_norm_is_folded_as_torch_applies_it() -> None:
    """Torch's own, in evaluation, on what it saved."""
    tensors = public_tensors(TINY)
    wide = nn.utils.spectral_norm(nn.Conv2d(8, 8, 3, padding=1))
    wide(torch.randn(1, 8, 2, 2))
    tensors |= {f"generator.conv_to_rgb.{name}": value for name, value in wide.state_dict().items()}
    network, features = built(TINY, tensors), torch.randn(1, 8, 5, 5)
    assert_close(network.to_rgb(features), wide.eval()(features), atol=1e-6, rtol=1e-6)
