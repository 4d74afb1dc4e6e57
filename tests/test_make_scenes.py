"""The command line fills a folder, completes it on a second run, and refuses to mix settings."""

import json

import numpy as np
import pytest
from PIL import Image

from aognet.cli import run
from aognet.errors import UserError
from aognet.io.captions import load_records
from aognet.io.hdr import read_radiance
from aognet.scenes import KINDS, make_scene
from aognet.scenes.directions import YAWS
from misc import contact_sheet, make_scenes

KIND = ["--kinds", "field rows", "night mountains"]


def make(folder, *more: str) -> int:
    return make_scenes.main(
        ["--out_dir", str(folder), "--height", "16", "--count", "3", "--seed", "4", "--num_workers", "1", *more]
    )


def test_keeps_finished_images_and_completes_captions(tmp_path):
    assert make(tmp_path, *KIND) == 0
    names = [f"scene_{number:06d}.jpg" for number in range(3)]
    others = ["captions.jsonl", "captions_aug.jsonl", "scenes.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, *names])
    captions, views = ((tmp_path / name).read_text() for name in others[:2])
    assert [json.loads(line)["file"] for line in captions.splitlines()] == names
    scene = make_scene(5, 16, "night mountains")
    assert json.loads(captions.splitlines()[1])["captions"] == [scene.caption]
    record = load_records(tmp_path / "captions_aug.jsonl")[1]
    found = {yaw: text for text, yaws in zip(record.captions, record.yaws, strict=True) for yaw in yaws}
    assert found == scene.captions_at and tuple(sorted(found)) == YAWS
    kept = (tmp_path / names[0]).stat().st_mtime_ns
    (tmp_path / names[1]).unlink()
    (tmp_path / "captions.jsonl").unlink()
    assert make(tmp_path, *KIND) == 0
    assert (tmp_path / names[0]).stat().st_mtime_ns == kept and (tmp_path / names[1]).exists()
    assert (tmp_path / "captions.jsonl").read_text() == captions
    assert (tmp_path / "captions_aug.jsonl").read_text() == views


def test_other_settings_are_refused_and_overwrite_leaves_no_mix(tmp_path):
    make(tmp_path, *KIND)
    with pytest.raises(UserError, match=r"scenes.json.*kinds"):
        make(tmp_path)
    arguments = ["--out_dir", str(tmp_path), "--height", "16", "--num_workers", "1", *KIND]
    with pytest.raises(UserError, match="seed 4, not 9"):
        make_scenes.main([*arguments, "--count", "1", "--seed", "9"])
    make_scenes.main([*arguments, "--count", "1", "--seed", "9", "--overwrite"])
    assert [path.name for path in tmp_path.glob("*.jpg")] == ["scene_000000.jpg"]
    assert len(load_records(tmp_path / "captions.jsonl")) == 1


def test_exr_and_depth_keep_the_light_and_the_distances(tmp_path):
    make(tmp_path / "light", "--format", "exr", "--depth_dir", str(tmp_path / "depth"), *KIND)
    for number, kind in ((0, KIND[1]), (1, KIND[2])):
        name = f"scene_{number:06d}.exr"
        scene = make_scene(4 + number, 16, kind)
        assert np.array_equal(read_radiance(tmp_path / "light" / name, 1000), scene.radiance)
        import OpenEXR

        with OpenEXR.File(str(tmp_path / "depth" / name)) as file:
            depth = np.array(file.channels()["Z"].pixels)
        assert depth.dtype == np.float32 and np.array_equal(depth, scene.depth)


def test_two_workers_make_what_one_makes(tmp_path):
    for workers in ("1", "2"):
        make(tmp_path / workers, "--num_workers", workers, *KIND)
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--count", "0"], "--count"),
        (["--count", "1", "--kinds", "moon"], "'moon'"),
        ([], "--count is missing"),
        (["--count", "1", "--format", "exr", "--depth_dir", "{out}"], "--depth_dir"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, arguments, word):
    with pytest.raises(SystemExit) as stop:
        run(make_scenes.main, ["--out_dir", str(tmp_path), *(text.format(out=tmp_path) for text in arguments)])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error:") and word in said and said.count("\n") == 1


def test_unwritable_folder_is_a_mistake(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--out_dir .*file"):
        make_scenes.main(["--out_dir", str(tmp_path / "file"), "--count", "1"])


def test_list_names_every_kind(capsys):
    assert make_scenes.main(["--list"]) == 0
    assert capsys.readouterr().out.split("\n")[:-1] == list(KINDS)


def test_contact_sheet_shows_every_image(tmp_path):
    make(tmp_path, *KIND)
    out = tmp_path / "sheet.png"
    contact_sheet.main(
        ["--image_dir", str(tmp_path), "--out", str(out), "--columns", "2", "--width", "32", "--no-labels"]
    )
    sheet = np.asarray(Image.open(out))
    assert sheet.shape == (32, 64, 3)
    first = np.asarray(Image.open(tmp_path / "scene_000000.jpg"))
    assert np.abs(sheet[:16, :32].astype(int) - first).max() == 0
    assert (sheet[16:, 32:] == 255).all()
    with pytest.raises(UserError, match="--image_dir .*none: no such folder"):
        contact_sheet.main(["--image_dir", str(tmp_path / "none"), "--out", str(out)])


def test_contact_sheet_shows_results_of_runs(tmp_path):
    for name, grey in (("a", 50), ("b", 200)):
        run = tmp_path / "runs" / name
        (run / "steps").mkdir(parents=True)
        (run / "run.json").write_text("{}")
        (run / "prompt.txt").write_text(f"prompt {name}\n")
        Image.new("RGB", (64, 32), (grey, grey, grey)).save(run / "result.png")
        Image.new("RGB", (16, 16)).save(run / "steps" / "000.png")
    out = tmp_path / "sheet.png"
    contact_sheet.main(["--image_dir", str(tmp_path / "runs"), "--out", str(out), "--width", "64", "--columns", "2"])
    sheet = np.asarray(Image.open(out))
    assert sheet.shape == (32 + contact_sheet.LABEL_HEIGHT, 128, 3)
    assert (sheet[:32, :64] == 50).all()
    assert (sheet[:32, 64:] == 200).all()
    assert sheet[32:].min() < 100
