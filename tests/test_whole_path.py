"""From nothing to a panorama: scenes as EXR, PNG, captions, training, painting, with the commands that a user types."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import main
from aognet.commands import generate
from aognet.io.captions import load_records
from misc import captioning, exr2png, make_scenes, take_photo
from tests.tiny import tiny_streams
from tests.tiny_captioners import tiny_captioner
from tests.training.toy import fresh_processes

HEIGHT, STEPS = 64, 20


@pytest.fixture(autouse=True)
def own_processes() -> Iterator[None]:
    yield from fresh_processes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("path")


def call(command, *arguments: object) -> None:
    assert not command.main([str(argument) for argument in arguments])


@pytest.mark.slow
def test_scenes_to_panorama(folder: Path, sd2_folder: Path) -> None:
    captioner = tiny_captioner(folder / "captioner", "blip2-opt")

    call(make_scenes, "--out_dir", folder / "exr", "--count", 3, "--height", HEIGHT, "--format", "exr")
    call(exr2png, "--image_dir", folder / "exr", "--out_dir", folder / "png", "--num_workers", 60)
    names = [f"scene_{number:06d}.png" for number in range(3)]
    assert sorted(path.name for path in (folder / "png").glob("*.png")) == names

    describe = ["--name", "tiny", "--augment", "--stride", 120, "--model", captioner, "--view_size", 16]
    call(captioning, "--image_dir", folder / "png", "--out_dir", folder / "captions", *describe)
    assert [record.file for record in load_records(folder / "captions" / "tiny.jsonl")] == names
    for record in load_records(folder / "captions" / "tiny_aug.jsonl"):
        assert sorted(sum(record.yaws, ())) == [0.0, 120.0, 240.0]

    train(folder, sd2_folder)
    lines = (folder / "logs" / "whole" / "metrics.jsonl").read_text().splitlines()
    losses = [record["train/loss"] for record in map(json.loads, lines) if "train/loss" in record]
    assert len(losses) == STEPS and np.isfinite(losses).all()

    panorama, photo = folder / "png" / names[0], folder / "photo.png"
    call(take_photo, "--panorama", panorama, "--out", photo, "--fov", 90, "--size", "64x64")
    paint(folder, photo, captioner)
    result = np.asarray(Image.open(folder / "out" / "photo" / "result.png")).astype(int)
    assert result.shape == (HEIGHT, 2 * HEIGHT, 3)
    assert (folder / "out" / "photo" / "prompt.txt").read_text().strip()
    # The middle of the photograph is the middle of what was painted.
    truth = np.asarray(Image.open(panorama)).astype(int)
    middle = np.s_[HEIGHT // 2 - 6 : HEIGHT // 2 + 6, HEIGHT - 6 : HEIGHT + 6]
    assert np.abs(result[middle] - truth[middle]).mean() < 6
    assert len(np.unique(result.reshape(-1, 3), axis=0)) > 50


def train(folder: Path, backbone: Path) -> None:
    """``main.py`` with the published configuration, on a tiny model."""
    data = {
        "folders": [str(folder / "png")],
        "captions": [str(folder / "captions" / "tiny.jsonl")],
        "augmented_captions": [str(folder / "captions" / "tiny_aug.jsonl")],
        "height": HEIGHT,
        "face_size": 16,
        "plan": {"kind": "cover", "size": 16},
        "augment": {"mirror": True, "exposure_stops": 0.2, "added_captions": 2},
    }
    model = tiny_streams(backbone).config
    settings = {
        "model": {"target": "aognet", **asdict(model)},
        "data.train": data,
        "data.validation": None,
        "trainer.max_steps": STEPS,
        "trainer.log_every": 1,
        "trainer.mixed_precision": "no",
        "trainer.gradient_checkpointing": False,
        "trainer.device": "cpu",
        "trainer.threads": 1,
        "trainer.num_workers": 0,
        "trainer.images_every": 0,
    }
    overrides = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    call(main, "-b", "config/train_config.yaml", "-n", "whole", "--out_dir", folder / "logs", *overrides)


def paint(folder: Path, photo: Path, captioner: Path) -> None:
    """``inference.py`` with the published configuration, with tiny sizes; the photo is described by the captioner."""
    sizes = [f"generator.height={HEIGHT}", "generator.plan.kind=cover", "generator.plan.size=16"]
    sizes += ["generator.face_size=16", "generator.sampler.steps=2", "generator.sampler.scheduler=ddim"]
    given = ["--image", photo, "--prompt", "auto", f"captioner.model={captioner}", "device=cpu"]
    trained = ["--checkpoint", folder / "logs" / "whole", "-b", "config/inference_sd2.yaml"]
    call(generate, *trained, *given, *sizes, "--inference_out_dir", folder / "out")
