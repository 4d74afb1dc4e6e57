"""The command line that captions a folder: tiny models end to end, several processes, and what it loads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from aognet import cli
from aognet.data.panoramas import PanoramaConfig, Panoramas
from aognet.errors import UserError
from aognet.io.captions import CaptionRecord, check_captions, load_captions, load_records
from aognet.io.images import save_image
from misc import captioning
from tests.generate.painter import smooth_photo
from tests.tiny_captioners import Kind, tiny_captioner

ROOT = Path(__file__).parents[1]
NAMES = ["a.png", "in/b.jpg", "in/c.png"]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of panoramas. Do not write in it."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "in").mkdir()
    for number, name in enumerate(NAMES):
        save_image(smooth_photo(32, 64).roll(number * 9, -1), folder / name)
    return folder


@pytest.mark.parametrize("kind", ["blip", "blip2-opt", "blip2-t5"])
def test_a_model_of_each_kind_captions_what_training_reads(tmp_path: Path, images: Path, kind: Kind) -> None:
    model = tiny_captioner(tmp_path / "model", kind)
    arguments = ["--image_dir", images, "--out_dir", tmp_path / "out" / "deep", "--name", "tiny", "--model", model]
    options = ["--augment", "--stride", "72.5", "--view_size", 24, "--batch_size", 4, "--max_new_tokens", 6]
    assert captioning.main(list(map(str, [*arguments, *options]))) == 0
    plain, views = (tmp_path / "out" / "deep" / name for name in ("tiny.jsonl", "tiny_aug.jsonl"))
    for path in (plain, views):
        records = load_records(path)
        assert [record.file for record in records] == NAMES
        assert {(record.model, record.revision) for record in records} == {(str(model), None)}
        check_captions(load_captions(path), NAMES, str(path))
    for record in load_records(views):
        yaws = sorted(yaw for group in record.yaws for yaw in group)
        assert set(yaws) <= {0.0, 72.5, 145.0, 217.5, 290.0} and len(yaws) == len(set(yaws)) >= len(record.captions)
    if all(load_captions(plain).values()):
        config = PanoramaConfig(
            folders=[str(images)], captions=[str(plain)], augmented_captions=[str(views)], height=16
        )
        assert [entry.name for entry in Panoramas(config).entries] == NAMES


def test_mistakes_are_one_line(tmp_path: Path, images: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    arguments = ["--image_dir", str(images), "--out_dir", str(tmp_path / "out")]
    for more, words in (
        (["--model", str(tmp_path / "nowhere")], "no such folder"),
        (["--model", "Salesforce/not-there"], "run `hf download Salesforce/not-there`"),
        (["--stride", "0"], "--stride must be more than 0"),
        (["--image_dir", str(tmp_path / "none")], "--image_dir .*none: no such folder"),
        (["--out_dir", str(tmp_path / "file" / "out")], "--out_dir .*cannot make this folder"),
        (["--backend", "lavis", "--dtype", "float16"], "dtype is for the transformers backend"),
    ):
        with pytest.raises(UserError, match=words):
            captioning.main([*arguments, *more])


def test_an_unusable_image_ends_with_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    save_image(smooth_photo(16, 32), tmp_path / "images" / "a.png")
    (tmp_path / "images" / "b.png").write_text("no picture")
    arguments = [
        "--image_dir",
        tmp_path / "images",
        "--out_dir",
        tmp_path,
        "--model",
        tiny_captioner(tmp_path / "blip"),
    ]
    with pytest.raises(SystemExit) as left:
        cli.run(captioning.main, list(map(str, arguments)))
    assert left.value.code == 1
    assert list(load_captions(tmp_path / "caption.jsonl")) == ["a.png"]


LAVIS = """
import os, sys
import torch
class Network:
    def generate(self, samples, use_nucleus_sampling=False, num_beams=5, max_length=30):
        assert not {"transformers", "diffusers"} & set(sys.modules), "they may not be there"
        return [f"process {os.environ['RANK']}" for _ in samples["image"]]
def load_model_and_preprocess(name, model_type="base", is_eval=False, device="cpu"):
    return Network(), {"eval": lambda picture: torch.zeros(3, 4, 4)}, {}
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """With a package of LAVIS's interface that says which process it was asked in."""
    (tmp_path / "site" / "lavis").mkdir(parents=True)
    (tmp_path / "site" / "lavis" / "__init__.py").write_text("")
    (tmp_path / "site" / "lavis" / "models.py").write_text(LAVIS)
    return {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "ACCELERATE_USE_CPU": "true"}


@pytest.mark.slow
def test_two_processes_go_on_where_three_were_killed(tmp_path: Path, images: Path, environment: dict[str, str]) -> None:
    found = CaptionRecord("in/b.jpg", ("from before",), model="blip2_t5/pretrain_flant5xxl")
    (tmp_path / ".caption.2.part").write_text(f'{found.line()}\n{{"file": "in/c.p')
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    arguments = ["--image_dir", str(images), "--out_dir", str(tmp_path), "--backend", "lavis", "--device", "cpu"]
    command = [*launcher, str(ROOT / "misc" / "captioning.py"), *arguments]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert list(load_captions(tmp_path / "caption.jsonl").items()) == [
        ("a.png", ["process 0"]),
        ("in/b.jpg", ["from before"]),
        ("in/c.png", ["process 1"]),
    ]
    assert not list(tmp_path.glob(".*.part"))


def test_nothing_here_needs_a_gpu() -> None:
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="device: cuda was asked for"):
            captioning.main(["--image_dir", str(ROOT / "assets" / "demo"), "--out_dir", "x", "--device", "cuda"])
