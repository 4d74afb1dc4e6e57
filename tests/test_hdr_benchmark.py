"""`benchmarks/hdr.py`: its baselines are what they are called, and its table has a row for each expander and folder."""

import math
import sys
from pathlib import Path

import pytest
import torch

from aognet.io.panorama_files import write_panorama
from benchmarks import hdr


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Two panoramas of light, one of a split for training."""
    folder = tmp_path / "light"
    folder.mkdir()
    light = torch.exp2(6 * torch.rand(3, 16, 32, generator=torch.Generator().manual_seed(0)) - 4)
    light[:, 5, 9] = 300
    for name in ("kept", "trained"):
        write_panorama(light, folder / f"{name}.exr", "linear")
    (tmp_path / "index.csv").write_text("slug,split\nkept,test\ntrained,train\n")
    return folder


def test_baselines_are_closed_forms():
    shown = torch.tensor([0.0, 0.5, 0.9, 0.95, 1.0])[:, None].expand(3, 5, 1)
    curve = [((x + 0.055) / 1.055) ** 2.4 for x in (0.5, 0.9, 0.95, 1.0)]
    assert hdr.inverse_gamma(shown)[0, 1:, 0].tolist() == pytest.approx(curve, rel=1e-5)
    gains = [1, 1, 16**0.25, 16]
    expected = [a * b for a, b in zip(curve, gains, strict=True)]
    assert hdr.highlights(shown)[0, 1:, 0].tolist() == pytest.approx(expected, rel=1e-4)
    tinted = hdr.highlights(torch.tensor([1.0, 0.5, 0.2])[:, None, None])
    assert float(tinted[1] / tinted[0]) == pytest.approx(curve[0], rel=1e-5), "a highlight keeps its colour"
    light = hdr.published_finishing(shown)
    assert float(light.log().mean()) == pytest.approx(-0.7, abs=1e-4), "the published geometric mean"


def test_photographs_are_exposed_to_the_middle(truth: Path):
    light = hdr.exposed(truth / "kept.exr", 16)
    weights = torch.tensor([0.2126, 0.7152, 0.0722])
    rows = torch.cos((0.5 - (torch.arange(16) + 0.5) / 16) * math.pi)
    logs = torch.einsum("chw,c->hw", light, weights).log().mean(1)
    assert float((logs * rows).sum() / rows.sum()) == pytest.approx(math.log(0.18), abs=1e-4)


def test_the_table_has_a_row_for_each_expander(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    script = tmp_path / "copy.py"
    script.write_text("import shutil, sys\nshutil.copy(sys.argv[1], sys.argv[2])\n")
    perfect = hdr.exposed(truth / "kept.exr", 16)
    write_panorama(perfect * 3, tmp_path / "perfect.exr", "linear")
    command = f"mine={sys.executable} {script} {tmp_path / 'perfect.exr'} {{light}}"
    options = ["--truth", truth, "--index", tmp_path / "index.csv", "--height", 16, "--expander", command]
    hdr.main([*map(str, options)])
    lines = capsys.readouterr().out.strip().splitlines()
    rows = {cells[1]: cells[2:-1] for line in lines[2:] if (cells := [cell.strip() for cell in line.split("|")])}
    assert list(rows) == ["inverse gamma", "fixed highlights", "published finishing of inverse gamma", "mine"]
    assert {cells[0] for cells in rows.values()} == {"light (1)"}, "what is for training is left out"
    assert float(rows["mine"][1]) < 1e-3 < float(rows["fixed highlights"][1]) < float(rows["inverse gamma"][1])
