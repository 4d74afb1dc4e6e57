"""PLY and glTF files of panoramas, read back by trimesh and by hand."""

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.geometry.mesh import sphere_mesh
from aognet.geometry.perspective import look
from aognet.io.depth_maps import DepthMap, write_depth
from aognet.io.distances import load_distances
from aognet.io.exports import Export, export_panorama
from aognet.io.hdr import write_exr
from aognet.io.meshes import MeshShape
from aognet.io.panorama_files import display_levels
from tests.smooth import smooth_panorama

ROWS = 32
DIRECTIONS = [(0, 0), (90, 0), (-90, 20), (180, 5), (37, -60), (-179, 80), (0, -88)]  # yaw and pitch


def written(path: Path, image: torch.Tensor, **shape: Any) -> Path:
    export_panorama(image, "srgb", Export((path,), shape=MeshShape(**shape)))
    return path


def read_glb(path: Path) -> tuple[dict[str, Any], bytes]:
    """The two chunks of a file, whose structure is checked."""
    content = path.read_bytes()
    magic, version, length, json_length, kind = struct.unpack_from("<4sIII4s", content)
    assert (magic, version, length, kind) == (b"glTF", 2, len(content), b"JSON") and json_length % 4 == 0
    text, rest = content[20 : 20 + json_length], content[20 + json_length :]
    binary_length, kind = struct.unpack_from("<I4s", rest)
    assert kind == b"BIN\0" and binary_length % 4 == 0 and len(rest) == 8 + binary_length
    return json.loads(text), rest[8:]


def arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a glTF file's only mesh."""
    told, binary = read_glb(path)
    (primitive,) = told["meshes"][0]["primitives"]
    found = {}
    for name, number in {**primitive["attributes"], "triangles": primitive["indices"]}.items():
        accessor = told["accessors"][number]
        view = told["bufferViews"][accessor["bufferView"]]
        assert view["byteOffset"] % 4 == 0
        size = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}[accessor["type"]]
        kind = {5126: "<f4", 5125: "<u4"}[accessor["componentType"]]
        assert view["byteLength"] == accessor["count"] * size * 4
        values = np.frombuffer(binary, kind, accessor["count"] * size, view["byteOffset"]).reshape(-1, size)
        if name == "POSITION":
            assert accessor["min"] == values.min(0).tolist() and accessor["max"] == values.max(0).tolist()
        found[name] = values
    found["triangles"] = found["triangles"].reshape(-1, 3)
    assert found["triangles"].max() < len(found["POSITION"])
    return found


def hit(vertices: np.ndarray, triangles: np.ndarray, direction: np.ndarray) -> tuple[int, np.ndarray, float]:
    """The triangle that a ray from the centre meets first, the weights of its vertices, and the distance there.

    Only triangles count that run counter-clockwise as the centre sees them (Moeller and Trumbore, 1997).
    """
    first, second, third = vertices[triangles].astype(float).transpose(1, 0, 2)
    along, across = second - first, third - first
    normal = np.cross(direction, across)
    size = (along * normal).sum(-1)
    facing = size > 1e-12
    size = np.where(facing, size, 1)
    share = (-first * normal).sum(-1) / size
    other = np.cross(-first, along)
    more, distance = other @ direction / size, (across * other).sum(-1) / size
    met = facing & (share >= -1e-9) & (more >= -1e-9) & (share + more <= 1 + 1e-9) & (distance > 0)
    assert met.any(), "the mesh has a hole, or shows its back"
    found = int(np.where(met, distance, np.inf).argmin())
    weights = np.array([1 - share[found] - more[found], share[found], more[found]])
    return found, weights, float(distance[found])


def towards(yaw: float, pitch: float) -> np.ndarray:
    """The direction for who looks along -z, with +x on the right."""
    turn, lift = np.radians([yaw, pitch])
    return np.array([np.cos(lift) * np.sin(turn), np.sin(lift), -np.cos(lift) * np.cos(turn)])


def seen(image: torch.Tensor, yaw: float, pitch: float) -> np.ndarray:
    """What `look` shows there."""
    return look(image[None], Camera(float(yaw), float(pitch), 0.0, 4.0, 1, 1))[0, :, 0, 0].numpy()


def texture_at(path: Path, uv: np.ndarray) -> np.ndarray:
    """What a renderer reads from a file's texture: bilinear, repeated across."""
    told, binary = read_glb(path)
    view = told["bufferViews"][told["images"][0]["bufferView"]]
    file = io.BytesIO(binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]])
    pixels = np.asarray(Image.open(file).convert("RGB")) / 255
    rows, columns = pixels.shape[:2]
    x, y = uv[0] * columns - 0.5, np.clip(uv[1] * rows - 0.5, 0, rows - 1)
    left, top = int(np.floor(x)), int(np.floor(y))
    total = np.zeros(3)
    for row, down in ((top, 1 - (y - top)), (min(top + 1, rows - 1), y - top)):
        for column, right in ((left, 1 - (x - left)), (left + 1, x - left)):
            total += down * right * pixels[row, column % columns]
    return total


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return smooth_panorama(ROWS)[0].add(1).div(2)


