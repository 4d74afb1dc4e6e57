"""The trainings of Text2Light's samplers: what they learn from, save and refuse, and that a stopped one goes on."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from aognet.data.panoramas import PanoramaConfig
from aognet.data.whole import PanoramaBatch
from aognet.errors import UserError
from aognet.io.store import CacheConfig
from aognet.methods.text2light.conditioning import INDEX, ClipConditions, ImageIndex, like_texts
from aognet.methods.text2light.frozen_codes import FrozenCodes
from aognet.methods.text2light.training_samplers import GlobalSamplerTraining, LocalSamplerTraining
from aognet.perception.network import NetworkConfig
from aognet.training.phases import HasPhases
from aognet.training.setup import TrainerConfig, make_optimizer
from aognet.training.trainable import Trainable
from aognet.vq.autoencoder import VqAutoencoder, VqAutoencoderConfig
from aognet.vq.drawing import cell_numbers
from aognet.vq.global_sampler import GlobalSampler, GlobalSamplerConfig
from aognet.vq.quantizer import QuantizerConfig
from aognet.vq.sphere_sampler import SphereSampler, SphereSamplerConfig
from aognet.vq.window_sampler import WindowSampler, WindowSamplerConfig
from aognet.vq.windows import WindowConfig
from main import main
from tests.tiny import tiny_clip_folder
from tests.training.toy import fresh_processes

CODES = 16
SIZES = {"vocabulary": CODES, "layers": 1, "heads": 2}
NEIGHBOURS = GlobalSamplerConfig(rows=2, columns=4, tokens=3, embedding=12, width=24, **SIZES)
TEXT = GlobalSamplerConfig(rows=2, columns=4, condition="text", tokens=2, embedding=12, width=16, **SIZES)
SPHERE = SphereSamplerConfig(
    given_rows=2, given_columns=4, factor=4, above=3, beside=6, given_vocabulary=CODES, width=16, **SIZES
)
WINDOWS = WindowSamplerConfig(
    windows=WindowConfig(rows=8, columns=16, size=4), given_rows=2, given_columns=4, samples=1, **SIZES
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP, an autoencoder of factor 4, and four panoramas of 32x64 with captions."""
    place = tmp_path_factory.mktemp("samplers")
    torch.manual_seed(0)
    tiny_clip_folder(place / "clip", 16, 12)
    autoencoder = VqAutoencoderConfig(
        channels=(8, 8, 8),
        layers_per_block=1,
        groups=4,
        latent_channels=4,
        quantizer=QuantizerConfig(codes=CODES, dim=4),
    )
    network = VqAutoencoder(autoencoder)
    with torch.no_grad():  # a code for every kind of place
        latents = network.latents(torch.rand(1, 3, 64, 64) * 2 - 1).flatten(2)[0].T
        network.quantize.embedding.weight.copy_(latents[torch.randperm(len(latents))[:CODES]])
    network.save_pretrained(place / "autoencoder")
    (place / "panoramas").mkdir()
    rng, rows = np.random.default_rng(0), []
    for number in range(4):
        pixels = rng.integers(0, 256, (4, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 32), Image.Resampling.BICUBIC).save(place / "panoramas" / f"{number}.png")
        rows.append(json.dumps({"file": f"{number}.png", "captions": [f"scene {number}"]}))
    (place / "captions.jsonl").write_text("\n".join(rows) + "\n")
    return place


def database(folder: Path) -> PanoramaConfig:
    return PanoramaConfig(folders=[str(folder / "panoramas")], height=32, cache=CacheConfig(folder=None))


def clip(folder: Path) -> NetworkConfig:
    return NetworkConfig(kind="clip", model=str(folder / "clip"))


