"""The benchmark of samplers: its published loops write what ours do, and it counts what both compute."""

import math
from time import perf_counter

import pytest
import torch

from aognet.vq.global_sampler import GlobalSampler, GlobalSamplerConfig
from aognet.vq.window_sampler import WindowSamplerConfig
from aognet.vq.windows import WindowConfig
from benchmarks import text2light

SMALL = WindowSamplerConfig(
    windows=WindowConfig(rows=12, columns=12, size=4),
    given_rows=3,
    given_columns=3,
    samples=2,
    vocabulary=30,
    layers=2,
    heads=2,
)


def test_loops_write_the_same_codes_and_are_counted() -> None:
    torch.manual_seed(0)
    published, exact, own = text2light.compared("small", SMALL, 2, perf_counter)
    before = 18 + 9
    assert published[2:4] == [f"{144 * (before + 15):,}", "144"]
    passes = sum(before + place for place in SMALL.windows.last_places().values())
    assert exact[2:4] == [f"{passes:,}", str(4 * 11 + 12)] and exact[-1] == "the same"
    assert own[2:4] == [str(9 + 144), "48"]
    flops = [row[4] for row in (published, exact, own)]
    assert flops[0] > 2 * flops[1] > 4 * flops[2]


def test_parts_of_a_loop_say_what_was_measured() -> None:
    torch.manual_seed(0)
    published, exact, own = text2light.compared("small", SMALL, 1, perf_counter, steps=3)
    whole = text2light.compared("small", SMALL, 1, perf_counter)
    assert published[2:4] == whole[0][2:4] and exact[2:4] == whole[1][2:4]
    assert published[4] == pytest.approx(whole[0][4]) and exact[4] == whole[1][4]
    assert "* (3 of 144 steps)" in published[5] and "* (3 of 56 steps, " in exact[5] and "* (3 of 48 steps)" in own[5]
    assert exact[-1] == "-" and all(math.isfinite(row[6]) for row in (exact, own))
    assert own[2:4] == whole[2][2:4] and own[4] == pytest.approx(whole[2][4], rel=0.3)


def test_the_published_global_loop() -> None:
    config = GlobalSamplerConfig(rows=2, columns=4, tokens=3, embedding=8, vocabulary=30, layers=2, heads=2, width=16)
    sampler = text2light.random(GlobalSampler(config))
    condition = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(1))
    run = text2light.published_global(sampler, condition, perf_counter)
    numbers = torch.zeros(2, 2, 4, dtype=torch.float64)
    assert torch.equal(run.codes, sampler.sample(condition, numbers, text2light.LIKELIEST).flatten(1))
    assert (run.work.tokens, run.work.steps) == (sum(range(3, 11)), 8)
