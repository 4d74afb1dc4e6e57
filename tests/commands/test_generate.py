"""The command line that paints: what it writes, how it goes on, and how a panorama is changed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aognet.commands import generate
from aognet.errors import UserError
from aognet.geometry.cubemap import FACES
from aognet.io.gpano import read_gpano
from aognet.io.images import save_image
from tests.commands.painted import COMMAND, HEIGHT, VIEW, Paint, Stop, contents, pixels, steps
from tests.generate.painter import smooth_photo
from tests.slow import rest_slow


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
