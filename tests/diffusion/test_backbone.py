"""The backbone against `diffusers.StableDiffusionInpaintPipeline`, and what it says when it cannot be had."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub.utils import filter_repo_objects
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.testing import assert_close
from transformers import CLIPConfig, CLIPModel, CLIPVisionModelWithProjection

from aognet.canvas import MaskedView, filled
from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.condition import TextCondition
from aognet.diffusion.loading import load_scheduler, load_weights, resolve
from aognet.diffusion.sampling.denoise import denoise, guided
from aognet.diffusion.sampling.noise import generators
from aognet.diffusion.sampling.schedulers import make_scheduler
from aognet.errors import UserError
from tests.slow import rest_slow
from tests.tiny import tiny_components, tiny_image_encoder, tiny_pipeline, tiny_text_encoder, whole_cells

PROMPTS = ["a red barn under a wide sky", "a kitchen"]
STEPS = 4
PIXELS = 1e-4  # images are in [-1, 1]


def backbone_of(components: dict[str, Any]) -> Backbone:
    return Backbone.of(**{name: part for name, part in components.items() if name != "image_encoder"})


def inputs(size: int = 32) -> tuple[Tensor, Tensor]:
    """Two images, and a known area that is a box in one and a ragged patch in the other."""
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(5)) * 2 - 1
    known = torch.zeros(2, 1, size, size, dtype=torch.bool)
    known[0, :, size // 4 : -size // 4, : size // 2] = True
    known[1] = torch.rand(1, size, size, generator=torch.Generator().manual_seed(6)) > 0.4
    return images, known


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def reference(components: dict[str, Any], name: str, scale: float, source: Any, size: int = 32) -> Tensor:
    images, known = inputs(size)
    if components["unet"].config.in_channels == 4:
        images, known = filled(MaskedView(images * known, known)), whole_cells(known, components["vae"])
    scheduler = make_scheduler(name, components["scheduler"].config)
    pipeline = tiny_pipeline({**components, "scheduler": scheduler})
    result = pipeline(
        PROMPTS, image=(images + 1) / 2, mask_image=(~known).float(), height=size, width=size, generator=source,
        num_inference_steps=STEPS, guidance_scale=scale, output_type="pt",
    )  # fmt: skip
    return result.images * 2 - 1


def ours(backbone: Backbone, name: str, scale: float, source: Any, size: int = 32) -> Tensor:
    images, known = inputs(size)
    condition = backbone.prepare_condition(images, known, source)
    scheduler = make_scheduler(name, backbone.scheduler.config)

    def predict(latents: Tensor, timestep: Tensor, context: TextCondition) -> Tensor:
        return backbone.predict(latents, timestep, context, condition)

    context, negative = backbone.conditioner(PROMPTS), backbone.conditioner([""] * len(PROMPTS))
    latents = denoise(
        guided(predict, context, negative, scale), scheduler, condition.noise, steps=STEPS, generators=source,
        after_step=backbone.repaint_known(condition, scheduler),
    )  # fmt: skip
    return backbone.latents.decode(latents)


@pytest.mark.parametrize(
    ("layout", "prediction_type", "channels"),
    rest_slow(
        [
            ("sd2", "v_prediction", 9),
            ("sd15", "epsilon", 4),
            ("sd15", "epsilon", 9),
            ("sd2", "epsilon", 9),
            ("sd2", "v_prediction", 4),
        ],
        fast=2,
    ),
)
def test_equals_the_diffusers_pipeline(layout: Any, prediction_type: str, channels: int) -> None:
    components = tiny_components(layout, channels, prediction_type)
    backbone = backbone_of(components)
    assert (backbone.prediction_type, backbone.is_inpainting) == (prediction_type, channels == 9)
    for name in ("pndm", "ddim", "dpm-solver++"):
        for scale in (2.5, 7.5):
            expected = reference(components, name, scale, seeded())
            assert expected.std() > 0.05
            assert_close(ours(backbone, name, scale, seeded()), expected, atol=PIXELS, rtol=0)


@pytest.mark.parametrize("name", ["unipc", "lcm", "euler", "euler-a"])
@pytest.mark.parametrize("channels", rest_slow([9, 4]))
def test_equals_the_pipeline_with_the_other_schedulers_and_a_generator_per_row(name: str, channels: int) -> None:
    components = tiny_components("sd2", channels)
    expected = reference(components, name, 2.5, generators([7, 8]))
    assert_close(ours(backbone_of(components), name, 2.5, generators([7, 8])), expected, atol=PIXELS, rtol=0)


def test_equals_the_pipeline_with_four_blocks_and_without_guidance() -> None:
    components = tiny_components("sd2", blocks=4)
    backbone = backbone_of(components)
    assert backbone.latents.scale == 8
    expected = reference(components, "ddim", 1.0, seeded(), size=64)
    assert_close(ours(backbone, "ddim", 1.0, seeded(), size=64), expected, atol=PIXELS, rtol=0)


def test_saved_and_loaded_is_the_same(sd2_folder: Path) -> None:
    in_memory, loaded = backbone_of(tiny_components("sd2")), Backbone.load(BackboneConfig(str(sd2_folder)))
    ours, theirs = (one.conditioner.encoders[0].tokenizer(PROMPTS).input_ids for one in (loaded, in_memory))
    assert ours == theirs
    assert settings(loaded) == settings(in_memory)
    expected, found = in_memory.state_dict(), loaded.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def settings(backbone: Backbone) -> dict[str, Any]:
    """The scheduler's config without what diffusers notes for itself."""
    return {key: value for key, value in backbone.scheduler.config.items() if not key.startswith("_")}


