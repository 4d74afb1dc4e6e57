"""The panoramas of a folder: which they are, what pairs them, what is said of odd and broken ones, their captions."""

import json
import shutil
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile
from torch.testing import assert_close

from aognet.errors import UserError
from aognet.evaluation.measure import decode
from aognet.evaluation.sets import (
    TRUTH,
    PanoramaCaptions,
    PanoramaFile,
    check_sizes,
    find_captions,
    find_panoramas,
    find_sets,
    pair,
    photo_camera,
)
from aognet.geometry.camera import Camera
from aognet.io.hdr import write_exr
from tests.evaluation.folders import panoramas, write

HEIGHT, WIDTH = 32, 64


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three panoramas."""
    return write(tmp_path / "set", panoramas(3))


def make_run(folder: Path, request: object, *files: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"request": request}))
    for name in files:
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / name)
    return folder


def saved(path: Path, pixels: np.ndarray, mode: str | None = None) -> PanoramaFile:
    Image.fromarray(pixels, mode).save(path)
    return PanoramaFile(path.name, path)


def decoded(item: PanoramaFile, height: int = HEIGHT):
    return decode(item.path.read_bytes(), item, height)


# ------------------------------------------------------------------------------------------------- which they are


def test_images_are_found_at_any_depth_and_named_by_their_place(folder: Path) -> None:
    (folder / "in" / "deep").mkdir(parents=True)
    shutil.copy(folder / "p0.png", folder / "in" / "deep" / "p0.PNG")
    for name in (".hidden.png", "notes.txt", "in/.cache/x.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"no image")
    (folder / "folder.png").mkdir()
    assert [item.name for item in find_panoramas(folder, "generated")] == [
        "in/deep/p0.PNG",
        "p0.png",
        "p1.png",
        "p2.png",
    ]


def test_a_run_is_one_panorama_and_its_other_images_are_none(folder: Path) -> None:
    run = make_run(folder / "more" / "a.b", {}, "result.png", "gt.png", "input.png")
    make_run(folder / ".trash" / "old", {}, "result.png")
    (run / "steps").mkdir()
    shutil.copy(run / "gt.png", run / "steps" / "0.png")
    items = {item.name: item for item in find_panoramas(folder, "generated")}
    assert set(items) == {"more/a.b", "p0.png", "p1.png", "p2.png"}
    assert items["more/a.b"].path == run / "result.png" and items["more/a.b"].stem == "more/a.b"
    truth = {item.name: item.path for item in find_panoramas(folder, "reference", TRUTH)}
    assert truth["more/a.b"] == run / "gt.png"


def test_a_folder_may_be_a_run_itself(tmp_path: Path) -> None:
    run = make_run(tmp_path / "hall", {}, "result.png", "gt.png")
    assert [(item.name, item.path.name) for item in find_panoramas(run, "generated")] == [("hall", "result.png")]


def test_unfinished_runs_are_named(tmp_path: Path) -> None:
    make_run(tmp_path / "done", {}, "result.png")
    make_run(tmp_path / "half", {}, "gt.png")
    with pytest.raises(UserError, match=r"generated .*: 1 run\(s\) without result.png: .*half$"):
        find_panoramas(tmp_path, "generated")
    with pytest.raises(UserError, match=r"reference .*: 1 run\(s\) without gt.png: .*done$"):
        find_panoramas(tmp_path, "reference", TRUTH)


def test_a_run_of_linear_light_gives_its_light(tmp_path: Path) -> None:
    run = make_run(tmp_path / "hall", {}, "result.png", "gt.png")
    (run / "run.json").write_text(json.dumps({"request": {}, "encoding": "linear"}))
    light = {letter: np.full((HEIGHT, WIDTH), 0.5, np.float32) for letter in "RGB"}
    write_exr(light, run / "result.exr")
    assert [item.path.name for item in find_panoramas(tmp_path, "generated")] == ["result.exr"]
    with pytest.raises(UserError, match=r"1 run\(s\) without gt.exr: .*hall$"):
        find_panoramas(tmp_path, "reference", TRUTH)
    write_exr(light, run / "gt.exr")
    assert [item.path.name for item in find_panoramas(tmp_path, "reference", TRUTH)] == ["gt.exr"]
    assert find_sets(tmp_path, tmp_path).height == HEIGHT


def test_folders_without_panoramas_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="generated .*none: no such folder"):
        find_panoramas(tmp_path / "none", "generated")
    with pytest.raises(UserError, match="reference .*: no panorama .* in it"):
        find_panoramas(tmp_path, "reference")


def test_two_images_of_one_name_are_refused(folder: Path) -> None:
    shutil.copy(folder / "p1.png", folder / "p1.jpg")
    with pytest.raises(UserError, match="several images of one name: p1$"):
        find_panoramas(folder, "generated")


# ------------------------------------------------------------------------------------------------- what pairs them


def items(*names: str) -> list[PanoramaFile]:
    return [PanoramaFile(name, Path("somewhere") / name, Path("run") if "." not in name else None) for name in names]


def test_pairs_have_one_name_whatever_the_suffix() -> None:
    found = pair(items("in/a.png", "v1.2.png", "run"), items("run.jpg", "v1.2.JPG", "in/a.exr", "more.png"))
    assert {name: item.name for name, item in found.items()} == {
        "in/a.png": "in/a.exr",
        "v1.2.png": "v1.2.JPG",
        "run": "run.jpg",
    }


def test_some_but_not_all_is_a_mistake() -> None:
    with pytest.raises(UserError, match=r"reference lacks 5 of 6 .*: b.png, c.png, d.png, \.\.\.; .* unpaired"):
        pair(items("a.png", "b.png", "c.png", "d.png", "e.png", "f.png"), items("a.png", "x.png"))


def test_none_is_none() -> None:
    assert pair(items("a.png", "b.png"), items("x.png", "in/a.png")) == {}


def test_accents_may_be_composed_in_either_way() -> None:
    (found,) = pair(items("e\u0301.png"), items("\u00e9.jpg")).values()
    assert found.name == "\u00e9.jpg"


# ------------------------------------------------------------------------------------------------- sizes


def test_one_size_needs_no_height(folder: Path) -> None:
    assert check_sizes({"generated": find_panoramas(folder, "generated")}, None) == (HEIGHT, [])
    assert check_sizes({"generated": find_panoramas(folder, "generated")}, 20) == (20, [])


def test_mixed_sizes_are_named_unless_a_height_is_given(folder: Path) -> None:
    other = write(folder.parent / "other", panoramas(1, 64))
    sets = {"generated": find_panoramas(folder, "generated"), "reference": find_panoramas(other, "reference")}
    with pytest.raises(UserError, match=r"64x32 \(.*set/p0.png\), 128x64 \(.*other/p0.png\); height brings"):
        check_sizes(sets, None)
    assert check_sizes(sets, 48) == (48, [])


@pytest.mark.parametrize(("columns", "rows"), [(32, 32), (60, 32), (32, 64), (66, 32)])
def test_what_is_not_twice_as_wide_as_high_is_no_panorama(folder: Path, columns: int, rows: int) -> None:
    Image.new("RGB", (columns, rows)).save(folder / "p1.png")
    with pytest.raises(UserError, match=rf"p1.png: a panorama .* this image is {columns}x{rows}"):
        check_sizes({"generated": find_panoramas(folder, "generated")}, 32)


def test_an_image_that_is_turned_by_its_exif_counts_as_it_is_seen(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (HEIGHT, WIDTH)).save(tmp_path / "a.jpg", exif=exif)
    found = find_panoramas(tmp_path, "generated")
    assert check_sizes({"generated": found}, None)[0] == HEIGHT
    assert decoded(found[0]).pixels.shape == (HEIGHT, WIDTH, 3)


def broken_header(content: bytes) -> bytes:
    return content[:8] + b"\x00" * 16 + content[24:]


def huge(content: bytes) -> bytes:
    return content[:16] + struct.pack(">II", 2**31 - 2, 2**30 - 1) + content[24:]


@pytest.mark.parametrize("harm", [broken_header, huge, lambda content: b"", lambda content: content[:20]])
def test_a_broken_header_is_named(folder: Path, harm) -> None:
    path = folder / "p1.png"
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(UserError, match="p1.png: not a readable image"):
        check_sizes({"generated": find_panoramas(folder, "generated")}, None)


def test_a_large_panorama_is_no_reason_for_pillows_warning(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH - 1)
    with warnings.catch_warnings(action="error"):
        found = find_panoramas(folder, "generated")
        assert check_sizes({"generated": found}, None)[0] == HEIGHT
        assert decoded(found[0]).pixels.shape == (HEIGHT, WIDTH, 3)


def test_headers_are_read_without_decoding(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("decoded"))
    shutil.copy(folder / "p0.png", folder / "p9.jpg")
    assert check_sizes({"generated": find_panoramas(folder, "generated")}, None) == (HEIGHT, [])


# ------------------------------------------------------------------------------------------------- odd colours


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_odd_files_are_said_together_and_still_measured(tmp_path: Path) -> None:
    grey16 = (noise(HEIGHT, WIDTH).astype(np.uint16) << 8) + 7
    found = [
        saved(tmp_path / "grey.png", noise(HEIGHT, WIDTH)),
        saved(tmp_path / "grey.jpg", noise(HEIGHT, WIDTH)),
        saved(tmp_path / "deep.png", grey16),
        saved(tmp_path / "plain.png", noise(HEIGHT, WIDTH, 3)),
        saved(tmp_path / "cmyk.jpg", noise(HEIGHT, WIDTH, 4), "CMYK"),
    ]
    light = noise(HEIGHT, WIDTH, 3).astype(np.float16) / 255
    write_exr({letter: light[..., number] for number, letter in enumerate("RGB")}, tmp_path / "light.exr")
    found.append(PanoramaFile("light.exr", tmp_path / "light.exr"))
    _, said = check_sizes({"generated": found[:1], "reference": found[1:]}, None)
    said = sorted(line.partition(" file(s) ")[::2] for line in said)
    assert said == [
        ("generated: 1", "are grey, measured as colours of equal parts: grey.png"),
        ("reference: 1", "are grey, measured as colours of equal parts: grey.jpg"),
        ("reference: 1", "hold 16-bit grey, measured as 8-bit colours: deep.png"),
        ("reference: 1", "hold CMYK colours, converted without a profile: cmyk.jpg"),
        ("reference: 1", "hold linear light and were tone-mapped: light.exr"),
    ]
    assert {decoded(item).pixels.shape for item in found} == {(HEIGHT, WIDTH, 3)}
    assert np.abs(decoded(found[2]).pixels[..., 0].astype(int) - (grey16 / 257)).max() <= 1


def png16(path: Path, pixels: np.ndarray) -> PanoramaFile:
    """A PNG with 16 bits a colour, which Pillow cannot write."""
    import cv2

    cv2.imwrite(str(path), pixels)
    return PanoramaFile(path.name, path)


def test_sixteen_bits_a_colour_are_said(tmp_path: Path) -> None:
    item = png16(tmp_path / "a.png", noise(HEIGHT, WIDTH, 3).astype(np.uint16) * 257)
    _, said = check_sizes({"generated": [item]}, None)
    assert said == ["generated: 1 file(s) hold 16 bits a colour, measured as 8: a.png"]
    assert np.array_equal(decoded(item).pixels, noise(HEIGHT, WIDTH, 3)[..., ::-1])


# ------------------------------------------------------------------------------------------------- photographs


def test_the_camera_of_a_run_is_that_of_its_request(tmp_path: Path) -> None:
    camera = {"yaw_degrees": 30.0, "fov_degrees": 75.0, "width": 40, "height": 20}
    folder = make_run(tmp_path / "a", {"camera": camera}, "result.png")
    item = PanoramaFile("a", folder / "result.png", folder)
    assert photo_camera(item, None) == photo_camera(item, 50.0) == Camera(**camera)
    without = make_run(tmp_path / "b", {"camera": None}, "result.png")
    assert photo_camera(PanoramaFile("b", without / "result.png", without), 50.0) is None


def test_a_file_has_the_camera_that_is_said() -> None:
    item = PanoramaFile("a.png", Path("a.png"))
    assert photo_camera(item, None) is None
    camera = photo_camera(item, 75.0)
    assert camera.fov_degrees == 75.0 and camera.width == camera.height
    assert_close(camera.forward, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[" * 100_000,
        "[]",
        "{}",
        '{"request": []}',
        '{"request": {"camera": [1]}}',
        '{"request": {"camera": {"yaw": 3}}}',
        '{"request": {"camera": {"fov_degrees": 400}}}',
        '{"request": {"camera": {"fov_degrees": "wide"}}}',
        " " * (2**24 + 1),
    ],
)
def test_an_unreadable_run_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(UserError, match=r"run.json: its request.camera cannot be read"):
        photo_camera(PanoramaFile("a", tmp_path / "result.png", tmp_path), None)


def test_runs_are_paired_with_what_they_started_from(tmp_path: Path) -> None:
    """Folders of runs have safe and unique names, which the images of a dataset need not have."""
    sources = {"01": "hall/01.png", "01-2": "room/01.png", "caf_": "caf\udce9.png", "e": "e\u0301.png"}
    for name, source in sources.items():
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text(json.dumps({"request": {"truth": f"data/{source}"}}))
        (tmp_path / "runs" / name / "result.png").write_bytes(b"")
        reference = tmp_path / "references" / source.replace("e\u0301", "\u00e9")
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_bytes(b"")
    generated = find_panoramas(tmp_path / "runs", "generated")
    pairs = pair(generated, find_panoramas(tmp_path / "references", "reference"))
    assert {name: item.name for name, item in pairs.items()} == sources | {"e": "\u00e9.png"}


# ------------------------------------------------------------------------------------------------- captions


def named(*names: str) -> list[PanoramaFile]:
    return [PanoramaFile(name, Path(name)) for name in names]


def captions(path: Path, *records: dict) -> Path:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


def prompted(folder: Path, name: str, prompt: str | None) -> PanoramaFile:
    (folder / name).mkdir(parents=True)
    if prompt is not None:
        (folder / name / "prompt.txt").write_text(prompt)
    return PanoramaFile(name, folder / name / "result.png", folder / name)


def test_captions_of_the_whole_and_of_directions_are_told_apart(tmp_path: Path) -> None:
    whole = captions(tmp_path / "a.jsonl", {"file": "in/a.png", "captions": ["hall", " "]})
    views = captions(tmp_path / "b.jsonl", {"file": "a.jpg", "captions": ["door", "lamp"], "yaws": [[0, 30], [180]]})
    found = find_captions(named("in/a.png"), [whole, views])
    assert found == {"in/a.png": PanoramaCaptions(("hall",), (("door", (0.0, 30.0)), ("lamp", (180.0,))))}


def test_several_lines_of_one_panorama_add_up(tmp_path: Path) -> None:
    path = captions(
        tmp_path / "a.jsonl",
        {"file": "a.png", "captions": ["hall"]},
        {"file": "a.png", "captions": ["room"]},
        {"file": "a.png", "captions": ["door"], "yaws": [[0]]},
        {"file": "a.png", "captions": ["lamp", ""], "yaws": [[90], [45]]},
    )
    assert find_captions(named("a.png"), [path])["a.png"] == PanoramaCaptions(
        ("hall", "room"), (("door", (0.0,)), ("lamp", (90.0,)))
    )


def test_directions_are_near_all_round() -> None:
    texts = PanoramaCaptions(views=(("back", (180.0, 20.0)), ("left", (-90.0,)), ("right", (90.0,)), ("nowhere", ())))
    assert texts.near(-180.0, 22.5) == ["back"]
    assert texts.near(170.0, 22.5) == ["back"]
    assert texts.near(-160.0, 22.5) == ["back"]
    assert texts.near(270.0, 22.5) == ["left"]
    assert texts.near(450.0, 0.0) == ["right"]
    assert texts.near(0.0, 22.5) == ["back"]
    assert texts.near(45.0, 22.5) == []


def test_panoramas_without_caption_are_named(tmp_path: Path) -> None:
    path = captions(tmp_path / "a.jsonl", {"file": "a.png", "captions": ["hall"]}, {"file": "b.png", "captions": [""]})
    with pytest.raises(UserError, match=r"captions .*a.jsonl: 2 of 3 panoramas have none: b.png, c.png"):
        find_captions(named("a.png", "b.png", "c.png"), [path])


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"file": "a.png"\n')
    with pytest.raises(UserError, match=r"a.jsonl, line 1: not JSON"):
        find_captions(named("a.png"), [tmp_path / "a.jsonl"])
    with pytest.raises(UserError, match=r"b.jsonl: no such captions file"):
        find_captions(named("a.png"), [tmp_path / "b.jsonl"])


def test_runs_have_their_prompts_where_all_have_one(tmp_path: Path) -> None:
    both = [prompted(tmp_path, "a", "a hall\n"), prompted(tmp_path, "b", "a room")]
    assert find_captions(both, []) == {"a": PanoramaCaptions(("a hall",)), "b": PanoramaCaptions(("a room",))}
    assert find_captions([*both, prompted(tmp_path, "c", None)], []) == {}
    assert find_captions([*both, prompted(tmp_path, "d", "\n")], []) == {}
    assert find_captions(named("a.png"), []) == {}


def test_a_captions_file_goes_before_prompts_and_knows_runs_by_their_photograph(tmp_path: Path) -> None:
    path = captions(tmp_path / "a.jsonl", {"file": "in/v1.2.jpg", "captions": ["from the file"]})
    assert find_captions([prompted(tmp_path, "in/v1.2", "a hall")], [path])["in/v1.2"].whole == ("from the file",)


def test_a_prompt_is_bounded(tmp_path: Path) -> None:
    found = find_captions([prompted(tmp_path, "a", "word " * 10_000)], [])
    assert len(found["a"].whole[0]) <= 2000


def test_a_run_has_the_captions_of_what_it_started_from(tmp_path: Path) -> None:
    """Photographs of one name in several folders have runs of other names."""
    runs = [
        prompted(tmp_path, "01", "x"),
        prompted(tmp_path, "01-2", "x"),
        prompted(tmp_path, "02", "x"),
        prompted(tmp_path, "whole", "x"),
    ]
    for one, request in zip(
        runs,
        (
            {"photos": [{"image": "data/hall/01.png"}]},
            {"photos": [{"image": "data/room/01.png"}]},
            {"photos": [], "partial": "data/02.png"},
            {"truth": "data/deep/03.exr"},
        ),
        strict=True,
    ):
        (one.folder / "run.json").write_text(json.dumps({"request": request}))
    records = (("hall/01.png", "a hall"), ("room/01.exr", "a room"), ("02.png", "a garden"), ("03.png", "a lake"))
    path = captions(tmp_path / "a.jsonl", *({"file": file, "captions": [text]} for file, text in records))
    found = {name: texts.whole for name, texts in find_captions(runs, [path]).items()}
    assert found == {"01": ("a hall",), "01-2": ("a room",), "02": ("a garden",), "whole": ("a lake",)}


@pytest.mark.parametrize("content", ["{", "[]", '{"request": []}', '{"request": {"photos": [3]}}', "[" * 100_000])
def test_a_run_that_makes_no_sense_is_named(content: str, tmp_path: Path) -> None:
    one = prompted(tmp_path, "01", "x")
    (one.folder / "run.json").write_text(content)
    path = captions(tmp_path / "a.jsonl", {"file": "01.png", "captions": ["a hall"]})
    with pytest.raises(UserError, match="run.json: what the run started from cannot be read"):
        find_captions([one], [path])