def global_training(
    folder: Path, sampler: GlobalSamplerConfig = NEIGHBOURS, **options: object
) -> GlobalSamplerTraining:
    torch.manual_seed(1)
    found = database(folder) if sampler.condition == "neighbours" else None
    config = GlobalSamplerTraining.Config(
        autoencoder=str(folder / "autoencoder"),
        clip=clip(folder),
        database=found,
        sampler=sampler,
        encodings=CacheConfig(folder=str(folder / "kept")),
    )
    return GlobalSamplerTraining(replace(config, **options))


def local_training(folder: Path, layout: str = "sphere", **options: object) -> LocalSamplerTraining:
    torch.manual_seed(1)
    autoencoder, kept = str(folder / "autoencoder"), CacheConfig(folder=str(folder / "kept"))
    given = {"global_autoencoder": autoencoder, "local_autoencoder": autoencoder, "encodings": kept}
    sizes = {layout: SPHERE if layout == "sphere" else WINDOWS}
    return LocalSamplerTraining(LocalSamplerTraining.Config(**given | sizes | options))


def batch_of(count: int = 4) -> PanoramaBatch:
    images = torch.rand(count, 3, 4, 8, generator=torch.Generator().manual_seed(3)) * 2 - 1
    images = torch.nn.functional.interpolate(images, (32, 64), mode="bilinear")
    return PanoramaBatch(images, [f"scene {number}" for number in range(count)], torch.arange(count))


TRAININGS = {
    "neighbours": lambda folder: global_training(folder),
    "text": lambda folder: global_training(folder, TEXT),
    "sphere": lambda folder: local_training(folder),
    "windows": lambda folder: local_training(folder, "windows"),
}


@pytest.mark.parametrize("name", TRAININGS)
def test_samplers_learn_and_are_what_the_trainer_expects(name: str, folder: Path) -> None:
    model = TRAININGS[name](folder).train()
    assert isinstance(model, Trainable) and isinstance(model, HasPhases)
    assert not model.codes.training and not model.codes.autoencoder.training
    trained = dict(model.trainable_parts()["sampler"].named_parameters())
    optimizer, losses = torch.optim.AdamW(trained.values(), 1e-2), []
    frozen = {key: value.clone() for key, value in model.codes.state_dict().items()}
    for _ in range(30):
        loss = model.training_step(batch_of(), "sampler", 0)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert all(torch.equal(value, frozen[key]) for key, value in model.codes.state_dict().items())
    torch.manual_seed(5)  # what else is drawn does not matter
    model.eval()
    assert torch.equal(model(batch_of())["loss"], model(batch_of())["loss"])
    shown = model.preview(batch_of(2))
    assert {value.shape[0] for value in shown.values()} == {2} and set(shown) == {"input", "written"}
    model.train().enable_gradient_checkpointing()
    assert_close(model(batch_of())["loss"], model.eval()(batch_of())["loss"])


def test_weight_decay_is_for_linear_layers_alone(folder: Path) -> None:
    """Decay is all that moves weights without a gradient."""
    model = global_training(folder, TEXT)
    decayed = model.optimizers()["sampler"].decayed
    named = {f"sampler.{name}": value for name, value in model.sampler.named_parameters()}
    assert decayed is not None and decayed < named.keys()
    named = dict(sorted(named.items(), key=lambda item: item[0] not in decayed))
    before = {name: value.detach().clone() for name, value in named.items()}
    for value in named.values():
        value.data.add_(1.0)
        value.grad = torch.zeros_like(value)
    make_optimizer(TrainerConfig(learning_rate=0.1, weight_decay=0.5), named, decayed).step()
    moved = {name for name, value in named.items() if not torch.equal(value, before[name] + 1.0)}
    assert (
        moved
        == decayed
        == {name for name in named if name.endswith("weight") and ".ln" not in name and "emb" not in name}
    )


