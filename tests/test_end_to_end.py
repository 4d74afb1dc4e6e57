"""The benchmark of whole panoramas, on a tiny Stable Diffusion 2: its GPU rows are filled by the same command."""

import pytest

from benchmarks import end_to_end

TINY = ["--layout", "tiny", "--height", "256", "--steps", "2", "--set"]
TINY += ["generator.plan.size=64", "generator.sampler.scheduler=ddim"]


def rows(text: str) -> dict[str, list[str]]:
    """Lines of Markdown tables by their first cell."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line]
    return {cells[0]: cells[1:] for cells in lines}


@pytest.mark.slow
def test_the_recipe_and_this_paint_the_same(capsys: pytest.CaptureFixture[str]):
    end_to_end.main([*TINY, "generator.face_size=32"])
    found = rows(capsys.readouterr().out)
    seconds, _, networks, outside, rate, gigabytes = map(float, found["here"])
    assert 0 < networks < seconds and outside == pytest.approx(1 - networks / seconds, abs=0.01)
    assert 0 < rate < 1 and gigabytes > 0
    assert {"UNet", "CLIP", "local stream", "global stream", "VAE decoder"} <= found.keys()
    # Of 255 levels; single pixels at the end of a view's footprint may belong to one or the other.
    assert float(found[""][0]) < 0.5


@pytest.mark.slow
def test_cubediff_has_rows_beside_it(capsys: pytest.CaptureFixture[str]):
    end_to_end.main([*TINY, "--method", "cubediff", "--runs", "here"])
    found = rows(capsys.readouterr().out)
    assert float(found["here"][0]) > 0 and "local stream" not in found


@pytest.mark.slow
def test_little_memory_and_half_precision_go_together(capsys: pytest.CaptureFixture[str]):
    settings = ["generator.face_size=32", "execution.save_memory=true", "generator.views_per_batch=1"]
    end_to_end.main([*TINY, *settings, "--dtype", "bfloat16", "--runs", "here"])
    assert float(rows(capsys.readouterr().out)["here"][0]) > 0
