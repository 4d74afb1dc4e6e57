"""Depth and control images by the real command: flags, files, folders, and one line for a mistake."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from aognet.commands import generate
from aognet.commands.depth import main as estimate
from aognet.errors import UserError
from aognet.generate.inputs import InputsConfig, list_requests
from aognet.io.depth_maps import load_depth
from aognet.io.hdr import write_exr
from aognet.io.images import save_image
from aognet.perception.depth_network import DepthNetwork
from aognet.request import Control, Request
from tests.generate.painter import smooth_photo
from tests.tiny import tiny_depth_network

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


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny depth network. Do not write in it."""
    folder = tmp_path_factory.mktemp("network")
    tiny_depth_network().save_pretrained(folder)
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
    "no weight": (
        ("--depth", "FILES/depths/yard.npy", "--control", "x.png=much"),
        "--control x.png=much: scale must be a number, got 'much'",
    ),
    "a large weight": (("--depth", "FILES/depths/yard.npy", "--control", "x=11"), r"--control x=11: scale must lie in"),
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
    with pytest.raises(UserError, match="--depth needs a ControlNet, and the model has none: --controlnet names each"):
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


def test_a_depth_is_estimated_from_a_photograph_and_kept(
    paint: Paint,
    files: Path,
    network: Path,
    controlnet_folders: dict[str, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    net = next(iter(controlnet_folders.values()))[0]
    words = ("--image", files / "photos" / "yard.jpg", "--fov", "80", "--controlnet", net, "--depth", "auto")
    with_network = (*words, f"depth_network.model={network}")
    assert paint(*with_network) == 0
    run = tmp_path / "out" / "yard"
    assert journal(run)["depth"] == "auto" and json.loads((run / "run.json").read_text())["depth_network"]
    depth = load_depth(run / "depth.png", ROWS)
    assert 0.03 < depth.known.float().mean() < 0.3 and depth.nearness.std() > 0
    shown = (run / "result.png").read_bytes()
    with pytest.raises(UserError, match=r"depth_network.model: .* there, .* here"):
        paint(*words, "depth_network.model=some/other")
    (run / "result.png").unlink()
    monkeypatch.setattr(DepthNetwork, "load", None)  # what was estimated is not estimated again
    assert paint(*with_network) == 0 and (run / "result.png").read_bytes() == shown


def test_a_depth_is_estimated_from_a_part_of_a_panorama(
    paint: Paint, files: Path, network: Path, controlnet_folders: dict[str, list[str]], tmp_path: Path
):
    net = next(iter(controlnet_folders.values()))[0]
    mask = np.zeros((ROWS, 2 * ROWS), np.uint8)
    mask[:, 20:30] = 255
    (tmp_path / "mask.png").write_bytes(cv2.imencode(".png", mask)[1].tobytes())
    words = ("--panorama", files / "edges.png", "--mask", tmp_path / "mask.png", "--controlnet", net)
    assert paint(*words, "--depth", "auto", f"depth_network.model={network}") == 0
    known = load_depth(tmp_path / "out" / "edges" / "depth.png", ROWS).known[0].numpy()
    beside, inside = known[8:24, [*range(15), *range(35, 64)]], known[:, 22:28]
    assert beside.all() and not inside.any()


AUTO_MISTAKES = {
    "words alone": (("--prompt", "a yard"), "--depth is estimated from a photograph .* give --image, or a depth map"),
    "no network": (("--image", "FILES/photos/yard.jpg"), "nowhere: no such folder"),
}


@pytest.mark.parametrize("what", AUTO_MISTAKES)
def test_a_depth_that_cannot_be_estimated_leaves_nothing(
    what: str, paint: Paint, files: Path, controlnet_folders: dict[str, list[str]], tmp_path: Path
):
    words, said = AUTO_MISTAKES[what]
    net = next(iter(controlnet_folders.values()))[0]
    beside = ("--controlnet", net, "--depth", "auto", "depth_network.model=nowhere")
    with pytest.raises(UserError, match=said) as caught:
        paint(*(word.replace("FILES", str(files)) for word in words), *beside)
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_the_command_that_estimates(files: Path, network: Path, tmp_path: Path):
    words = ("--panorama", files / "edges.png", "--height", ROWS, "--model", network, "--device", "cpu")
    estimate(list(map(str, (*words, "--out", tmp_path / "depth.png"))))
    depth = load_depth(tmp_path / "depth.png", ROWS)
    assert depth.known.all() and depth.nearness.max() == 1 and depth.nearness.std() > 0.01
    for changed, said in (
        (("--out", tmp_path / "depth.jpg"), "--out must be a PNG file, got"),
        (("--out", files / "edges.png"), "--out is the panorama itself"),
        (("--panorama", files / "photos" / "yard.jpg", "--out", tmp_path / "a.png"), "twice as wide as high"),
        (("--out", tmp_path / "a.png", "--height", 3), "--height must lie in"),
        (("--out", tmp_path / "a.png", "--model", "nowhere"), "nowhere: no such folder"),
        (("--out", tmp_path / "none" / "a.png"), "cannot write this file"),
    ):
        with pytest.raises(UserError, match=said):
            estimate(list(map(str, (*words, *changed))))
    assert not (tmp_path / "a.png").exists()