@pytest.mark.parametrize("channels", [9, 4])
def test_a_sample_does_not_depend_on_its_batch(channels: int) -> None:
    backbone = backbone_of(tiny_components("sd15", channels))
    images, known = inputs()
    context = backbone.conditioner(PROMPTS)

    def sample(rows: slice) -> Tensor:
        condition = backbone.prepare_condition(images[rows], known[rows], generators([11, 12][rows]))
        scheduler = make_scheduler("euler-a", backbone.scheduler.config)
        return denoise(
            lambda latents, timestep: backbone.predict(latents, timestep, context[rows], condition),
            scheduler, condition.noise, steps=3, generators=generators([11, 12][rows], stream=1),
            after_step=backbone.repaint_known(condition, scheduler),
        )  # fmt: skip

    both = sample(slice(0, 2))
    for row in range(2):
        assert_close(both[row : row + 1], sample(slice(row, row + 1)), atol=5e-5, rtol=1e-5)


def test_unknown_pixels_are_never_seen_by_an_inpainting_unet(sd2_folder: Path) -> None:
    backbone = Backbone.load(BackboneConfig(str(sd2_folder)))
    images, known = inputs()
    changed = torch.where(known, images, -images)
    first, second = (backbone.prepare_condition(image, known, seeded()) for image in (images, changed))
    assert torch.equal(first.image, second.image)
    assert torch.equal(first.mask, (~known[..., ::2, ::2]).float())


def test_residuals_reach_the_encoder_and_gradients_reach_the_residuals(sd2_folder: Path) -> None:
    backbone = Backbone.load(BackboneConfig(str(sd2_folder)))
    backbone.denoiser.enable_gradient_checkpointing()
    condition = backbone.prepare_condition(*inputs(), seeded())
    context = backbone.conditioner(PROMPTS)
    context.tokens.requires_grad_()
    zero = [torch.zeros(2, 16, 16, 16, requires_grad=True), torch.zeros(2, 32, 8, 8, requires_grad=True)]
    timesteps = torch.tensor([10, 700])
    plain = backbone.predict(condition.noise, timesteps, context, condition)
    output = backbone.predict(condition.noise, timesteps, context, condition, zero)
    assert_close(output, plain)
    twice = backbone.predict(
        torch.cat([condition.noise] * 2), timesteps.repeat(2), context.repeated(2), condition, zero
    )
    assert_close(twice, plain.repeat(2, 1, 1, 1))
    output.square().mean().backward()
    assert len(zero) == 2
    assert all(tensor.grad is not None and tensor.grad.abs().sum() > 0 for tensor in [*zero, context.tokens])
    assert all(parameter.grad is None for parameter in backbone.parameters())
    with pytest.raises(ValueError, match="1 residuals for a UNet with 2 down blocks"):
        backbone.predict(condition.noise, timesteps, context, condition, zero[:1])


