"""What AOG-Net is compared with: each keeps the photograph, fills everything and closes."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from aognet.canvas import Canvas
from aognet.geometry.camera import Camera
from aognet.io.captions import save_captions
from aognet.io.images import load_image, save_image
from aognet.metrics.seam import wrap_gradient_ratio
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


@pytest.mark.parametrize("kind", baselines.KINDS)
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


def test_tables_show_numbers_words_and_gaps():
    assert table(["way", "score"], [["full", 1234.5], ["none", None]]).splitlines()[2:] == [
        "| full | 1.23e+03 |",
        "| none | - |",
    ]