@pytest.mark.parametrize("name", TRAININGS)
def test_what_is_saved_writes_the_same_codes(name: str, folder: Path, tmp_path: Path) -> None:
    model = TRAININGS[name](folder).eval()
    model.save_pretrained(tmp_path / "final")
    again = type(model.sampler).from_pretrained(tmp_path / "final")
    assert again.config == model.sampler.config
    grid = (2, 4) if isinstance(again, GlobalSampler) else (8, 16)
    told = model.condition(batch_of()) if isinstance(again, GlobalSampler) else model.given.encode(batch_of().images)
    numbers = cell_numbers(range(4), 0, *grid)
    assert torch.equal(again.sample(told, numbers), model.sampler.sample(told, numbers))
    assert (tmp_path / "final" / INDEX).exists() == (name == "neighbours")
    others = {GlobalSampler, WindowSampler, SphereSampler} - {type(again)}
    for other in others:
        with pytest.raises(UserError, match="network: expected"):
            other.from_pretrained(tmp_path / "final")


def test_a_training_goes_on_from_a_sampler(folder: Path, tmp_path: Path) -> None:
    model = local_training(folder, "windows")
    model.save_pretrained(tmp_path)
    again = local_training(folder, "windows", start=str(tmp_path), windows=replace(WINDOWS, layers=3))
    assert again.sampler.config == WINDOWS and again.sampler.training
    assert all(value.requires_grad for value in again.sampler.parameters())
    for key, value in model.sampler.state_dict().items():
        assert torch.equal(value, again.sampler.state_dict()[key])


def test_codes_are_stored_and_are_the_same_whatever_the_batch_and_the_precision(folder: Path, tmp_path: Path) -> None:
    images, kept = batch_of().images, CacheConfig(folder=str(tmp_path / "kept"))
    plain = FrozenCodes(str(folder / "autoencoder"), 8, 16, CacheConfig(folder=None))
    stored = FrozenCodes(str(folder / "autoencoder"), 8, 16, kept)
    expected = plain.encode(images)
    assert torch.equal(expected, plain.autoencoder.encode(images)) and len(expected.unique()) > 4
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(plain.encode(images), expected)
    assert torch.equal(stored.encode(images[:3]), expected[:3])
    stored.autoencoder.encode = lambda _: pytest.fail("codes were made again")
    assert torch.equal(stored.encode(images[:3].flip(0)), expected[:3].flip(0))
    small = FrozenCodes(str(folder / "autoencoder"), 2, 4, kept)  # other codes of the same images
    shrunk = torch.nn.functional.interpolate(images, (8, 16), mode="area")
    assert torch.equal(small.encode(images), small.autoencoder.encode(shrunk))
    with pytest.raises(UserError, match=r"data.\*.height: panoramas of 64x32 pixels are too small .* at least 36"):
        FrozenCodes(str(folder / "autoencoder"), 9, 18, kept).encode(images)


def test_a_turned_panorama_has_turned_codes(folder: Path) -> None:
    """Turns by whole codes of the global grid make no new task for the sampler on the sphere."""
    model, batch = local_training(folder).eval(), batch_of()
    turned = replace(batch, images=batch.images.roll(16, -1))  # one global code: its stride of 16 image columns
    given, codes = model.given.encode(batch.images), model.codes.encode(batch.images)
    assert torch.equal(model.codes.encode(turned.images), codes.roll(4, -1))
    assert torch.equal(model.given.encode(turned.images), given.roll(1, -1))
    assert_close(model(turned)["loss"], model(batch)["loss"], rtol=1e-5, atol=1e-6)


# The condition


def test_neighbours_are_those_of_the_largest_inner_products(folder: Path, tmp_path: Path) -> None:
    conditions = ClipConditions(clip(folder))
    index = ImageIndex.of(conditions, database(folder))
    assert index.embeddings.shape == (4, 12)
    assert_close(index.embeddings.norm(dim=1), torch.ones(4))
    wanted = torch.randn(5, 12, generator=torch.Generator().manual_seed(0))
    products = torch.stack([(index.embeddings * row).sum(1) for row in wanted])
    assert torch.equal(index.found(wanted, 3), products.argsort(dim=1, descending=True)[:, :3])
    assert torch.equal(index.nearest(index.embeddings, 1)[:, 0], index.embeddings)
    index.save(tmp_path / "index.safetensors")
    assert torch.equal(ImageIndex.load(tmp_path / "index.safetensors").embeddings, index.embeddings)
    with pytest.raises(UserError, match="5 neighbours are wanted, the index has 4 panoramas"):
        index.found(wanted, 5)
    with pytest.raises(UserError, match="embeddings of 12 numbers, the CLIP gives 3"):
        index.found(wanted[:, :3], 1)


