"""ControlNets beside the UNet: as diffusers' own pipelines have them, with any number of them, and with residuals."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.condition import ControlImage, InpaintCondition
from aognet.diffusion.inpaint import TextContext, inpaint
from aognet.diffusion.sampling.noise import normal
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.diffusion.sampling.schedulers import make_scheduler
from aognet.errors import UserError
from tests.slow import rest_slow
from tests.tiny import tiny_components, tiny_controlnet, tiny_unet

PROMPTS, SIZE, STEPS = ["a red barn", "a kitchen"], 32, 3
SHAPE = (2, 4, SIZE // 2, SIZE // 2)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def images(seed: int, rows: int = 2) -> Tensor:
    return torch.rand(rows, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def made(components: dict[str, Any], *controlnets: Any) -> Backbone:
    parts = {name: part for name, part in components.items() if name != "image_encoder"}
    return Backbone.of(**parts, controlnets=controlnets)


def painted(backbone: Backbone, *controls: ControlImage) -> Tensor:
    source = seeded()
    nothing = InpaintCondition(torch.ones(2, 1, *SHAPE[2:]), torch.zeros(SHAPE), normal(SHAPE, source))
    context = TextContext.of_prompts(backbone, PROMPTS)
    predict = partial(backbone.predict, controls=controls)
    return inpaint(backbone, nothing, context, SamplerConfig("ddim", STEPS, 2.5), source, predict=predict)


@pytest.mark.parametrize(("count", "layout"), rest_slow([(1, "sdxl"), (2, "sd15"), (1, "sd15"), (2, "sdxl")], fast=2))
def test_equals_the_controlnet_pipeline(layout: Any, count: int):
    from diffusers import StableDiffusionControlNetPipeline, StableDiffusionXLControlNetPipeline

    components = tiny_components(layout, 4)
    controlnets = [tiny_controlnet(components["unet"], seed) for seed in range(count)]
    shown, scales = [images(seed) for seed in range(count)], [0.8, 0.5][:count]
    is_sdxl = layout == "sdxl"
    kind = StableDiffusionXLControlNetPipeline if is_sdxl else StableDiffusionControlNetPipeline
    safety = {"safety_checker": None, "requires_safety_checker": False}
    pipeline = kind(
        **components | {"scheduler": make_scheduler("ddim", components["scheduler"].config)}, feature_extractor=None,
        controlnet=controlnets, **({"add_watermarker": False} if is_sdxl else safety),
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(
        PROMPTS, image=shown, height=SIZE, width=SIZE, generator=seeded(), num_inference_steps=STEPS,
        guidance_scale=2.5, controlnet_conditioning_scale=scales, output_type="pt",
    ).images * 2 - 1  # fmt: skip
    backbone = made(components, *controlnets)
    found = painted(backbone, *map(ControlImage, shown, scales))
    assert_close(found, expected, atol=1e-4, rtol=0)
    assert (found - painted(backbone)).abs().max() > 0.01


def test_nothing_counts_at_scale_0_and_one_image_serves_all_rows():
    components = tiny_components("sd15", 4)
    backbone = made(components, tiny_controlnet(components["unet"]))
    assert torch.equal(painted(backbone, ControlImage(images(1), 0.0)), painted(backbone))
    one = images(1, rows=1)
    every = painted(backbone, ControlImage(one.repeat(2, 1, 1, 1)))
    assert torch.equal(painted(backbone, ControlImage(one)), every) and not torch.equal(every, painted(backbone))


def test_an_inpainting_unet_with_residuals_takes_them_too():
    components = tiny_components("sd15", 9)
    controlnet = tiny_controlnet(tiny_unet("sd15", 4))
    backbone, plain = made(components, controlnet), made(components)
    known = torch.zeros(2, 1, SIZE, SIZE, dtype=torch.bool)
    known[..., :8] = True
    condition = backbone.prepare_condition(images(2) * 2 - 1, known, seeded())
    residuals = [torch.ones(2, 16, 16, 16), torch.ones(2, 32, 8, 8)]
    ask = (condition.noise, torch.tensor(500), plain.conditioner(PROMPTS), condition)
    both = backbone.predict(*ask, residuals, [ControlImage(images(1))])
    alone = [backbone.predict(*ask, residuals), backbone.predict(*ask, None, [ControlImage(images(1))])]
    assert torch.equal(alone[0], plain.predict(*ask, residuals))
    for other in (*alone, plain.predict(*ask)):
        assert not torch.allclose(both, other, atol=1e-3)


def test_as_many_images_as_controlnets():
    components = tiny_components("sd15", 4)
    backbone = made(components, tiny_controlnet(components["unet"]))
    with pytest.raises(ValueError, match="2 control images for 1 ControlNets"):
        painted(backbone, ControlImage(images(1)), ControlImage(images(2)))


def test_where_an_image_does_not_count_its_residuals_are_nothing():
    components = tiny_components("sd15", 4)
    backbone = made(components, tiny_controlnet(components["unet"]))
    nowhere, everywhere = torch.zeros(1, 1, SIZE, SIZE), torch.ones(1, 1, SIZE, SIZE)
    assert torch.equal(painted(backbone, ControlImage(images(1), where=nowhere)), painted(backbone))
    whole = painted(backbone, ControlImage(images(1)))
    assert torch.equal(painted(backbone, ControlImage(images(1), where=everywhere)), whole)
    left = (torch.arange(SIZE) < SIZE // 2).float().expand(1, 1, SIZE, SIZE)
    image = ControlImage(images(1), where=left)
    half = painted(backbone, image)
    assert not torch.equal(half, whole) and not torch.equal(half, painted(backbone))
    options = backbone.denoiser._controlled(
        torch.zeros(2, 4, 16, 16), torch.tensor(5), {"encoder_hidden_states": torch.zeros(2, 3, 32)}, [image]
    )
    for residual in (*options["down_block_additional_residuals"], options["mid_block_additional_residual"]):
        middle = residual.shape[-1] // 2
        assert residual[..., :middle].abs().min() > 0 and not residual[..., middle:].any()


def another(layout: Any = "sd15", blocks: int = 2, **changes: Any) -> Any:
    """A ControlNet for another model than the tiny SD 1.5."""
    return tiny_controlnet(tiny_unet(layout, 4, blocks), **changes)


@pytest.mark.parametrize(
    ("controlnet", "said"),
    [
        (lambda: another("sdxl"), "block_out_channels is .*, not"),
        (lambda: another(blocks=3), "block_out_channels is .*, not"),
        (lambda: another(embedding=(8, 8, 16)), "the pixels across a latent pixel, is 4, not 2"),
        (lambda: another(conditioning_channels=1), "conditioning_channels is 1, not 3"),
        (lambda: another(cross_attention_dim=48), "cross_attention_dim is 48, not 32"),
        (lambda: another(in_channels=9), "in_channels is 9, not 4"),
    ],
)
def test_a_controlnet_of_another_model_is_refused_by_both_names(
    controlnet: Any, said: str, plain_folder: Path, tmp_path: Path
):
    controlnet().save_pretrained(tmp_path / "depth")
    with pytest.raises(UserError, match=said) as caught:
        Backbone.load(BackboneConfig(str(plain_folder), controlnets=[str(tmp_path / "depth")]))
    assert str(tmp_path / "depth") in str(caught.value) and str(plain_folder) in str(caught.value)


def test_an_added_condition_must_be_that_of_the_unet(sdxl_folder: Path, tmp_path: Path):
    unet = tiny_components("sdxl", 4)["unet"]
    tiny_controlnet(unet).save_pretrained(tmp_path / "fits")
    assert len(
        Backbone.load(BackboneConfig(str(sdxl_folder), controlnets=[str(tmp_path / "fits")])).denoiser.controlnets
    )
    tiny_controlnet(unet, addition_embed_type=None).save_pretrained(tmp_path / "depth")
    with pytest.raises(UserError, match="addition_embed_type is None, not text_time"):
        Backbone.load(BackboneConfig(str(sdxl_folder), controlnets=[str(tmp_path / "depth")]))
