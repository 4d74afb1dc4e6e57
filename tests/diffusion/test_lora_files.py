"""LoRA files of all kinds: the same weights as diffusers makes of them, or one line that says why not."""

import json
import re
import shlex
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.testing import assert_close

from aognet.commands import convert_weights
from aognet.diffusion.additions import LoraFile
from aognet.diffusion.lora.layer_names import TEXT_ENCODERS, layer_names, original_name, original_names
from aognet.diffusion.lora.merge import add_loras
from aognet.errors import UserError
from aognet.nn.circular import wrap_around
from tests.slow import rest_slow
from tests.tiny import TEXT_DIM, tiny_components, tiny_pipeline

RANK, ALPHA, SCALE = 3, 2.0, 0.7
FILE = "x.safetensors"
Tensors = dict[str, Tensor]
Matrices = dict[tuple[str, str], tuple[Tensor, Tensor]]
PARTS = ("unet", *TEXT_ENCODERS)


def parts_of(components: Mapping[str, Any]) -> dict[str, Any]:
    return {part: components[part] for part in PARTS if part in components}


def matrices(parts: Mapping[str, nn.Module], kinds: tuple[type, ...], seed: int = 3) -> Matrices:
    """A pair for each layer of some kinds."""
    source, found = torch.Generator().manual_seed(seed), {}
    for part, network in parts.items():
        for name, layer in network.named_modules():
            if isinstance(layer, kinds):
                outputs, inputs, *window = layer.weight.shape
                down, up = (RANK, inputs, *window), (outputs, RANK, *(1 for _ in window))
                found[part, name] = tuple(torch.randn(shape, generator=source) * 0.1 for shape in (down, up))
    return found


def told(part: str, layer: str) -> str:
    """A layer as files have it: the text encoders are inside another model."""
    return layer if part == "unet" or layer.startswith("text") else f"text_model.{layer}"


def peft(found: Matrices, parts: Mapping[str, Any]) -> Tensors:
    names = ("lora_A", "lora_B")
    return {
        f"{part}.{told(part, layer)}.{name}.weight": matrix
        for (part, layer), pair in found.items()
        for name, matrix in zip(names, pair, strict=True)
    }


def older(found: Matrices, parts: Mapping[str, Any]) -> Tensors:
    """As diffusers wrote them before PEFT: attention processors in the UNet."""
    tensors: Tensors = {}
    for (part, layer), pair in found.items():
        layer, ending = told(part, layer), ".lora" if part == "unet" else ".lora_linear_layer"
        if ".attn" in layer:
            head, _, last = layer.removesuffix(".0").rpartition(".")
            layer, ending = f"{head}.processor.{last}", "_lora"
        tensors |= {f"{part}.{layer}{ending}.{word}.weight": x for word, x in zip(("down", "up"), pair, strict=True)}
    return tensors


def between(found: Matrices, parts: Mapping[str, Any]) -> Tensors:
    """As diffusers wrote a UNet's before PEFT and after the processors."""
    words = {"lora_A": "lora.down", "lora_B": "lora.up"}
    return {re.sub("lora_[AB]", lambda name: words[name[0]], key): value for key, value in peft(found, parts).items()}


def cog(found: Matrices, parts: Mapping[str, Any]) -> Tensors:
    return {key.removeprefix("unet."): value for key, value in older(found, parts).items()}


def kohya(found: Matrices, parts: Mapping[str, Any], original: bool = False) -> Tensors:
    prefixes = {"unet": "lora_unet_", "text_encoder": "lora_te_", "text_encoder_2": "lora_te2_"}
    if "text_encoder_2" in parts:
        prefixes["text_encoder"] = "lora_te1_"
    blocks, tensors = original_names(parts["unet"]), {}
    for (part, layer), (down, up) in found.items():
        name = original_name(layer, blocks) if original and part == "unet" else told(part, layer)
        key = f"{prefixes[part]}{name.replace('.', '_')}"
        tensors |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.alpha": torch.tensor(ALPHA)}
    return tensors


