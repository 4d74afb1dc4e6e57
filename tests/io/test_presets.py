"""Each preset against its program: where that looks a direction up, the panorama's own colour is found.

The formulas here are those of the programs, written from their sources and documentation, in their own axes. ``world``
turns a direction of the project (x right, y up, z ahead) into theirs.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from torch.nn import functional

from aognet.errors import UserError
from aognet.geometry.sphere import pixel_positions, sample
from aognet.io.gpano import read_gpano
from aognet.io.hdr import read_light
from aognet.io.orientation_card import orientation_card
from aognet.io.panorama_files import encoded, read_panorama
from aognet.io.presets import PRESETS, PresetOptions, export_preset, preset_named
from aognet.io.tonemap import ToneMap
from tests.io.test_viewer import embedded

HEIGHT = 256
EVERY = [(name, layout) for name, preset in PRESETS.items() for layout in preset.layouts]


@cache
def card() -> torch.Tensor:
    return orientation_card(HEIGHT)


@cache
def directions() -> np.ndarray:
    """Directions all over the sphere where the card is smooth: an edge says nothing about a place to half a pixel."""
    vectors = np.random.default_rng(0).normal(size=(4000, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    most, least = (sign * functional.max_pool2d(sign * card()[None], 7, 1, 3) for sign in (1, -1))
    smooth = at((most - least)[0].amax(0, keepdim=True), vectors)[:, 0] < 0.15
    return vectors[smooth & (np.abs(vectors[:, 1]) < 0.995)]


def at(panorama: torch.Tensor, vectors: np.ndarray) -> np.ndarray:
    """What a panorama has in these directions, [count, channels]."""
    places = pixel_positions(torch.from_numpy(vectors)[None], *panorama.shape[-2:])
    return sample(panorama[None], places)[0, :, 0].T.numpy()


def exported(folder: Path, name: str, layout: str = "", **options: object) -> Path:
    files = export_preset(card(), "srgb", name, folder / "out", PresetOptions(layout=layout, **options))
    assert set(files) == {path for path in (folder / "out").rglob("*") if path.is_file()}
    assert [path.name for path in folder.iterdir()] == ["out"]
    return folder / "out"


def picture(path: Path) -> np.ndarray:
    """A file's display values in [0, 1], [rows, columns, 3]."""
    if path.suffix in (".exr", ".hdr"):
        light = torch.from_numpy(read_light(path, 10**7).astype(np.float32)).permute(2, 0, 1)
        return encoded(light, "linear", "srgb", ToneMap("srgb")).permute(1, 2, 0).numpy()
    return np.asarray(Image.open(path).convert("RGB")) / 255.0


