"""CLIP as a feature network against transformers, and the embedded model's own."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTextConfig

from aognet.errors import UserError
from aognet.perception.load_network import load_network
from aognet.perception.network import EMBEDDED, FeatureNetwork, NetworkConfig
from tests.tiny import IMAGE_DIM, tiny_image_encoder, tiny_tokenizer

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]
SIZE, LENGTH = 32, 20
PROMPTS = ["a barn", "a very long sentence about a red barn in a field", ""]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole CLIP in one folder, as the hub has them."""
    folder = tmp_path_factory.mktemp("whole")
    text = CLIPTextConfig(
        vocab_size=514, hidden_size=16, intermediate_size=32, projection_dim=IMAGE_DIM, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=LENGTH, bos_token_id=512, eos_token_id=513, pad_token_id=513,
    )  # fmt: skip
    vision = tiny_image_encoder().config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=IMAGE_DIM)
        CLIPModel(config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    size = {"height": SIZE, "width": SIZE}
    CLIPImageProcessorPil(size={"shortest_edge": SIZE}, crop_size=size).save_pretrained(folder)
    return folder


def loaded(folder: Path | str, **options: object) -> FeatureNetwork:
    return load_network(NetworkConfig(kind="clip", model=str(folder), **options), CPU)


def smooth_images(height: int, width: int) -> Tensor:
    """Two images in [-1, 1] whose values are those of bytes."""
    row, column = torch.linspace(0, 3, height).sin(), torch.linspace(0, 5, width).cos()
    image = torch.stack([row[:, None] * column, row[:, None].expand(height, width), -column.expand(height, width)])
    return ((torch.stack([image, -image]) + 1) * 127.5).round() / 127.5 - 1


@pytest.mark.parametrize("size", [(SIZE, SIZE), (96, 150), (131, 64)])
def test_features_equal_transformers(folder: Path, size: tuple[int, int]) -> None:
    network, images = loaded(folder, centre_crop=True), smooth_images(*size)
    pixels = ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    processor = CLIPImageProcessorPil.from_pretrained(folder)
    prepared = processor([Image.fromarray(image) for image in pixels], return_tensors="pt").pixel_values
    expected = CLIPModel.from_pretrained(folder).get_image_features(pixel_values=prepared).pooler_output.detach()
    found = network.features(images)
    assert found.shape == (2, IMAGE_DIM) == (2, network.dim)
    assert not found.requires_grad and found.dtype == torch.float32
    # Pillow rounds to bytes what it shrinks.
    assert_close(found, expected, atol=1e-5 if size == (SIZE, SIZE) else 2e-2, rtol=0)
    if size != (SIZE, SIZE):
        assert not torch.allclose(found, loaded(folder).features(images), atol=2e-2)


def test_without_the_crop_the_whole_image_is_seen(folder: Path) -> None:
    images = smooth_images(64, 128)
    square = functional.interpolate(images, size=(SIZE, SIZE), mode="bicubic", antialias=True).clamp(-1, 1)
    network = loaded(folder)
    assert_close(network.features(images), network.features(square))
    changed = images.clone()
    changed[..., :20] = 1.0
    cropped = loaded(folder, centre_crop=True)
    assert not torch.allclose(network.features(images), network.features(changed), atol=1e-3)
    assert_close(cropped.features(images), cropped.features(changed), atol=1e-5, rtol=0)


def test_texts_equal_transformers(folder: Path) -> None:
    network = loaded(folder)
    tokens = tiny_tokenizer()(PROMPTS, padding=True, max_length=LENGTH, truncation=True, return_tensors="pt")
    expected = CLIPModel.from_pretrained(folder).get_text_features(**tokens).pooler_output.detach()
    assert network.reads_text
    assert_close(network.texts(PROMPTS), expected, atol=1e-5, rtol=1e-5)
    assert_close(network.texts(PROMPTS[:1]), expected[:1], atol=1e-5, rtol=1e-5)


def test_classes_make_logits(folder: Path) -> None:
    classes = ["barn", "pond", "kitchen"]
    network = loaded(folder, classes=classes)
    features = network.features(smooth_images(48, 48))
    texts = network.texts([f"a photo of a {word}" for word in classes])
    expected = 100 * functional.cosine_similarity(features[:, None], texts[None], dim=-1)
    assert network.classes == 3 and network.logits(features).shape == (2, 3)
    assert_close(network.logits(features), expected, atol=1e-4, rtol=1e-4)
    assert loaded(folder).classes == 0
    with pytest.raises(UserError, match="has no classes"):
        loaded(folder).logits(features)


def test_the_fingerprint_is_of_weights_and_preprocessing(folder: Path, sd2_folder: Path) -> None:
    first = loaded(folder)
    assert loaded(folder).fingerprint == first.fingerprint
    others = [loaded(folder, **options) for options in ({"centre_crop": True}, {"classes": ["barn", "pond"]})]
    others += [loaded(folder, dtype="bfloat16"), loaded(sd2_folder, image_encoder="image_encoder")]
    assert len({first.fingerprint, *(other.fingerprint for other in others)}) == 5
    assert first.name.startswith(f"CLIP ({SIZE} px, patches of 8, {IMAGE_DIM} features, whole image to a square)")
    assert f"from {folder}, sha256 " in first.name


def test_an_image_tower_alone_reads_no_texts(sd2_folder: Path) -> None:
    for network in (loaded(sd2_folder, image_encoder="image_encoder"), loaded(sd2_folder / "image_encoder")):
        assert isinstance(network, FeatureNetwork)
        assert not network.reads_text and not network.is_fid_inception
        assert network.features(smooth_images(40, 80)).shape == (2, network.dim)
        with pytest.raises(UserError, match="has no text tower"):
            network.texts(["a barn"])


def test_what_cannot_be_loaded_is_named(folder: Path, sd2_folder: Path, tmp_path: Path) -> None:
    both = {"image_encoder": "image_encoder", "text_encoder": "text_encoder", "tokenizer": "tokenizer"}
    for model, options, said in (
        (tmp_path / "nowhere", {}, "nowhere: no such folder"),
        (folder, {"image_encoder": "vision"}, "no folder 'vision' in it"),
        (sd2_folder, both, "text_encoder: 1 weights are missing, among them 'text_projection.weight'"),
        (sd2_folder / "vae", {}, "vae: its config describes .* weights, but its files have"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            loaded(model, **options)
        assert "\n" not in str(caught.value)


def test_the_embedded_model_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    network = load_network(EMBEDDED, CPU)
    images = smooth_images(128, 256)
    features, texts = network.features(images), network.texts(["a beach", "a kitchen with a window"])
    assert features.shape == texts.shape == (2, network.dim) == (2, 160)
    assert functional.cosine_similarity(texts[:1], texts[1:]).item() < 0.9
    assert "from assets/embedded" in network.name and not network.is_fid_inception