def kohya_original(found: Matrices, parts: Mapping[str, Any]) -> Tensors:
    return kohya(found, parts, original=True)


def attention_only(found: Matrices) -> Matrices:
    return {(part, layer): pair for (part, layer), pair in found.items() if part == "unet" and ".attn" in layer}


def written(tensors: Tensors, folder: Path, name: str = FILE, metadata: dict[str, str] | None = None) -> LoraFile:
    save_file({key: value.clone().contiguous() for key, value in tensors.items()}, folder / name, metadata)
    return LoraFile(str(folder / name), SCALE)


def weights_of(parts: Mapping[str, nn.Module]) -> Tensors:
    return {f"{part}.{name}": x for part, network in parts.items() for name, x in network.state_dict().items()}


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


ALL, LINEAR = (nn.Linear, nn.Conv2d), (nn.Linear,)
Format = Callable[[Matrices, Mapping[str, Any]], Tensors]


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


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    """A model that no test may change."""
    return parts_of(tiny_components("sd15", 4))


@pytest.fixture
def parts(kept: dict[str, Any]) -> dict[str, Any]:
    return deepcopy(kept)


CONV = "down_blocks.0.resnets.0.conv1"
LINE = "mid_block.attentions.0.transformer_blocks.0.ff.net.2"


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


def refused(parts: Mapping[str, Any], lora: LoraFile) -> str:
    """What is said of a file, which is one line; nothing is changed."""
    before = {name: x.clone() for name, x in weights_of(parts).items()}
    with pytest.raises(UserError) as caught:
        add_loras(parts, [lora])
    assert all(torch.equal(x, before[name]) for name, x in weights_of(parts).items())
    assert "\n" not in str(caught.value)
    return str(caught.value)


