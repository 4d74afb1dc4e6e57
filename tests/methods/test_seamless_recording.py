"""A denoising that is stopped anywhere goes on to the same bits, and leaves no more on the disk than it needs."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from aognet import Generator, Request
from aognet.callbacks import Cancelled
from aognet.diffusion.sampling.denoise import denoise
from aognet.diffusion.sampling.moments import Moment
from aognet.diffusion.sampling.noise import generators, normal
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.diffusion.sampling.schedulers import SCHEDULERS, make_scheduler
from aognet.errors import UserError
from aognet.generate.asked import ModelConfig
from aognet.generate.generator import Defaults
from aognet.methods import recording
from aognet.methods.seamless.settings import SeamlessSettings
from tests.generate.kills import check_kills_change_nothing
from tests.stub_model import contents
from tests.tiny import tiny_scheduler

ROWS, STEPS = 32, 6


class Kept:
    """Keeps all moments, as they come back from the disk: as their tensors and plain values."""

    def __init__(self, begin: Moment | None = None) -> None:
        self.begin, self.moments = begin, []

    def passed(self, moment: Any) -> None:
        self.moments.append(moment())


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_goes_on_from_every_step(scheduler: str) -> None:
    """What a scheduler remembers of earlier steps and the generators' places come back, too."""

    def made(kept: Kept | None) -> torch.Tensor:
        (source,) = generators([5])
        noise = normal((1, 4, 4, 8), source)
        return denoise(
            lambda latents, timestep: (latents * 2 + timestep / 500).sin(),
            make_scheduler(scheduler, tiny_scheduler().config),
            noise,
            steps=STEPS,
            generators=[source],
            after_step=lambda latents, following: latents * 0.9,
            moments=kept,
        )

    expected, kept = made(None), Kept()
    assert torch.equal(made(kept), expected)
    assert [moment.done for moment in kept.moments] == list(range(1, len(kept.moments) + 1))
    assert len(kept.moments) >= STEPS - 1
    for moment in kept.moments:
        assert torch.equal(made(Kept(moment)), expected)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step is recorded."""
    monkeypatch.setattr(recording, "RECORD_EVERY_SECONDS", 0.0)


def generator(folder: Path, scheduler: str = "unipc") -> Generator:
    sampler = SamplerConfig(scheduler=scheduler, steps=STEPS, guidance=2.0)
    defaults = Defaults(ROWS, SeamlessSettings(sampler, rotate_each_step=True))
    return Generator(ModelConfig(str(folder)), defaults, alone="seamless", device="cpu")


ASKED = Request("a yard")


@pytest.fixture(scope="module")
def expected(plain_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Generator, dict[str, bytes]]:
    """A generator, and the folder that it leaves if nothing stops it."""
    place = tmp_path_factory.mktemp("whole") / "run"
    made = generator(plain_folder)
    made.generate(ASKED, place)
    return made, contents(place)


def test_a_cancelled_run_goes_on_where_it_was(
    expected: tuple[Generator, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the time since the last record. Of the steps, only the last is on the disk."""
    made, whole = expected
    told: list[int] = []

    def progress(stage: str, done: int, total: int) -> None:
        told.append(done)

    for stop in (2, 4):
        with pytest.raises(Cancelled):
            made.generate(ASKED, tmp_path / "run", progress=progress, cancel=lambda stop=stop: told[-1] == stop)
        (left,) = (tmp_path / "run" / "steps").iterdir()
        assert load_file(left)["latents"].shape == (1, 4, ROWS // 2, ROWS)
    made.generate(ASKED, tmp_path / "run", progress=progress)
    assert told == [*range(1, STEPS + 1)]
    assert contents(tmp_path / "run") == whole


def test_a_run_killed_at_any_change_of_the_disk_ends_alike(
    expected: tuple[Generator, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, always: None
) -> None:
    made, whole = expected
    assert check_kills_change_nothing(partial(made.generate, ASKED), tmp_path, monkeypatch, seed=3) == whole


def test_what_does_not_fit_is_told(expected: tuple[Generator, dict[str, bytes]], tmp_path: Path) -> None:
    made, _ = expected
    with pytest.raises(Cancelled):
        made.generate(ASKED, tmp_path / "run", cancel=lambda: True)
    (left,) = (tmp_path / "run" / "steps").iterdir()
    tensors = load_file(left)
    name = next(name for name in tensors if name.startswith("memory."))
    for broken in (
        {},
        {**tensors, "latents": torch.zeros(1, 4, 2, 4)},
        {**tensors, "source.0": torch.zeros(3, dtype=torch.uint8)},
        {key: value for key, value in tensors.items() if key != name},
    ):
        save_file(broken, left)
        with pytest.raises(UserError, match="was recorded of an interrupted run does not fit it .*; add overwrite"):
            made.generate(ASKED, tmp_path / "run")
    journal = tmp_path / "run" / "run.json"
    for note in (
        {},
        {"done": "1"},
        {"done": 1, "memory": []},
        {"done": 7, "memory": {}},
        {"done": 1, "memory": {"step": 1}},
    ):
        content = json.loads(journal.read_text())
        content["steps"][0]["note"] = note
        journal.write_text(json.dumps(content))
        with pytest.raises(UserError, match="was recorded of an interrupted run does not fit it .*; add overwrite"):
            made.generate(ASKED, tmp_path / "run")
