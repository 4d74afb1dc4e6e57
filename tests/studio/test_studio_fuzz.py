"""Whatever strangers send is answered, in bounded memory, and tells no path."""

import io
import json
import random
import resource
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from aognet.io.panorama_files import write_light
from tests.studio.running import API, Studio

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP")
ODD = (
    None,
    True,
    -1,
    1e308,
    2**70,
    "",
    "x" * 5000,
    "\x00",
    "\ud800",
    [],
    {},
    [[[]]],
    {"a": {"b": 1}},
    "../../etc/passwd",
)


def images(chance: random.Random) -> Iterator[bytes]:
    """Images that are cut, changed, forged, or none at all."""
    pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    whole = []
    for name in FORMATS:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, name)
        whole.append(buffer.getvalue())
    with TemporaryDirectory() as folder:
        for suffix in (".exr", ".hdr"):
            write_light(torch.from_numpy(pixels).permute(2, 0, 1) / 64, Path(folder) / f"light{suffix}")
            whole.append((Path(folder) / f"light{suffix}").read_bytes())
    while True:
        content = bytearray(chance.choice(whole))
        kind = chance.randrange(5)
        if kind == 0:
            content = content[: chance.randrange(len(content))]
        elif kind == 1:
            for _ in range(chance.randint(1, 20)):
                content[chance.randrange(len(content))] = chance.randrange(256)
        elif kind == 2:
            place = chance.randrange(min(len(content) - 8, 64))
            content[place : place + 8] = b"\xff" * 8
        elif kind == 3:
            content = bytearray(chance.randbytes(chance.randrange(2000)))
        yield bytes(content)


@pytest.mark.parametrize("count", [4, pytest.param(500, marks=pytest.mark.slow)])
def test_any_bytes_as_an_image(studio: Studio, count: int):
    chance = random.Random(count)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for content, _ in zip(images(chance), range(count), strict=False):
        name = chance.choice(["a.png", "../../a.png", "a\x00b", "x" * 300, ""])
        got = studio.client.post(f"{API}/uploads", files={"file": (name, content)})
        assert got.status_code in (201, 413, 415, 422), got.text
        assert str(studio.config.root) not in got.text and "Traceback" not in got.text
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024
    assert not list(studio.config.root.glob("desk-*"))


def body(chance: random.Random) -> Any:
    """A job's body with values that do not belong there."""
    made: dict[str, Any] = {"prompt": "x", "photos": [{"upload": "ab", "yaw": 1}], "mask": {"strokes": []}}
    made |= {"kind": chance.choice(["paint", "repaint", "fork", "seams"]), "settings": {"sampler": {"steps": 2}}}
    keys = [*made, "seed", "height", "at", "panorama", "version_id", "panorama_id", "model", "base", "webhook", "view"]
    for _ in range(chance.randint(1, 4)):
        key = chance.choice(keys)
        value = chance.choice(ODD)
        if isinstance(made.get(key), dict) and chance.random() < 0.5:
            made[key] = {**made[key], chance.choice(["sampler", "strokes", "plan", "x"]): value}
        else:
            made[key] = value
    return made if chance.random() < 0.9 else chance.choice(ODD)


@pytest.mark.parametrize("count", [30, pytest.param(500, marks=pytest.mark.slow)])
def test_any_json_as_a_request(studio: Studio, count: int):
    chance = random.Random(count)
    for _ in range(count):
        path = chance.choice(["/jobs", "/plan", "/panoramas/ab/repaint", "/panoramas/ab/fork", "/captions", "/session"])
        content = json.dumps(body(chance)).encode() if chance.random() < 0.9 else chance.randbytes(50)
        kind = chance.choice(["application/json", "application/json", "multipart/form-data; boundary=x", "text/plain"])
        got = studio.client.post(f"{API}{path}", content=content, headers={"Content-Type": kind})
        assert got.status_code < 500, (path, content, got.text)
        assert str(studio.config.root) not in got.text


@pytest.mark.parametrize(
    "path", ["..%2f..%2fstudio.db", "%2e%2e/studio.db", "....//studio.db", "steps/000.png", "%00", "run.json%00"]
)
def test_no_path_leads_out(studio: Studio, path: str):
    version = studio.post("/jobs", {"prompt": "x"}, 201)["id"]
    for place in (f"/versions/{version}/files/{path}", f"/uploads/{path}/image", f"/jobs/{version}/views/{path}"):
        assert studio.client.get(f"{API}{place}").status_code in (404, 405, 422)
