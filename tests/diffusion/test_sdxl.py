"""SDXL through the same backbone as Stable Diffusion: against diffusers' own pipelines, and with methods around it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from aognet.canvas import Canvas, MaskedView, filled
from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.clip_encoders import ClipConfig, ClipTextEncoder
from aognet.diffusion.condition import InpaintCondition
from aognet.diffusion.conditioner import size_conditions
from aognet.diffusion.inpaint import TextContext, ViewToPaint, inpaint, look
from aognet.diffusion.sampling.noise import normal
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.diffusion.sampling.schedulers import make_scheduler
from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.geometry.cubemap import face_cameras
from aognet.io.store import CacheConfig
from aognet.methods.aognet.model import AOGNet
from aognet.methods.aognet.settings import Settings
from aognet.methods.cubediff.model import CubeDiff
from aognet.methods.identity import model_identity
from benchmarks.training_memory import make_batch, make_cubes
from tests.slow import rest_slow
from tests.tiny import (
    IMAGE_DIM,
    SECOND_TEXT_DIM,
    TEXT_DIM,
    tiny_components,
    tiny_pipeline,
    tiny_streams,
    tiny_text_encoder,
    tiny_tokenizer,
    whole_cells,
)  # fmt: skip

PROMPTS = ["a red barn under a wide sky", "a kitchen"]
LONG = "a red barn under a very wide and cloudy sky with many small birds in it and a long road " * 2
STEPS, PIXELS = 4, 1e-4  # images are in [-1, 1]
SIZE = (32, 48)


def backbone_of(components: dict[str, Any], **options: Any) -> Backbone:
    return Backbone.of(**{name: part for name, part in components.items() if name != "image_encoder"}, **options)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def inputs() -> tuple[Tensor, Tensor]:
    images = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(5)) * 2 - 1
    known = torch.zeros(2, 1, *SIZE, dtype=torch.bool)
    known[0, :, 8:-8, :24] = True
    known[1] = torch.rand(1, *SIZE, generator=torch.Generator().manual_seed(6)) > 0.4
    return images, known


def painted(backbone: Backbone, condition: InpaintCondition, source: Any, scheduler: str, **options: Any) -> Tensor:
    sampler = SamplerConfig(scheduler=scheduler, steps=STEPS, **options)
    context = TextContext.of_prompts(backbone, PROMPTS, sampler.negative)
    return inpaint(backbone, condition, context, sampler, source)


@pytest.mark.parametrize(
    ("zeros", "negative", "guidance"),
    [(True, "", 2.5), (True, "a blurry picture", 7.5), (False, "", 2.5), (True, "", 1.0)],
)
@pytest.mark.parametrize("scheduler", rest_slow(["ddim", "euler"]))
def test_equals_the_text_to_image_pipeline(zeros: bool, negative: str, guidance: float, scheduler: str):
    from diffusers import StableDiffusionXLPipeline

    components = tiny_components("sdxl", 4)
    backbone = backbone_of(components, force_zeros_for_empty_prompt=zeros)
    pipeline = StableDiffusionXLPipeline(
        **components | {"scheduler": make_scheduler(scheduler, components["scheduler"].config)},
        force_zeros_for_empty_prompt=zeros, add_watermarker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(
        PROMPTS, negative_prompt=[negative] * 2 if negative else None, height=SIZE[0], width=SIZE[1],
        generator=seeded(), num_inference_steps=STEPS, guidance_scale=guidance, output_type="pt",
    ).images * 2 - 1  # fmt: skip
    source, shape = seeded(), (2, 4, SIZE[0] // 2, SIZE[1] // 2)
    nothing = InpaintCondition(torch.ones(2, 1, *shape[2:]), torch.zeros(shape), normal(shape, source))
    found = painted(backbone, nothing, source, scheduler, guidance=guidance, negative=negative)
    assert expected.std() > 0.05
    assert_close(found, expected, atol=PIXELS, rtol=0)


@pytest.mark.parametrize("channels", [9, 4])
@pytest.mark.parametrize("scheduler", rest_slow(["euler-a", "ddim"]))
def test_equals_the_inpainting_pipeline(channels: int, scheduler: str):
    components, (images, known) = tiny_components("sdxl", channels), inputs()
    backbone = backbone_of(components)
    assert backbone.is_inpainting == (channels == 9)
    pipeline = tiny_pipeline(components | {"scheduler": make_scheduler(scheduler, components["scheduler"].config)})
    shown, told = images, known
    if channels == 4:
        shown, told = filled(MaskedView(images * known, known)), whole_cells(known, components["vae"])
    expected = pipeline(
        PROMPTS, image=(shown + 1) / 2, mask_image=(~told).float(), height=SIZE[0], width=SIZE[1], strength=1.0,
        generator=seeded(), num_inference_steps=STEPS, guidance_scale=4.0, output_type="pt",
    ).images * 2 - 1  # fmt: skip
    source = seeded()
    condition = backbone.prepare_condition(images, known, source)
    found = painted(backbone, condition, source, scheduler, guidance=4.0)
    assert expected.std() > 0.05
    assert_close(found, expected, atol=PIXELS, rtol=0)


def test_it_is_loaded_from_a_folder(sdxl_folder: Path, sdxl_inpaint_folder: Path):
    for folder, channels in ((sdxl_folder, 4), (sdxl_inpaint_folder, 9)):
        expected, found = backbone_of(tiny_components("sdxl", channels)), Backbone.load(BackboneConfig(str(folder)))
        assert all(torch.equal(*pair) for pair in zip(expected.parameters(), found.parameters(), strict=True))
        assert found.conditioner.empty_is_zero and found.latents.vae.config.scaling_factor == 0.13025
        assert list(found.components()) == ["text_encoder", "text_encoder_2", "vae", "denoiser"]
        for one, other in zip(found.conditioner.encoders, expected.conditioner.encoders, strict=True):
            assert one.tokenizer(PROMPTS).input_ids == other.tokenizer(PROMPTS).input_ids
            assert one.tokenizer.pad_token == other.tokenizer.pad_token
    text = found.conditioner(PROMPTS)
    assert text.tokens.shape == (2, 77, TEXT_DIM + SECOND_TEXT_DIM) and text.pooled.shape == (2, IMAGE_DIM)


def test_what_the_pipeline_says_of_empty_prompts_is_kept(sdxl_folder: Path, tmp_path: Path):
    folder = copied(sdxl_folder, tmp_path, "model_index.json", force_zeros_for_empty_prompt=False)
    assert not Backbone.load(BackboneConfig(str(folder))).conditioner.empty_is_zero


def copied(folder: Path, tmp_path: Path, file: str, **changes: Any) -> Path:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    path = copy / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return copy


def test_in_float16_the_vae_stays_in_float32(sdxl_folder: Path, sd15_folder: Path, tmp_path: Path):
    backbone = Backbone.load(BackboneConfig(str(sdxl_folder), dtype="float16"))
    assert (backbone.dtype, backbone.latents.dtype) == (torch.float16, torch.float32)
    assert [name for name, part in backbone.components().items() if not part.half] == ["vae"]
    assert Backbone.load(BackboneConfig(str(sd15_folder), dtype="float16")).latents.dtype == torch.float16
    mended = copied(sdxl_folder, tmp_path, "vae/config.json", force_upcast=False)
    assert Backbone.load(BackboneConfig(str(mended), dtype="float16")).latents.dtype == torch.float16


@torch.no_grad()
@pytest.mark.parametrize(("layout", "precise"), [("sdxl", True), ("sd2", False)])
def test_a_vae_that_overflows_stays_out_of_float16_in_a_training(layout: Any, precise: bool):
    latents, images = backbone_of(tiny_components(layout)).latents, inputs()[0]
    encoded = latents.encode(images)
    decoded = latents.decode(encoded)
    with torch.autocast("cpu", torch.float16):
        assert torch.equal(latents.encode(images), encoded) == precise
        assert torch.equal(latents.decode(encoded), decoded) == precise


def test_other_weights_of_the_second_encoder_are_another_model(sdxl_folder: Path, tmp_path: Path):
    copy = Path(shutil.copytree(sdxl_folder, tmp_path / "copy"))
    assert model_identity(str(copy)) == model_identity(str(sdxl_folder))
    path = copy / "text_encoder_2" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert model_identity(str(copy)) != model_identity(str(sdxl_folder))


def test_a_folder_that_does_not_fit_together_is_named(sdxl_folder: Path, tmp_path: Path):
    alone = Path(shutil.copytree(sdxl_folder, tmp_path / "alone"))
    shutil.rmtree(alone / "text_encoder_2")
    with pytest.raises(UserError, match=r"alone: unet: cross_attention_dim is 72, but text_encoder gives 32"):
        Backbone.load(BackboneConfig(str(alone)))
    without = Path(shutil.copytree(sdxl_folder, tmp_path / "without"))
    shutil.rmtree(without / "tokenizer_2")
    with pytest.raises(UserError, match="tokenizer_2: neither tokenizer.json nor vocab.json"):
        Backbone.load(BackboneConfig(str(without)))
    shifted = copied(sdxl_folder, tmp_path, "vae/config.json", latents_mean=[0.1, 0.2, 0.3, 0.4])
    with pytest.raises(UserError, match="vae: latents_mean is set"):
        Backbone.load(BackboneConfig(str(shifted)))
    components = tiny_components("sdxl", 4)
    components["unet"].register_to_config(projection_class_embeddings_input_dim=100)
    with pytest.raises(UserError, match="asks for 52 numbers of pooled text, but text_encoder and text_encoder_2 give"):
        backbone_of(components)
    components["unet"].register_to_config(addition_embed_type="image")
    with pytest.raises(UserError, match="addition_embed_type is 'image', known are none and 'text_time'"):
        backbone_of(components)


def test_long_prompts_are_read_by_both_encoders_and_pooled_from_their_beginning():
    conditioner = backbone_of(tiny_components("sdxl", 4)).conditioner
    text = conditioner([LONG, "a barn"], "chunks")
    chunks = conditioner.chunks([LONG], "chunks")[0]
    assert len(chunks) > 1 and text.tokens.shape[1] == 77 * len(chunks)
    parts = conditioner(chunks, "cut")
    assert_close(text.tokens[0], parts.tokens.flatten(0, 1), atol=1e-5, rtol=0)
    assert_close(text.pooled[0], parts.pooled[0], atol=1e-5, rtol=0)
    assert_close(text.tokens[1], conditioner(["a barn"]).tokens[0].repeat(len(chunks), 1), atol=1e-5, rtol=0)
    for known, fresh in ((conditioner.known([LONG, "a barn"], "chunks"), text), (conditioner.known(["a barn"]), None)):
        fresh = conditioner(["a barn"]) if fresh is None else fresh
        assert_close(known.tokens, fresh.tokens, atol=1e-5, rtol=0)
        assert_close(known.pooled, fresh.pooled, atol=1e-5, rtol=0)


def test_kept_encodings_of_one_encoder_are_not_taken_for_those_of_another_layer(tmp_path: Path):
    tower, tokenizer, kept = tiny_text_encoder(), tiny_tokenizer(), CacheConfig(folder=str(tmp_path))
    for layer in ("last", "penultimate"):
        expected = ClipTextEncoder(tower, tokenizer, layer=layer)(PROMPTS).tokens
        for _ in range(2):
            assert torch.equal(ClipTextEncoder(tower, tokenizer, kept, layer)(PROMPTS).tokens, expected)


def test_the_sizes_are_those_of_the_whole_picture():
    assert size_conditions(2, 32, 48).tolist() == [[32, 48, 0, 0, 32, 48]] * 2


VIEW = Camera(width=32, height=32)


@pytest.mark.parametrize("folder", rest_slow(["sdxl_folder", "sdxl_inpaint_folder"]))
def test_aognet_trains_and_paints_on_it(folder: str, request: Any, tmp_path: Path):
    model = tiny_streams(request.getfixturevalue(folder), drop_condition=0.5).train()
    optimizer = torch.optim.SGD([weight for part in model.trainable_parts().values() for weight in part.parameters()])
    before = {name: value.clone() for name, value in model.named_parameters()}
    for _ in range(2):  # the last layers of the local stream let nothing through at first
        model(make_batch(2, 32, 32))["loss"].backward()
        optimizer.step()
    changed = {name.split(".")[0] for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {"global_stream", "unconditional", "local_stream"}
    assert all(weight.grad is None for weight in model.backbone.parameters())
    model.save_pretrained(tmp_path)
    models = [model.eval(), AOGNet.from_pretrained(tmp_path).eval()]
    results = [outpainted(one, prompt) for one in models for prompt in PROMPTS]
    assert results[0].shape == (1, 3, 32, 32) and results[0].isfinite().all() and results[0].std() > 0.02
    assert torch.equal(results[0], results[2]) and torch.equal(results[1], results[3])
    assert not torch.allclose(results[0], results[1])


def outpainted(model: Any, prompt: str, cameras: tuple[Camera, ...] = (VIEW.turned(50.0),)) -> Tensor:
    canvas = Canvas.empty(64).paint(torch.rand(1, 3, 32, 32, generator=seeded()) * 2 - 1, VIEW)
    views = [ViewToPaint(canvas, camera, prompt, number) for number, camera in enumerate(cameras)]
    return model.outpaint(views, look(views), Settings(sampler=SamplerConfig(steps=3), face_size=16))


def test_streams_reach_every_block_at_its_resolution(sdxl_folder: Path):
    model = tiny_streams(sdxl_folder).eval()
    assert model.backbone.denoiser.halves_first == [True, False, False]
    residuals = model.local_stream(
        torch.zeros(1, 3, 32, 32), torch.ones(1, 1, 32, 32, dtype=torch.bool), torch.zeros(1, 3, 32, 32),
        torch.zeros(1, 6, 3, 32, 32), torch.ones(1, 6, 1, 32, 32, dtype=torch.bool), torch.zeros(6, 3, 32, 32),
        torch.zeros(1, dtype=torch.long),
    )  # fmt: skip
    assert [part.shape[1:] for part in residuals] == [(16, 8, 8), (32, 8, 8), (32, 4, 4)]


def test_published_streams_say_that_they_do_not_fit(sdxl_folder: Path):
    config = AOGNet.Config(
        backbone=BackboneConfig(str(sdxl_folder)), clip=ClipConfig(str(sdxl_folder), text=True), variant="published"
    )
    with pytest.raises(UserError, match="variant must be revised on SDXL, .* got 'published'"):
        AOGNet(config)


@pytest.mark.parametrize("folder", rest_slow(["sdxl_folder", "sdxl_inpaint_folder"]))
def test_cubediff_trains_and_paints_on_it(folder: str, request: Any):
    model = CubeDiff(CubeDiff.Config(backbone=BackboneConfig(request.getfixturevalue(folder).as_posix()))).train()
    model(make_cubes(2, 32))["loss"].backward()
    assert any(weight.grad is not None and weight.grad.any() for weight in model.backbone.denoiser.parameters())
    faces = outpainted(model.eval(), "a barn", tuple(face_cameras(32, 95.0)))
    assert faces.shape == (6, 3, 32, 32) and faces.isfinite().all() and faces.std() > 0.02
