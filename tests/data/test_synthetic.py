"""Scenes are repeatable, seamless over the wrap and calm at the poles, for every kind."""

import json

import numpy as np
import pytest

from aognet.cli import run
from aognet.data.synthetic import KINDS, Scene, describe_scene, make_scene
from aognet.errors import UserError
from misc import make_scenes


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [make_scene(seed, 64, kind) for seed in (0,) for kind in KINDS]


def test_same_seed_same_pixels():
    first, second = make_scene(7, 48), make_scene(7, 48)
    assert np.array_equal(first.image, second.image)
    assert (first.caption, first.kind) == (second.caption, second.kind)
    assert describe_scene(7) == first.caption


def test_other_seed_other_scene():
    assert not np.allclose(make_scene(1, 32, "meadow").image, make_scene(2, 32, "meadow").image)


def test_every_kind_is_an_image_with_a_caption(scenes):
    assert len(KINDS) >= 14
    assert {scene.kind for scene in scenes} == set(KINDS)
    for scene in scenes:
        assert scene.image.shape == (64, 128, 3)
        assert scene.image.dtype == np.float32
        assert np.isfinite(scene.image).all()
        assert scene.image.min() >= 0 and scene.image.max() <= 1
        assert 0.02 < scene.image.mean() < 0.95, scene.kind
        assert scene.image.std() > 0.02, scene.kind
        assert scene.caption[0].isupper() and scene.caption.endswith(".")
        assert "  " not in scene.caption and "{" not in scene.caption


def test_no_seam_at_the_wrap(scenes):
    """Mean gradient across the wrap column, against the mean between other neighbouring columns."""
    across = np.mean([np.abs(scene.image[:, 0] - scene.image[:, -1]).mean() for scene in scenes])
    elsewhere = np.mean([np.abs(np.diff(scene.image, axis=1)).mean() for scene in scenes])
    assert 0.5 < across / elsewhere < 1.6


def test_rolling_the_world_rolls_the_image():
    """Law 3 without its edges: no column is special to what is drawn, only to the camera's yaw."""
    from aognet.data import synthetic

    world, _, _ = synthetic._draw(5, "hills")
    turned = synthetic.rotation(90.0).numpy()
    straight = synthetic._render(world, 32, np.eye(3))
    assert np.abs(synthetic._render(world, 32, turned) - np.roll(straight, -16, axis=1)).mean() < 2e-3


def test_poles_are_calm(scenes):
    """All pixels of the top row look within three degrees of each other."""
    for scene in scenes:
        steps = np.abs(np.roll(scene.image[0], -1, axis=0) - scene.image[0]).mean()
        assert steps < 0.03, (scene.kind, steps)


def test_the_same_scene_at_two_sizes():
    small, large = make_scene(3, 32, "city"), make_scene(3, 64, "city")
    shrunk = large.image.reshape(32, 2, 64, 2, 3).mean((1, 3))
    assert small.caption == large.caption
    assert np.abs(shrunk - small.image).mean() < 0.05


def test_unknown_kind_names_the_known_ones():
    with pytest.raises(UserError, match="'moon'.*meadow.*bedroom"):
        make_scene(0, 32, "moon")
    with pytest.raises(UserError, match="height.*4"):
        make_scene(0, 4)


def test_command_line_keeps_finished_images_and_completes_captions(tmp_path):
    arguments = ["--out_dir", str(tmp_path), "--height", "16", "--count", "3", "--seed", "4", "--num_workers", "1"]
    make_scenes.main(arguments)
    names = [f"scene_{number:06d}.jpg" for number in range(3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["captions.jsonl", *names]
    captions = (tmp_path / "captions.jsonl").read_text()
    lines = [json.loads(line) for line in captions.splitlines()]
    assert [line["file"] for line in lines] == names
    assert lines[1]["captions"] == [make_scene(5, 16).caption]
    kept = (tmp_path / names[0]).stat().st_mtime_ns
    (tmp_path / names[1]).unlink()
    (tmp_path / "captions.jsonl").unlink()
    make_scenes.main(arguments)
    assert (tmp_path / names[0]).stat().st_mtime_ns == kept
    assert (tmp_path / names[1]).exists()
    assert (tmp_path / "captions.jsonl").read_text() == captions


def test_two_workers_make_what_one_makes(tmp_path):
    for workers in ("1", "2"):
        folder = str(tmp_path / workers)
        make_scenes.main(["--out_dir", folder, "--height", "16", "--count", "2", "--num_workers", workers])
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "word"), [(["--count", "0"], "--count"), (["--count", "1", "--kinds", "moon"], "'moon'")]
)
def test_command_line_mistakes_are_one_line(tmp_path, capsys, arguments, word):
    with pytest.raises(SystemExit) as stop:
        run(make_scenes.main, ["--out_dir", str(tmp_path), *arguments])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error:") and word in said and said.count("\n") == 1


def test_unwritable_folder_is_a_mistake(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--out_dir .*file"):
        make_scenes.main(["--out_dir", str(tmp_path / "file"), "--count", "1"])
