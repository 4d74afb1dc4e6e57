"""Encodings kept on disk: what comes back is what was encoded, and nothing is encoded twice or read stale."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from aognet.diffusion.backbone import Backbone
from aognet.diffusion.clip_encoders import ClipImageEncoder, ClipTextEncoder
from aognet.diffusion.encodings import EncodingCache
from aognet.diffusion.sampling.noise import generators
from aognet.io.store import CacheConfig
from tests.tiny import tiny_components, tiny_image_encoder, tiny_text_encoder, tiny_tokenizer, tiny_vae

CPU = torch.device("cpu")


class Encoder:
    """Counts the images it encodes."""

    def __init__(self):
        self.count = 0

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.count += len(images)
        return images.mean(1, keepdim=True), images.std(1, keepdim=True)


@pytest.fixture
def config(tmp_path: Path) -> CacheConfig:
    return CacheConfig(folder=str(tmp_path / "encodings"))


def test_nothing_is_encoded_twice_by_any_process(config: CacheConfig):
    vae, encode, images = tiny_vae(), Encoder(), torch.rand(4, 3, 8, 8)
    for cache in (EncodingCache(config, vae), EncodingCache(config, vae)):
        for rows in ([0, 1], [1, 2, 0], [3, 3]):
            for kept, plain in zip(cache.encoded(images[rows], encode, CPU), Encoder()(images[rows]), strict=True):
                assert torch.equal(kept, plain)
    assert encode.count <= 5  # an image twice in one batch is encoded twice, once
    again = encode.count
    EncodingCache(config, vae).encoded(images, encode, CPU)
    assert encode.count == again


def test_another_autoencoder_or_image_is_another_thing(config: CacheConfig):
    vae, encode, images = tiny_vae(), Encoder(), torch.rand(1, 3, 8, 8)
    EncodingCache(config, vae).encoded(images, encode, CPU)
    with torch.no_grad():
        next(vae.parameters()).add_(1e-3)
    EncodingCache(config, vae).encoded(images, encode, CPU)
    EncodingCache(config, vae).encoded(images + 1e-6, encode, CPU)
    EncodingCache(config, vae).encoded(images.view(1, 3, 4, 16), encode, CPU)
    with torch.autocast("cpu", torch.bfloat16):
        EncodingCache(config, vae).encoded(images, encode, CPU)
    assert encode.count == 5


def test_torn_files_and_closed_folders_cost_time_alone(config: CacheConfig, tmp_path: Path, caplog):
    vae, encode, images = tiny_vae(), Encoder(), torch.rand(1, 3, 8, 8)
    EncodingCache(config, vae).encoded(images, encode, CPU)
    (kept,) = Path(config.folder).iterdir()
    kept.write_bytes(kept.read_bytes()[:30])
    EncodingCache(config, vae).encoded(images, encode, CPU)
    assert encode.count == 2 and len(kept.read_bytes()) > 30
    (tmp_path / "file").write_text("")
    blocked = EncodingCache(replace(config, folder=str(tmp_path / "file" / "below")), vae)
    assert torch.equal(blocked.encoded(images, encode, CPU)[0], Encoder()(images)[0])
    assert "images and texts will be encoded each time" in caplog.text


def test_the_folder_never_grows_beyond_its_limit(config: CacheConfig):
    images, limit = torch.rand(40, 3, 8, 8), 6000
    cache = EncodingCache(replace(config, gigabytes=limit / 2**30), tiny_vae())
    for image in images:
        cache.encoded(image[None], Encoder(), CPU)
    files = list(Path(config.folder).iterdir())
    assert files and sum(path.stat().st_size for path in files) <= limit


def test_a_backbone_gives_the_same_latents_with_and_without(config: CacheConfig):
    parts = {name: part for name, part in tiny_components().items() if name != "image_encoder"}
    plain, images = Backbone.of(**parts), torch.rand(2, 3, 32, 32) * 2 - 1
    for _ in range(2):
        kept = Backbone.of(**parts, encodings=config)
        assert_close(kept.latents.encode(images), plain.latents.encode(images), atol=0, rtol=0)
        drawn = [one.latents.encode(images, generators([1, 2])) for one in (kept, plain)]
        assert_close(*drawn, atol=0, rtol=0)
    assert len(list(Path(config.folder).iterdir())) == 2


def test_towers_read_and_see_the_same_with_and_without(config: CacheConfig):
    tower, tokenizer, prompts = tiny_text_encoder(), tiny_tokenizer(), ["a room", "", "a meadow", "a room"]
    eyes = tiny_image_encoder()
    readers = [ClipTextEncoder(tower, tokenizer, *kept) for kept in ((), (config,), (config,))]
    reads = [lambda prompts, reader=reader: reader(prompts).tokens for reader in readers]
    sees = [ClipImageEncoder(eyes, encodings=kept) for kept in (CacheConfig(None), config, config)]
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    for encoders, inputs in ((reads, prompts), (sees, images)):
        plain, first, again = (encoder(inputs) for encoder in encoders)
        assert torch.equal(first, plain) and torch.equal(again, plain)
    assert len(list(Path(config.folder).iterdir())) == len(set(prompts)) + len(images)


def test_equal_prompts_are_read_once():
    parts = {name: part for name, part in tiny_components().items() if name != "image_encoder"}
    backbone, rows = Backbone.of(**parts), []
    backbone.conditioner.encoders[0].tower.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    prompts = ["a room", "a meadow", "a room"]
    texts = backbone.conditioner(prompts).tokens
    assert rows == [2]
    assert_close(texts, torch.cat([backbone.conditioner([prompt]).tokens for prompt in prompts]))
