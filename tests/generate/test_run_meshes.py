"""Meshes in the folder of a run: its own files, of its result, and with it taken back or painted anew."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from aognet.errors import UserError
from aognet.generate import generator
from aognet.io.depth_maps import DepthMap, write_depth
from tests import stub_model
from tests.stub_model import HEIGHT, contents, run


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paints ``out/yard``, by a method that takes depth."""
    place = stub_model.make_inputs(tmp_path)
    stub_model.install(monkeypatch)
    takes = replace(stub_model.STUB, takes=stub_model.STUB.takes | {"depth"})
    monkeypatch.setattr(generator, "method_of", lambda *model: takes)
    return ["-b", str(place / "tiny.yaml"), "--image", str(place / "yard.png"), f"out_dir={place / 'out'}"]


def colours(path: Path) -> np.ndarray:
    return trimesh.load(path, process=False).visual.vertex_colors[:-2, :3]


def test_meshes_are_the_runs_own_and_follow_its_result(command: list[str], tmp_path: Path):
    folder = tmp_path / "out" / "yard"
    run(*command)
    run(*command, "--ply", "--glb")  # of a finished run
    assert json.loads((folder / "run.json").read_text())["outputs"][-2:] == ["panorama.ply", "panorama.glb"]
    shown = np.asarray(Image.open(folder / "result.png")).reshape(-1, 3)
    np.testing.assert_array_equal(colours(folder / "panorama.ply"), shown)
    before = contents(folder)
    run("--inference_out_dir", str(folder), "--repaint", "90,0: a door")
    np.testing.assert_array_equal(
        colours(folder / "panorama.ply"), np.asarray(Image.open(folder / "result.png")).reshape(-1, 3)
    )
    run("--inference_out_dir", str(folder), "--undo", "1")
    after = contents(folder)
    assert all(after[name] == before[name] for name in before if name.startswith("panorama"))
    run(*command, "--overwrite", "--seed", "4")
    assert not (folder / "panorama.ply").exists() and not (folder / "panorama.glb").exists()


def test_a_displaced_mesh_is_as_far_away_as_the_depth(command: list[str], tmp_path: Path):
    nearness = torch.linspace(0, 1, 2 * HEIGHT**2).view(1, HEIGHT, 2 * HEIGHT)
    write_depth(DepthMap(nearness, nearness > -1), tmp_path / "near.png")
    run(*command, "--depth", str(tmp_path / "near.png"), "--ply", "--glb", "--displace")
    folder = tmp_path / "out" / "yard"
    assert not (folder / "panorama.ply").exists() and (folder / "displaced.glb").is_file()
    lengths = np.linalg.norm(trimesh.load(folder / "displaced.ply", process=False).vertices[:-2], axis=1)
    np.testing.assert_allclose(1 / lengths, 1 / 20 + nearness.flatten().numpy() * (1 - 1 / 20), rtol=1e-3)


def test_what_cannot_be_displaced_is_refused(command: list[str], tmp_path: Path):
    mine = tmp_path / "out" / "yard" / "panorama.ply"
    mine.parent.mkdir(parents=True)
    for flags, said in [
        (["--displace"], "displace changes nothing without --ply or --glb"),
        (["--glb", "--columns", "2"], "save_glb is of panoramas, and flat images are made"),
        (["--displace", "--ply"], "--displace needs a depth: give --depth"),
        (["--ply"], "panorama.ply: is there already, and no run wrote it"),
    ]:
        if flags == ["--ply"]:
            mine.write_bytes(b"mine")
        before = contents(tmp_path)
        with pytest.raises(UserError, match=said):
            run(*command, *flags)
        assert contents(tmp_path) == before
