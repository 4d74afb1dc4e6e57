"""The command line that paints: what it says about a mistake, before anything is written."""

import json
import shutil
from pathlib import Path

import pytest

from aognet.errors import UserError
from tests.commands.painted import COMMAND, Paint, Stop, command


def test_editing_names_what_is_wrong(paint: Paint, run: Path, tmp_path: Path) -> None:
    for arguments, said in (
        (("--undo", 99), r"--undo must lie in \[1, \d+\]"),
        (("--undo", 0), r"--undo must lie in \[1, \d+\]"),
        (("--undo", 1, "--repaint", "0,0: x"), "--undo and --repaint exclude each other"),
        (("--repaint", "a blue door"), '--repaint expects "yaw,pitch: text"'),
    ):
        with pytest.raises(UserError, match=said):
            paint(*arguments)
    shutil.copytree(run, run.parent / "other")
    with pytest.raises(UserError, match=r"has 2 runs \(other, yard\): name one of them"):
        paint("--undo", 1)
    with pytest.raises(UserError, match="holds no run"):
        paint("--undo", 1, out=tmp_path / "nowhere")
    content = json.loads((run / "run.json").read_text())
    content["request"]["settings"]["plan"]["sise"] = 3
    (run / "run.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="run.json: settings.plan.sise is an unknown key; did you mean 'size'"):
        paint("--repaint", "0,80: x", out=run)
    (run / "run.json").write_text("{")
    for arguments in (("--undo", 1), ("--repaint", "0,0: x")):
        with pytest.raises(UserError, match="run.json: not a run that can be continued"):
            paint(*arguments, out=run)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fov", "0"), ["command line", "fov", "got 0.0"]),
        (("--fov", "180"), ["command line", "fov", "got 180.0"]),
        (("--fov", "-5"), ["command line", "fov", "got -5.0"]),
        (("--pitch", "100"), ["command line", "pitch", "got 100.0"]),
        (("--scheduler", "ddmp"), ["command line", "scheduler", "'ddmp'", "dpm-solver++, unipc, lcm"]),
        (("--plan", "all"), ["command line", "generator.plan.kind", "'all'"]),
        (("--num_inference_step", "0"), ["command line", "steps", "got 0"]),
        (("--size", "32x32"), ["--size", "'32x32'"]),
        (("--size", "big"), ["--size", "'big'"]),
        (("--size", "8x16"), ["command line", "height", "got 8"]),
        (("generator.plan.sise=3",), ["command line", "generator.plan.sise", "did you mean 'size'"]),
        (("inputs.foto=3",), ["command line", "inputs.foto", "photos"]),
        (("checkpiont=x",), ["command line", "checkpiont", "did you mean 'checkpoint'"]),
        (("generator.plan.size=20",), ["command line", "size", "20"]),
        (("--prompt-at", "a barn"), ["command line", "yaw,pitch: text", "'a barn'"]),
        (("--name", "a/b"), ["command line", "name", "'a/b'"]),
        (("--checkpoint", "/no/such/model"), ["/no/such/model"]),
        (("--checkpoint", "someone/no-model-of-ours"), ["someone/no-model-of-ours", "hub"]),
        (("dtype=float8",), ["dtype", "float8"]),
        (("-b", "nowhere.yaml"), ["nowhere.yaml: no such config file"]),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(
    paint: Paint, photo: Path, tmp_path: Path, arguments: tuple[str, ...], said: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        paint("--image", photo, "--prompt", "a yard", *arguments)
    assert "\n" not in str(caught.value)
    for words in said:
        assert words in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("generator.sampler.image_guidance=3",), "image_guidance needs a UNet that is told"),
        (("--scheduler", "lcm", "--num_inference_step", "60"), "60 steps"),
    ],
)
def test_what_this_model_cannot_paint_is_said_before_anything_is_written(
    paint: Paint, photo: Path, plain_folder: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        paint("--image", photo, "--prompt", "a yard", "--checkpoint", plain_folder, *arguments)
    assert not (tmp_path / "out").exists()


def test_inputs_that_are_not_there_are_named(paint: Paint, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no picture")
    for place, said in (
        ("nowhere.png", "inputs.photos .*nowhere.png: no such file or folder"),
        ("empty", r"inputs.photos .*empty: no image \(PNG, .* HDR\)"),
        ("notes.txt", "notes.txt: not a readable image"),
    ):
        with pytest.raises(UserError, match=said):
            paint("--image", tmp_path / place, "--prompt", "x")


def test_a_folder_that_cannot_be_written_is_named_before_anything_is_done(
    paint: Paint, stop: Stop, photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=f"out_dir {out}: cannot make this folder"):
            paint(*COMMAND, photo, out=out)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "yard").write_text("")
    with pytest.raises(UserError, match="yard"):
        paint(*COMMAND, photo)
    assert stop.painted == 0


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    ended = command("--image", "nowhere.png", "--prompt", "a yard", "--inference_out_dir", tmp_path / "out")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "error: inputs.photos nowhere.png: no such file or folder\n"
    assert not (tmp_path / "out").exists()
