"""What may be uploaded: light keeps its values, parts of panoramas their place."""

import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenEXR
import pytest
from PIL import Image

from aognet.generate.start import read_start
from aognet.io.gpano import area_packet, png_with
from aognet.io.hdr import read_layers
from aognet.io.photosphere import SphereArea
from aognet.io.tonemap import tone_map
from aognet.request import Request
from aognet.studio.jobs.asking import request_of
from aognet.studio.schemas import JobBody
from tests.slow import rest_slow
from tests.studio.running import Studio

ROWS = 32


def light() -> np.ndarray:
    """A panorama of light with a sun of 900."""
    down, across = np.mgrid[0:ROWS, 0 : 2 * ROWS].astype(np.float32) / ROWS
    found = np.stack([0.1 + down, 0.5 + 0.3 * across, 0.2 + 0 * down], -1)
    found[8:10, 20:22] = 900.0
    return found


def written(values: np.ndarray, suffix: str, folder: Path) -> bytes:
    """The content of a file of light, by the libraries themselves."""
    path = folder / f"light{suffix}"
    if suffix == ".exr":
        channels = {
            name: np.ascontiguousarray(values[..., number]) for number, name in enumerate("RGBA"[: values.shape[-1]])
        }
        with OpenEXR.File({"type": OpenEXR.scanlineimage}, channels) as file:
            file.write(str(path))
    else:
        cv2.imwrite(str(path), np.ascontiguousarray(values[..., ::-1]))
    return path.read_bytes()


def sent(studio: Studio, content: bytes, status: int = 201) -> Any:
    return studio.post("/uploads", status=status, files={"file": ("x.bin", content)})


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def request(studio: Studio, **body: Any) -> Request:
    """What a job of this body would ask of a model, with files that stay."""
    service, desk = studio.app.state.service, studio.worker.storage.job_desk("runs/test/1/panorama")
    return request_of(JobBody.model_validate(body), "test", None, desk, service.records)


@pytest.mark.parametrize("suffix", [".exr", ".hdr"])
def test_light_keeps_its_values_and_is_shown_tone_mapped(studio: Studio, suffix: str, tmp_path: Path):
    upload = sent(studio, written(light(), suffix, tmp_path))
    assert (upload["width"], upload["height"]) == (2 * ROWS, ROWS)
    assert upload["is_light"] and upload["is_panorama"] and upload["area"] is None
    kept = read_layers(studio.config.root / "uploads" / f"{upload['id']}.exr", 10**6).colours
    assert kept.dtype == np.float16
    np.testing.assert_allclose(kept, light(), rtol=1e-3 if suffix == ".exr" else 2e-2, atol=2e-2)
    assert np.abs(pixels(studio.get(upload["url"])) / 255 - tone_map(kept)).max() <= 0.5 / 255 + 1e-6


def test_odd_light_becomes_light(studio: Studio, tmp_path: Path):
    values = light()
    values[0, :4, 0] = [np.nan, np.inf, -3, 1e6]
    alpha = np.ones((ROWS, 2 * ROWS, 1), np.float32)
    alpha[20:] = 0
    upload = sent(studio, written(np.concatenate([values * alpha, alpha], -1), ".exr", tmp_path))
    kept = read_layers(studio.config.root / "uploads" / f"{upload['id']}.exr", 10**6)
    np.testing.assert_array_equal(kept.colours[0, :4, 0], [0, 65504, 0, 65504])
    shown = pixels(studio.get(upload["url"]))
    assert kept.opacity is not None and (shown[..., 3] == np.where(alpha[..., 0] > 0, 255, 0)).all()


@pytest.mark.parametrize("suffix", rest_slow([".hdr", ".exr"]))
def test_a_panorama_of_light_is_completed(studio: Studio, suffix: str, tmp_path: Path):
    """Methods of display values go on from what is shown, those of light from the light."""
    upload = sent(studio, written(light(), suffix, tmp_path))
    mask = {"strokes": [{"radius_degrees": 30, "points": [[100, 0], [140, 10]]}]}
    body = {"prompt": "a hall", "panorama": {"upload": upload["id"]}, "mask": mask}
    job = studio.painted(**body)
    made = pixels(studio.get(f"/versions/{job['version_id']}/files/result.png"))
    same = (made == pixels(studio.get(upload["url"]))).all(-1)
    assert 0.75 < same.mean() < 1
    start = read_start(request(studio, **body), ROWS, "linear").canvas
    known = start.known[0, 0].numpy()
    wanted = read_layers(studio.config.root / "uploads" / f"{upload['id']}.exr", 10**6).colours
    np.testing.assert_allclose(start.image[0].permute(1, 2, 0).numpy()[known], wanted[known], rtol=1e-3)


