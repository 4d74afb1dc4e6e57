"""LoRA files of all kinds: the same weights as diffusers makes of them."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.testing import assert_close

from aognet.diffusion.additions import LoraFile
from aognet.diffusion.lora.layer_names import layer_names, original_name, original_names
from aognet.diffusion.lora.merge import add_loras
from aognet.nn.circular import wrap_around
from tests.diffusion.lora_files import (
    ALL,
    FILE,
    GOOD,
    LINE,
    LINEAR,
    SCALE,
    Format,
    Matrices,
    between,
    cog,
    kohya,
    kohya_original,
    matrices,
    older,
    parts_of,
    peft,
    weights_of,
    written,
)
from tests.slow import rest_slow
from tests.tiny import TEXT_DIM, tiny_components, tiny_pipeline

CONV = "down_blocks.0.resnets.0.conv1"


def attention_only(found: Matrices) -> Matrices:
    return {(part, layer): pair for (part, layer), pair in found.items() if part == "unet" and ".attn" in layer}


def fused(components: dict[str, Any], folder: Path, scale: float = SCALE) -> dict[str, Any]:
    """The parts as diffusers changes them."""
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

    xl = "text_encoder_2" in components
    more = {"add_watermarker": False} if xl else {"safety_checker": None, "requires_safety_checker": False}
    pipeline = (StableDiffusionXLPipeline if xl else StableDiffusionPipeline)(
        **components, **more, feature_extractor=None
    )
    pipeline.load_lora_weights(str(folder), weight_name=FILE)
    pipeline.fuse_lora(lora_scale=scale)
    pipeline.unload_lora_weights()
    return parts_of(pipeline.components)


@pytest.mark.parametrize(
    ("layout", "form", "kinds"),
    rest_slow(
        [
            ("sd15", peft, ALL),
            ("sd15", between, ALL),
            ("sd2", kohya, ALL),
            ("sdxl", older, LINEAR),
            ("sdxl", kohya_original, ALL),
            ("sd15", older, LINEAR),
            ("sdxl", peft, ALL),
        ],
        fast=5,
    ),
)
def test_a_file_gives_what_diffusers_makes_of_it(layout: Any, form: Format, kinds: tuple[type, ...], tmp_path: Path):
    components = tiny_components(layout, 4)
    ours, plain = parts_of(deepcopy(components)), weights_of(parts_of(components))
    found = matrices(ours, kinds)
    written_then = {older: lambda part, layer: "attn" in layer, between: lambda part, layer: part == "unet"}
    if form in written_then:
        found = {place: pair for place, pair in found.items() if written_then[form](*place)}
    lora = written(form(found, ours), tmp_path)
    add_loras(ours, [lora])
    expected = weights_of(fused(deepcopy(components), tmp_path))
    changed = weights_of(ours)
    assert_close(changed, expected, atol=1e-6, rtol=1e-5)
    assert sum(not torch.equal(changed[name], plain[name]) for name in plain) == len(found)


def test_a_file_of_cog_gives_what_diffusers_makes_of_it(tmp_path: Path):
    components = tiny_components("sdxl", 4)
    ours = parts_of(deepcopy(components))
    found = attention_only(matrices(ours, LINEAR))
    add_loras(ours, [written(cog(found, ours), tmp_path)])
    unet = components["unet"]
    unet.load_lora_adapter(str(tmp_path), prefix=None, weight_name=FILE)
    unet.fuse_lora(lora_scale=SCALE)
    unet.unload_lora()
    assert_close(ours["unet"].state_dict(), unet.state_dict(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("layout", rest_slow(["sdxl", "sd15"]))
def test_a_pipeline_paints_the_same_picture(layout: Any, tmp_path: Path):
    components = tiny_components(layout, 9)
    ours = deepcopy(components)
    found = matrices(parts_of(ours), ALL)
    lora = written((kohya_original if layout == "sdxl" else kohya)(found, parts_of(ours)), tmp_path)
    ask = {
        "prompt": "a beach", "image": torch.zeros(1, 3, 32, 32), "mask_image": torch.ones(1, 1, 32, 32), "height": 32,
        "width": 32, "num_inference_steps": 2, "output_type": "pt",
    }  # fmt: skip

    def painted(parts: dict[str, Any]) -> Tensor:
        return tiny_pipeline(parts)(**ask, generator=torch.Generator().manual_seed(0)).images

    before = painted(ours)
    add_loras(parts_of(ours), [lora])
    after = painted(ours)
    fused(components, tmp_path)
    assert_close(after, painted(components), atol=1e-5, rtol=0)
    assert (after - before).abs().max() > 0.01


@pytest.mark.parametrize("layout", ["sd15", "sdxl"])
def test_the_original_names_are_those_that_diffusers_converts(layout: str):
    """A whole UNet under its original names, each tensor with a number of its own."""
    from diffusers import UNet2DConditionModel
    from diffusers.loaders.single_file_utils import LDM_UNET_KEY, convert_ldm_unet_checkpoint

    unet = tiny_components("sdxl" if layout == "sdxl" else "sd15", 4)["unet"]
    config = dict(unet.config) | {"layers_per_block": 2}
    if layout == "sd15":
        blocks = {"down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]}
        config |= blocks | {"up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3}
        config |= {"block_out_channels": [16] * 4, "cross_attention_dim": TEXT_DIM}
    unet = UNet2DConditionModel.from_config(config)
    blocks = original_names(unet)
    layers = [name for name, layer in unet.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    checkpoint = {
        f"{LDM_UNET_KEY}{original_name(name, blocks)}.{kind}": torch.tensor(number)
        for number, name in enumerate(layers)
        for kind in ("weight", "bias")
    }
    assert len(checkpoint) == 2 * len(layers)
    converted = convert_ldm_unet_checkpoint(checkpoint, config)
    found = {name: int(converted[f"{name}.weight"]) for name in layers}
    assert found == {name: number for number, name in enumerate(layers)}


def test_a_convolution_with_an_addition_does_both(parts: dict[str, Any], tmp_path: Path):
    """With ``mid`` the window is in the middle: three convolutions behind each other."""
    layer, source = parts["unet"].get_submodule(CONV), torch.Generator().manual_seed(0)
    x = torch.randn(1, 16, 6, 6, generator=source)
    before, key = layer(x), "lora_unet_down_blocks_0_resnets_0_conv1"
    down, mid, up = (torch.randn(shape, generator=source) for shape in ((5, 16, 1, 1), (5, 5, 3, 3), (16, 5, 1, 1)))
    lora = {f"{key}.lora_{word}.weight": x for word, x in (("down", down), ("mid", mid), ("up", up))}
    add_loras(parts, [written(lora | {f"{key}.alpha": torch.tensor(4.0)}, tmp_path)])
    added = functional.conv2d(functional.conv2d(functional.conv2d(x, down), mid, padding=1), up)
    assert_close(layer(x), before + SCALE * 4 / 5 * added, atol=1e-4, rtol=1e-4)


def test_each_layer_has_its_own_alpha_and_rank(parts: dict[str, Any], tmp_path: Path):
    found, tensors, expected = matrices({"unet": parts["unet"]}, ALL), {}, {}
    for number, ((_, layer), (down, up)) in enumerate(found.items()):
        rank, alpha, key = 1 + number % 3, 0.5 + number % 4, f"lora_unet_{layer.replace('.', '_')}"
        down, up = down[:rank], up[:, :rank]
        tensors |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.alpha": torch.tensor(alpha)}
        product = torch.einsum("or...,ri...->oi...", up, down)
        expected[layer] = parts["unet"].get_submodule(layer).weight + SCALE * alpha / rank * product
    add_loras(parts, [written(tensors, tmp_path)])
    for layer, weight in expected.items():
        assert_close(parts["unet"].get_submodule(layer).weight, weight, atol=1e-5, rtol=1e-5)


def test_alphas_may_be_whole_numbers(parts: dict[str, Any], tmp_path: Path):
    """As trainers keep them whose setting is one."""
    before = parts["unet"].get_submodule(LINE).weight.clone()
    add_loras(parts, [written(GOOD | {f"unet.{LINE}.alpha": torch.tensor(4)}, tmp_path)])
    assert_close(parts["unet"].get_submodule(LINE).weight, before + SCALE * 2 * 4 / 2)


def test_several_files_add_up_and_negative_ones_take_away(parts: dict[str, Any], tmp_path: Path):
    plain = {name: x.clone() for name, x in weights_of(parts).items()}
    files = [written(peft(matrices(parts, ALL, seed), parts), tmp_path, f"{seed}.safetensors") for seed in (1, 2)]
    one, other = (LoraFile(one.file, scale) for one, scale in zip(files, (0.6, -1.5), strict=True))
    together, turns = deepcopy(parts), deepcopy(parts)
    add_loras(together, [one, other])
    for single in (other, one):
        add_loras(turns, [single])
    assert_close(weights_of(together), weights_of(turns), atol=1e-6, rtol=1e-5)
    add_loras(together, [LoraFile(one.file, -0.6), LoraFile(other.file, 1.5)])
    assert_close(weights_of(together), plain, atol=1e-6, rtol=1e-5)


def test_half_precision_is_rounded_once(parts: dict[str, Any], tmp_path: Path):
    files = [written(peft(matrices(parts, ALL, seed), parts), tmp_path, f"{seed}.safetensors") for seed in (1, 2)]
    halves = {name: part.to(torch.bfloat16) for name, part in parts.items()}
    exact = {name: deepcopy(part).float() for name, part in halves.items()}
    add_loras(exact, files)
    add_loras(halves, files)
    assert_close(weights_of(halves), {name: x.bfloat16() for name, x in weights_of(exact).items()}, atol=0, rtol=0)


def test_wrapping_around_before_or_after_is_the_same(parts: dict[str, Any], tmp_path: Path):
    lora = written(peft(matrices(parts, ALL), parts), tmp_path)
    after, before = parts["unet"], deepcopy(parts["unet"])
    add_loras({"unet": after, "text_encoder": parts["text_encoder"]}, [lora])
    wrap_around(after)
    wrap_around(before)
    add_loras({"unet": before, "text_encoder": deepcopy(parts["text_encoder"])}, [lora])
    assert_close(after.state_dict(), before.state_dict())
    ask = (torch.randn(1, 4, 8, 16), 500, torch.randn(1, 5, TEXT_DIM))
    assert torch.equal(after(*ask).sample, before(*ask).sample)


@pytest.mark.parametrize("stable", [False, True])
def test_what_peft_says_of_alpha_counts(stable: bool, parts: dict[str, Any], tmp_path: Path):
    """In diffusers' metadata of the file, and in PEFT's own config beside it; patterns too."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=2, lora_alpha=6, target_modules=["to_q", "conv1"], init_lora_weights=False, use_rslora=stable,
        alpha_pattern={"mid_block.attentions.0.transformer_blocks.0.attn1.to_q": 1}, rank_pattern={"conv1": 4},
    )  # fmt: skip
    torch.manual_seed(0)
    ours, unet = [deepcopy(parts) for _ in range(2)], deepcopy(parts["unet"])
    trained = get_peft_model(deepcopy(unet), config)
    trained.save_pretrained(tmp_path / "peft")
    add_loras(ours[0], [LoraFile(str(tmp_path / "peft"))])
    assert_close(ours[0]["unet"].state_dict(), trained.merge_and_unload().state_dict(), atol=1e-6, rtol=1e-5)

    unet.add_adapter(config)
    unet.save_lora_adapter(str(tmp_path / "diffusers"))
    add_loras(ours[1], [LoraFile(str(tmp_path / "diffusers"))])
    unet.fuse_lora()
    unet.unload_lora()
    assert_close(ours[1]["unet"].state_dict(), unet.state_dict(), atol=1e-6, rtol=1e-5)