def test_training_target_and_noise(sd15_folder: Path, sd2_folder: Path) -> None:
    for folder in (sd15_folder, sd2_folder):
        backbone = Backbone.load(BackboneConfig(str(folder)))
        latents, noise = torch.randn(2, 2, 4, 8, 8, generator=seeded())
        timesteps = torch.tensor([0, 500])
        signal = backbone.training_scheduler.alphas_cumprod[timesteps].sqrt()[:, None, None, None]
        spread = (1 - signal**2).sqrt()
        assert_close(backbone.add_noise(latents, noise, timesteps), signal * latents + spread * noise)
        velocity = signal * noise - spread * latents
        expected = noise if backbone.prediction_type == "epsilon" else velocity
        assert_close(backbone.target(latents, noise, timesteps), expected)
    assert backbone.training_steps == 1000


def test_stays_frozen_inside_a_module_that_trains(sd2_folder: Path) -> None:
    parent = nn.Sequential(Backbone.load(BackboneConfig(str(sd2_folder)))).train()
    assert not any(module.training for module in parent[0].modules())
    assert not any(parameter.requires_grad for parameter in parent.parameters())


def test_half_precision_weights_give_float32(sd2_folder: Path) -> None:
    backbone = Backbone.load(BackboneConfig(str(sd2_folder), dtype="bfloat16"))
    exact = Backbone.load(BackboneConfig(str(sd2_folder)))
    backbone.latents.save_memory()
    image, other = (part.latents.decode(part.latents.encode(inputs()[0])) for part in (backbone, exact))
    assert (backbone.dtype, image.dtype, backbone.conditioner(PROMPTS).tokens.dtype) == (
        torch.bfloat16, torch.float32, torch.float32,
    )  # fmt: skip
    assert_close(image, other, atol=0.1, rtol=0)


def without_unet(folder: Path) -> None:
    shutil.rmtree(folder / "unet")


