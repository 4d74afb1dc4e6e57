"""The benchmark of training, on a tiny Stable Diffusion 2: its GPU rows are filled by the same command."""

import pytest

from benchmarks import training_speed

TINY = ["--layout", "tiny", "--size", "64", "--height", "256", "--steps", "2", "--num_workers", "0"]


@pytest.mark.slow
def test_the_recipe_and_this_learn_from_the_same(capsys: pytest.CaptureFixture[str]):
    training_speed.main([*TINY, "--batches", "1", "2", "--recipe_samples", "2"])
    lines = capsys.readouterr().out.splitlines()[-3:]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [way.split(",")[0] for way, *_ in found] == ["here", "here", "recipe"]
    assert all(float(speed) > 0 and float(loss) > 0.1 for _, speed, _, _, loss, _ in found)
    assert all(float(gap) < 1e-4 for *_, gap in found)


def test_the_recipe_trains_aog_net_alone(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        training_speed.main([*TINY, "--method", "cubediff"])
    assert "--recipe_samples 0" in capsys.readouterr().err
