"""ControlNets made from a UNet change nothing yet. What distinguishes them from it is saved small, or whole."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from aognet.diffusion.controlnets import (
    SMALL,
    from_unet,
    load_controlnet,
    published_widths,
    save_small,
    save_whole,
)
from aognet.diffusion.lora.trained import open_parts
from aognet.errors import UserError
from aognet.nn.weights import read_tensors, write_tensors
from tests.slow import rest_slow
from tests.tiny import tiny_unet

LAYOUTS = [("sd15", 4), ("sd15", 9), ("sd2", 9), ("sdxl", 4), ("sdxl", 9)]


def unet_of(layout: Any = "sd15", channels: int = 4) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return tiny_unet(layout, channels)


def asked(unet: Any) -> dict[str, Any]:
    """What a ControlNet is given, besides the latents' first channels."""
    source = torch.Generator().manual_seed(1)
    words = torch.randn(1, 5, unet.config.cross_attention_dim, generator=source)
    given = {"encoder_hidden_states": words, "return_dict": False}
    if unet.config.addition_embed_type:
        pooled = unet.config.projection_class_embeddings_input_dim - 6 * unet.config.addition_time_embed_dim
        given["added_cond_kwargs"] = {
            "text_embeds": torch.randn(1, pooled, generator=source), "time_ids": torch.ones(1, 6),
        }  # fmt: skip
    return given


def shown(network: Any, unet: Any) -> list[torch.Tensor]:
    latents = torch.randn(1, 4, 8, 16, generator=torch.Generator().manual_seed(2))
    picture = torch.rand(1, 3, 16, 32, generator=torch.Generator().manual_seed(3))
    down, middle = network(latents, torch.tensor([300]), controlnet_cond=picture, **asked(unet))
    return [*down, middle]


def learned(network: Any) -> dict[str, nn.Module]:
    """Low-rank additions and layers of its own that are not zero, as if trained."""
    own = [name for name, _ in network.named_parameters() if name.startswith("controlnet_")]
    parts = open_parts(network, "lora", 3, "all", own)
    with torch.no_grad():
        for number, weight in enumerate(parts["unet"].parameters()):
            weight += torch.randn(weight.shape, generator=torch.Generator().manual_seed(number)) * 0.1
    return parts


@torch.no_grad()
@pytest.mark.parametrize(("layout", "channels"), LAYOUTS)
def test_a_new_one_is_the_encoder_of_its_unet_and_changes_nothing(layout: Any, channels: int) -> None:
    from diffusers import ControlNetModel

    unet = unet_of(layout, channels)
    network = from_unet(unet, (8, 16))
    assert all(not residual.any() for residual in shown(network, unet))
    assert torch.equal(network.conv_in.weight, unet.conv_in.weight[:, :4])
    for layer in network.controlnet_down_blocks:  # as if trained: the same that diffusers makes of the same UNet
        nn.init.dirac_(layer.weight)
    plain = tiny_unet(layout, 4)
    plain.load_state_dict(unet.state_dict() | {"conv_in.weight": unet.conv_in.weight[:, :4]})
    theirs = ControlNetModel.from_unet(plain, conditioning_embedding_out_channels=(8, 16))
    for layer in theirs.controlnet_down_blocks:
        nn.init.dirac_(layer.weight)
    found = shown(network, unet)
    assert all(residual.any() for residual in found[:-1])
    assert_close(found, shown(theirs, unet))


@torch.no_grad()
@pytest.mark.parametrize("widths", [(8, 16), (8, 16, 32, 64), (16, 32, 96, 256)])
def test_a_new_one_sees_the_contrast_of_its_image(widths: tuple[int, ...]) -> None:
    """What reaches the last layer, which starts at zero, differs between places about as much as the image does."""
    torch.manual_seed(0)
    embedding = from_unet(unet_of(), widths).controlnet_cond_embedding
    rows = torch.linspace(0, 1, 64)[:, None].expand(1, 3, 64, 128)
    image = torch.cat([rows, rows.flip(2), (rows > 0.5).float(), rows.square()])
    reached: list[torch.Tensor] = []
    embedding.conv_out.register_forward_pre_hook(lambda _, inputs: reached.append(inputs[0]))
    embedding(image)
    assert 0.2 < reached[0].std((2, 3)).mean() / image.std((2, 3)).mean() < 3