DOWN, UP = f"unet.{LINE}.lora_A.weight", f"unet.{LINE}.lora_B.weight"
GOOD = {DOWN: torch.ones(2, 128), UP: torch.ones(32, 2)}
BAD: dict[str, tuple[Tensors, str]] = {
    "a LoHa": ({"lora_unet_x.hada_w1_a": torch.ones(2)}, "a LoHa"),
    "a LoKr": ({"lora_unet_x.lokr_w1": torch.ones(2)}, "a LoKr"),
    "a DoRA": (GOOD | {"lora_unet_x.dora_scale": torch.ones(2)}, "a DoRA"),
    "a DoRA of PEFT": (GOOD | {f"unet.{LINE}.lora_magnitude_vector": torch.ones(2)}, "a DoRA"),
    "an OFT": ({"lora_unet_x.oft_blocks": torch.ones(2)}, "an OFT"),
    "whole differences": ({"lora_unet_x.diff": torch.ones(2)}, "whole differences"),
    "a layer that is not there": (
        GOOD | {key.replace("unet.mid", "unet.middle"): x for key, x in GOOD.items()},
        "2 of its 4 tensors belong to no layer of this model, among them 'unet.middle_block",
    ),
    "tensors that are no matrices": (GOOD | {"bundle_emb.word.string": torch.ones(2)}, "1 of its 3 tensors"),
    "an alpha alone": (GOOD | {"lora_unet_conv_in.alpha": torch.ones(1)}, "'lora_unet_conv_in.alpha'"),
    "a model, no LoRA": ({"conv_in.weight": torch.ones(2)}, "1 of its 1 tensors"),
    "half a pair": ({DOWN: GOOD[DOWN]}, "has no other matrix beside it"),
    "another shape": (GOOD | {UP: torch.ones(16, 2)}, "make a weight of shape [16, 128], the model's has [32, 128]"),
    "two ranks": (GOOD | {UP: torch.ones(32, 3)}, "do not fit each other"),
    "no rank": ({DOWN: torch.ones(0, 128), UP: torch.ones(32, 0)}, "must be a matrix"),
    "one axis": (GOOD | {UP: torch.ones(32)}, "must be a matrix"),
    "no axes": (GOOD | {DOWN: torch.tensor(1.0)}, "must be a matrix"),
    "NaN": (GOOD | {UP: torch.full((32, 2), torch.nan)}, "must be finite"),
    "infinity": (GOOD | {DOWN: torch.full((2, 128), torch.inf)}, "must be finite"),
    "too large": (GOOD | {UP: torch.full((32, 2), 3e38), DOWN: torch.full((2, 128), 3e38)}, "is too large"),
    "integers": (GOOD | {UP: torch.ones(32, 2, dtype=torch.int8)}, "floating-point"),
    "two names of one layer": (
        GOOD | {key.removeprefix("unet."): x for key, x in GOOD.items()},
        "are two names of one layer",
    ),
    "twice": (GOOD | {f"unet.{LINE}.lora.up.weight": GOOD[UP]}, "are the same matrix of one layer"),
    "alpha 0": (GOOD | {f"unet.{LINE}.alpha": torch.tensor(0.0)}, "alpha' must be a number greater than 0, got 0.0"),
    "two alphas": (
        GOOD | {f"unet.{LINE}.alpha": torch.ones(1), f"unet.{LINE}.lora.alpha": torch.ones(1)},
        "are the alpha of one layer",
    ),
    "alpha NaN": (GOOD | {f"unet.{LINE}.alpha": torch.tensor(torch.nan)}, "must be a number greater than 0, got nan"),
    "a very long name": (GOOD | {"x\n" * 10**5: torch.ones(2)}, "1 of its 3 tensors"),
    "many alphas": (GOOD | {f"unet.{LINE}.alpha": torch.ones(3)}, "alpha' must be a number greater than 0, got [3]"),
    "nothing": ({}, "0 of its 0 tensors"),
    "PEFT's without its config": (
        {key.replace("unet.", "base_model.model."): x for key, x in GOOD.items()},
        "adapter_config.json: no such config of PEFT's LoRA (it says alpha)",
    ),
}


@pytest.mark.parametrize("how", list(BAD))
def test_what_does_not_fit_is_told_in_one_line(how: str, kept: dict[str, Any], tmp_path: Path):
    tensors, expected = BAD[how]
    said = refused(kept, written(tensors, tmp_path))
    assert expected in said and str(tmp_path) in said and len(said) < 2000


def test_the_good_file_that_bad_ones_are_made_of_is_taken(parts: dict[str, Any], tmp_path: Path):
    before = parts["unet"].get_submodule(LINE).weight.clone()
    add_loras(parts, [written(GOOD, tmp_path)])
    assert_close(parts["unet"].get_submodule(LINE).weight, before + SCALE * 2)


def test_a_good_file_before_a_bad_one_changes_nothing(parts: dict[str, Any], tmp_path: Path):
    good, bad = written(GOOD, tmp_path, "good.safetensors"), written(BAD["NaN"][0], tmp_path)
    before = parts["unet"].get_submodule(LINE).weight.clone()
    with pytest.raises(UserError, match="must be finite"):
        add_loras(parts, [good, bad])
    assert torch.equal(parts["unet"].get_submodule(LINE).weight, before)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"unet.lora_alpha": "8"}, "lora_alpha must be a number greater than 0, got '8'"),
        ({"unet.r": 2}, "lora_alpha must be a number greater than 0, got None"),
        ({"unet.lora_alpha": -1}, "lora_alpha must be"),
        ({"unet.lora_alpha": 1, "unet.use_dora": True}, "a DoRA (unet.use_dora)"),
        ({"unet.lora_alpha": 1, "unet.peft_type": "LOHA"}, "must be 'LORA', got 'LOHA'"),
        ({"unet.lora_alpha": 1, "unet.init_lora_weights": "pissa_niter_4"}, "changes the model's own weights"),
        ({"unet.lora_alpha": 1, "unet.alpha_pattern": {"(.*)*": 1}}, "alpha_pattern must name layers"),
        ({"unet.lora_alpha": 1, "unet.alpha_pattern": [1]}, "alpha_pattern must name layers"),
        ([1], "must be an object"),
    ],
)
def test_bad_metadata_is_told_in_one_line(config: Any, expected: str, kept: dict[str, Any], tmp_path: Path):
    assert expected in refused(kept, written(GOOD, tmp_path, metadata={"lora_adapter_metadata": json.dumps(config)}))


