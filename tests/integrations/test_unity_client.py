"""The engine-free part of the Unity package, run under Mono: files and answers of strangers, settings, orientation."""

import io
import json
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from aognet.geometry.sphere import pixel_directions
from aognet.io.panorama_files import read_panorama, write_light
from aognet.io.presets import PresetOptions, export_preset
from aognet.studio.config import ModelEntry
from aognet.studio.models import Models
from tests.integrations.conftest import Client
from tests.io.test_presets import card, check, directions, texel, turned_y
from tests.slow import rest_slow

GOOD = [
    *("{}", "[]", " [1, -2, 0, 9223372036854775807, -9223372036854775808] ", '{"a": {"b": [true, false, null]}}', '""'),
    *('"\\u00e9\\ud83d\\ude00\\n\\/\\""', "1.5e-3", "-0.25", "1E5", '{"": 1}', "9223372036854775808", '"\u2028é😀"'),
    *("[" * 60 + "]" * 60, "\t\r\n 1 \n"),
]
HOSTILE = [
    *(
        "",
        " ",
        "{",
        "[1,]",
        "[,1]",
        '{"a" 1}',
        '{"a": 1,}',
        "{1: 2}",
        "nul",
        "truee",
        "True",
        "NaN",
        "Infinity",
        "-",
        "01",
    ),
    *("1.", ".5", "1e", "+1", "0x10", "1 2", "'a'", '"', '"\\', '"\\u12"', '"\\u12g4"', '"\\x41"', '"\n"', '"\x00"'),
    *(
        "[" * 100_000,
        "[" * 70 + "]" * 70,
        '{"a":' * 100_000,
        "1e999",
        "-1e999",
        '{"a": 1, "a": 2}',
        "\ufeff{}x",
        "/**/1",
        "1" * 400,
    ),
]