def without_a_weight(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    del weights["conv_in.weight"]
    save_file(weights, path)


def without_a_text_weight(folder: Path) -> None:
    path = folder / "text_encoder" / "model.safetensors"
    weights = load_file(path)
    del weights[sorted(weights)[0]]
    save_file(weights, path, metadata={"format": "pt"})


def with_another_shape(folder: Path) -> None:
    edit(folder / "vae" / "config.json", block_out_channels=[8, 32])


def with_another_text_shape(folder: Path) -> None:
    edit(folder / "text_encoder" / "config.json", intermediate_size=48)


def with_broken_weights(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"not weights")


def with_pickled_weights(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").rename(folder / "unet" / "diffusion_pytorch_model.bin")


def with_a_broken_config(folder: Path) -> None:
    (folder / "text_encoder" / "config.json").write_text("{")


def with_an_unknown_scheduler(folder: Path) -> None:
    edit(folder / "scheduler" / "scheduler_config.json", _class_name="Schedule")


def with_another_prediction(folder: Path) -> None:
    edit(folder / "scheduler" / "scheduler_config.json", prediction_type="sample")


def with_too_many_tokens(folder: Path) -> None:
    path = folder / "tokenizer" / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["model"]["vocab"]["barn"] = 514
    path.write_text(json.dumps(tokenizer))


def without_tokens(folder: Path) -> None:
    for path in (folder / "tokenizer").iterdir():
        path.unlink()


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without_unet, "unet"),
        (without_a_weight, "conv_in.weight"),
        (without_a_text_weight, "missing"),
        (with_another_shape, "decoder."),
        (with_another_text_shape, "of another shape, among them 'encoder.layers.0.mlp"),
        (with_broken_weights, "unet"),
        (with_pickled_weights, "unet"),
        (with_a_broken_config, "text_encoder"),
        (with_an_unknown_scheduler, "'Schedule'"),
        (with_another_prediction, "'sample'"),
        (without_tokens, "tokenizer"),
        (with_too_many_tokens, "has 515 tokens, but text_encoder knows 514"),
    ],
)
def test_a_spoilt_folder_is_refused_in_one_line(
    spoil: Callable[[Path], None], said: str, sd2_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(sd2_folder, folder)
    spoil(folder)
    with pytest.raises(UserError) as caught:
        Backbone.load(BackboneConfig(str(folder)))
    assert_one_line(caught.value, str(folder), said)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        Backbone.load(BackboneConfig(str(tmp_path / "nowhere")))
    assert_one_line(caught.value, str(tmp_path / "nowhere"), "no such folder")


@pytest.mark.parametrize("switched_off", [True, False])
def test_a_hub_id_without_network_fails_at_once(switched_off: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", switched_off)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    name = "someone/not-a-model-of-ours"
    with pytest.raises(UserError) as caught:
        Backbone.load(BackboneConfig(name, revision="v1"))
    assert_one_line(caught.value, name, "v1", f"hf download {name}")


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_only_what_is_needed_is_fetched_from_the_hub(
    variant: str | None, sd2_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def snapshot_download(name: str, **options: Any) -> str:
        asked.update(options, name=name)
        return str(sd2_folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    optional = ("text_encoder_2", "model_index.json")
    assert resolve("owner/model", ("unet", "text_encoder", "tokenizer"), "v1", variant, optional) == sd2_folder
    assert (asked["name"], asked["revision"]) == ("owner/model", "v1")
    wanted = [
        "unet/config.json", f"unet/diffusion_pytorch_model{f'.{variant}' if variant else ''}.safetensors",
        f"text_encoder/model{f'.{variant}' if variant else ''}.safetensors", "tokenizer/merges.txt",
        f"text_encoder_2/model{f'.{variant}' if variant else ''}.safetensors", "model_index.json",
    ]  # fmt: skip
    others = [
        "unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.bf16.safetensors",
        "unet/diffusion_pytorch_model.non_ema.safetensors", "text_encoder/pytorch_model.bin", "README.md",
        "vae/config.json", "512-inpainting-ema.safetensors", "text_encoder/pytorch_model.fp16.bin",
        "config.json",
    ]  # fmt: skip
    fetched = filter_repo_objects(
        wanted + others, allow_patterns=asked["allow_patterns"], ignore_patterns=asked["ignore_patterns"]
    )
    assert list(fetched) == wanted


def test_an_image_encoder_can_be_taken_out_of_a_whole_clip(tmp_path: Path) -> None:
    text, vision = tiny_text_encoder().config, tiny_image_encoder().config
    CLIPModel(
        CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=24)
    ).save_pretrained(tmp_path)
    encoder = load_weights(CLIPVisionModelWithProjection, resolve(str(tmp_path)))
    assert encoder(torch.zeros(1, 3, 32, 32)).image_embeds.shape == (1, 24)
    assert not encoder.training


def test_channels_that_fit_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="in_channels is 5, but a VAE with 4 latent channels needs 9"):
        backbone_of(tiny_components("sd15", channels=5))


def test_bad_values_are_named(sd2_folder: Path) -> None:
    with pytest.raises(ValueError, match="model must be"):
        BackboneConfig("")
    with pytest.raises(ValueError, match="dtype .* got 'float8'"):
        BackboneConfig("model", dtype="float8")
    with pytest.raises(ValueError, match="multiples of 2, got 31x32"):
        Backbone.load(BackboneConfig(str(sd2_folder))).latents.encode(torch.zeros(1, 3, 31, 32))


def assert_one_line(error: UserError, *said: str) -> None:
    assert "\n" not in str(error)
    # The path of the folder is as long as it is.
    assert len(re.sub(r"/\S+/", "", str(error))) < 400
    for words in said:
        assert words in str(error)


def test_a_noise_schedule_that_the_scheduler_of_the_folder_ignores_is_named(sd2_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sd2_folder / "scheduler", tmp_path / "scheduler"))
    path = folder / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rescale_betas_zero_snr": True}))
    with pytest.raises(UserError, match=r"scheduler_config.json: a PNDMScheduler has .*rescale_betas_zero_snr True"):
        load_scheduler(tmp_path)
    assert load_scheduler(sd2_folder).config.prediction_type == "v_prediction"