def test_widths_as_published() -> None:
    assert [published_widths(scale) for scale in (1, 2, 8, 16)] == [
        [16], [16, 32], [16, 32, 96, 256], [16, 32, 96, 256, 256],
    ]  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize(("layout", "channels"), rest_slow(LAYOUTS[::-1], fast=2))
def test_small_and_whole_are_the_same(layout: Any, channels: int, tmp_path: Path) -> None:
    from diffusers import ControlNetModel

    unet = unet_of(layout, channels)
    network = from_unet(unet, (8, 16))
    learned(network)
    expected = shown(network, unet)
    save_small(tmp_path / "small", network, "float32")
    save_whole(tmp_path / "whole", network, "float32")
    assert_close(shown(ControlNetModel.from_pretrained(tmp_path / "whole"), unet), expected)
    for name in ("small", "whole"):
        again = load_controlnet(str(tmp_path / name), unet)
        assert type(again) is ControlNetModel and not any(weight.requires_grad for weight in again.parameters())
        assert_close(shown(again, unet), expected)
    assert_close(shown(network, unet), expected)  # saving changed nothing
    bytes_of = [sum(file.stat().st_size for file in (tmp_path / name).iterdir()) for name in ("small", "whole")]
    assert bytes_of[0] < bytes_of[1]
    save_small(tmp_path / "half", network, "float16")
    half = load_controlnet(str(tmp_path / "half"), unet)
    assert half.dtype == torch.float32
    assert_close(shown(half, unet), expected, atol=0.05, rtol=0.05)


@torch.no_grad()
def test_a_small_one_that_does_not_fit_is_told_by_its_first_tensor(tmp_path: Path) -> None:
    network = from_unet(unet_of(), (8, 16))
    learned(network)
    save_small(tmp_path, network, "float32")
    file, unet = tmp_path / SMALL, unet_of()
    tensors = read_tensors(file)
    pair = "down_blocks.0.resnets.0.conv1.lora_A.weight"
    own = "controlnet_mid_block.weight"
    wrong: dict[str, dict[str, torch.Tensor]] = {
        "conv_in.weight' is missing": {name: value for name, value in tensors.items() if "cond_embedding" not in name},
        f"{own!r}": {name: value for name, value in tensors.items() if name != own},
        f"{pair.replace('_A', '_B')!r} belongs to no pair": {
            name: value for name, value in tensors.items() if name != pair
        },
        "'strange.lora_A.weight' belongs to no pair": tensors | {"strange.lora_A.weight": torch.ones(2, 2)},
        "'strange' belongs to no pair": tensors | {"strange": torch.ones(2)},
        r"are \[3, 5, 3, 3\] and \[16, 3, 1, 1\], for a matrix of \[16, 16": tensors | {pair: torch.ones(3, 5, 3, 3)},
        r"are \[2, 16, 3, 3\] and": tensors | {pair: torch.ones(2, 16, 3, 3)},
        r"are \[3\] and": tensors | {pair: torch.ones(3)},
    }
    for said, changed in wrong.items():
        write_tensors(file, changed)
        with pytest.raises(UserError, match=f"{SMALL}: .*{said}"):
            load_controlnet(str(tmp_path), unet)
    write_tensors(file, tensors)
    with pytest.raises(UserError, match=f"{SMALL}: "):
        load_controlnet(str(tmp_path), tiny_unet("sdxl", 4, 3))


@torch.no_grad()
def test_a_config_of_another_class_is_refused(tmp_path: Path) -> None:
    network = from_unet(unet_of(), (8, 16))
    learned(network)
    save_small(tmp_path, network, "float32")
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace("ControlNetModel", "UNet2DConditionModel"))
    with pytest.raises(UserError, match="_class_name"):
        load_controlnet(str(tmp_path), unet_of())