def test_a_ply_file_is_the_closed_coloured_sphere(image: torch.Tensor, tmp_path: Path):
    mesh = trimesh.load(written(tmp_path / "a.ply", image), process=False)
    assert mesh.is_watertight and len(mesh.vertices) == 2 * ROWS**2 + 2
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices, axis=1), 1, atol=1e-6)
    colours = display_levels(image).flatten(1).T.numpy()
    np.testing.assert_array_equal(mesh.visual.vertex_colors[:-2, :3], colours)
    np.testing.assert_allclose(mesh.visual.vertex_colors[-2:, :3], image[:, [0, -1]].mean(-1).T * 255, atol=0.51)
    points = trimesh.load(written(tmp_path / "b.ply", image, points=True, mesh_rows=16))
    assert points.vertices.shape == (2 * 16**2 + 2, 3) and not hasattr(points, "faces")


def test_rays_from_the_centre_meet_what_look_shows(image: torch.Tensor, tmp_path: Path):
    ply = trimesh.load(written(tmp_path / "a.ply", image), process=False)
    glb = arrays(written(tmp_path / "a.glb", image))
    np.testing.assert_allclose(np.linalg.norm(glb["POSITION"], axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(glb["NORMAL"], axis=1), 1, atol=1e-6)
    assert (glb["NORMAL"] * glb["POSITION"]).sum(-1).max() < -0.99
    for yaw, pitch in DIRECTIONS:
        number, weights, _ = hit(ply.vertices, ply.faces, towards(yaw, pitch))
        colour = weights @ ply.visual.vertex_colors[ply.faces[number], :3] / 255
        np.testing.assert_allclose(colour, seen(image, yaw, pitch), atol=0.03)
        number, weights, _ = hit(glb["POSITION"], glb["triangles"], towards(yaw, pitch))
        uv = weights @ glb["TEXCOORD_0"][glb["triangles"][number]]
        np.testing.assert_allclose(texture_at(tmp_path / "a.glb", uv), seen(image, yaw, pitch), atol=0.03)


def test_what_is_on_the_right_is_on_the_right(tmp_path: Path):
    """A red patch at yaw 90, green above it, is at +x for who looks along -z with +y up."""
    image = torch.zeros(3, ROWS, 2 * ROWS)
    image[0, ROWS // 2 - 2 : ROWS // 2 + 2, 3 * ROWS // 2 - 2 : 3 * ROWS // 2 + 2] = 1
    image[1, 2:6, 3 * ROWS // 2 - 2 : 3 * ROWS // 2 + 2] = 1
    ply = trimesh.load(written(tmp_path / "a.ply", image), process=False)
    red, green = (ply.vertices[ply.visual.vertex_colors[:, number] > 200].mean(0) for number in (0, 1))
    np.testing.assert_allclose(red / np.linalg.norm(red), [1, 0, 0], atol=1e-6)
    assert green[1] > 0.8 and green[0] > 0.1 and abs(green[2]) < 1e-6
    scene = trimesh.load(written(tmp_path / "a.glb", image))
    (mesh,) = scene.geometry.values()
    nearest = np.linalg.norm(mesh.vertices - [1, 0, 0], axis=1).argmin()
    across, down = mesh.visual.uv[nearest]
    assert abs(across - 0.75) < 0.01 and abs(down - 0.5) < 0.01
    number, weights, _ = hit(*(arrays(tmp_path / "a.glb")[key] for key in ("POSITION", "triangles")), towards(90, 0))
    glb = arrays(tmp_path / "a.glb")
    assert texture_at(tmp_path / "a.glb", weights @ glb["TEXCOORD_0"][glb["triangles"][number]])[0] > 0.8


def test_a_glb_file_says_what_viewers_need(image: torch.Tensor, tmp_path: Path):
    told, _ = read_glb(written(tmp_path / "a.GLB", image))
    assert told["asset"]["version"] == "2.0" and told["extensionsUsed"] == ["KHR_materials_unlit"]
    (material,) = told["materials"]
    assert material["extensions"] == {"KHR_materials_unlit": {}} and "doubleSided" not in material
    assert told["images"][0]["mimeType"] == "image/jpeg" and "target" not in told["bufferViews"][-1]
    assert told["samplers"][0]["wrapS"] == 10497 and told["samplers"][0]["wrapT"] == 33071


def distance_file(path: Path, values: np.ndarray) -> Path:
    write_exr({"Z": values.astype(np.float32)}, path)
    return path


def test_vertices_are_as_far_as_a_file_of_metres_says(image: torch.Tensor, tmp_path: Path):
    metres = np.random.default_rng(0).uniform(1, 9, (ROWS, 2 * ROWS))
    metres[3, 5] = np.inf
    file = distance_file(tmp_path / "depth.exr", metres)
    mesh = trimesh.load(written(tmp_path / "a.ply", image, displace=file), process=False)
    far = metres[np.isfinite(metres)].max()
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices[:-2], axis=1), np.minimum(metres, far).ravel(), rtol=1e-5)
    assert mesh.is_watertight
    directions = sphere_mesh(ROWS).directions.numpy()
    np.testing.assert_allclose(mesh.vertices / np.linalg.norm(mesh.vertices, axis=1)[:, None], directions, atol=1e-6)
    assert load_distances(file, ROWS, far=4.0).max() == pytest.approx(4)
    glb = arrays(written(tmp_path / "a.glb", image, displace=file))
    for yaw, pitch in DIRECTIONS[:4]:
        of_ply, of_glb = (
            hit(*one, towards(yaw, pitch))[2]
            for one in ((mesh.vertices, mesh.faces), (glb["POSITION"], glb["triangles"]))
        )
        assert of_ply == pytest.approx(of_glb, rel=1e-4)


def test_pictures_of_depth_have_a_scale(tmp_path: Path):
    nearness = torch.linspace(0, 1, 2 * ROWS**2).view(1, ROWS, 2 * ROWS)
    known = torch.ones_like(nearness, dtype=torch.bool)
    write_depth(DepthMap(nearness, known), tmp_path / "depth.png")
    found = load_distances(tmp_path / "depth.png", ROWS, near=2.0, far=50.0)
    np.testing.assert_allclose(1 / found, 1 / 50 + nearness[0].double() * (1 / 2 - 1 / 50), rtol=1e-3)
    known[:, :, :20] = False  # takes what is beside it
    write_depth(DepthMap(nearness * known, known), tmp_path / "holes.png")
    filled = load_distances(tmp_path / "holes.png", ROWS)
    assert bool((filled >= 1).all()) and bool((filled <= 20.001).all())
    np.testing.assert_allclose(filled[10, 19], filled[10, 20], rtol=0.2)
    write_depth(DepthMap(nearness.clamp_min(0.1), known | True), tmp_path / "away.png")
    away = load_distances(tmp_path / "away.png", ROWS, "distance", far=7.0)
    assert float(away.max()) == pytest.approx(7)


def test_triangles_across_jumps_are_cut_if_asked(image: torch.Tensor, tmp_path: Path):
    metres = np.ones((ROWS, 2 * ROWS))
    metres[:, ROWS:] = 4
    file = distance_file(tmp_path / "depth.exr", metres)
    whole, cut = (
        trimesh.load(written(tmp_path / f"{ratio}.ply", image, displace=file, cut=ratio), process=False)
        for ratio in (None, 2.0)
    )
    assert whole.is_watertight and not cut.is_watertight and len(cut.faces) < len(whole.faces)
    lengths = np.linalg.norm(cut.vertices, axis=1)[cut.faces]
    assert (lengths.max(-1) / lengths.min(-1)).max() <= 2.0
    kept = arrays(written(tmp_path / "a.glb", image, displace=file, cut=2.0))
    assert len(kept["triangles"]) == len(cut.faces)
    np.testing.assert_allclose(np.linalg.norm(kept["NORMAL"], axis=1), 1, atol=1e-6)


def test_numbers_that_are_no_mesh_are_refused(image: torch.Tensor, tmp_path: Path):
    steps = np.where(np.arange(2 * ROWS) % 2, 1.0, 100.0) * np.ones((ROWS, 1))
    file = distance_file(tmp_path / "depth.exr", steps)
    huge = distance_file(tmp_path / "huge.exr", steps * 1e30)
    before = sorted(tmp_path.iterdir())
    for shape, said in [
        ({"displace": huge}, "huge.exr: holds distances from 1e+30"),
        ({"displace": file, "near": 1.0}, "near is for pictures of inverse depth"),
        ({"displace": tmp_path / "none.exr"}, "none.exr: no such file"),
        ({"displace": file, "depth_kind": "inverse", "far": 0.5}, "near must be less than far"),
    ]:
        with pytest.raises(UserError, match=said.replace("+", r"\+")):
            export_panorama(image, "srgb", Export((tmp_path / "a.png", tmp_path / "a.ply"), shape=MeshShape(**shape)))
        assert sorted(tmp_path.iterdir()) == before
    assert load_distances(huge, ROWS, far=9.0).max() == pytest.approx(9)
