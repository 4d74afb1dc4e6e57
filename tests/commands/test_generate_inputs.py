"""The command line that paints: what it makes of words, photographs, panoramas and datasets."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aognet.errors import UserError
from aognet.io.captions import save_captions
from aognet.io.images import save_image
from tests.commands.painted import HEIGHT, Paint, command, contents, pixels
from tests.generate.painter import smooth_photo


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
