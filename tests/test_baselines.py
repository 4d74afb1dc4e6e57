"""What AOG-Net is compared with: each keeps the photograph, fills everything and closes."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from aognet.canvas import Canvas
from aognet.geometry.camera import Camera
from aognet.io.captions import save_captions
from aognet.io.images import load_image, save_image
from aognet.metrics.seam import wrap_gradient_ratio
from aognet.nn.srvgg import SrvggCompact
from benchmarks import baselines
from benchmarks.tables import table
from tests.smooth import smooth_panorama

HEIGHT = 64


@pytest.fixture
def panorama(tmp_path: Path) -> Path:
    save_image(smooth_panorama(HEIGHT)[0], tmp_path / "hall.png")
    save_captions({"hall.png": ["a hall"]}, tmp_path / "captions.jsonl")
    return tmp_path / "hall.png"


def test_folding_mirrors_at_both_ends():
    angles = torch.tensor([-0.5, 0.0, 0.9, 1.0, 1.25, 3.0, -1.5, 4.0, 5.0])
    expected = torch.tensor([-0.5, 0.0, 0.9, 1.0, 0.75, -1.0, -0.5, 0.0, 1.0])
    assert_close(baselines.fold(angles, 1.0), expected)


@pytest.mark.parametrize("kind", [kind for kind in baselines.KINDS if kind != "reduced"])
def test_a_baseline_keeps_the_photograph_and_fills_the_rest(
    kind: str, panorama: Path, sd2_folder: Path, tmp_path: Path
):
    out = tmp_path / "out"
    arguments = ["--kind", kind, "--panoramas", str(panorama), "--out_dir", str(out)]
    arguments += ["--captions", str(tmp_path / "captions.jsonl"), "--set", f"checkpoint={sd2_folder}"]
    baselines.main([*arguments, f"generator.height={HEIGHT}", "generator.plan.size=32", "generator.sampler.steps=2"])
    painted, truth = load_image(out / "hall.png"), load_image(panorama)
    known = Canvas.empty(HEIGHT).paint(torch.zeros(1, 3, 32, 32), Camera(width=32, height=32)).known[0, 0]
    assert_close(painted[:, known], truth[:, known], atol=0.01, rtol=0)
    assert (painted[:, ~known] - truth[:, ~known]).abs().mean() > 0.01
    if kind == "mirrored":
        assert wrap_gradient_ratio(painted[None]).item() < 1.5
        assert_close(painted.mean((1, 2)), truth[:, known].mean(1), atol=0.1, rtol=0)


def test_a_bound_is_the_truth_itself_where_views_are_not_made_larger(panorama: Path, sd2_folder: Path, tmp_path: Path):
    arguments = ["--kind", "reduced", "--panoramas", str(panorama), "--out_dir", str(tmp_path / "out"), "--set"]
    baselines.main([*arguments, f"checkpoint={sd2_folder}", f"generator.height={HEIGHT}"])
    assert_close(load_image(tmp_path / "out" / "hall.png"), load_image(panorama), atol=0.01, rtol=0)


def test_a_bound_is_smaller_by_what_the_upscaler_makes_larger(panorama: Path, sd2_folder: Path, tmp_path: Path):
    with_upscaler = tmp_path / "model"
    shutil.copytree(sd2_folder, with_upscaler)
    (with_upscaler / "upscaler").mkdir()
    save_file(SrvggCompact(4, 1, 2).state_dict(), with_upscaler / "upscaler" / "model.safetensors")
    settings = [f"checkpoint={with_upscaler}", f"generator.height={HEIGHT}", "generator.enlarge_views=true"]
    truth = load_image(panorama)
    for kind in ("reduced", "decoded"):
        out = tmp_path / kind
        baselines.main(["--kind", kind, "--panoramas", str(panorama), "--out_dir", str(out), "--set", *settings])
        painted = load_image(out / "hall.png")
        assert painted.shape == truth.shape and 0.001 < (painted - truth).abs().mean() < (
            0.02 if kind == "reduced" else 2
        )


def test_tables_show_numbers_words_and_gaps():
    assert table(["way", "score"], [["full", 1234.5], ["none", None]]).splitlines()[2:] == [
        "| full | 1.23e+03 |",
        "| none | - |",
    ]