def test_embeddings_of_texts_and_images(folder: Path, tmp_path: Path) -> None:
    conditions = ClipConditions(clip(folder), CacheConfig(folder=str(tmp_path)))
    texts = conditions.texts(["a", "b", "a"])
    assert torch.equal(texts[0], texts[2]) and not torch.equal(texts[0], texts[1])
    images = conditions.images(batch_of().images)
    assert_close(images.norm(dim=1), torch.ones(4))
    assert torch.equal(conditions.images(batch_of().images.flip(0)), images.flip(0))
    assert len(list(tmp_path.iterdir())) >= 4  # they are stored


def test_pseudo_texts_are_a_quarter_image() -> None:
    embeddings = torch.randn(3, 64, generator=torch.Generator().manual_seed(1))
    found = like_texts(embeddings, torch.arange(3), 0)
    assert_close(found.norm(dim=1), torch.ones(3))
    assert_close(like_texts(7 * embeddings[1:2], torch.tensor([1]), 0), found[1:2])
    many = like_texts(embeddings[:1].expand(500, -1), torch.arange(500), 0)
    cosines = many @ torch.nn.functional.normalize(embeddings[0], dim=0)
    # Random directions in 64 dimensions are nearly orthogonal to any other.
    assert cosines.mean().item() == pytest.approx(0.25 / (0.25**2 + 0.75**2) ** 0.5, abs=0.02)
    assert_close(like_texts(embeddings, torch.arange(3), 0, 1.0), torch.nn.functional.normalize(embeddings, dim=1))


def test_broken_indices_are_one_line(tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "index.safetensors"
    for tensors, said in (
        ({"other": torch.zeros(2, 2)}, "has no embeddings"),
        ({"embeddings": torch.zeros(2)}, "has no embeddings"),
        ({"embeddings": torch.zeros(2, 2, dtype=torch.int32)}, "has no embeddings"),
        ({"embeddings": torch.full((2, 2), torch.nan)}, "not finite"),
    ):
        save_file(tensors, path)
        with pytest.raises(UserError, match=said):
            ImageIndex.load(path)
    with pytest.raises(UserError, match="no such file"):
        ImageIndex.load(tmp_path / "none.safetensors")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "0.png").write_bytes(b"not a picture")
    one = PanoramaConfig(folders=[str(tmp_path / "broken"), str(folder / "panoramas")], height=32)
    with caplog.at_level(logging.WARNING):
        assert len(ImageIndex.of(ClipConditions(clip(folder)), one).embeddings) == 4
    assert "0.png" in caplog.text and "not in the index" in caplog.text
    with pytest.raises(UserError, match="none of its panoramas can be read"):
        ImageIndex.of(ClipConditions(clip(folder)), replace(one, folders=[str(tmp_path / "broken")]))


