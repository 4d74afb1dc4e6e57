"""Whole networks of diffusers without a seam: a roll of the input is a roll of the output."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.nn.circular import SphereConv2d, beyond_poles, padded_as, wrap_around
from tests.tiny import tiny_controlnet, tiny_unet, tiny_vae

Call = Callable[[Tensor], Tensor]
WIDTH, ROWS = 32, 16
NETWORKS = ("unet", "unet of SDXL", "encoder", "decoder", "controlnet")


def made(kind: str) -> tuple[nn.Module, Call, int, int, int]:
    """A network, a call of it on an image in x, the image's channels, the stride to roll by, and pixels in a pixel out.

    Pixels out are negative where the output is larger.
    """
    with torch.random.fork_rng(devices=[]):  # other tests draw as if this one were not there
        torch.manual_seed(0)
        return _made(kind)


def _made(kind: str) -> tuple[nn.Module, Call, int, int, int]:
    time = torch.tensor([500])
    if kind in ("encoder", "decoder"):
        vae = tiny_vae(blocks=3).double()
        if kind == "encoder":
            return vae, lambda x: vae.encode(x).latent_dist.mean, 3, 4, 4
        return vae, lambda x: vae.decode(x).sample, 4, 1, -4
    sdxl = kind.endswith("SDXL")
    unet = tiny_unet("sdxl" if sdxl else "sd2", channels=4, blocks=4).double()
    words = torch.randn(1, 5, unet.config.cross_attention_dim, dtype=torch.float64)
    more: dict[str, Any] = {"encoder_hidden_states": words, "return_dict": False}
    if sdxl:
        width = unet.add_embedding.linear_1.in_features - 6 * unet.config.addition_time_embed_dim
        told = {"text_embeds": torch.randn(1, width).double(), "time_ids": torch.ones(1, 6).double()}
        more["added_cond_kwargs"] = told
    stride = 2 ** (len(unet.config.block_out_channels) - 1)
    if kind == "controlnet":
        control = tiny_controlnet(unet).double()
        scale = 2 ** (len(control.config.conditioning_embedding_out_channels) - 1)
        latents = torch.zeros(1, 4, ROWS, WIDTH, dtype=torch.float64)

        def mid(x: Tensor) -> Tensor:
            shown = x.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
            return control(latents, time, controlnet_cond=shown, **more)[1]

        return control, mid, 3, stride, stride
    return unet, lambda x: unet(x, time, **more)[0], 4, stride, 1


def seam(call: Call, channels: int, stride: int, pixels: int) -> float:
    """The greatest error of rolls, relative to what the network makes."""
    x = torch.randn(1, channels, ROWS, WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    plain, errors = call(x), []
    for times in (1, 2, 3):
        moved = times * stride * -pixels if pixels < 0 else times * stride // pixels
        error = call(x.roll(times * stride, -1)) - plain.roll(moved, -1)
        errors.append(float(error.abs().max() / plain.abs().max()))
    return max(errors)


def add_lora(network: Any) -> None:
    """Low-rank additions to convolutions and projections, which change something."""
    from peft import LoraConfig

    convolutions = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    projections = [name for name, _ in network.named_modules() if name.endswith(("to_q", "to_out.0"))]
    network.add_adapter(
        LoraConfig(r=2, lora_alpha=2, init_lora_weights=False, target_modules=convolutions + projections)
    )
    network.double()


@torch.no_grad()
@pytest.mark.parametrize("poles", ["none", "flip"])
@pytest.mark.parametrize("lora", ["", "before", "after"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_roll_of_the_input_rolls_the_output(kind: str, lora: str, poles: str) -> None:
    network, call, *rest = made(kind)
    if lora == "before":
        add_lora(network)
    assert seam(call, *rest) > 0.02  # as it is made, it has a seam
    wrap_around(network, poles)
    if lora == "after":
        add_lora(network)
        wrap_around(network, poles)
    assert seam(call, *rest) < 1e-9


@torch.no_grad()
@pytest.mark.parametrize("kind", NETWORKS)
def test_away_from_the_edges_nothing_changes_and_weights_stay(kind: str) -> None:
    """What a convolution makes of its inside; a whole network's norms and attention see the edges everywhere."""
    network, call, channels, *_ = made(kind)
    names = list(network.state_dict())
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d) and max(module.padding) > 0]
    layer = layers[0]
    x = torch.randn(1, layer.in_channels, 12, 16, dtype=torch.float64)
    before = layer(x)
    wrap_around(network)
    assert list(network.state_dict()) == names and isinstance(layer, SphereConv2d)
    after = layer(x)
    assert after.shape == before.shape
    inside = (..., slice(None), slice(2, -2))
    assert_close(after[inside], before[inside])
    assert call(torch.randn(1, channels, ROWS, WIDTH, dtype=torch.float64)).isfinite().all()


def test_over_the_pole_lies_the_other_side() -> None:
    rows = torch.arange(4.0)[:, None] * 10 + torch.arange(6.0)
    padded = beyond_poles(rows[None, None], 2, 1, "flip")[0, 0]
    assert padded.shape == (7, 6)
    assert torch.equal(padded[1], rows[0].roll(3)) and torch.equal(padded[0], rows[1].roll(3))
    assert torch.equal(padded[-1], rows[3].roll(3)) and torch.equal(padded[2:-1], rows)
    assert beyond_poles(rows[None, None], 2, 1, "none")[0, 0, :2].abs().sum() == 0
    with pytest.raises(ValueError, match="an even width and 5 rows, got 4x6"):
        beyond_poles(rows[None, None], 5, 0, "flip")


@torch.no_grad()
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_pads_otherwise_where_it_is_told_to(kind: str) -> None:
    """As it was made for views, or with other poles; in one thread while another one paints a panorama."""
    network, call, channels, *_ = made(kind)
    x = torch.randn(1, channels, ROWS, WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    plain = call(x)
    wrap_around(network, "flip")
    flipped = call(x)
    with padded_as("view"):
        assert_close(call(x), plain, atol=1e-12, rtol=0)
        with ThreadPoolExecutor(1) as other:
            assert torch.equal(other.submit(torch.no_grad()(call), x).result(), flipped)
        with padded_as(None):
            assert_close(call(x), plain, atol=1e-12, rtol=0)
    with padded_as("none"):
        level = call(x)
    assert torch.equal(call(x), flipped)
    wrap_around(network, "none")
    assert torch.equal(call(x), level)


@torch.no_grad()
def test_a_compiled_network_pads_otherwise_too(plain_folder: Path) -> None:
    """It is not compiled then: a compiled one cannot ask."""
    backbone = Backbone.load(BackboneConfig(str(plain_folder)))
    denoiser, latents = backbone.denoiser, torch.randn(1, 4, 8, 16)
    text, time = backbone.conditioner(["a yard"]), torch.tensor(3)
    plain = denoiser(latents, time, text)
    wrap_around(denoiser, "flip")
    wrapped = denoiser(latents, time, text)
    calls: list[int] = []

    def compiled(*inputs: Any, **options: Any) -> Any:
        calls.append(1)
        return denoiser.unet._call_impl(*inputs, **options)

    denoiser.unet._compiled_call_impl = compiled
    assert_close(denoiser(latents, time, text), wrapped)
    with padded_as("view"):
        assert_close(denoiser(latents, time, text), plain)
    assert_close(denoiser(latents, time, text), wrapped)
    assert len(calls) == 2 and (plain - wrapped).abs().max() > 0.01
