"""From files, poses and words to what is known at the beginning; what cannot be used is named."""

import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from aognet.config import LoadedConfig, build_config
from aognet.errors import UserError
from aognet.generate.inputs import InputsConfig, list_requests
from aognet.generate.photos import read_photo
from aognet.generate.start import read_start
from aognet.geometry.camera import Camera
from aognet.geometry.perspective import look
from aognet.io.captions import save_captions
from aognet.io.images import save_image
from aognet.methods.view_prompts import prompt_for
from aognet.request import DirectedPrompt, Photo, Pose, Request
from tests.generate.painter import smooth_photo

FOCAL_35MM, ORIENTATION, EXIF_IFD = 0xA405, 0x0112, 0x8769


def photo(path: Path, rows: int = 30, columns: int = 40) -> Path:
    save_image(smooth_photo(rows, columns), path)
    return path


def with_exif(path: Path, focal: Any, size: tuple[int, int] = (40, 30), orientation: int = 1) -> Path:
    """A JPEG of ``size`` (as stored) with a 35 mm focal length and an orientation."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif.get_ifd(EXIF_IFD)[FOCAL_35MM] = focal
    Image.new("RGB", size, "teal").save(path, exif=exif)
    return path


def listed(config: InputsConfig) -> list[Request]:
    return list_requests(config, Request())


def build(values: dict[str, Any]) -> InputsConfig:
    return build_config(LoadedConfig(values, {"": "my.yaml"}), InputsConfig)


def panorama(path: Path, height: int = 32) -> tuple[Path, Tensor]:
    """A smooth panorama in a file, and its pixels as the file has them."""
    longitude = (torch.arange(2 * height) + 0.5) / height * torch.pi
    latitude = (0.5 - (torch.arange(height)[:, None] + 0.5) / height) * torch.pi
    east, north = longitude.sin() * latitude.cos(), longitude.cos() * latitude.cos()
    image = torch.stack([north, latitude.sin().expand(-1, 2 * height), 0.5 * east])
    image = ((image + 1) * 127.5).round() / 127.5 - 1
    save_image(image, path)
    return path, image


def test_the_focal_length_gives_the_field_of_view(tmp_path: Path) -> None:
    for focal in (18, 26, 50):
        # 3:2 is the 35 mm film itself: 36 mm wide, and 24 mm when it stands.
        for size, width in (((60, 40), 36), ((40, 60), 24)):
            path = with_exif(tmp_path / "a.jpg", focal, size)
            expected = math.degrees(2 * math.atan(width / 2 / focal))
            camera = read_photo(Photo(image=str(path)), 64)[1]
            assert camera.fov_degrees == pytest.approx(expected)
    assert read_photo(Photo(image=str(path), fov=70.0), 64)[1].fov_degrees == 70


def test_a_turned_photo_is_a_portrait(tmp_path: Path) -> None:
    image, camera, _ = read_photo(Photo(image=str(with_exif(tmp_path / "a.jpg", 26, (60, 40), orientation=6))), 512)
    assert image.shape[-2:] == (60, 40) == (camera.height, camera.width)
    assert camera.fov_degrees == pytest.approx(math.degrees(2 * math.atan(12 / 26)))


EXIF_FORMATS = ("a.jpg", "a.png", "a.webp", "a.tif", "a.avif")


def with_tags(path: Path, tags: dict[int, Any], size: tuple[int, int], orientation: int = 1) -> Photo:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif.get_ifd(EXIF_IFD).update(tags)
    Image.new("RGB", size, "teal").save(path, exif=exif.tobytes())
    return Photo(image=str(path))


@pytest.mark.parametrize("name", EXIF_FORMATS)
@pytest.mark.parametrize(("unit", "millimetres"), [(2, 25.4), (3, 10.0), (4, 1.0)])
def test_the_sensor_gives_the_field_of_view(tmp_path: Path, name: str, unit: int, millimetres: float) -> None:
    # A sensor of 22.5 x 15 mm with 60 x 40 pixels, behind a lens of 20 mm.
    tags = {0x920A: 20.0, 0xA20E: 60 / 22.5 * millimetres, 0xA210: unit, 0xA002: 60, 0xA003: 40}
    wide, high = (math.degrees(2 * math.atan(side / 2 / 20)) for side in (22.5, 15))
    for size, orientation, expected in (
        ((60, 40), 1, wide),
        ((60, 40), 6, high),  # held upright
        ((30, 20), 1, wide),  # made smaller
        ((40, 40), 1, math.degrees(2 * math.atan(15 / 2 / 20))),  # cropped
    ):
        one = with_tags(tmp_path / name, tags, size, orientation)
        assert read_photo(one, 64)[1].fov_degrees == pytest.approx(expected, rel=1e-3)
    both = with_tags(tmp_path / name, tags | {FOCAL_35MM: 50}, (60, 40))
    assert read_photo(both, 64)[1].fov_degrees == pytest.approx(math.degrees(2 * math.atan(18 / 50)))


def test_the_sensor_of_a_heic_photograph(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    tags = {0x920A: 20.0, 0xA20E: 60 / 22.5 * 25.4, 0xA210: 2}
    expected = math.degrees(2 * math.atan(22.5 / 2 / 20))
    one = with_tags(tmp_path / "a.heic", tags, (60, 40))
    assert read_photo(one, 64)[1].fov_degrees == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    "tags",
    [
        {0x920A: 20.0},
        {0x920A: 20.0, 0xA20E: 0.0},
        {0x920A: 20.0, 0xA20E: 1e8},
        {0xA20E: 70.0},
        {0x920A: 0.0, 0xA20E: 70.0},
    ],
)
def test_an_assumed_field_of_view_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture, tags: dict) -> None:
    caplog.set_level(logging.INFO, "aognet")
    one = with_tags(tmp_path / "a.jpg", tags, (60, 40))
    assert read_photo(one, 64)[1].fov_degrees == 90
    assert (
        f"{one.image}: its EXIF data tells no field of view; 90 degrees are assumed (fov says another)" in caplog.text
    )
    caplog.clear()
    assert read_photo(Photo(image=one.image, fov=70.0), 64)[1].fov_degrees == 70
    assert "assumed" not in caplog.text


@pytest.mark.parametrize("focal", [0, 3, 60000, "wide", b"\x00"])
def test_a_focal_length_that_says_nothing_is_left_aside(tmp_path: Path, focal: Any) -> None:
    path = tmp_path / "a.jpg"
    with_exif(path, focal)
    assert read_photo(Photo(image=str(path)), 64)[1].fov_degrees == 90


def test_broken_metadata_does_not_spoil_the_picture(tmp_path: Path) -> None:
    path = with_exif(tmp_path / "a.jpg", 26)
    content = path.read_bytes()
    at = content.index(b"Exif\0\0") + 10
    for junk in (b"\xff" * 20, b"\x08\x00\x00\x00\xff\xff" + b"\x00" * 14):
        path.write_bytes(content[:at] + junk + content[at + 20 :])
        assert read_photo(Photo(image=str(path)), 64)[1].fov_degrees == 90
    assert read_photo(Photo(image=str(photo(tmp_path / "plain.png"))), 64)[1].fov_degrees == 90


@pytest.mark.parametrize(
    ("pose", "said"),
    [
        ({"fov": 0}, "fov must be more than 0 and less than 180, got 0.0"),
        ({"fov": 180}, "fov must be more than 0 and less than 180, got 180.0"),
        ({"fov": -5}, "fov must be more than 0 and less than 180, got -5.0"),
        ({"pitch": 91}, r"pitch must lie in \[-90, 90\], got 91.0"),
        ({"yaw": math.inf}, "yaw must be a finite number, got inf"),
        ({"roll": "left"}, "pose.roll.*left"),
        ({"jaw": 3}, "pose.jaw is an unknown key; did you mean 'yaw'"),
    ],
)
def test_an_impossible_pose_is_refused(pose: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=f"^my.yaml: .*{said}"):
        build({"pose": pose})


def test_photos_are_put_where_their_poses_say(tmp_path: Path) -> None:
    photos = [
        Photo(0.0, 0.0, 0.0, 90.0, image=str(photo(tmp_path / "front.png"))),
        Photo(120.0, 10.0, 5.0, 70.0, image=str(photo(tmp_path / "right.png", 60, 80))),
    ]
    jobs = listed(InputsConfig(together=photos, prompt="a yard"))
    assert [(job.name, job.prompt) for job in jobs] == [("front", "a yard")]
    start = read_start(jobs[0], 64)
    assert start.truth is None and start.camera == read_photo(photos[0], 64)[1]
    alone = [read_start(job, 64).canvas.known for job in (Request(photos=[one]) for one in photos)]
    assert torch.equal(start.canvas.known, alone[0] | alone[1])
    assert not (alone[0] & alone[1]).any()
    seen = start.canvas.look(Camera(120.0, 10.0, 5.0, 60.0, 24, 16))
    expected = look(canvas_of(photos[1]), Camera(120.0, 10.0, 5.0, 60.0, 24, 16))
    assert seen.known.all() and torch.equal(seen.image, expected)
    assert (seen.image - smooth_photo(16, 24)).abs().mean() < 0.1


def canvas_of(one: Photo) -> Tensor:
    return read_start(Request(photos=[one]), 64).canvas.image


def test_a_photo_no_finer_than_the_panorama(tmp_path: Path) -> None:
    one = Photo(fov=60.0, image=str(photo(tmp_path / "a.png", 300, 400)))
    image, camera, _ = read_photo(one, 64)
    assert image.shape == (1, 3, camera.height, camera.width) == (1, 3, 35, 47)
    assert camera.fov_degrees == 60
    assert read_photo(one, 2048)[0].shape == (1, 3, 300, 400)


def test_a_photo_too_narrow_to_be_seen_is_refused(tmp_path: Path) -> None:
    one = Photo(fov=0.01, image=str(photo(tmp_path / "a.png")))
    with pytest.raises(UserError, match="a.png: with fov 0.01 it covers no pixel of 64 rows"):
        read_start(Request(photos=[one]), 64)


def test_a_partial_panorama_is_known_where_its_mask_is_black(tmp_path: Path) -> None:
    path, image = panorama(tmp_path / "room.png")
    mask = torch.full((3, 32, 64), -1.0)
    mask[:, :, 40:] = 1
    mask[:, 10, 10] = 0.2  # grey is not black
    save_image(mask, tmp_path / "mask.png")
    job = listed(InputsConfig(partial=str(path), mask=str(tmp_path / "mask.png")))[0]
    start = read_start(job, 32)
    expected = torch.ones(32, 64, dtype=torch.bool)
    expected[:, 40:] = expected[10, 10] = False
    assert torch.equal(start.canvas.known[0, 0], expected)
    assert torch.equal(start.canvas.image[0], image * expected)
    assert (job.name, start.camera, start.truth) == ("room", None, None)
    # In another size nothing that is to be replaced shines through.
    for height in (16, 48):
        known = read_start(job, height).canvas.known[0, 0]
        assert known.shape == (height, 2 * height)
        assert known[:, : 38 * height // 32 - height // 3].float().mean() > 0.9
        assert not known[:, -(-40 * height // 32) : -1].any()


def test_a_whole_panorama_gives_a_view_and_is_the_truth(tmp_path: Path) -> None:
    path, image = panorama(tmp_path / "room.png")
    job = listed(InputsConfig(panoramas=[str(tmp_path)], pose=Pose(yaw=90.0, fov=80.0)))[0]
    start = read_start(job, 32)
    assert torch.equal(start.truth.image[0], image)
    known = start.canvas.known[0, 0]
    assert torch.equal(start.canvas.image[0], image * known)
    assert known[16, 48] and not known[16, 16] and not known[16, 32]
    assert (start.camera.yaw_degrees, start.camera.fov_degrees) == (90.0, 80.0)
    assert 0.05 < known.float().mean() < 0.25


def test_words_alone_begin_with_nothing() -> None:
    job = listed(InputsConfig(prompt="a desert"))[0]
    assert (job.name, job.prompt, job.files) == ("text", "a desert", [])
    assert read_start(job, 32).canvas.unknown_pixels == 32 * 64


def test_captions_by_name_and_the_prompt_for_the_others(tmp_path: Path) -> None:
    for name in ("a.png", "b.PNG", "sub/c.png", ".hidden.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        photo(tmp_path / "x.png").rename(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    save_captions({"a.png": ["an attic", "a loft"], "c.png": []}, tmp_path / "captions.jsonl")
    config = InputsConfig(photos=[str(tmp_path)], captions=[str(tmp_path / "captions.jsonl")], prompt="a house")
    jobs = listed(config)
    assert [(job.name, job.prompt) for job in jobs] == [("a", "an attic"), ("b", "a house"), ("c", "a house")]
    limited = InputsConfig(photos=[str(tmp_path)], limit=2, name="run")
    assert [job.name for job in listed(limited)] == ["run-a", "run-b"]
    assert [job.name for job in listed(InputsConfig(prompt="x", name="run"))] == ["run"]


def test_no_two_panoramas_share_a_folder(tmp_path: Path) -> None:
    for name in ("one/a.png", "two/a.png", "two/a.jpg", "two/a-2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        photo(tmp_path / name)
    names = [job.name for job in listed(InputsConfig(photos=[str(tmp_path / "one"), str(tmp_path / "two")]))]
    assert len(set(names)) == 4 and set(names) >= {"a", "a-2"}
    assert names == [job.name for job in listed(InputsConfig(photos=[str(tmp_path / "one"), str(tmp_path / "two")]))]


BARN, KITE = DirectedPrompt(90.0, 0.0, "a barn"), DirectedPrompt(60.0, 30.0, "a kite")


@pytest.mark.parametrize(
    ("yaw", "pitch", "expected"),
    [
        (90.0, 0.0, "a barn, a field"),
        (450.0, 0.0, "a barn, a field"),
        (135.0, 0.0, "a barn, a field"),
        (136.0, 0.0, "a field"),
        (90.0, -44.0, "a barn, a field"),
        (70.0, 20.0, "a kite, a field"),
        (80.0, 9.0, "a barn, a field"),
        (-90.0, 0.0, "a field"),
        (0.0, 90.0, "a field"),
    ],
)
def test_the_nearest_direction_within_reach_wins(yaw: float, pitch: float, expected: str) -> None:
    assert prompt_for(Camera(yaw, pitch), "a field", (BARN, KITE)) == expected
    assert prompt_for(Camera(yaw, pitch), "a field", ()) == "a field"
    assert prompt_for(Camera(90.0, 0.0), "", (BARN,)) == "a barn"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+90,0: a red barn", (90.0, 0.0, "a red barn")),
        ("-12.5 , -30:x", (-12.5, -30.0, "x")),
        ('0,0: "a: b", ünï ${x}\n{c}', (0.0, 0.0, '"a: b", ünï ${x}\n{c}')),
    ],
)
def test_prompts_with_a_direction_are_read(text: str, expected: tuple[float, float, str]) -> None:
    assert DirectedPrompt.parse(text, "prompt_at") == DirectedPrompt(*expected)


@pytest.mark.parametrize(
    "text", ["", "a barn", "90: a barn", "90,0", "90,0:", "90,0: ", "90,95: x", "1.2.3,0: x", "x,0: y"]
)
def test_prompts_without_a_direction_are_refused(text: str) -> None:
    with pytest.raises(UserError, match='prompt_at expects "yaw,pitch: text" in degrees, such as'):
        DirectedPrompt.parse(text, "prompt_at")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"photos": ["{tmp}/nowhere.png"]}, "inputs.photos {tmp}/nowhere.png: no such file or folder"),
        (
            {"photos": ["{tmp}/empty"]},
            "inputs.photos {tmp}/empty: no image (PNG, JPEG, WebP, TIFF, BMP, JPEG 2000, AVIF, HEIC, EXR or HDR)",
        ),
        (
            {"panoramas": ["{tmp}/empty"]},
            "inputs.panoramas {tmp}/empty: no image (PNG, JPEG, WebP, TIFF, BMP, JPEG 2000, AVIF, HEIC, EXR or HDR)",
        ),
        ({"captions": ["{tmp}/none.jsonl"], "prompt": "x"}, "{tmp}/none.jsonl: no such captions file"),
        ({}, "inputs has nothing to paint from"),
        ({"mask": "m.png"}, "mask is of a partial panorama, and partial names none, got 'm.png'"),
        ({"name": "../x"}, "name must be a plain folder name, such as '_x', got '../x'"),
        ({"name": ".."}, "name must be a plain folder name, such as 'panorama', got '..'"),
        ({"limit": -1}, "limit must not be negative, got -1"),
        ({"prompts_at": ["up: x"]}, "prompts_at expects"),
    ],
)
def test_what_there_is_not_is_named(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    (tmp_path / "empty").mkdir()
    values = json.loads(json.dumps(values).replace("{tmp}", str(tmp_path)))
    with pytest.raises(UserError) as caught:
        listed(build(values))
    assert said.replace("{tmp}", str(tmp_path)) in str(caught.value)


def test_unusable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    whole = photo(tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "fake.exr").write_bytes(whole)
    path, _ = panorama(tmp_path / "room.png")
    Image.new("L", (40, 30), 255).save(tmp_path / "mask.png")
    names = ("text.jpg", "cut.png", "fake.exr", "nowhere.png")
    jobs = [(Request(photos=[Photo(image=str(tmp_path / name))]), name) for name in names]
    odd, mask, nowhere = (str(tmp_path / name) for name in ("whole.png", "mask.png", "no.png"))
    jobs += [
        (Request(truth=odd), "whole.png: a panorama is twice as wide as high"),
        (Request(panorama=odd, mask=str(path)), "whole.png: a panorama is twice as wide as high"),
        (Request(panorama=str(path), mask=mask), "mask.png: a panorama's mask is twice as wide"),
        (Request(panorama=str(path), mask=nowhere), "no.png: no such image file"),
    ]
    for job, said in jobs:
        with pytest.raises(UserError) as caught:
            read_start(job, 32)
        assert said in str(caught.value)


def test_the_content_of_a_photo_counts_and_not_its_name(tmp_path: Path) -> None:
    photo(tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert read_photo(Photo(image=str(tmp_path / "a.jpg")), 64)[0].shape[1] == 3


def test_the_focal_length_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "aognet")
    read_photo(Photo(image=str(with_exif(tmp_path / "a.jpg", 26, (60, 40)))), 64)
    assert "field of view 69.4 degrees, from its EXIF focal length of 26 mm" in caplog.text


@pytest.mark.parametrize(
    "text", ["plain", "${x}", "a ${b.c} d", r"\${x}", r"c:\\${x}\\", "${", "}${", "$x", r"back\slash", "${oc.env:HOME}"]
)
def test_a_literal_text_comes_through_a_config_as_it_is(text: str) -> None:
    values = {"prompt": text, "photos": [text], "pose": {"fov": 3}}
    config = build(values)
    assert (config.prompt, config.photos, config.pose.fov) == (text, [text], 3)


def test_grey_and_transparent_photos_are_read_as_colour(tmp_path: Path) -> None:
    pixels = np.tile(np.arange(40, dtype=np.uint8) * 6, (30, 1))
    for mode in ("L", "RGBA", "P", "LA"):
        Image.fromarray(pixels).convert(mode).save(tmp_path / "a.png")
        image, *_ = read_photo(Photo(image=str(tmp_path / "a.png")), 512)
        assert image.shape == (1, 3, 30, 40)
        assert torch.equal(image[0, 0], torch.from_numpy(pixels).float() / 127.5 - 1)


def prompts(folder: Path, captions: dict[str, list[str]], names: list[str], **settings: Any) -> dict[str, str]:
    """Which prompt each photograph of a folder would be painted with, by its name there."""
    for name in names:
        (folder / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "photos" / name).write_bytes(b"")
    save_captions(captions, folder / "captions.jsonl")
    jobs = listed(InputsConfig(photos=[str(folder / "photos")], captions=[str(folder / "captions.jsonl")], **settings))
    return {Path(job.photos[0].image).relative_to(folder / "photos").as_posix(): job.prompt for job in jobs}


def test_captions_of_nested_folders_and_of_other_kinds_of_files(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """As captioning writes them, and after the images were converted."""
    captions = {"hall/01.png": ["a hall"], "room/01.exr": ["a room"], "02.hdr": ["", "a garden"]}
    assert prompts(tmp_path, captions, ["hall/01.png", "room/01.png", "deep/02.webp"]) == {
        "hall/01.png": "a hall",
        "room/01.png": "a room",
        "deep/02.webp": "a garden",
    }
    assert not caplog.records


def test_one_photograph_of_a_nested_folder_has_its_own_caption(tmp_path: Path):
    save_captions({"hall/01.png": ["a hall"], "room/01.png": ["a room"]}, tmp_path / "captions.jsonl")
    image = photo(tmp_path / "01.png")
    (tmp_path / "room").mkdir()
    place = image.rename(tmp_path / "room" / "01.png")
    (job,) = listed(InputsConfig(photos=[str(place)], captions=[str(tmp_path / "captions.jsonl")]))
    assert job.prompt == "a room"
    (job,) = listed(InputsConfig(panoramas=[str(place)], captions=[str(tmp_path / "captions.jsonl")]))
    assert job.prompt == "a room"


@pytest.mark.parametrize(
    ("captions", "said"),
    [
        (
            {"elsewhere.png": ["a hall"]},
            ["1 caption(s) for missing images (elsewhere.png)", "1 image(s) without caption"],
        ),
        ({"a/01.png": [" "]}, []),
        ({"a/01.png": []}, ["1 image(s) without caption (a/01.png)"]),
        ({}, ["1 image(s) without caption (a/01.png)"]),
    ],
)
def test_no_panorama_has_an_empty_prompt_in_silence(
    captions: dict, said: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    assert prompts(tmp_path, captions, ["a/01.png"]) == {"a/01.png": ""}
    for words in [*said, "1 of 1 panoramas have no caption, nor inputs.prompt", "empty prompt (a/01.png)"]:
        assert words in caplog.text


def test_a_caption_that_may_mean_two_photographs_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    found = prompts(tmp_path, {"01.png": ["a hall"]}, ["a/01.png", "b/01.png"], prompt="a house")
    assert found == {"a/01.png": "a house", "b/01.png": "a house"}
    assert "2 image(s) whose caption is not clear (a/01.png: 01.png, b/01.png: 01.png)" in caplog.text
