"""Images as codes: what padding promises, sizes of the published weights, parity with a plain reading of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from aognet.errors import UserError
from aognet.nn.network_folder import fill_network
from aognet.vq.autoencoder import Padding, VqAutoencoder
from aognet.vq.public_text2light import autoencoder_config, autoencoder_names
from aognet.vq.quantizer import QuantizerConfig
from tests.vq.plain_vqgan import PlainVqgan, public_tensors

TINY = VqAutoencoder.Config(
    channels=(8, 8, 16), groups=4, latent_channels=8, quantizer=QuantizerConfig(codes=16, dim=6)
)
SCALARS = replace(TINY, quantizer=QuantizerConfig(kind="finite_scalars", levels=(4, 3, 3)))


def autoencoder(config: VqAutoencoder.Config = TINY, seed: int = 0) -> VqAutoencoder:
    """A random one whose codes differ."""
    torch.manual_seed(seed)
    network = VqAutoencoder(config).eval().requires_grad_(False)
    for name, value in network.named_parameters():
        if name == "quantize.embedding.weight":
            value.normal_(0, 0.3)
    return network


def images(seed: int = 1, rows: int = 16, columns: int = 32) -> Tensor:
    return torch.rand(2, 3, rows, columns, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("config", [TINY, SCALARS], ids=["codebook", "finite scalars"])
def test_a_panorama_that_is_rolled_has_rolled_codes_and_they_decode_to_a_rolled_panorama(config: Any):
    network, seen = autoencoder(config), images()
    stride = network.config.stride
    assert stride == 4
    codes = network.encode(seen)
    assert codes.shape == (2, 4, 8) and codes.dtype == torch.int64 and len(codes.unique()) > 3
    for steps in (1, 3, -2):
        assert_close(
            network.latents(seen.roll(steps * stride, -1)), network.latents(seen).roll(steps, -1), atol=1e-5, rtol=0
        )
        assert torch.equal(network.encode(seen.roll(steps * stride, -1)), codes.roll(steps, -1))
        decoded = network.decode(codes.roll(steps, -1))
        assert_close(decoded, network.decode(codes).roll(steps * stride, -1), atol=1e-5, rtol=0)


def test_only_ours_keeps_to_the_law_and_is_a_plain_image_in_y():
    """The law can fail: the published paddings break it. Neither wraps ours over the poles."""
    for padding in ("published_global", "published_local"):
        network = autoencoder(replace(TINY, padding=padding))
        gap = network.latents(images().roll(4, -1)) - network.latents(images()).roll(1, -1)
        assert gap.abs().max() > 1e-2
    network = autoencoder()
    codes = network.encode(images())
    assert (network.decode(codes.roll(1, -2)) - network.decode(codes).roll(4, -2)).abs().max() > 1e-2


def test_published_sizes():
    with torch.device("meta"):
        network = VqAutoencoder(VqAutoencoder.Config())
    weights = network.state_dict()
    assert len(weights) == 343 and sum(value.numel() for value in weights.values()) == 72_141_699
    shapes = {theirs: list(weights[ours].shape) for ours, theirs in autoencoder_names(network).items()}
    assert len(shapes) == 343
    assert shapes["encoder.conv_in.weight"] == [128, 3, 3, 3] and shapes["encoder.conv_out.weight"] == [256, 512, 3, 3]
    assert shapes["encoder.mid.block_1.norm1.weight"] == [512]
    assert shapes["encoder.down.4.attn.0.q.weight"] == [512, 512]  # 1x1 convolutions are linear layers here
    assert shapes["decoder.up.3.block.0.nin_shortcut.weight"] == [256, 512, 1, 1]
    assert shapes["decoder.up.4.upsample.conv.weight"] == [512, 512, 3, 3]
    assert shapes["quantize.embedding.weight"] == [1024, 256] and shapes["quant_conv.weight"] == [256, 256, 1, 1]


@pytest.mark.parametrize("padding", ["published_global", "published_local"])
@pytest.mark.parametrize("channels", [(32, 32, 64), (32, 64)])
@torch.no_grad()
def test_published_weights_compute_what_a_plain_reading_of_them_does(padding: Padding, channels: tuple[int, ...]):
    public = public_tensors(channels)
    config = autoencoder_config(public, padding)
    assert config.channels == channels and config.quantizer.codes == 16 and config.latent_channels == 6
    with torch.device("meta"):
        network = VqAutoencoder(config)
    names, shapes = autoencoder_names(network), network.state_dict()
    assert set(names.values()) == set(public)
    fill_network(network, {ours: public[theirs].reshape(shapes[ours].shape) for ours, theirs in names.items()}, "x")
    plain, seen = PlainVqgan(public, wraps=padding == "published_global"), images(rows=32)
    codes = network.encode(seen)
    assert torch.equal(codes, plain.encode(seen)) and len(codes.unique()) > 3
    assert_close(network.decode(codes), plain.decode(codes), atol=1e-5, rtol=0)


def test_what_is_saved_is_what_is_loaded(tmp_path: Path):
    for number, config in enumerate((TINY, SCALARS)):
        network, folder = autoencoder(config), tmp_path / str(number)
        network.save_pretrained(folder)
        again = VqAutoencoder.from_pretrained(folder)
        assert again.config == config and not again.training
        assert torch.equal(again.decode(again.encode(images())), network.decode(network.encode(images())))
        network.save_pretrained(folder, torch.float16)
        halved = VqAutoencoder.from_pretrained(folder)
        assert halved.quant_conv.weight.dtype == torch.float32
        assert_close(halved.latents(images()), network.latents(images()), atol=1e-2, rtol=0)


def test_recomputed_activations_change_no_gradient():
    found = []
    for again in (False, True):
        network = autoencoder().train().requires_grad_(True)
        if again:
            network.enable_gradient_checkpointing()
        decoded, quantized = network(images())
        (decoded.square().mean() + quantized.loss).backward()
        found.append([value.grad for value in network.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"channels": ()}, "channels must be 1 to 8 numbers"),
        ({"channels": (8, 6)}, r"channels must be multiples of groups \(4\)"),
        ({"channels": (8, 2**20)}, "channels must be 1 to 8 numbers"),
        ({"groups": 0}, "channels must be multiples"),
        ({"layers_per_block": 0}, "layers_per_block must lie in"),
        ({"latent_channels": 0}, "latent_channels must lie in"),
    ],
)
def test_sizes_that_cannot_be(changes: dict[str, Any], said: str):
    with pytest.raises(UserError, match=said):
        replace(TINY, **changes)


def test_images_and_codes_that_do_not_fit():
    with pytest.raises(UserError, match="multiples of 4 pixels, got 30x16"):
        autoencoder().encode(images(columns=30))
    for code in (-1, 16):
        with pytest.raises(UserError, match=r"codes must lie in \[0, 15\]"):
            autoencoder().decode(torch.full((1, 1, 1), code))