def texel(image: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The nearest texel of a texture; u from its left, v from its top."""
    rows, columns, _ = image.shape
    return image[np.clip(np.floor(v * rows), 0, rows - 1).astype(int), np.floor(u * columns).astype(int) % columns]


def check(found: np.ndarray, most: float = 0.03, share: float = 1.0) -> None:
    """What a program shows is what the panorama has there, in at least this ``share`` of all directions."""
    wanted = at(card(), directions())
    assert len(wanted) > 1500
    assert float(np.quantile(np.abs(found - wanted).max(1), share)) < most
    assert float(np.abs(found - wanted).mean()) < 0.01


def turned_y(vectors: np.ndarray, degrees: float) -> np.ndarray:
    """Unity's RotateAroundYInDegrees: the matrix (cos, -sin; sin, cos) on (x, z)."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    x, y, z = vectors.T
    return np.stack([c * x - s * z, y, s * x + c * z], 1)


# ------------------------------------------------------------------------------------------------- panoramas by formula


def unity(image: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Skybox/Panoramic: _Rotation turns the dome; ToRadialCoords gives (0.5, 1) - (longitude, latitude), v up."""
    x, y, z = turned_y(vectors, -90.0).T  # the point of the dome that _Rotation 90 brings there
    return texel(image, 0.5 - np.arctan2(z, x) / (2 * np.pi), np.arccos(y) / np.pi)


def unity_cylindrical(image: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Texture Shape Cube, Latitude-Longitude: the middle is at +Z."""
    x, y, z = vectors.T
    return texel(image, 0.5 + np.arctan2(x, z) / (2 * np.pi), np.arccos(y) / np.pi)


def unreal(image: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """FImageViewLongLat::LookupLongLat of (X, Z, Y), where X is ahead, Y right and Z up: u from atan2(X, -Y)."""
    right, up, ahead = vectors.T
    x, y, z = ahead, right, up
    return texel(image, (1 + np.arctan2(x, -y) / np.pi) / 2, np.arccos(z) / np.pi)


def godot(image: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """sky.glsl: panorama_coords = (atan(x, -z), acos(y)), where -Z is ahead; below 0 a whole turn is added."""
    x, y, z = vectors.T * [[1], [1], [-1]]
    u = np.arctan2(x, -z)
    return texel(image, np.where(u < 0, u + 2 * np.pi, u) / (2 * np.pi), np.arccos(y) / np.pi)


def blender(image: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """node_tex_environment_equirectangular after the Mapping node's -90 degrees about Z; +Y is ahead and +Z up."""
    right, up, ahead = vectors.T
    x, y, z = ahead, -right, up  # (right, ahead, up) turned by -90 degrees: +Y becomes +X
    return texel(image, 0.5 - np.arctan2(y, x) / (2 * np.pi), 0.5 - np.arctan2(z, np.hypot(x, y)) / np.pi)


@pytest.mark.parametrize(
    ("name", "file", "formula"),
    [
        ("unity", "panorama.png", unity),
        ("unity", "panorama.png", unity_cylindrical),
        ("unreal", "panorama.hdr", unreal),
        ("godot", "panorama.png", godot),
        ("blender", "panorama.exr", blender),
        ("photosphere", "panorama.jpg", unity_cylindrical),
    ],
)
def test_a_panorama_is_seen_where_the_program_looks_it_up(
    name: str, file: str, formula: Callable[..., np.ndarray], tmp_path: Path
):
    check(formula(picture(exported(tmp_path, name) / file), directions()), 0.04 if file.endswith("jpg") else 0.03)


@pytest.mark.parametrize("format_", ["png", "jpg", "exr", "hdr"])
def test_the_format_can_be_told(format_: str, tmp_path: Path):
    check(godot(picture(exported(tmp_path, "godot", format=format_) / f"panorama.{format_}"), directions()), 0.04)


def test_what_knows_the_middle_as_straight_ahead(tmp_path: Path):
    """A photo sphere and the viewer's page have the panorama as it is; the one says so in its metadata."""
    told = read_gpano(exported(tmp_path, "photosphere", description="a card") / "panorama.jpg")
    assert told["ProjectionType"] == "equirectangular" and told["FullPanoWidthPixels"] == str(2 * HEIGHT)
    assert told["description"] == "a card"
    (tmp_path / "out").rename(tmp_path / "photosphere")
    export_preset(card(), "srgb", "web", tmp_path / "web")
    shown = np.asarray(embedded(tmp_path / "web" / "viewer.html").convert("RGB")) / 255.0
    check(unity_cylindrical(shown, directions()), 0.08)


# ----------------------------------------------------------------------------------------------------- cubes by formula

# Direct3D's cube faces in their order: the axis, and where a face's left-to-right and top-to-bottom go.
DIRECT3D = {
    "+x": ((1, 0, 0), (0, 0, -1), (0, -1, 0)),
    "-x": ((-1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "+y": ((0, 1, 0), (1, 0, 0), (0, 0, 1)),
    "-y": ((0, -1, 0), (1, 0, 0), (0, 0, -1)),
    "+z": ((0, 0, 1), (1, 0, 0), (0, -1, 0)),
    "-z": ((0, 0, -1), (-1, 0, 0), (0, -1, 0)),
}


def on_cube(faces: dict[str, np.ndarray], table: dict[str, tuple], vectors: np.ndarray) -> np.ndarray:
    """The nearest texel on the face whose axis is nearest."""
    names = list(table)
    nearest = np.argmax(vectors @ np.array([table[name][0] for name in names]).T, 1)
    found = np.empty_like(vectors)
    for number, name in enumerate(names):
        mine = vectors[nearest == number]
        axis, across, down = (mine @ np.array(one) for one in table[name])
        found[nearest == number] = texel(
            faces[name], np.clip(across / axis, -1, 0.9999) / 2 + 0.5, down / axis / 2 + 0.5
        )
    return found


def cells(image: np.ndarray, rows: int, columns: int) -> dict[tuple[int, int], np.ndarray]:
    size = len(image) // rows
    assert image.shape == (rows * size, columns * size, 3)
    cut = {}
    for row in range(rows):
        for column in range(columns):
            cut[row, column] = image[row * size : (row + 1) * size, column * size : (column + 1) * size]
    return cut


@pytest.mark.parametrize(("name", "file"), [("unity", "strip.png"), ("cubemap", "cubemap.png")])
def test_a_strip_is_direct3ds_cube(name: str, file: str, tmp_path: Path):
    strip = cells(picture(exported(tmp_path, name, "strip") / file), 1, 6)
    check(on_cube(dict(zip(DIRECT3D, strip.values(), strict=True)), DIRECT3D, directions()))


def test_unitys_six_textures(tmp_path: Path):
    """Skybox/6 Sided calls its slots Front [+Z], Back [-Z], Left [+X], Right [-X], Up [+Y] and Down [-Y]."""
    folder = exported(tmp_path, "unity", "faces", face_size=150)
    slots = {"+z": "Front", "-z": "Back", "+x": "Left", "-x": "Right", "+y": "Up", "-y": "Down"}
    faces = {axis: picture(folder / f"{slot}Tex.png") for axis, slot in slots.items()}
    assert faces["+x"].shape == (150, 150, 3)
    check(on_cube(faces, DIRECT3D, directions()))


@pytest.mark.parametrize("layout", ["faces", "cross", "vertical-cross"])
def test_an_unfolded_cube(layout: str, tmp_path: Path):
    folder = exported(tmp_path, "cubemap", layout)
    if layout == "faces":
        named = {"+x": "right", "-x": "left", "+y": "up", "-y": "down", "+z": "front", "-z": "back"}
        faces = {axis: picture(folder / f"{name}.png") for axis, name in named.items()}
    elif layout == "cross":
        cut = cells(picture(folder / "cubemap.png"), 3, 4)
        faces = {"+y": cut[0, 1], "-x": cut[1, 0], "+z": cut[1, 1], "+x": cut[1, 2], "-z": cut[1, 3], "-y": cut[2, 1]}
    else:
        cut = cells(picture(folder / "cubemap.png"), 4, 3)
        faces = {"+y": cut[0, 1], "-x": cut[1, 0], "+z": cut[1, 1], "+x": cut[1, 2], "-y": cut[2, 1]}
        faces["-z"] = cut[3, 1][::-1, ::-1]
    check(on_cube(faces, DIRECT3D, directions()))


# Pannellum's cube (createCube of libpannellum.js): the corners of each face, from its upper left one clockwise.
PANNELLUM = {
    "f": ((-1, 1, -1), (1, 1, -1), (1, -1, -1)),
    "b": ((1, 1, 1), (-1, 1, 1), (-1, -1, 1)),
    "u": ((-1, 1, 1), (1, 1, 1), (1, 1, -1)),
    "d": ((-1, -1, -1), (1, -1, -1), (1, -1, 1)),
    "l": ((-1, 1, 1), (-1, 1, -1), (-1, -1, -1)),
    "r": ((1, 1, -1), (1, 1, 1), (1, -1, 1)),
}


def test_pannellums_tiles_in_every_level(tmp_path: Path):
    folder = exported(tmp_path, "pannellum", tile_size=64, face_size=150, format="png")
    told = json.loads((folder / "config.json").read_text(encoding="utf-8"))["multiRes"]
    assert (told["tileResolution"], told["maxLevel"], told["cubeResolution"]) == (64, 3, 152)
    table = {}
    for letter, (first, second, third) in PANNELLUM.items():
        left, right, lower = (np.array(corner) for corner in (first, second, third))
        table[letter] = ((left + lower) / 2, (right - left) / 2, (lower - right) / 2)
    vectors = directions() * [1, 1, -1]  # -Z is ahead
    for level in (1, 2, 3):
        size = told["cubeResolution"] // 2 ** (told["maxLevel"] - level)
        faces = {}
        for letter in PANNELLUM:
            count = -(-size // told["tileResolution"])
            path = told["path"].replace("%l", str(level)).replace("%s", letter)
            tiles = [
                [picture(folder / f"{path.replace('%y', str(y)).replace('%x', str(x))}.png") for x in range(count)]
                for y in range(count)
            ]
            faces[letter] = np.concatenate([np.concatenate(row, 1) for row in tiles])
            assert faces[letter].shape == (size, size, 3)
            assert tiles[0][0].shape[0] == min(size, told["tileResolution"])
        # Pixels of a coarse level are larger than what was kept clear of edges.
        check(on_cube(faces, table, vectors), 0.04, {1: 0.9, 2: 0.97, 3: 1.0}[level])
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}
    assert len(names) == 6 * (1 + 4 + 9) + 6 and picture(folder / "fallback" / "f.png").shape == (152, 152, 3)


def test_a_gltf_sphere_is_seen_from_its_middle(tmp_path: Path):
    """A ray in glTF's axes (-Z is ahead) meets a triangle; its texture coordinates there are looked up."""
    (mesh,) = trimesh.load(exported(tmp_path, "glb") / "panorama.glb", process=False).geometry.values()
    vectors = directions()[::50]
    shown = np.asarray(mesh.visual.material.baseColorTexture.convert("RGB")) / 255.0
    corners = mesh.vertices[mesh.faces]
    inverse = np.linalg.pinv(corners.transpose(0, 2, 1))  # of a flat triangle at a pole, too
    found = []
    for vector in vectors * [1, 1, -1]:
        weights = inverse @ vector
        met = np.flatnonzero((weights > -1e-9).all(1) & (weights.sum(1) > 0))[0]
        share = weights[met] / weights[met].sum()
        u, v = share @ mesh.visual.uv[mesh.faces[met]]  # trimesh counts v from below
        found.append(texel(shown, np.array([u]), np.array([1 - v]))[0])
    assert float(np.abs(np.array(found) - at(card(), vectors)).max()) < 0.06


# ------------------------------------------------------------------------------------------------------------ as files


def test_light_stays_light_or_is_shown(tmp_path: Path):
    light = (card() * 3) ** 2
    for name, preset in PRESETS.items():
        files = export_preset(light, "linear", name, tmp_path / name)
        kept = {path.suffix for path in files} & {".exr", ".hdr"}
        assert bool(kept) != preset.shows_light(PresetOptions(), "linear")
    kept, encoding = read_panorama(tmp_path / "unity" / "panorama.exr")
    assert encoding == "linear" and float((kept - light).abs().max()) < 1e-5
    shown = read_panorama(tmp_path / "photosphere" / "panorama.jpg")[0]
    assert float((shown - encoded(light, "linear", "srgb")).abs().mean()) < 0.01
    export_preset(light, "linear", "photosphere", tmp_path / "dark", PresetOptions(tone=ToneMap("srgb", exposure=-4.0)))
    assert float(read_panorama(tmp_path / "dark" / "panorama.jpg")[0].max()) < float(shown.max())


@pytest.mark.parametrize(("name", "layout"), EVERY)
def test_a_note_names_the_files_that_are_there(name: str, layout: str, tmp_path: Path):
    folder = exported(tmp_path, name, layout)
    note = (folder / "README.txt").read_text(encoding="utf-8")
    assert "{" not in note.replace('{"', "").split("<script>")[0] and len(note.splitlines()) > 1
    others = [path.name for path in folder.iterdir() if path.is_file() and path.name != "README.txt"]
    assert any(file.removesuffix(".png") in note for file in others)


@pytest.mark.parametrize(("name", "layout"), EVERY)
def test_panoramas_of_any_size_can_be_exported(name: str, layout: str, tmp_path: Path):
    for height in (1, 5):
        image = torch.rand(3, height, 2 * height)
        files = export_preset(image, "srgb", name, tmp_path / str(height), PresetOptions(layout=layout))
        assert all(path.stat().st_size > 0 for path in files)


MISTAKES = [
    ("unty", {}, "must be one of unity, .*; did you mean 'unity'"),
    ("", {}, "must be one of unity"),
    ("unity", {"layout": "cross"}, "layout must be one of panorama, strip, faces, got 'cross'"),
    ("godot", {"layout": "strip"}, "layout changes nothing here"),
    ("unreal", {"format": "png"}, "format must be one of hdr, got 'png'"),
    ("unity", {"face_size": 8}, "face_size changes nothing in this export, got 8"),
    ("unity", {"face_size": 8, "layout": "strip", "tile_size": 64}, "tile_size changes nothing"),
    ("unity", {"face_size": 0, "layout": "strip"}, "face_size must be at least 1"),
    ("pannellum", {"tile_size": 1}, "tile_size must be from 64"),
]


@pytest.mark.parametrize(("name", "options", "said"), MISTAKES, ids=[said for *_, said in MISTAKES])
def test_a_mistake_is_told_and_nothing_is_written(name: str, options: dict, said: str, tmp_path: Path):
    with pytest.raises(UserError, match=said):
        export_preset(card(), "srgb", name, tmp_path / "out", PresetOptions(**options))
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_replaced_when_that_is_asked_for(tmp_path: Path):
    folder = tmp_path / "out"
    folder.mkdir()
    export_preset(card(), "srgb", "web", folder)  # an empty folder is as good as none
    (folder / "mine.txt").write_text("mine")
    (folder / "viewer.html").write_text("old")
    with pytest.raises(UserError, match="out: has files in it"):
        export_preset(card(), "srgb", "web", folder)
    assert (folder / "viewer.html").read_text() == "old"
    export_preset(card(), "srgb", "web", folder, overwrite=True)
    assert (folder / "mine.txt").read_text() == "mine" and (folder / "viewer.html").stat().st_size > 1000
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="file: is a file"):
        export_preset(card(), "srgb", "web", tmp_path / "file", overwrite=True)


def test_an_export_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(path: Path, content: bytes) -> None:
        raise UserError(f"{path}: no space left")

    monkeypatch.setattr("aognet.io.presets.write_atomically", full)
    with pytest.raises(UserError, match=r"deep/out/README.txt: no space left"):
        export_preset(card(), "srgb", "unity", tmp_path / "deep" / "out")
    assert not list(tmp_path.iterdir())


def test_presets_say_what_they_are():
    for name, preset in PRESETS.items():
        assert preset_named(name) is preset and preset.title and preset.description.endswith(".")
        assert ("" in preset.layouts) == (len(preset.layouts) == 1)