def test_metadata_that_is_no_json_is_told(kept: dict[str, Any], tmp_path: Path):
    for text in ("{", "[" * 10**5):
        assert "is not JSON" in refused(kept, written(GOOD, tmp_path, metadata={"lora_adapter_metadata": text}))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_told_how_to_convert(zipped: bool, kept: dict[str, Any], tmp_path: Path):
    """The command that the message gives makes a file that is taken."""
    torch.save(GOOD, tmp_path / "x.bin", _use_new_zipfile_serialization=zipped)
    said = refused(kept, LoraFile(str(tmp_path / "x.bin")))
    assert convert_weights.main(shlex.split(said.rpartition("aognet convert-weights ")[2])) is None
    changed = deepcopy(kept)
    add_loras(changed, [LoraFile(str(tmp_path / "x.safetensors"))])
    assert not torch.equal(changed["unet"].get_submodule(LINE).weight, kept["unet"].get_submodule(LINE).weight)


def test_a_file_larger_than_the_model_is_not_read(kept: dict[str, Any], tmp_path: Path):
    lora = written(GOOD, tmp_path)
    with Path(lora.file).open("r+b") as file:
        file.truncate(2**40)
    assert "has 1099511627776 bytes, but a LoRA of this model at most" in refused(kept, lora)


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


def test_files_that_cannot_be_read(kept: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "load", pytest.fail)
    for suffix in (".ckpt", ".pt", ".bin"):
        path = tmp_path / f"x{suffix}"
        path.write_bytes(b"?")
        said = refused(kept, LoraFile(str(path)))
        assert "a pickle" in said and "convert-weights" in said
    (tmp_path / "x.txt").write_text("?")
    assert "not a .safetensors file" in refused(kept, LoraFile(str(tmp_path / "x.txt")))
    for content in (b"", b"\xff" * 8, (2**40).to_bytes(8, "little"), (4).to_bytes(8, "little") + b"[1] "):
        (tmp_path / FILE).write_bytes(content)
        assert "not a readable safetensors file" in refused(kept, LoraFile(str(tmp_path / FILE)))
    assert "no such file" in refused(kept, LoraFile(str(tmp_path / "none.safetensors")))
    assert "no such file" in refused(kept, LoraFile("./none/x"))
    (tmp_path / "folder").mkdir()
    assert "name one of its .safetensors files; 0 are" in refused(kept, LoraFile(str(tmp_path / "folder")))
    for name in ("a", "b"):
        written(GOOD, tmp_path / "folder", f"{name}.safetensors")
    assert "name one of its .safetensors files; 2 are" in refused(kept, LoraFile(str(tmp_path / "folder")))


@pytest.mark.parametrize("scale", [11.0, -10.5, float("nan"), float("inf")])
def test_scales_are_bounded(scale: float):
    with pytest.raises(UserError, match=r"scale must lie in \[-10, 10\]"):
        LoraFile(FILE, scale)


def test_a_lora_of_sdxl_fits_no_sd_15(kept: dict[str, Any], tmp_path: Path):
    other = parts_of(tiny_components("sdxl", 4))
    lora = written(peft(matrices(other, LINEAR), other), tmp_path)
    assert "is it a LoRA for this kind of model?" in refused(kept, lora)
