"""The command line that paints: what it writes, how it goes on, and what it says about a mistake."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aognet.commands import generate
from aognet.errors import UserError
from aognet.geometry.cubemap import FACES
from aognet.io.captions import save_captions
from aognet.io.gpano import read_gpano
from aognet.io.images import save_image
from aognet.methods.aognet.model import AOGNet
from tests.generate.painter import smooth_photo
from tests.slow import rest_slow

ROOT = Path(__file__).parents[1]
HEIGHT, VIEW = 32, 16
Paint = Callable[..., int]


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph. Do not write beside it."""
    path = tmp_path_factory.mktemp("photos") / "yard.png"
    save_image(smooth_photo(30, 40), path)
    return path


@pytest.fixture(scope="session")
def settings(streams_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration with tiny sizes."""
    path = tmp_path_factory.mktemp("settings") / "tiny.yaml"
    content = {
        "checkpoint": str(streams_folder), "device": "cpu",
        "inputs": {"photos": ["assets/demo"], "captions": ["assets/demo/captions.jsonl"]},
        "generator": {
            "height": HEIGHT, "plan": {"size": VIEW, "fov_degrees": 110, "overlap": 0.2}, "face_size": 16,
            "sampler": {"steps": 2, "guidance": 2.5}, "views_per_batch": 1,
        },
    }  # fmt: skip
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def paint(settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paint:
    """The command line with tiny sizes as its default; it writes to ``tmp_path / "out"`` unless told otherwise."""
    monkeypatch.setattr(generate, "DEFAULT_CONFIG", settings)

    def run(*arguments: Any, out: Path = tmp_path / "out") -> int:
        return generate.main([*map(str, arguments), "--inference_out_dir", str(out)])

    return run


@pytest.fixture(scope="module")
def whole(photo: Path, settings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `COMMAND`, run without a stop. Do not write in it."""
    out = tmp_path_factory.mktemp("whole")
    assert generate.main(["-b", str(settings), *COMMAND, str(photo), "--inference_out_dir", str(out)]) == 0
    return out / "yard"


COMMAND = ("--prompt", "a yard in the sun", "--fov", "80", "--seed", "3", "--image")


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, where `paint` would have put it."""
    return shutil.copytree(whole, tmp_path / "out" / "yard")


class Stop:
    """Counts the views that AOG-Net paints, and presses Ctrl-C before one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.painted, self.before = 0, None
        outpaint = AOGNet.outpaint

        def counted(model: AOGNet, views: Any, *rest: Any, **options: Any) -> Any:
            if self.painted == self.before:
                raise KeyboardInterrupt
            self.painted += len(views)
            return outpaint(model, views, *rest, **options)

        monkeypatch.setattr(AOGNet, "outpaint", counted)


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Stop:
    return Stop(monkeypatch)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def steps(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "steps").iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_everything_about_a_panorama_is_in_its_folder(whole: Path, photo: Path) -> None:
    names = {path.name for path in whole.iterdir()}
    assert names == {"result.png", "input.png", "prompt.txt", "steps", "run.json", "viewer.html"}
    result, given = pixels(whole / "result.png"), pixels(whole / "input.png")
    assert result.shape == (HEIGHT, 2 * HEIGHT, 3) and result.std() > 5
    known = given[..., 3] > 0
    assert 0.05 < known.mean() < 0.3
    assert np.array_equal(result[known], given[known][:, :3])
    about = read_gpano(whole / "result.png")
    assert (about["ProjectionType"], about["FullPanoWidthPixels"]) == ("equirectangular", str(2 * HEIGHT))
    assert about["description"] == "a yard in the sun"
    assert (whole / "prompt.txt").read_text() == "a yard in the sun\n"
    page = (whole / "viewer.html").read_text()
    assert "data:image/jpeg;base64," in page and "a yard in the sun" in page and "tangents" in page
    recorded = json.loads((whole / "run.json").read_text())
    assert recorded["finished"] and [step["file"] for step in recorded["steps"]] == steps(whole)
    request = recorded["request"]
    assert request["photos"][0] | {"fov": 80.0, "image": str(photo)} == request["photos"][0]
    assert request["seed"] == 3 and recorded["camera"]["fov_degrees"] == 80
    assert len(recorded["files"][str(photo)]) == 64
    assert all(pixels(whole / "steps" / name).shape == (VIEW, VIEW, 3) for name in steps(whole))


def test_the_same_command_gives_the_same_bytes(
    paint: Paint, stop: Stop, whole: Path, photo: Path, tmp_path: Path
) -> None:
    assert paint(*COMMAND, photo) == 0
    assert stop.painted == len(steps(whole))
    assert contents(tmp_path / "out" / "yard") == contents(whole)
    assert paint(*COMMAND, photo) == 0
    assert stop.painted == len(steps(whole))  # it was there already
    assert paint(*COMMAND, photo, "--overwrite") == 0
    assert stop.painted == 2 * len(steps(whole))
    assert contents(tmp_path / "out" / "yard") == contents(whole)


@pytest.mark.parametrize("before", rest_slow([3, 0]))
def test_a_stopped_run_goes_on(paint: Paint, stop: Stop, whole: Path, photo: Path, tmp_path: Path, before: int) -> None:
    stop.before = before
    with pytest.raises(KeyboardInterrupt):
        paint(*COMMAND, photo)
    assert len(steps(tmp_path / "out" / "yard")) == before
    assert not (tmp_path / "out" / "yard" / "result.png").exists()
    stop.before = None
    assert paint(*COMMAND, photo) == 0
    assert stop.painted == len(steps(whole))
    assert contents(tmp_path / "out" / "yard") == contents(whole)


@pytest.mark.parametrize("name", ["save_panorama", "write_viewer", "write_atomically"])
def test_stopped_while_it_writes_the_results_it_writes_them_again(
    paint: Paint, stop: Stop, whole: Path, run: Path, photo: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from aognet.generate import result_files

    def die(*given: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    assert paint("--undo", 1) == 0
    monkeypatch.setattr(result_files, name, die)
    with pytest.raises(KeyboardInterrupt):
        paint(*COMMAND, photo)
    monkeypatch.undo()
    assert (
        generate.main([*COMMAND, str(photo), "-b", str(settings_of(run)), "--inference_out_dir", str(run.parent)]) == 0
    )
    assert stop.painted == 1
    assert contents(run) == contents(whole)


def settings_of(run: Path) -> Path:
    """The tiny configuration that a run was painted with, written once more."""
    content = json.loads((run / "run.json").read_text())
    request = content["request"]
    generator = {**request["settings"], "height": request["height"], "seed": request["seed"]}
    path = run.parent.parent / "again.yaml"
    path.write_text(json.dumps({"checkpoint": content["model"]["checkpoint"], "device": "cpu", "generator": generator}))
    return path


def test_views_taken_back_come_again(paint: Paint, stop: Stop, whole: Path, run: Path, photo: Path) -> None:
    assert paint("--undo", 3) == 0
    assert len(steps(run)) == len(steps(whole)) - 3
    changed = (pixels(run / "result.png") != pixels(whole / "result.png")).any(-1)
    assert changed.any()
    assert (pixels(run / "result.png")[changed] == 128).all()  # unknown again: grey
    assert not json.loads((run / "run.json").read_text())["finished"]
    assert paint(*COMMAND, photo) == 0
    assert stop.painted == 3
    assert contents(run) == contents(whole)


def test_a_direction_is_painted_anew_and_taken_back(paint: Paint, whole: Path, run: Path, photo: Path) -> None:
    assert paint("--repaint", "150,0: a blue door", out=run) == 0
    assert len(steps(run)) == len(steps(whole)) + 1
    assert "a blue door, a yard in the sun" in (run / "run.json").read_text()
    changed = (pixels(run / "result.png") != pixels(whole / "result.png")).any(-1)
    columns = np.nonzero(changed.any(0))[0]
    centre = (150 / 360 + 0.5) * 2 * HEIGHT
    assert changed.any() and (abs((columns + 0.5 - centre + HEIGHT) % (2 * HEIGHT) - HEIGHT) <= HEIGHT / 3).all()
    assert (run / "viewer.html").read_bytes() != (whole / "viewer.html").read_bytes()
    assert paint(*COMMAND, photo) == 0  # nothing left to do: the door stays
    assert len(steps(run)) == len(steps(whole)) + 1
    assert paint("--undo", 1) == 0
    assert contents(run) == contents(whole)
    assert paint("--repaint", "0,0: a cat") == 0
    known = pixels(whole / "input.png")[..., 3] > 0
    assert np.array_equal(pixels(run / "result.png")[known], pixels(whole / "result.png")[known])


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
    ("changes", "said"),
    [
        (("--seed", "4"), "seed: 3 there, 4 here"),
        (("--prompt", "a yard at night"), "prompt: 'a yard in the sun' there, 'a yard at night' here"),
        (("--num_inference_step", "3"), "settings.sampler.steps: 2 there, 3 here"),
        (("--cfg_scale", "1.5"), "settings.sampler.guidance: 2.5 there, 1.5 here"),
        (("--plan", "published"), "settings.plan.kind: 'cover' there, 'published' here"),
    ],
)
def test_other_settings_are_not_mixed_into_a_run(paint: Paint, run: Path, photo: Path, changes: Any, said: str) -> None:
    before = contents(run)
    with pytest.raises(UserError) as caught:
        paint(*COMMAND, photo, *changes)
    assert said in str(caught.value) and "--overwrite" in str(caught.value) and str(run) in str(caught.value)
    assert contents(run) == before


def test_another_input_under_the_same_name_is_another_run(paint: Paint, run: Path, photo: Path, tmp_path: Path) -> None:
    save_image(smooth_photo(30, 40) * 0.5, tmp_path / "yard.png")
    with pytest.raises(UserError, match="yard.png"):
        paint(*COMMAND, tmp_path / "yard.png")
    with pytest.raises(UserError, match="holds a run with other settings"):
        paint("--prompt", "a yard in the sun", "--seed", 3, "--name", "yard")


def test_overwriting_leaves_nothing_of_the_run_before(paint: Paint, run: Path, tmp_path: Path) -> None:
    content = json.loads((run / "run.json").read_text())
    content["outputs"] += ["gt.png", *(f"faces/{name}.png" for name in FACES)]  # a run that wrote these, too
    (run / "run.json").write_text(json.dumps(content))
    (run / "faces").mkdir()
    for name in content["outputs"]:
        (run / name).write_bytes(b"old")
    assert paint("--prompt", "a lake", "--name", "yard", "--overwrite", "--scheduler", "lcm") == 0
    assert not (run / "gt.png").exists() and not (run / "faces").exists()
    assert (run / "prompt.txt").read_text() == "a lake\n"
    assert not pixels(run / "input.png")[..., 3].any()
    recorded = json.loads((run / "run.json").read_text())
    assert recorded["request"]["settings"]["sampler"]["scheduler"] == "lcm" and recorded["camera"] is None
    assert [step["file"] for step in recorded["steps"]] == steps(run)


@pytest.mark.slow
def test_several_views_at_a_time_give_nearly_the_same(paint: Paint, whole: Path, photo: Path, tmp_path: Path) -> None:
    assert paint(*COMMAND, photo, "generator.views_per_batch=3") == 0
    difference = abs(pixels(tmp_path / "out" / "yard" / "result.png") - pixels(whole / "result.png"))
    assert difference.max() <= 2


@pytest.mark.parametrize(
    "prompt", ['a "red: barn", it\'s {big}: [1] # ünï 日本 🌲', "costs ${x} and ${oc.env:HOME} \\${y}\nand more", "3"]
)
def test_words_alone_are_taken_literally(paint: Paint, tmp_path: Path, prompt: str) -> None:
    assert paint("--prompt", prompt, "--prompt-at", f"90,0: {prompt}") == 0
    folder = tmp_path / "out" / "text"
    assert (folder / "prompt.txt").read_text(encoding="utf-8") == prompt + "\n"
    request = json.loads((folder / "run.json").read_text(encoding="utf-8"))["request"]
    assert request["prompt"] == prompt
    assert request["prompts_at"] == [{"yaw": 90.0, "pitch": 0.0, "text": prompt}]
    assert request["photos"] == [] and not pixels(folder / "input.png")[..., 3].any()


def test_prompts_by_direction_reach_their_views(paint: Paint, photo: Path, tmp_path: Path) -> None:
    assert (
        paint("--image", photo, "--prompt", "a farm", "--prompt-at", "90,0: a red barn", "--prompt-at", "-90,0: a pond")
        == 0
    )
    recorded = json.loads((tmp_path / "out" / "yard" / "run.json").read_text())
    found = {step["prompt"] for step in recorded["steps"]}
    assert found == {"a farm", "a red barn, a farm", "a pond, a farm"}
    assert (tmp_path / "out" / "yard" / "prompt.txt").read_text() == "a farm\n"


def test_several_photos_of_one_place(paint: Paint, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        save_image(smooth_photo(30, 40), tmp_path / name)
    images = ("--image", tmp_path / "a.png", "--image", tmp_path / "b.png", "--prompt", "a square")
    with pytest.raises(UserError, match="2 images need --poses"):
        paint(*images)
    poses = tmp_path / "poses.yaml"
    for text, said in (
        ("a.png: {yaw: 0}", "poses.yaml: no pose for b.png"),
        ("a.png: {yaw: 0}\nb.png: {jaw: 120}", "poses.yaml: b.png.jaw is an unknown key; did you mean 'yaw'"),
        ("a.png: {yaw: 0}\nb.png: {yaw: 120, fov: 200}", "poses.yaml: .*fov must be .* got 200"),
        ("a.png: {yaw: 0}\nb.png: 120", "poses.yaml: b.png must be a section"),
        ("a.png: {yaw", "poses.yaml"),
    ):
        poses.write_text(text)
        with pytest.raises(UserError, match=said):
            paint(*images, "--poses", poses)
    assert not (tmp_path / "out" / "a").exists()
    poses.write_text("a.png: {yaw: 0, fov: 70}\nb.png: {yaw: 120, pitch: 10, fov: 60}\nc.png: {}")
    assert paint(*images, "--poses", poses) == 0
    known = pixels(tmp_path / "out" / "a" / "input.png")[..., 3] > 0
    row = known[HEIGHT // 2]
    assert row[HEIGHT] and row[round((120 / 360 + 0.5) * 2 * HEIGHT)] and not row[round((60 / 360 + 0.5) * 2 * HEIGHT)]


def test_a_partly_known_panorama(paint: Paint, whole: Path, tmp_path: Path) -> None:
    mask = np.zeros((HEIGHT, 2 * HEIGHT), np.uint8)
    mask[:, :20] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    source, mask_path = whole / "result.png", tmp_path / "mask.png"
    assert paint("--panorama", source, "--mask", mask_path, "--prompt", "a yard", "--name", "mended") == 0
    result = pixels(tmp_path / "out" / "mended" / "result.png")
    assert np.array_equal(result[:, 20:], pixels(source)[:, 20:])
    assert not np.array_equal(result[:, :20], pixels(source)[:, :20])
    with pytest.raises(UserError, match="--mask .*mask.png is of a --panorama, and there is none"):
        paint("--mask", mask_path, "--prompt", "x")
    with pytest.raises(UserError, match="result.png: is known throughout, so nothing is to be painted: --mask says"):
        paint("--panorama", source, "--prompt", "x", "--name", "none")
    with pytest.raises(UserError, match="result.png: is a whole panorama, as its GPano metadata says, and no photo"):
        paint("--image", source, "--prompt", "x", "--name", "none")
    assert not (tmp_path / "out" / "none").exists()
    with pytest.raises(UserError, match="--image and --panorama exclude each other"):
        paint("--panorama", source, "--mask", mask_path, "--image", source)


def test_what_is_transparent_is_painted(paint: Paint, whole: Path, tmp_path: Path) -> None:
    source = pixels(whole / "result.png").astype(np.uint8)
    clear = np.zeros((HEIGHT, 2 * HEIGHT), bool)
    clear[HEIGHT // 4 : HEIGHT // 2, 10:30] = True
    rgba = np.dstack([source, np.where(clear, 0, 255).astype(np.uint8)])
    rgba[clear, :3] = 255
    Image.fromarray(rgba).save(tmp_path / "hole.png")
    Image.fromarray(rgba[:, :HEIGHT]).save(tmp_path / "cut.png")
    assert paint("--panorama", tmp_path / "hole.png", "--prompt", "a yard", "--name", "hole") == 0
    folder = tmp_path / "out" / "hole"
    result, given = pixels(folder / "result.png"), pixels(folder / "input.png")
    assert np.array_equal(result[~clear], source[~clear])
    assert np.array_equal(given[..., 3] == 0, clear) and not np.array_equal(result[clear], source[clear])
    assert paint("--image", tmp_path / "cut.png", "--prompt", "a yard", "--name", "cut", "--fov", "120") == 0
    folder = tmp_path / "out" / "cut"
    known = pixels(folder / "input.png")[..., 3] > 0
    middle = known[HEIGHT // 2 : 3 * HEIGHT // 4, HEIGHT - 2 : HEIGHT + 2]
    assert middle.all() and not known[HEIGHT // 2 - 3 : HEIGHT // 2, HEIGHT - 6 : HEIGHT + 2].all()
    assert np.array_equal(pixels(folder / "result.png")[known], pixels(folder / "input.png")[known][:, :3])


def test_whole_panoramas_of_a_dataset_keep_their_truth(
    paint: Paint, whole: Path, settings: Path, tmp_path: Path
) -> None:
    (tmp_path / "panoramas").mkdir()
    for name in ("a", "b"):
        shutil.copy(whole / "result.png", tmp_path / "panoramas" / f"{name}.png")
    save_captions({"a.png": ["an attic"]}, tmp_path / "captions.jsonl")
    own = {
        "inputs": {
            "photos": [],
            "panoramas": [str(tmp_path / "panoramas")],
            "captions": [str(tmp_path / "captions.jsonl")],
        }
    }
    (tmp_path / "own.yaml").write_text(json.dumps(own))
    assert paint("-b", settings, tmp_path / "own.yaml", "inputs.prompt=a house", "inputs.pose.yaw=90") == 0
    for name, prompt in (("a", "an attic"), ("b", "a house")):
        folder = tmp_path / "out" / name
        assert np.array_equal(pixels(folder / "gt.png"), pixels(whole / "result.png"))
        assert (folder / "prompt.txt").read_text() == f"{prompt}\n"
        known = pixels(folder / "input.png")[..., 3] > 0
        assert np.array_equal(pixels(folder / "result.png")[known], pixels(folder / "gt.png")[known])
        assert known[HEIGHT // 2, HEIGHT * 3 // 2] and not known[HEIGHT // 2, HEIGHT // 2]
    # What stands on the command line goes before the captions.
    own["inputs"] |= {"limit": 1}
    (tmp_path / "own.yaml").write_text(json.dumps(own))
    assert paint("-b", settings, tmp_path / "own.yaml", "--prompt", "a barn", out=tmp_path / "other") == 0
    assert (tmp_path / "other" / "a" / "prompt.txt").read_text() == "a barn\n"


def test_one_broken_photo_among_many_is_reported_and_left_out(
    paint: Paint, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "c.png"):
        save_image(smooth_photo(30, 40), folder / name)
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:200])
    assert paint("--image", folder, "--prompt", "a yard") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "c"]
    assert all((tmp_path / "out" / name / "result.png").is_file() for name in "ac")
    assert caplog.text.count("b.png: not a readable image") == 1
    assert "1 of 3 inputs could not be read" in caplog.text
    with pytest.raises(UserError, match="b.png: not a readable image"):
        paint("--image", folder / "b.png", "--prompt", "a yard")


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


def command(*arguments: Any, python: tuple[str, ...] = (), **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "COLUMNS": "80"}
    words = [sys.executable, *python, str(ROOT / "inference.py"), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300, **options)


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    ended = command("--image", "nowhere.png", "--prompt", "a yard", "--inference_out_dir", tmp_path / "out")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "error: inputs.photos nowhere.png: no such file or folder\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_two_processes_share_a_dataset(paint: Paint, settings: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, name in enumerate(("a.png", "b.png", "d.png")):
        save_image(smooth_photo(30, 40 + 2 * i), folder / name)
    (folder / "c.png").write_bytes(b"\x89PNG")
    arguments = ("--image", folder, "--prompt", "a yard", "-b", settings)
    assert paint(*arguments, out=tmp_path / "one") == 1
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    ended = command(*arguments, "--inference_out_dir", tmp_path / "two", python=torchrun)
    assert ended.returncode == 1
    assert "c.png" in ended.stderr and "1 of 4 inputs could not be read" in ended.stderr
    assert ended.stderr.count("c.png: not a readable") == 1
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
