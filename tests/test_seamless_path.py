"""Seamless with the commands that a user types: training with the shipped config, a stop, resuming, generating."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import main
from aognet.commands import export, generate
from aognet.data.equirectangular import EquirectangularSamples
from aognet.diffusion.additions import Additions
from aognet.generate.run_files import result_file
from aognet.io.captions import save_captions
from aognet.io.images import load_image, save_image
from aognet.methods.pretrained import load_method
from tests.slow import rest_slow
from tests.smooth import smooth_panorama
from tests.training.toy import fresh_processes

ROWS, CONFIG = 32, Path(__file__).resolve().parents[1] / "config" / "train_seamless.yaml"
STEPS = 2


@pytest.fixture(autouse=True)
def own_processes() -> Iterator[None]:
    yield from fresh_processes()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of panoramas with captions. Do not write in it."""
    folder = tmp_path_factory.mktemp("panoramas")
    for number in range(3):
        save_image(smooth_panorama(ROWS)[0].roll(number, 0), folder / f"{number}.png")
    save_captions({f"{number}.png": [f"room {number}"] for number in range(3)}, folder / "captions.jsonl")
    return folder


def train(backbone: Path, data: Path, logs: Path, *more: str) -> Path:
    """One start of the training; returns the experiment's folder."""
    sources = [
        f"data.{part}.{key}=[{place}]"
        for part in ("train", "validation")
        for key, place in (("folders", data), ("captions", data / "captions.jsonl"))
    ]
    small = [
        "trainer.num_workers=0", "trainer.device=cpu", "trainer.learning_rate=1e-1", "trainer.log_every=1",
        "trainer.checkpoint_every=1", f"trainer.max_steps={STEPS}", "trainer.ema_decay=0.5",
        "trainer.validate_every=2", "trainer.validation_samples=1", "trainer.images_every=0", "trainer.image_samples=1",
        "trainer.mixed_precision=no", f"SHARE.height={ROWS}", f"model.backbone.encodings.folder={logs / 'kept'}",
    ]  # fmt: skip
    command = ["-b", str(CONFIG), "-n", "mine", "--out_dir", str(logs), f"model.backbone.model={backbone}"]
    for _ in fresh_processes():
        assert main.main([*command, *sources, *small, *more]) == 0
    return logs / "mine"


def cut_and_whole(
    backbone: Path, data: Path, folder: Path, more: list[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path]:
    """A training that was cut off and went on, which ends with the weights of a whole one, and the whole one."""
    whole = train(backbone, data, folder / "whole", *more)
    draw = EquirectangularSamples.draw

    def cut_off(self: EquirectangularSamples, panorama: Any, number: int) -> Any:
        if number >= 1:
            raise RuntimeError("power cut")
        return draw(self, panorama, number)

    with monkeypatch.context() as patch:
        patch.setattr(EquirectangularSamples, "draw", cut_off)
        with pytest.raises(RuntimeError, match="power cut"):
            train(backbone, data, folder / "cut", *more)
    assert not (folder / "cut" / "mine" / "final").exists()
    cut = train(backbone, data, folder / "cut", *more, "--resume")
    mine, theirs = (load_file(place / "final" / "model.safetensors") for place in (cut, whole))
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)
    return cut, whole


@pytest.mark.parametrize(
    ("kind", "more"),
    rest_slow(
        [
            ("sd2_folder", ["model.lora_layers=all", "model.draws=2", "data.train.turns=8", "trainer.images_every=2"]),
            ("plain_folder", ["model.train=all", "trainer.images_every=2", "model.poles=flip"]),
            ("sdxl_folder", ["model.train=lora"]),
            ("sdxl_inpaint_folder", ["model.train=attention", "trainer.mixed_precision=bf16"]),
        ]
    ),
)
def test_a_training_that_was_cut_off_ends_like_a_whole_one_and_generates(
    kind: str,
    more: list[str],
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
):
    backbone = request.getfixturevalue(kind)
    cut, whole = cut_and_whole(backbone, data, tmp_path, more, monkeypatch)
    records = [json.loads(line) for line in (cut / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if "train/loss" in record] == list(range(1, STEPS + 1))
    assert any("val/loss" in record for record in records)
    assert bool(list(whole.glob("images/*.png"))) == ("trainer.images_every=2" in more)

    def generated(checkpoint: Path, name: str, *method: str) -> torch.Tensor:
        out = ["--inference_out_dir", str(tmp_path / "out"), "--name", name, "--prompt", "room 1"]
        small = [f"generator.height={ROWS}", "generator.sampler.steps=2", "device=cpu"]
        assert generate.main(["--checkpoint", str(checkpoint), *method, *out, *small]) == 0
        return load_image(tmp_path / "out" / name / result_file("srgb"))

    trained, plain = generated(cut, "trained"), generated(backbone, "plain", "method=seamless")
    assert trained.shape == (3, ROWS, 2 * ROWS) and (trained - plain).abs().mean() > 0.01


@pytest.mark.parametrize(("kind", "trained"), rest_slow([("plain_folder", "none"), ("sdxl_folder", "lora")]))
def test_words_are_trained_exported_and_read(
    kind: str,
    trained: str,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
):
    backbone = request.getfixturevalue(kind)
    more = [f"model.train={trained}", "model.learn_words.count=2", "model.learn_words.start=room"]
    cut, _ = cut_and_whole(backbone, data, tmp_path, more, monkeypatch)
    weights = load_file(cut / "final" / "model.safetensors")
    changes = [value for name, value in weights.items() if name.endswith(".change")]
    assert len(changes) == (2 if kind == "sdxl_folder" else 1) and all(value.abs().min() > 0 for value in changes)
    export.main([str(cut), "--out", str(tmp_path / "embeddings.pti")])
    models = [
        load_method(str(cut)),
        load_method(str(backbone), additions=Additions(words=[f"{tmp_path}/embeddings.pti"])),
    ]
    read = [model.backbone.conditioner(["room 1, in the style of TOK", "<s1>"]).tokens for model in models]
    assert torch.equal(*read)
    assert ("unet" in {name.partition(".")[0] for name in weights}) == (trained == "lora")


def test_without_anything_to_train_one_line_says_so(plain_folder: Path, data: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="nothing to train: all its parts are frozen; model.train says what learns"):
        train(plain_folder, data, tmp_path, "model.train=none")
    assert not list(tmp_path.glob("mine/final"))


def test_a_size_that_does_not_wrap_is_refused_before_a_step(plain_folder: Path, data: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="data.train.height must be a multiple of 2 to wrap .* 32 or 34, got 33"):
        train(plain_folder, data, tmp_path, "SHARE.height=33")
