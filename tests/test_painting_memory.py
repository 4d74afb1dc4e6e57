"""The accounting of painting agrees with what a tiny model really allocates."""

from argparse import Namespace

import pytest
import torch

from aognet.geometry import camera, perspective
from aognet.methods.aognet.model import face_positions
from aognet.methods.cubediff.model import cube_positions
from benchmarks.memory_meter import Pretended
from benchmarks.painting_memory import ENCODED, ENCODING, WAYS, account, main
from benchmarks.sd2 import TINY

SMALL = ["generator.height=64", "generator.plan.size=32", "generator.face_size=16"]


@pytest.fixture(autouse=True)
def nothing_kept():
    """Grids, which are computed once and kept, are made anew."""
    kept = (perspective.view_grid, perspective.footprint, camera.positions_of, cube_positions, face_positions)
    for function in kept:
        function.cache_clear()
    yield


@pytest.mark.slow
@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("method", ["aognet", "cubediff"])
def test_pretended_painting_needs_what_real_painting_needs(method: str, way: str):
    options = Namespace(method=method, layout="sd2")
    account(options, [*SMALL, *WAYS[way]], TINY, None)  # makes the grids
    torch.manual_seed(0)
    real, pretended = (account(options, [*SMALL, *WAYS[way]], TINY, mode) for mode in (None, Pretended()))
    assert all(there > 0 and top > 0 for there, top in real.values())
    for phase, (there, top) in real.items():
        assert pretended[phase] == (there, pytest.approx(top, rel=0.02)), phase


@pytest.mark.slow
def test_small_memory_mode_takes_less():
    options = Namespace(method="aognet", layout="sd2")
    plain, small = (account(options, [*SMALL, *given], TINY, Pretended()) for given in WAYS.values())
    assert all(small[phase][0] < plain[phase][0] for phase in (*ENCODING, *ENCODED))
    assert all(small[phase][1] < plain[phase][1] for phase in ("UNet", "VAE encoder", "VAE decoder"))


@pytest.mark.slow
def test_stable_diffusion_2_fits_eight_gigabytes(capsys: pytest.CaptureFixture[str]):
    main([])
    last = capsys.readouterr().out.splitlines()[-1]
    assert "small-memory mode" in last and 4 < float(last.split("|")[-2]) < 8
