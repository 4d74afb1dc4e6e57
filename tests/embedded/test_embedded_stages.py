"""The stages that make the embedded model: each learns, and what it saves is a part of a Stable Diffusion folder."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline
from torch import Tensor, nn
from torch.testing import assert_close
from transformers import CLIPTextModelWithProjection, CLIPTokenizer

from aognet.canvas import Canvas
from aognet.data.outpainting import OutpaintingBatch
from aognet.data.random_views import ViewBatch
from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.clip_encoders import ClipConfig, ClipImageEncoder
from aognet.diffusion.inpaint import ViewToPaint, look
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.embedded.autoencoder import AutoencoderTraining
from aognet.embedded.clip import ClipTraining
from aognet.embedded.clip.tokenizer import train_tokenizer
from aognet.embedded.inpainting import InpaintingTraining
from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.io.captions import save_captions
from aognet.methods.aognet.model import AOGNet
from aognet.methods.aognet.settings import Settings
from aognet.training.trainable import Trainable
from misc.assemble_embedded import main as assemble
from tests.tiny import tiny_streams

TEXTS = ["a red barn in a field of wheat", "a kitchen with a window", "a harbour, boats and gulls", "snow on pines"]
ROOT = Path(__file__).parents[2]


def images_of(count: int = 4, size: int = 32) -> Tensor:
    """Smooth images of different colours in [-1, 1]."""
    x = torch.linspace(-2, 2, size)
    phases = torch.arange(count * 3).view(count, 3, 1, 1) * 1.3
    return (x + phases).sin() * (x[:, None] * 0.7 + phases).cos()


def views() -> ViewBatch:
    return ViewBatch(images_of(), TEXTS, torch.arange(4), torch.zeros(4))


def painting_steps() -> OutpaintingBatch:
    known = torch.zeros(4, 1, 32, 32, dtype=torch.bool)
    known[..., :12] = True
    return OutpaintingBatch(
        images_of(), known, [Camera(width=32, height=32)] * 4,
        torch.zeros(4, 6, 3, 8, 8), torch.zeros(4, 6, 1, 8, 8, dtype=torch.bool), TEXTS, torch.arange(4),
    )  # fmt: skip


def train(model: Any, batch: Any, steps: int, rate: float) -> list[float]:
    """The loss before each step on the same batch; nothing but the trainable parts may change."""
    assert isinstance(model, Trainable)
    trained = [p for part in model.trainable_parts().values() for p in part.parameters()]
    assert {id(p) for p in model.parameters() if p.requires_grad} == {id(p) for p in trained}
    optimizer, losses = torch.optim.AdamW(trained, lr=rate), []
    model.train()
    model.enable_gradient_checkpointing()
    for _ in range(steps):
        loss = model(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(p.grad is not None for p in trained)
    assert torch.tensor(losses).isfinite().all()
    assert torch.equal(model(batch)["loss"], model(batch)["loss"])
    return losses


class Stages:
    """A folder made stage by stage, as `config/embedded` does, and the models that made it."""

    def __init__(self, folder: Path):
        torch.manual_seed(0)
        self.folder = folder
        train_tokenizer(TEXTS, vocabulary=560).save_pretrained(folder / "words")
        vae = AutoencoderTraining.Config(channels=(8, 16), groups=4)
        self.vae = AutoencoderTraining(vae)
        self.vae_losses = train(self.vae, views(), 12, 3e-3)
        self.vae.finish([views(), views()])
        self.vae.save_pretrained(folder)
        clip = ClipTraining.Config(
            tokenizer=str(folder / "words"), hidden_size=16, projection_size=12, heads=2, text_layers=1,
            image_layers=1, image_size=16, patch_size=8,
        )  # fmt: skip
        self.clip = ClipTraining(clip)
        self.clip_losses = train(self.clip, views(), 12, 3e-3)
        self.clip.save_pretrained(folder)
        # As in the embedded model, the finest level has no attention.
        prior = InpaintingTraining.Config(
            vae=str(folder), text=str(folder), channels=(16, 32, 32), attention=(False, True, False), head_dim=8,
            groups=8, drop_known=0.25,
        )  # fmt: skip
        self.prior = InpaintingTraining(prior)
        self.prior_losses = train(self.prior, painting_steps(), 12, 3e-3)
        self.prior.save_pretrained(folder)


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Stages:
    return Stages(tmp_path_factory.mktemp("stages"))


@pytest.mark.parametrize("name", ["vae_losses", "clip_losses", "prior_losses"])
def test_every_stage_learns(stages: Stages, name: str) -> None:
    losses = getattr(stages, name)
    assert losses[-1] < 0.9 * losses[0]


def test_the_folders_make_a_backbone(stages: Stages) -> None:
    backbone = Backbone.load(BackboneConfig(str(stages.folder)))
    assert (backbone.prediction_type, backbone.is_inpainting, backbone.latents.scale) == ("v_prediction", True, 2)
    assert same_weights(backbone.latents.vae, stages.vae.vae)
    assert same_weights(backbone.conditioner.encoders[0].tower, stages.clip.text_encoder)
    assert same_weights(backbone.denoiser.unet, stages.prior.backbone.denoiser.unet)
    latents = backbone.latents.encode(images_of())
    assert 0.9 < latents.std() < 1.1  # what `finish` measured


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(value, second[key]) for key, value in first.items())


def test_the_folders_make_a_diffusers_pipeline(stages: Stages) -> None:
    parts = {
        "vae": ["diffusers", "AutoencoderKL"], "unet": ["diffusers", "UNet2DConditionModel"],
        "scheduler": ["diffusers", "DDIMScheduler"], "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"], "safety_checker": [None, None],
        "feature_extractor": [None, None], "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
    }  # fmt: skip
    about = {"_class_name": "StableDiffusionInpaintPipeline", "_diffusers_version": "0.42.0"}
    index = {**about, "requires_safety_checker": False, **parts}
    (stages.folder / "model_index.json").write_text(json.dumps(index))
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(stages.folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    assert same_weights(pipeline.text_encoder, stages.clip.text_encoder)
    batch = painting_steps()
    result = pipeline(
        TEXTS[0], image=(batch.view[:1] + 1) / 2, mask_image=(~batch.known[:1]).float(), height=32, width=32,
        num_inference_steps=2, output_type="pt", generator=torch.Generator().manual_seed(0),
    ).images  # fmt: skip
    assert result.shape == (1, 3, 32, 32) and result.isfinite().all()


def test_the_folders_make_an_aognet_that_trains_and_paints(stages: Stages, tmp_path: Path) -> None:
    model = tiny_streams(stages.folder)
    residuals = train(model, painting_steps(), 3, 1e-3)
    assert residuals[-1] < residuals[0]
    model.save_pretrained(tmp_path / "streams")
    loaded = AOGNet.from_pretrained(tmp_path / "streams")
    camera = Camera(width=32, height=32)
    views = [ViewToPaint(Canvas.empty(32), camera, TEXTS[0], 0)]
    view = loaded.outpaint(views, look(views), Settings(sampler=SamplerConfig(steps=2), face_size=8))
    assert view.shape == (1, 3, 32, 32) and view.isfinite().all()


def test_the_parts_are_put_together_in_half_precision_and_in_small_files(stages: Stages, tmp_path: Path) -> None:
    folder, out = str(stages.folder), tmp_path / "model"
    command = ["--vae", folder, "--clip", folder, "--unet", folder, "--out_dir", str(out)]
    assemble(command)
    assert len(list((out / "unet").glob("*.safetensors"))) == 1
    assemble([*command, "--shard_megabytes", "0.1"])
    assert len(list((out / "unet").glob("*.safetensors"))) > 1
    # A tensor is never cut.
    largest = max(value.numel() for value in stages.prior.backbone.denoiser.unet.parameters()) * 2
    files = list(out.rglob("*.safetensors"))
    assert max(path.stat().st_size for path in files) < max(0.1 * 2**20, largest) + 50_000
    backbone = Backbone.load(BackboneConfig(str(out)))
    for found, made in (
        (backbone.denoiser.unet, stages.prior.backbone.denoiser.unet),
        (backbone.latents.vae, stages.vae.vae),
        (backbone.conditioner.encoders[0].tower, stages.clip.text_encoder),
    ):
        expected = made.state_dict()
        assert all(torch.equal(value, expected[key].half().float()) for key, value in found.state_dict().items())
    with pytest.raises(UserError, match="--shard_megabytes must be more than 0"):
        assemble([*command, "--shard_megabytes", "0"])


def test_the_image_encoder_is_the_one_that_was_trained(stages: Stages) -> None:
    config = ClipConfig(str(stages.folder), subfolder="image_encoder", processor="feature_extractor")
    images = images_of(size=16)
    with torch.no_grad():
        expected = stages.clip.image_encoder(images).image_embeds
    assert_close(ClipImageEncoder.load(config)(images), expected, atol=1e-5, rtol=1e-5)


def test_both_towers_can_be_compared_again(stages: Stages) -> None:
    text = CLIPTextModelWithProjection.from_pretrained(stages.folder / "text_encoder")
    tokens = stages.clip.tokenizer(TEXTS, padding="max_length", truncation=True, return_tensors="pt").input_ids
    with torch.no_grad():
        words, pictures = stages.clip._embed(views())
        again = nn.functional.normalize(text(tokens).text_embeds, dim=-1)
    assert_close(again, words, atol=1e-5, rtol=1e-5)
    assert pictures.shape == words.shape == (4, 12)


def test_captions_that_are_the_same_do_not_count_as_wrong(stages: Stages) -> None:
    batch = ViewBatch(images_of(), [TEXTS[0]] * 4, torch.arange(4), torch.zeros(4))
    assert stages.clip(batch)["accuracy"] == 1


def test_previews_are_images(stages: Stages) -> None:
    for model, batch in ((stages.vae, views()), (stages.clip, views()), (stages.prior, painting_steps())):
        for image in model.preview(batch).values():
            assert image.shape == (4, 3, 32, 32) and image.abs().max() <= 1


def test_the_autoencoders_loss_is_what_it_says(stages: Stages) -> None:
    result = stages.vae(views())
    assert result["psnr"] > 5
    assert result["loss"] > 0 and result["kl"] > 0


def test_a_prior_needs_the_other_stages(stages: Stages, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="attention needs 4 entries, got 1"):
        InpaintingTraining.Config(vae="a", text="a", attention=(True,))
    with pytest.raises(UserError, match="tokenizer"):
        InpaintingTraining(InpaintingTraining.Config(vae=str(stages.folder), text=str(tmp_path)))
    with pytest.raises(UserError, match="tokenizer must be a folder"):
        ClipTraining.Config(tokenizer=str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="neither tokenizer.json nor vocab.json"):
        ClipTraining(ClipTraining.Config(tokenizer=str(tmp_path)))
    with pytest.raises(UserError, match=r"channels must be multiples of groups \(8\), got \[10\]"):
        AutoencoderTraining.Config(channels=(10,))


def test_the_tokenizer_learns_words_and_loses_nothing(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(TEXTS * 3, vocabulary=640)
    assert len(tokenizer) <= 640
    assert tokenizer.tokenize("a red barn") == ["a</w>", "red</w>", "barn</w>"]
    for text in ("a red barn", "ein grüner Öltank: 3,5 m² ${x}", "日本 🌲"):
        ids = tokenizer(text).input_ids
        assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
        assert max(ids) < len(tokenizer) and ids.count(tokenizer.eos_token_id) == 1
        decoded = tokenizer.decode(ids, skip_special_tokens=True)
        assert decoded.replace(" ", "") == text.lower().replace(" ", "")
    tokenizer.save_pretrained(tmp_path)
    assert CLIPTokenizer.from_pretrained(tmp_path)(TEXTS).input_ids == tokenizer(TEXTS).input_ids
    assert len(tokenizer("word " * 200, truncation=True).input_ids) == 77


def test_the_tokenizers_command(tmp_path: Path) -> None:
    specification = importlib.util.spec_from_file_location("train_tokenizer", ROOT / "misc" / "train_tokenizer.py")
    command = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(command)
    captions = tmp_path / "captions.jsonl"
    save_captions({f"{i}.png": [text] for i, text in enumerate(TEXTS)}, captions)
    arguments = ["--captions", str(captions), "--out_dir", str(tmp_path / "words")]
    command.main([*arguments, "--vocabulary", "560", "--length", "20"])
    tokenizer = CLIPTokenizer.from_pretrained(tmp_path / "words")
    assert 514 < len(tokenizer) <= 560
    assert tokenizer.model_max_length == 20
    with pytest.raises(UserError, match="--vocabulary must be at least 514"):
        command.main([*arguments, "--vocabulary", "100"])
    with pytest.raises(UserError, match="nowhere.jsonl: no such captions file"):
        command.main(["--captions", "nowhere.jsonl", *arguments[2:]])
