"""CubeDiff with the commands that a user types: training, resuming, painting from photos and words, faces, changes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import py360convert
import pytest
from PIL import Image

import main
from aognet.commands import generate
from aognet.generate.view_journal import open_views
from aognet.io.captions import save_captions
from aognet.io.images import save_image
from aognet.methods.cubediff.model import CubeDiff
from tests.generate.painter import smooth_photo
from tests.smooth import smooth_panorama
from tests.training.toy import fresh_processes

HEIGHT, SIZE = 64, 32
FACES = ("front", "right", "back", "left", "up", "down")


@pytest.fixture(autouse=True)
def own_processes() -> Iterator[None]:
    yield from fresh_processes()


@pytest.fixture(scope="module")
def settings(sd2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with panoramas, a training and an inference configuration of tiny sizes."""
    folder = tmp_path_factory.mktemp("cubediff")
    (folder / "panoramas").mkdir()
    for number in range(3):
        save_image(smooth_panorama(HEIGHT)[0].roll(number, 0), folder / "panoramas" / f"{number}.png")
    save_captions({f"{number}.png": [f"room {number}"] for number in range(3)}, folder / "captions.jsonl")
    data = {"target": "cubes", "folders": [str(folder / "panoramas")], "captions": [str(folder / "captions.jsonl")]}
    trainer = {
        "max_steps": 4, "batch_size": 2, "checkpoint_every": 2, "num_workers": 0, "log_every": 1, "device": "cpu",
        "learning_rate": 1e-3, "validate_every": 4, "validation_samples": 2, "images_every": 4, "image_samples": 1,
    }  # fmt: skip
    train = {
        "model": {"target": "cubediff", "backbone": {"model": str(sd2_folder)}},
        "data": {
            "train": {**data, "height": HEIGHT, "size": SIZE},
            "validation": {**data, "height": HEIGHT, "size": SIZE},
        },
        "trainer": trainer,
    }
    plan = {"kind": "cube", "fov_degrees": 95, "size": SIZE}
    sampler = {"steps": 2, "guidance": 2.5}
    infer = {"device": "cpu", "generator": {"height": HEIGHT, "plan": plan, "face_size": 16, "sampler": sampler}}
    (folder / "train.yaml").write_text(json.dumps(train), encoding="utf-8")
    (folder / "infer.yaml").write_text(json.dumps(infer), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def trained(settings: Path) -> Path:
    """The experiment's folder, stopped in the middle and resumed."""
    command = ["-b", str(settings / "train.yaml"), "-n", "cubes", "--out_dir", str(settings / "logs")]
    for more in (["trainer.max_steps=2"], ["--resume", "trainer.max_steps=4"]):
        for _ in fresh_processes():
            assert main.main([*command, *more]) == 0
    return settings / "logs" / "cubes"


@pytest.fixture
def paint(settings: Path, trained: Path, tmp_path: Path):
    def run(*arguments: Any) -> int:
        checkpoint = ["-b", str(settings / "infer.yaml"), "--checkpoint", str(trained)]
        return generate.main([*checkpoint, "--inference_out_dir", str(tmp_path / "out"), *map(str, arguments)])

    return run


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "yard.png"
    save_image(smooth_photo(30, 40), path)
    return path


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_training_writes_what_learned(trained: Path):
    lines = (trained / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["step"] for record in records if "train/loss" in record] == [1, 2, 3, 4]
    assert (trained / "final" / "model.safetensors").stat().st_size > 1000
    assert json.loads((trained / "final" / "config.json").read_text())["method"] == "cubediff"
    assert list((trained / "images").glob("*.png"))


def test_a_photograph_in_a_panorama_and_its_faces(paint, photo: Path, tmp_path: Path):
    assert paint("--image", photo, "--prompt", "a yard", "--fov", 70, "--pitch", 20, "--save_faces") == 0
    folder = tmp_path / "out" / "yard"
    journal = open_views(folder)
    assert [entry.wave for entry in journal.entries] == [0] * 6
    assert journal.canvas().unknown_pixels == 0
    result, given = pixels(folder / "result.png"), np.asarray(Image.open(folder / "input.png"))
    known = given[..., 3] > 0
    assert known.any() and np.array_equal(result[known], given[known][:, :3])
    theirs = py360convert.e2c(result.astype(float), HEIGHT // 2, cube_format="list")
    order = dict(zip(("front", "right", "back", "left", "up", "down"), theirs, strict=True))
    for name in FACES:
        face = pixels(folder / "faces" / f"{name}.png")
        assert face.shape == (HEIGHT // 2, HEIGHT // 2, 3)
        assert np.abs(face - order[name])[2:-2, 2:-2].mean() < 6  # noise, and their own centres of pixels


def test_faces_of_a_finished_run_and_of_a_changed_one(paint, tmp_path: Path):
    assert paint("--prompt", "a hall", "--name", "hall") == 0
    folder = tmp_path / "out" / "hall"
    assert not (folder / "faces").exists()
    assert paint("--prompt", "a hall", "--name", "hall", "--save_faces") == 0
    before = pixels(folder / "faces" / "right.png")
    assert generate.main(["--inference_out_dir", str(folder), "--repaint", "90,0: a door"]) == 0
    assert (pixels(folder / "faces" / "right.png") != before).any()


def test_words_for_one_face(paint, tmp_path: Path):
    for name, more in (("plain", ()), ("told", ("--prompt-at", "90,0: a window"))):
        assert paint("--prompt", "a hall", "--name", name, *more) == 0
    prompts = [entry.prompt for entry in open_views(tmp_path / "out" / "told").entries]
    assert [("a window" in prompt) for prompt in prompts] == [False, True, False, False, False, False]
    assert (pixels(tmp_path / "out" / "plain" / "result.png") != pixels(tmp_path / "out" / "told" / "result.png")).any()


def test_stopped_before_the_cube_is_recorded_it_paints_it_again(paint, photo: Path, tmp_path: Path, monkeypatch):
    out = ("--inference_out_dir", str(tmp_path / "again"))
    assert paint("--image", photo, "--prompt", "a yard") == 0

    def stop(*given: Any, **options: Any):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CubeDiff, "outpaint", stop)
        with pytest.raises(KeyboardInterrupt):
            paint("--image", photo, "--prompt", "a yard", *out)
    assert paint("--image", photo, "--prompt", "a yard", *out) == 0
    results = [pixels(tmp_path / name / "yard" / "result.png") for name in ("out", "again")]
    assert np.array_equal(*results)


def test_a_plan_with_other_faces_is_refused_in_one_line(paint, photo: Path, capsys, caplog):
    with pytest.raises(ValueError, match="plan.fov_degrees must be 95, what the faces of this checkpoint show; got 90"):
        paint("--image", photo, "--prompt", "a yard", "generator.plan.fov_degrees=90")


def test_a_backbone_alone_paints_a_cube_without_training(settings: Path, sd2_folder: Path, photo: Path, tmp_path: Path):
    command = ["-b", str(settings / "infer.yaml"), "--checkpoint", str(sd2_folder), "method=cubediff"]
    command += ["--image", str(photo), "--prompt", "a yard", "--fov", "70", "--inference_out_dir", str(tmp_path)]
    assert generate.main(command) == 0
    journal = open_views(tmp_path / "yard")
    assert journal.asked.request.method == "cubediff" and len(journal.entries) == 6
    assert generate.main(["--inference_out_dir", str(tmp_path / "yard"), "--repaint", "180,0: a door"]) == 0
    assert len(open_views(tmp_path / "yard").entries) == 7
