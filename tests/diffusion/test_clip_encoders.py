"""The CLIP encoders against transformers' own preprocessing and model."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.testing import assert_close
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPVisionModelWithProjection

from aognet.diffusion.clip_encoders import MEAN, STD, ClipConfig, ClipImageEncoder, ClipTextEncoder
from aognet.errors import UserError
from aognet.methods.aognet.model import AOGNet, StreamInputs
from tests.tiny import IMAGE_DIM, tiny_clip_folder, tiny_streams


@pytest.fixture(scope="module")
def folder(sd2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image encoder of the tiny model with a preprocessor config of its own."""
    folder = tmp_path_factory.mktemp("clip")
    shutil.copytree(sd2_folder / "image_encoder", folder / "image_encoder")
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": 32},
        crop_size={"height": 32, "width": 32},
        image_mean=[0.5, 0.4, 0.3],
        image_std=[0.2, 0.3, 0.4],
    )
    processor.save_pretrained(folder / "feature_extractor")
    return folder


def smooth_images(size: int) -> Tensor:
    """Two images in [-1, 1] whose values are those of bytes."""
    row = torch.linspace(0, 3, size).sin()
    image = torch.stack([row[:, None] * row, row[:, None].expand(size, size), -row.expand(size, size)])
    return ((torch.stack([image, -image]) + 1) * 127.5).round() / 127.5 - 1


@pytest.mark.parametrize("size", [32, 96])
def test_equals_transformers_on_images_of_any_size(folder: Path, size: int) -> None:
    config = ClipConfig(str(folder), subfolder="image_encoder", processor="feature_extractor")
    encoder, images = ClipImageEncoder.load(config), smooth_images(size)
    pixels = ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    processor = CLIPImageProcessorPil.from_pretrained(folder / "feature_extractor")
    prepared = processor([Image.fromarray(image) for image in pixels], return_tensors="pt").pixel_values
    expected = CLIPVisionModelWithProjection.from_pretrained(folder / "image_encoder")(prepared).image_embeds
    found = encoder(images)
    assert found.shape == (2, IMAGE_DIM) == (2, encoder.dim)
    assert not found.requires_grad
    assert_close(
        found, expected.detach(), atol=1e-5 if size == 32 else 2e-2, rtol=0
    )  # it rounds what it shrinks to bytes


def test_without_a_preprocessor_config_it_normalises_as_openai_does(folder: Path) -> None:
    encoder = ClipImageEncoder.load(ClipConfig(str(folder), subfolder="image_encoder"))
    assert_close(encoder.mean.flatten(), torch.tensor(MEAN))
    assert_close(encoder.std.flatten(), torch.tensor(STD))
    images = smooth_images(32)
    pixels = ((images + 1) / 2 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    assert_close(encoder(images), encoder.tower(pixels).image_embeds)


def test_stays_frozen_and_its_vectors_come_in_float32(folder: Path) -> None:
    encoder = ClipImageEncoder.load(ClipConfig(str(folder), subfolder="image_encoder", dtype="bfloat16")).train()
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.bfloat16}
    assert encoder(smooth_images(32)).dtype == torch.float32


def test_what_cannot_be_loaded_is_named(folder: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(folder, tmp_path / "broken")
    settings = json.loads((broken / "feature_extractor" / "preprocessor_config.json").read_text())
    (broken / "feature_extractor" / "preprocessor_config.json").write_text(json.dumps(settings | {"image_mean": [0.5]}))
    for config, said in (
        (ClipConfig(str(tmp_path / "nowhere")), "nowhere: no such folder"),
        (ClipConfig(str(folder), subfolder="vision"), "no folder 'vision' in it"),
        (ClipConfig(str(folder), subfolder="feature_extractor"), "feature_extractor: cannot be loaded as CLIPVision"),
        (ClipConfig(str(broken), subfolder="image_encoder", processor="feature_extractor"), "must have 3 numbers"),
        (ClipConfig("someone/no-clip-of-ours"), "hf download someone/no-clip-of-ours"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            ClipImageEncoder.load(config)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="dtype must be one of"):
        ClipConfig("model", dtype="float8")


WORDS_DIM, LENGTH = 16, 20


@pytest.fixture(scope="module")
def whole_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip_folder(tmp_path_factory.mktemp("whole"), WORDS_DIM, length=LENGTH)


def test_both_towers_of_a_whole_clip(whole_clip: Path) -> None:
    config = ClipConfig(str(whole_clip), text=True)
    images, words = ClipImageEncoder.load(config), ClipTextEncoder.load(config)
    whole = CLIPModel.from_pretrained(whole_clip)
    pixels = smooth_images(32)
    normalised = ((pixels + 1) / 2 - images.mean) / images.std
    assert_close(images(pixels), whole.get_image_features(pixel_values=normalised).pooler_output)
    prompts = ["a barn", "a very long sentence about a barn in a field"]
    tokens = words.tokenizer(prompts, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt")
    expected = whole.text_model(input_ids=tokens.input_ids).last_hidden_state
    assert words(prompts).tokens.shape == (2, LENGTH, WORDS_DIM) == (2, words.length, words.dim)
    assert_close(words(prompts).tokens, expected.detach())
    assert not any(module.training for module in words.train().modules())
    assert not any(parameter.requires_grad for parameter in words.parameters())


def test_the_global_stream_reads_clips_own_words(whole_clip: Path, sd2_folder: Path, tmp_path: Path) -> None:
    model = tiny_streams(sd2_folder, clip=ClipConfig(str(whole_clip), text=True))
    image, known = torch.zeros(1, 3, 32, 32), torch.ones(1, 1, 32, 32, dtype=torch.bool)
    seen = StreamInputs(
        image,
        known,
        image,
        image[:, None].repeat(1, 6, 1, 1, 1),
        known[:, None].repeat(1, 6, 1, 1, 1),
        torch.arange(len(image)),
    )

    def tokens(prompt: str, model: AOGNet = model) -> Tensor:
        return model.conditioning(seen, [prompt]).context.positive.tokens[:, :3]

    assert not torch.equal(tokens("a barn"), tokens("a pond"))
    model.save_pretrained(tmp_path / "streams")
    assert torch.equal(tokens("a barn", AOGNet.from_pretrained(tmp_path / "streams")), tokens("a barn"))
    tokens("a barn")[..., 0].sum().backward()  # of all channels the last layer norm makes a constant
    assert model.global_stream.words.weight.grad.any()
    assert all(parameter.grad is None for parameter in model.clip_text.parameters())


def test_a_text_tower_that_is_not_there_is_named(sd2_folder: Path, folder: Path) -> None:
    for place in (folder, sd2_folder):
        with pytest.raises(UserError, match=str(place)):
            ClipTextEncoder.load(ClipConfig(str(place), text=True))
