"""A depth ControlNet with the commands that a user types: scenes with depth, training, resuming, painting."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

import main
from aognet.commands import generate, scenes
from aognet.io.images import load_image
from aognet.nn.weights import read_tensors
from tests.training.toy import fresh_processes

HEIGHT = 32

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def own_processes() -> Iterator[None]:
    yield from fresh_processes()


@pytest.fixture(scope="module")
def place(plain_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes with depth and a configuration of tiny sizes."""
    place = tmp_path_factory.mktemp("depth")
    where = ["--out_dir", place / "images", "--depth_dir", place / "depth"]
    assert scenes.main([*map(str, where), "--count", "2", "--height", str(HEIGHT), "--num_workers", "1"]) == 0
    data = {
        "target": "depth_panoramas", "folders": [str(place / "images")], "depth_folders": [str(place / "depth")],
        "captions": [str(place / "images" / "captions.jsonl")], "height": HEIGHT,
    }  # fmt: skip
    trainer = {
        "max_steps": 2, "batch_size": 2, "checkpoint_every": 1, "num_workers": 0, "log_every": 1, "device": "cpu",
        "learning_rate": 1e-2, "validate_every": 2, "validation_samples": 2, "images_every": 2, "image_samples": 1,
    }  # fmt: skip
    model = {
        "target": "depth_controlnet", "backbone": {"model": str(plain_folder)}, "widths": [8, 16],
        "train": "lora", "lora_rank": 2,
    }  # fmt: skip
    train = {"model": model, "data": {"train": data, "validation": data}, "trainer": trainer}
    (place / "train.yaml").write_text(json.dumps(train), encoding="utf-8")
    return place


def trained(place: Path, name: str, *runs: list[str]) -> Path:
    """The experiment's folder after several runs of the command."""
    for more in runs:
        for _ in fresh_processes():
            command = ["-b", str(place / "train.yaml"), "-n", name, "--out_dir", str(place / "logs")]
            assert main.main([*command, *more]) == 0
    return place / "logs" / name


@pytest.fixture(scope="module")
def resumed(place: Path) -> Path:
    return trained(place, "resumed", ["trainer.max_steps=1"], ["--resume", "trainer.max_steps=2"])


def test_a_resumed_training_ends_with_the_same_bits(place: Path, resumed: Path) -> None:
    whole = trained(place, "whole", [])
    for part in (".", "small"):
        files = sorted(file.name for file in (whole / "final" / part).iterdir() if file.is_file())
        assert len(files) == 2
        for file in files:
            assert (whole / "final" / part / file).read_bytes() == (resumed / "final" / part / file).read_bytes()
    learned = read_tensors(resumed / "final" / "small" / "control_lora.safetensors")
    assert all(value.any() for name, value in learned.items() if "lora_B" in name or "mid_block" in name)
    assert (resumed / "images" / "step-00000002.png").is_file()


def painted(place: Path, model: Path, name: str, *arguments: str) -> Tensor:
    command = ["--checkpoint", str(model), "method=seamless", "--prompt", "a room", *arguments]
    settings = ["device=cpu", f"generator.height={HEIGHT}", "generator.sampler.steps=2", "generator.sampler.guidance=2"]
    assert generate.main([*command, *settings, "--inference_out_dir", str(place / name)]) == 0
    return load_image(next((place / name).rglob("result.png")))


def test_it_is_given_depth_where_panoramas_are_painted(place: Path, resumed: Path, plain_folder: Path) -> None:
    maps = [place / "depth" / f"scene_00000{number}.exr" for number in range(2)]
    whole, small = (["--controlnet", str(resumed / form), "--depth"] for form in ("final", "final/small"))
    first = painted(place, plain_folder, "first", *whole, str(maps[0]))
    assert torch.allclose(first, painted(place, plain_folder, "again", *small, str(maps[0])), atol=0.02)
    for other in ([*whole, str(maps[1])], []):
        assert (painted(place, plain_folder, f"other{len(other)}", *other) - first).abs().max() > 0.02