def written(folder: Path, contents: list[str | bytes]) -> list[Path]:
    """Files with these contents, in order."""
    files = [folder / f"{number:04d}" for number in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    return files


def test_json_is_read_and_written_as_python_does(client: Client, tmp_path: Path):
    found = client.lines("json", *written(tmp_path, GOOD))
    assert [one["value"] for one in found] == [json.loads(text) for text in GOOD]
    kinds = [type(one) for one in found[2]["value"]]
    assert kinds == [int] * 5


def test_hostile_json_is_refused(client: Client, tmp_path: Path):
    found = client.lines("json", *written(tmp_path, HOSTILE))
    assert [text for text, one in zip(HOSTILE, found, strict=True) if "error" not in one] == []
    assert all(0 < len(one["error"]) < 100 for one in found)


def test_damaged_json_is_read_as_python_does_or_refused(client: Client, tmp_path: Path):
    chance, whole = random.Random(1), json.dumps({"a": [1, 2.5, "x\n\u00e9"], "b": {"c": None, "d": True}})
    texts = []
    for _ in range(300):
        at = chance.randrange(len(whole))
        texts.append(
            whole[:at] + chance.choice(['"', "{", "}", "[", "]", ",", ":", "\\", "1", "e", " ", ""]) + whole[at + 1 :]
        )
    for text, one in zip(texts, client.lines("json", *written(tmp_path, texts)), strict=True):
        try:
            wanted: Any = {"value": json.loads(text, object_pairs_hook=unique)}
        except ValueError:
            wanted = None
        assert one == wanted if wanted else "error" in one, text


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError
    return dict(pairs)


def leaves(schema: dict[str, Any], definitions: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The settings of a JSON schema, written anew from its specification."""
    for name, one in schema.get("properties", {}).items():
        inner = definitions[one["$ref"].split("/")[-1]] if "$ref" in one else one
        if "properties" in inner:
            yield from leaves(inner, definitions, f"{path}{name}.")
        else:
            yield f"{path}{name}", one


@pytest.mark.parametrize(
    "config", rest_slow([f"inference_{name}" for name in ("config", "embedded_cubediff", "seamless", "fusion")])
)
def test_settings_of_every_kind_of_model_are_shown(client: Client, tmp_path: Path, config: str):
    (model,) = Models({"one": ModelEntry(config=f"config/{config}.yaml")}, "cpu").described
    schema = model["settings"]
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    (tmp_path / "changes.json").write_text("{}")
    *fields, changes = client.lines("form", tmp_path / "schema.json", tmp_path / "changes.json")
    assert changes == {"value": {}}
    wanted = dict(leaves(schema, schema.get("$defs", {})))
    assert [one["path"] for one in fields] == list(wanted)
    for one in fields:
        value = wanted[one["path"]].get("default")
        shown = {"": None, "true": True, "false": False}.get(one["text"], one["text"])
        if one["kind"] in ("Whole", "Real", "Json") and shown is not None:
            shown = json.loads(one["text"])
        assert shown == value or (value == "" and shown is None), one


SCHEMA = {
    "$defs": {"Inner": {"properties": {"steps": {"type": "integer", "default": 5}, "loop": {"$ref": "#/$defs/Inner"}}}},
    "properties": {
        "inner": {"$ref": "#/$defs/Inner"},
        "scale": {"type": "number", "default": 0.1},
        "on": {"type": "boolean", "default": False},
        "kind": {"enum": ["a", "b"], "type": "string", "default": "a"},
        "maybe": {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None},
        "either": {"anyOf": [{"type": "number"}, {"type": "string"}], "default": "x"},
        "list": {"type": "array", "default": [1, 2]},
    },
}


def test_only_what_was_changed_is_sent(client: Client, tmp_path: Path):
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    given = {"inner.steps": "7", "scale": "1e-2", "on": "true", "kind": "b", "maybe": "2", "list": "[3]", "either": "4"}
    (tmp_path / "changes.json").write_text(json.dumps(given))
    *fields, changes = client.lines("form", tmp_path / "schema.json", tmp_path / "changes.json")
    assert changes["value"] == {
        "inner": {"steps": 7}, "scale": 0.01, "on": True, "kind": "b", "maybe": 2.0, "list": [3], "either": 4,
    }  # fmt: skip
    # A schema that names itself ends somewhere.
    assert 3 < sum(one["path"].startswith("inner.loop.") for one in fields) < 20
    kinds = {one["path"]: one["kind"] for one in fields}
    assert [kinds[name] for name in ("kind", "on", "maybe", "either", "list")] == [
        "Choice",
        "Flag",
        "Real",
        "Json",
        "Json",
    ]


@pytest.mark.parametrize(
    ("path", "text"),
    rest_slow([("inner.steps", "many"), ("scale", "NaN"), ("scale", "1,5"), ("list", "[3"), ("scale", "")]),
)
def test_what_is_no_value_is_named(client: Client, tmp_path: Path, path: str, text: str):
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    (tmp_path / "changes.json").write_text(json.dumps({path: text}))
    assert client.lines("form", tmp_path / "schema.json", tmp_path / "changes.json")[-1]["error"].startswith(
        f"{path}: expected"
    )


def picture(suffix: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 32), (10, 20, 30)).save(buffer, suffix, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One light in both formats; its values span all that a half float holds."""
    folder = tmp_path_factory.mktemp("light")
    values = torch.logspace(-9, 6, 3 * 16 * 32, base=10.0).reshape(3, 16, 32)[
        :, torch.randperm(16, generator=torch.Generator().manual_seed(0))
    ]
    values[0, 0] = 0
    for suffix in ("exr", "hdr"):
        write_light(values, folder / f"light.{suffix}")
    return {suffix: folder / f"light.{suffix}" for suffix in ("exr", "hdr")}


def test_the_size_of_every_format_is_read(client: Client, tmp_path: Path, light: dict[str, Path]):
    exif = Image.Exif()
    exif[0x010E] = "x" * 5000
    pictures = [picture("png"), picture("jpeg"), picture("jpeg", progressive=True, exif=exif)]
    found = client.lines("header", *written(tmp_path, pictures), light["exr"], light["hdr"])
    sizes = [(one["value"]["format"], one["value"]["width"], one["value"]["height"]) for one in found]
    assert sizes == [("png", 64, 32), ("jpg", 64, 32), ("jpg", 64, 32), ("exr", 32, 16), ("hdr", 32, 16)]
    assert [one["value"]["light"] for one in found] == [False, False, False, True, True]


def test_damaged_files_are_refused(client: Client, tmp_path: Path, light: dict[str, Path]):
    whole = [picture("png"), picture("jpeg"), light["exr"].read_bytes(), light["hdr"].read_bytes()]
    cut = [content[:end] for content in whole for end in (0, 1, 3, 4, 11, 15)]
    large = struct.pack(">8sI4sII", b"\x89PNG\r\n\x1a\n", 13, b"IHDR", 2**31, 2**31)
    rows = [b"#?RADIANCE\n\n+Y 16 +X 32\n", b"#?RADIANCE\n\n-Y x +X 32\n", b"#?RADIANCE\n" + b"x" * 2**21]
    files = written(tmp_path, [*cut, large, *rows, b"\xff\xd8" + b"\xff\xe0\x00\x00" * 9, b"GIF89a" + bytes(99)])
    assert all("error" in one for one in client.lines("header", *files))
    content = light["hdr"].read_bytes()
    middle = content.index(b"+X 32\n") + 6
    broken = [content[:-1], content[: middle + 2], content[:middle] + b"\x02\x02\x00\x21" + content[middle + 4 :]]
    huge = b"#?RADIANCE\n\n-Y 8192 +X 16384\n" + bytes(100)
    overrun = content[: middle + 4] + b"\xff" * (len(content) - middle - 4)
    files = written(tmp_path, [*broken, huge, overrun, picture("png")])
    assert all("error" in one for one in client.lines("radiance", *files))


def halves(client: Client, path: Path, rows: int, columns: int) -> np.ndarray:
    """The pixels that the client reads, from the top."""
    assert client.line("radiance", path) == {"value": {"width": columns, "height": rows}}
    found = np.frombuffer(path.with_name(f"{path.name}.half").read_bytes(), np.float16).reshape(rows, columns, 4)[::-1]
    assert (found[..., 3] == 1).all()
    return found[..., :3]


def test_light_is_read_as_half_floats(client: Client, light: dict[str, Path]):
    """To the last bit that the file has, the lowest row first."""
    wanted = read_panorama(light["hdr"])[0].permute(1, 2, 0).numpy()
    assert (halves(client, light["hdr"], 16, 32) == np.minimum(wanted, 65504).astype(np.float16)).all()


@pytest.mark.parametrize("width", [4, 32])
def test_light_in_plain_rows_is_read(client: Client, tmp_path: Path, width: int):
    """As old programs write it: pixel after pixel, with runs of equal ones."""
    quads = np.random.default_rng(0).integers(3, 256, (6, width, 4), np.uint8)
    quads[0, :, 3], quads[1, 1:] = 0, quads[1, 0]
    plain = [row.tobytes() for row in quads]
    plain[1] = quads[1, 0].tobytes() + bytes([1, 1, 1, width - 1])
    (path,) = written(tmp_path, [f"#?RADIANCE\n\n-Y 6 +X {width}\n".encode() + b"".join(plain)])
    exponents = quads[..., 3:].astype(float)
    wanted = np.where(exponents > 0, quads[..., :3] * 2.0 ** (exponents - 136), 0)
    assert (halves(client, path, 6, width) == np.minimum(wanted, 65504).astype(np.float16)).all()


def test_a_cubemap_has_the_faces_of_unitys_strip(client: Client, tmp_path: Path):
    """Every direction has a colour of its own, so no face is mirrored, turned or in another's place."""
    size, image = 32, (0.5 + 0.4 * pixel_directions(256, 512)).float()
    client.lines("cube", size, tmp_path / "places")
    u, v = np.fromfile(tmp_path / "places").reshape(6, size, size, 2).transpose(3, 0, 1, 2)
    export_preset(image.permute(2, 0, 1), "srgb", "unity", tmp_path / "strip", PresetOptions("strip", face_size=size))
    strip = np.asarray(Image.open(tmp_path / "strip" / "strip.png").convert("RGB")) / 255
    found = np.concatenate(texel(image.numpy(), u, 1 - v), axis=1)
    assert float(np.abs(found - strip).max()) < 0.02


def test_ahead_is_what_was_asked_for(client: Client):
    """By the formulas of Unity's shaders: the dome of Skybox/Panoramic, and cubemaps, which HDRP turns likewise."""
    yaws = [0.0, 37.0, -90.0, 725.0]
    image = card().permute(1, 2, 0).numpy()
    for yaw, (panoramic, cubemap) in zip(yaws, client.lines("turns", *yaws), strict=True):
        assert 0 <= panoramic < 360 and 0 <= cubemap < 360
        scene = turned_y(directions(), yaw)  # where the panorama's directions lie, when its yaw is at +Z
        x, y, z = turned_y(scene, -panoramic).T
        check(texel(image, 0.5 - np.arctan2(z, x) / (2 * np.pi), np.arccos(y) / np.pi))
        x, y, z = turned_y(scene, -cubemap).T
        check(texel(image, 0.5 + np.arctan2(x, z) / (2 * np.pi), np.arccos(y) / np.pi))


def test_files_elsewhere_are_not_ours(client: Client, tmp_path: Path):
    folder = {"folder": "Assets/Panoramas", "label": "panorama"}
    rows = [
        ({"path": "Assets/Panoramas/a.png", "labels": []}, True),
        ({"path": "Assets/Panoramas/deep/a.EXR", "labels": []}, True),
        ({"path": "Assets/Panoramas2/a.png", "labels": []}, False),
        ({"path": "Assets/panoramas/a.png", "labels": []}, False),
        ({"path": "Assets/a.png", "labels": []}, False),
        ({"path": "Assets/a.png", "labels": ["sky", "panorama"]}, True),
        ({"path": "Assets/a.png", "labels": ["panoramas"]}, False),
        ({"path": "Assets/Panoramas/a.mat", "labels": ["panorama"]}, False),
        ({"path": "Assets/a.png", "labels": [""], "label": ""}, False),
        *(
            ({"path": "Assets/a.png", "labels": [], "folder": bad}, False)
            for bad in ("", "Assets", "Assets/", "/", "Assets//", "Assets/.")
        ),
        ({"path": "Packages/p/a.png", "labels": [], "folder": "Packages/p"}, False),
        ({"path": "Assets/My Sky/a.png", "labels": [], "folder": "Assets\\My Sky/"}, True),
    ]
    (tmp_path / "rows.json").write_text(json.dumps([{**folder, **row} for row, _ in rows]))
    assert client.lines("ours", tmp_path / "rows.json") == [wanted for _, wanted in rows]


def test_no_texture_is_made_smaller(client: Client):
    assert client.lines("sizes", 1, 32, 33, 2048, 2049, 4096, 8192, 16384, 40000) == [
        32,
        32,
        64,
        2048,
        4096,
        4096,
        8192,
        16384,
        16384,
    ]


def test_titles_become_names_of_files(client: Client, tmp_path: Path):
    titles = [
        "a lake, at dusk!",
        "",
        "../../etc/passwd",
        ".hidden",
        "con",
        "COM1",
        "日本の海",
        "a" * 500,
        'x\x00/\\:*?"<>|y',
        "  ",
    ]
    assert client.lines("names", *[title.replace("\x00", "") for title in titles]) == [
        *(
            "a lake at dusk",
            "panorama",
            "etc passwd",
            "hidden",
            "panorama con",
            "panorama COM1",
            "日本の海",
            "a" * 60,
            "x y",
            "panorama",
        ),
    ]
    names = []
    for _ in range(3):
        names.append(Path(client.line("free", tmp_path, "lake", ".png")))
        names[-1].touch()
    assert [path.name for path in names] == ["lake.png", "lake 2.png", "lake 3.png"]


STREAM = (
    b'retry: 9\n: alive\n\nid: 3\nevent: view\ndata: {"index": 1,\ndata: "text": "\xc3\xa9"}\n\n'
    b"id: 4\r\nevent:progress\r\ndata:{}\r\n\r\n"
)


@pytest.mark.parametrize("chunk", rest_slow([1, 2, 3, 7, 1000]))
def test_events_are_read_however_they_are_cut(client: Client, tmp_path: Path, chunk: int):
    (tmp_path / "stream").write_bytes(STREAM)
    assert client.line("events", tmp_path / "stream", chunk)["value"] == [
        {"id": 3, "event": "view", "data": {"index": 1, "text": "é"}},
        {"id": 4, "event": "progress", "data": {}},
    ]


def test_hostile_streams_are_refused(client: Client, tmp_path: Path):
    streams = [
        b"data: " + b"x" * 2**21,
        b"data: x\n" * 2**19,
        b"data: {}\n\n",
        b"id: -1\ndata: {}\n\n",
        b"id: 1\ndata: [\n\n",
    ]
    for path in written(tmp_path, streams):
        assert "error" in client.line("events", path, 4096)


def test_a_damaged_list_of_jobs_is_put_aside(client: Client, tmp_path: Path):
    key = client.line("submit", tmp_path, "http://127.0.0.1:1", json.dumps({"prompt": "a lake"}))
    (found,) = client.line("ledger", tmp_path)["jobs"]
    assert found["key"] == key and found["state"] == "new"
    content = (tmp_path / "jobs.json").read_bytes()
    (tmp_path / "jobs.json").write_bytes(content[: len(content) // 2])
    told = client.line("ledger", tmp_path)
    assert told["jobs"] == [] and Path(told["damaged"]).read_bytes() == content[: len(content) // 2]
