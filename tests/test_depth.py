"""Depth and control images by the real command: flags, files, folders, and one line for a mistake."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from aognet.commands import generate
from aognet.errors import UserError
from aognet.generate.inputs import InputsConfig, list_requests
from aognet.io.hdr import write_exr
from aognet.io.images import save_image
from aognet.request import Control, Request
from tests.generate.painter import smooth_photo

ROWS = 32
Paint = Callable[..., int]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Depth maps of two photographs, an image of edges. Do not write beside them."""
    folder = tmp_path_factory.mktemp("files")
    distances = (2 + smooth_photo(ROWS, 2 * ROWS)[0]).numpy()
    for name in ("depths", "photos"):
        (folder / name).mkdir()
    np.save(folder / "depths" / "yard.npy", distances)
    write_exr({"Z": distances[:, ::-1]}, folder / "depths" / "lake.exr")
    for name in ("yard", "lake"):
        save_image(smooth_photo(60, 80), folder / "photos" / f"{name}.jpg")
    save_image(smooth_photo(ROWS, 2 * ROWS), folder / "edges.png")
    (folder / "black.png").write_bytes(cv2.imencode(".png", np.zeros((16, 32), np.uint8))[1].tobytes())
    return folder


@pytest.fixture
def paint(plain_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paint:
    """The command line with tiny sizes as its default; it writes to ``tmp_path / "out"``."""
    content = {
        "checkpoint": str(plain_folder), "method": "seamless", "device": "cpu",
        "generator": {"height": ROWS, "sampler": {"steps": 1, "guidance": 1.0}},
    }  # fmt: skip
    (tmp_path / "tiny.yaml").write_text(json.dumps(content))
    monkeypatch.setattr(generate, "DEFAULT_CONFIG", tmp_path / "tiny.yaml")
    return lambda *words: generate.main([*map(str, words), "--inference_out_dir", str(tmp_path / "out")])


def journal(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text())["request"]


def test_flags_reach_the_request(paint: Paint, files: Path, controlnet_folders: dict[str, list[str]], tmp_path: Path):
    nets = next(iter(controlnet_folders.values()))
    beside = [word for net in nets for word in ("--controlnet", net)]
    depth, edges = files / "depths" / "yard.npy", files / "edges.png"
    how = ("--depth_kind", "inverse", "--depth_scale", "0.3", "--control", f"{edges}=0.7")
    assert paint("--prompt", "a yard", "--depth", depth, *how, *beside) == 0
    asked = journal(tmp_path / "out" / "yard")
    assert (asked["depth"], asked["depth_kind"]) == (str(depth), "inverse")
    assert asked["controls"] == [{"image": str(edges), "scale": 0.7}] and asked["settings"]["depth_scale"] == 0.3
    assert (tmp_path / "out" / "yard" / "depth.png").is_file() and (tmp_path / "out" / "yard" / "result.png").is_file()


def test_a_folder_of_depths_is_for_a_folder_of_photographs(
    paint: Paint, files: Path, controlnet_folders: dict[str, list[str]], tmp_path: Path
):
    net = next(iter(controlnet_folders.values()))[0]
    words = (f"inputs.photos=[{files / 'photos'}]", f"inputs.depth={files / 'depths'}", f"controlnets=[{net}]")
    assert paint(*words) == 0
    for name, kind in (("yard", "npy"), ("lake", "exr")):
        assert journal(tmp_path / "out" / name)["depth"] == str(files / "depths" / f"{name}.{kind}")


def listed(**inputs: Any) -> list[Request]:
    return list_requests(InputsConfig(**inputs), Request())


def test_depths_alone_become_panoramas(files: Path):
    one = listed(prompt="a room", depth=str(files / "depths" / "yard.npy"))
    assert [(each.name, each.prompt, each.depth) for each in one] == [
        ("yard", "a room", str(files / "depths" / "yard.npy"))
    ]
    every = listed(prompt="a room", depth=str(files / "depths"), controls=[Control("edges.png")])
    assert [each.name for each in every] == ["lake", "yard"] and every[0].controls == [Control("edges.png")]
    for depth in (str(files / "depths" / "yard.npy"), str(files / "depths")):
        with pytest.raises(UserError, match="auto describes an image"):
            listed(prompt="auto", depth=depth)
    with pytest.raises(UserError, match=r"photos: no depth map \(PNG|has no depth map for"):
        listed(photos=[str(files / "edges.png")], depth=str(files / "depths"))


MISTAKES = {
    "a black map": (("--depth", "FILES/black.png"), "FILES/black.png: is black throughout"),
    "no file": (("--depth", "FILES/none.png"), "FILES/none.png: no such file"),
    "a photograph": (("--depth", "FILES/photos/yard.jpg"), "FILES/photos/yard.jpg: "),
    "another kind": (("--depth", "FILES/edges.png", "--depth_kind", "near"), "depth_kind"),
    "too strong": (("--depth", "FILES/depths/yard.npy", "--depth_scale", "99"), r"depth_scale must lie in \[0, 10\]"),
    "no weight": (("--depth", "FILES/depths/yard.npy", "--control", "x.png=much"), "--control expects FILE=WEIGHT"),
    "two images": (("--depth", "FILES/depths/yard.npy", "--control", "FILES/edges.png"), "--control needs 2 Control"),
    "none": ((), "--controlnet .* is shown no image: give --depth, or --control"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(
    what: str, paint: Paint, files: Path, controlnet_folders: dict[str, list[str]], tmp_path: Path
):
    words, said = MISTAKES[what]
    words = [word.replace("FILES", str(files)) for word in words]
    with pytest.raises(UserError, match=said.replace("FILES", str(files))) as caught:
        paint("--prompt", "a yard", "--controlnet", next(iter(controlnet_folders.values()))[0], *words)
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_a_depth_without_a_controlnet_is_refused_with_the_way_out(paint: Paint, files: Path, tmp_path: Path):
    with pytest.raises(UserError, match="--depth needs 1 ControlNets, and the model has 0: --controlnet names each"):
        paint("--prompt", "a yard", "--depth", files / "depths" / "yard.npy")
    assert not (tmp_path / "out").exists()


def test_an_input_is_never_written_over(
    paint: Paint, files: Path, controlnet_folders: dict[str, list[str]], tmp_path: Path
):
    net = next(iter(controlnet_folders.values()))[0]
    paint("--prompt", "a yard", "--depth", files / "depths" / "yard.npy", "--controlnet", net)
    for flags in (("--depth",), ("--depth", files / "depths" / "yard.npy", "--control")):
        with pytest.raises(UserError, match="is an input, and painting into .* would write over it"):
            paint(
                *("--prompt", "b", "--name", "yard", "--overwrite", "--controlnet", net, *flags),
                tmp_path / "out" / "yard" / "depth.png",
            )