@pytest.mark.parametrize(
    "content",
    [
        b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 100000 +X 100000\n" + bytes(100),
        b"#?RADIANCE\n\n-Y 8 +X 8\n" + bytes(3),
        b"#?",
        b"\x76\x2f\x31\x01",
        b"\x76\x2f\x31\x01\x02\x00\x00\x00" + bytes(200),
    ],
)
def test_damaged_light_is_refused_in_one_line(studio: Studio, content: bytes):
    told = sent(studio, content, 415)["detail"]
    assert "\n" not in told and "/" not in told.replace("EXR/", "") and "light" in told


# A part of 64x32 pixels: 90x45 degrees of a panorama of 256x128.
PART = SphereArea(left=0.125, top=0.25, width=0.25, height=0.25)
BY_HAND = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:P="http://ns.google.com/photos/1.0/panorama/" P:ProjectionType="equirectangular"
P:FullPanoWidthPixels="256" P:FullPanoHeightPixels="128" P:CroppedAreaImageWidthPixels="64"
P:CroppedAreaImageHeightPixels="32" P:CroppedAreaLeftPixels="32" P:CroppedAreaTopPixels="32"/></rdf:RDF></x:xmpmeta>"""


def part(kind: str) -> bytes:
    """The file of a part of a panorama, orange throughout."""
    image = Image.new("RGB", (64, 32), (250, 130, 10))
    if kind == "our own":
        return png_with(image, area_packet(PART, 64, 32))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=100, subsampling=0, xmp=BY_HAND.encode())
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["our own", "by hand"])
def test_a_part_of_a_panorama_is_placed_by_its_metadata(studio: Studio, kind: str):
    upload = sent(studio, part(kind))
    assert upload["area"] == asdict(PART)
    assert not upload["is_panorama"] and not upload["is_light"]
    assert "xmp" not in Image.open(io.BytesIO(studio.get(upload["url"]))).info
    for body in ({"panorama": {"upload": upload["id"]}}, {"photos": [{"upload": upload["id"]}]}):
        start = read_start(request(studio, prompt="x", **body), 64).canvas
        known = np.zeros((64, 128), bool)
        known[16:32, 16:48] = True
        np.testing.assert_array_equal(start.known[0, 0].numpy(), known)
    orange = (start.image[0].permute(1, 2, 0).numpy()[known] + 1) / 2 * 255
    assert np.abs(orange - [250, 130, 10]).max() < 3


def test_a_part_is_completed_with_a_mask(studio: Studio):
    """The mask lies on the sphere, also where it has as many pixels as the part's file."""
    upload = sent(studio, part("our own"))
    stroke = {"radius_degrees": 20, "points": [[-135, 45]]}  # the part's upper left corner
    asked = request(studio, prompt="x", panorama={"upload": upload["id"]}, mask={"strokes": [stroke]})
    known = read_start(asked, 128).canvas.known[0, 0].numpy()
    assert not known[32:40, 32:40].any() and known[56:64, 88:96].all() and known.sum() < 32 * 64


def test_a_part_is_no_photograph_unless_one_says_so(studio: Studio, photo_file: Path):
    upload, other = sent(studio, part("by hand"))["id"], studio.upload(photo_file)
    for photos in ([{"upload": upload}, {"upload": other}], [{"upload": upload, "yaw": 30}]):
        told = studio.post("/jobs", {"prompt": "x", "photos": photos}, 422)
        assert told["key"] == "photos" and "part of a panorama" in told["detail"]
    asked = request(studio, prompt="x", photos=[{"upload": upload, "yaw": 30, "fov": 60}, {"upload": other}])
    assert [photo.fov for photo in asked.photos] == [60, 90] and asked.panorama is None


def test_metadata_that_does_not_fit_is_left_aside(studio: Studio):
    """The image was cropped after its metadata was written."""
    image = Image.new("RGB", (64, 20), (250, 130, 10))
    upload = sent(studio, png_with(image, area_packet(PART, 64, 32)))
    assert upload["area"] is None


def test_uploads_of_an_earlier_program_stay(studio: Studio, photo_file: Path):
    """They have no row in the table of what else is known."""
    upload = studio.upload(photo_file)
    with studio.worker.database.read() as connection:
        from aognet.studio.database import FINDINGS

        assert connection.execute(FINDINGS.select().where(FINDINGS.c.upload == upload)).first() is None
    assert request(studio, prompt="x", photos=[{"upload": upload}]).photos[0].image.endswith(f"{upload}.png")


def test_what_is_kept_is_the_same_for_equal_files(studio: Studio, tmp_path: Path):
    """So runs that are continued know their inputs again."""
    content = written(light(), ".exr", tmp_path)
    one, other = (sent(studio, content)["id"] for _ in range(2))
    files = [(studio.config.root / "uploads" / f"{name}.exr").read_bytes() for name in (one, other)]
    assert one != other and files[0] == files[1] and files[0].startswith(bytes.fromhex("762f3101"))