# Mistakes


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda f: global_training(f, database=None), "database must name panoramas for sampler.condition: neighbours"),
        (
            lambda f: global_training(f, TEXT, database=database(f)),
            "database is only for sampler.condition: neighbours",
        ),
        (
            lambda f: global_training(f, replace(NEIGHBOURS, tokens=5)),
            r"database must have at least sampler.tokens \(5\)",
        ),
        (
            lambda f: global_training(f, replace(TEXT, vocabulary=20)),
            "sampler.vocabulary must be 16, the number of codes",
        ),
        (lambda f: global_training(f, replace(TEXT, embedding=10)), "sampler.embedding must be 12"),
        (lambda f: global_training(f, image_share=1.5), r"image_share must lie in \[0, 1\]"),
        (lambda f: global_training(f, dtype="int8"), "dtype must be one of"),
        (lambda f: local_training(f, sphere=None), "windows needs one of windows and sphere"),
        (lambda f: local_training(f, "sphere", windows=WINDOWS), "windows needs one of windows and sphere"),
        (lambda f: local_training(f, sphere=replace(SPHERE, vocabulary=9)), "sphere.vocabulary must be 16"),
        (lambda f: local_training(f, sphere=replace(SPHERE, given_vocabulary=9)), "sphere.given_vocabulary must be 16"),
        (
            lambda f: local_training(f, "windows", windows=replace(WINDOWS, vocabulary=9)),
            "windows.vocabulary must be 16",
        ),
        (lambda f: local_training(f, global_autoencoder=str(f / "clip")), "expected 'vq_autoencoder'"),
        (lambda f: global_training(f, TEXT, autoencoder=str(f / "none")), "none"),
    ],
)
def test_configurations_that_cannot_work(make: Callable[[Path], object], said: str, folder: Path) -> None:
    with pytest.raises(UserError, match=said):
        make(folder)


# By the command


@pytest.fixture(autouse=True)
def clean_slate():
    yield from fresh_processes()


@pytest.fixture(params=["global", "sphere"])
def train(request: pytest.FixtureRequest, folder: Path, tmp_path: Path) -> Callable[..., int]:
    """``main.py`` with a tiny sampler on a folder of four panoramas."""
    panoramas = (
        f"folders: [{folder / 'panoramas'}], captions: [{folder / 'captions.jsonl'}], height: 32, turns: 4, "
        "cache: {folder: null}"
    )
    sizes, autoencoder = f"vocabulary: {CODES}, layers: 1, heads: 2", folder / "autoencoder"
    model = {
        "global": f"target: text2light_global_sampler, autoencoder: {autoencoder}, "
        f"clip: {{kind: clip, model: {folder / 'clip'}}}, database: {{{panoramas}}}, "
        f"sampler: {{rows: 2, columns: 4, tokens: 3, embedding: 12, width: 24, {sizes}}}",
        "sphere": f"target: text2light_local_sampler, global_autoencoder: {autoencoder}, local_autoencoder: "
        f"{autoencoder}, sphere: {{given_rows: 2, given_columns: 4, given_vocabulary: {CODES}, width: 16, {sizes}}}",
    }[request.param]
    trainer = "max_steps: 5, batch_size: 2, num_workers: 0, device: cpu, threads: 1, log_every: 1, checkpoint_every: 2"
    (tmp_path / "sampler.yaml").write_text(
        f"model: {{{model}, encodings: {{folder: {tmp_path / 'encodings'}}}}}\n"
        f"data: {{train: {{target: panoramas, {panoramas}}}}}\n"
        f"trainer: {{{trainer}, learning_rate: 1.0e-3, betas: [0.9, 0.95], ema_decay: 0.9, images_every: 3, "
        "mixed_precision: bf16}\n"
    )
    return lambda *arguments: main(["--out_dir", str(tmp_path), "-b", str(tmp_path / "sampler.yaml"), *arguments])


def test_a_stopped_training_goes_on_bit_for_bit(tmp_path: Path, train: Callable[..., int]) -> None:
    assert train("-n", "whole", "-s", "1") == 0
    assert train("-n", "parts", "-s", "1", "trainer.max_steps=2", "trainer.images_every=0") == 0
    assert train("-n", "parts", "-s", "1", "--resume", "trainer.images_every=0") == 0
    last = "checkpoints/step-00000005"
    for name in ("final/model.safetensors", f"{last}/weights.safetensors", f"{last}/optimizer.safetensors"):
        whole, parts = (load_file(tmp_path / run / name) for run in ("whole", "parts"))
        assert whole.keys() == parts.keys()
        for key, value in whole.items():
            assert torch.equal(value, parts[key]), key
    assert any((tmp_path / "encodings").iterdir())