def test_the_good_file_that_bad_ones_are_made_of_is_taken(parts: dict[str, Any], tmp_path: Path):
    before = parts["unet"].get_submodule(LINE).weight.clone()
    add_loras(parts, [written(GOOD, tmp_path)])
    assert_close(parts["unet"].get_submodule(LINE).weight, before + SCALE * 2)


def test_every_name_of_a_published_file_for_sdxl_is_known():
    """Of its 140 attentions cog's trainer writes eight matrices each; kohya's names are of the original code."""
    from diffusers import UNet2DConditionModel

    blocks = ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"]
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            block_out_channels=(320, 640, 1280), down_block_types=blocks, layers_per_block=2, cross_attention_dim=2048,
            up_block_types=[name.replace("Down", "Up") for name in reversed(blocks)], use_linear_projection=True,
            transformer_layers_per_block=[1, 2, 10], attention_head_dim=[5, 10, 20], addition_embed_type="text_time",
            addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816,
        )  # fmt: skip
    names = layer_names({"unet": unet})
    processors = {name for name in names if ".processor." in name and not name.startswith(("unet.", "base_model."))}
    assert len(processors) * 2 == 1120
    assert "up_blocks.0.attentions.1.transformer_blocks.9.attn2.processor.to_out" in processors
    known = {
        "input_blocks_4_1_transformer_blocks_0_attn1_to_k": (
            "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_k"
        ),
        "input_blocks_8_1_proj_in": "down_blocks.2.attentions.1.proj_in",
        "middle_block_1_transformer_blocks_9_ff_net_0_proj": (
            "mid_block.attentions.0.transformer_blocks.9.ff.net.0.proj"
        ),
        "output_blocks_2_2_conv": "up_blocks.0.upsamplers.0.conv",
        "output_blocks_5_1_transformer_blocks_1_attn2_to_out_0": (
            "up_blocks.1.attentions.2.transformer_blocks.1.attn2.to_out.0"
        ),
        "output_blocks_8_0_skip_connection": "up_blocks.2.resnets.2.conv_shortcut",
        "input_blocks_6_0_op": "down_blocks.1.downsamplers.0.conv",
        "label_emb_0_2": "add_embedding.linear_2",
    }
    for original, layer in known.items():
        assert names[f"lora_unet_{original}"].layer == layer
