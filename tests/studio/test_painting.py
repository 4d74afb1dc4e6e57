"""Jobs that fail, are cut off, or are painted side by side; what tables and queue do when they disagree."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from aognet.config import load_config
from aognet.generate.generator import Generator
from aognet.studio import painting
from aognet.studio.bringing_back import bring_back
from aognet.studio.database import JOBS
from aognet.studio.job_records import Claim, LeaseLost
from aognet.studio.leases import Leases
from aognet.studio.schemas import JobBody
from tests.slow import rest_slow
from tests.studio.running import Studio


@pytest.fixture(scope="module")
def pair(tiny_studio_yaml: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio whose worker paints two jobs at once."""
    folder = tmp_path_factory.mktemp("pair")
    with Studio(load_config([tiny_studio_yaml], [f"folder={folder}", "workers.side_by_side=2"])) as running:
        yield running


def submitted(studio: Studio, **body: Any) -> str:
    return studio.post("/jobs", body, 201)["id"]


def test_jobs_of_like_settings_are_painted_side_by_side(pair: Studio, monkeypatch: pytest.MonkeyPatch):
    counts: list[int] = []
    make = Generator.make

    def counted(self: Generator, runs: Sequence[Any], *more: Any) -> Any:
        counts.append(len(runs))
        return make(self, runs, *more)

    monkeypatch.setattr(Generator, "make", counted)
    jobs = [submitted(pair, prompt=f"a yard {number}", seed=number) for number in range(2)]
    other = submitted(pair, prompt="a yard 0", settings={"sampler": {"steps": 1}})
    with pair.worker.painter._turn:  # until all wait
        threads = [Thread(target=pair.worker.paint, args=(job,)) for job in [*jobs, other]]
        for thread in threads:
            thread.start()
        while len(pair.worker.painter._waiting) < 3:
            threads[0].join(0.01)
    for thread in threads:
        thread.join(120)
    assert sorted(counts) == [1, 2]
    assert [pair.get(f"/jobs/{job}")["state"] for job in [*jobs, other]] == ["done"] * 3
    for job in jobs:
        views = [one["data"]["index"] for one in pair.events(job) if one["event"] == "view"]
        assert views == list(range(len(views))) and views


class Cut(BaseException):
    """Ends a worker in the middle of a job."""


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException, times: int) -> None:
    """The first calls fail before they paint anything."""
    make, left = Generator.make, [error] * times

    def fails(self: Generator, runs: Sequence[Any], *more: Any) -> Any:
        if left:
            raise left.pop()
        return make(self, runs, *more)

    monkeypatch.setattr(Generator, "make", fails)


@pytest.mark.parametrize(("times", "state"), rest_slow([(3, "failed"), (2, "done")]))
def test_a_job_may_fail_twice(pair: Studio, times: int, state: str, monkeypatch: pytest.MonkeyPatch):
    failing(monkeypatch, RuntimeError("no memory left"), times)
    job = pair.paint(submitted(pair, prompt="x"))
    assert job["state"] == state
    assert job["error"] == (None if state == "done" else "RuntimeError: no memory left")


def cut(studio: Studio, job: str) -> None:
    """The worker ends while it paints, and another of its name begins."""
    with pytest.raises(Cut):
        studio.worker.paint(job)
    studio.worker.leases.drop(job)


@pytest.mark.parametrize(("times", "state"), rest_slow([(3, "failed"), (2, "done")]))
def test_a_job_that_ends_its_worker_is_given_up(pair: Studio, times: int, state: str, monkeypatch: pytest.MonkeyPatch):
    failing(monkeypatch, Cut(), times)
    job = submitted(pair, prompt="x")
    for _ in range(times):
        cut(pair, job)
    ended = pair.paint(job)
    assert ended["state"] == state
    assert ended["error"] == (None if state == "done" else "the worker ended 3 times at the same step")


@pytest.mark.slow
def test_steps_forward_are_no_failures(pair: Studio, monkeypatch: pytest.MonkeyPatch):
    """It is cut off again and again, each time a few views later, and goes on where it was."""
    job, tell, cuts = submitted(pair, prompt="a long yard", seed=4), painting.Reporter.tell, 0

    def told(self: painting.Reporter, *words: Any, **more: Any) -> None:
        tell(self, *words, **more)
        if len(self.run.journal.entries) > self._begun_at + 2:
            raise Cut

    monkeypatch.setattr(painting.Reporter, "tell", told)
    while pair.get(f"/jobs/{job}")["state"] != "done" and cuts < 20:
        try:
            pair.worker.paint(job)
        except Cut:
            pair.worker.leases.drop(job)
            cuts += 1
    assert cuts > 3 and pair.get(f"/jobs/{job}")["state"] == "done"
    monkeypatch.undo()
    whole = pair.painted(prompt="a long yard", seed=4)
    results = [
        pair.get(f"/versions/{pair.get(f'/jobs/{one}')['version_id']}/files/result.png") for one in (job, whole["id"])
    ]
    assert results[0] == results[1]
    views = [one["data"]["index"] for one in pair.events(job) if one["event"] == "view"]
    assert views == list(range(len(views)))


def test_who_lost_a_job_writes_nothing(pair: Studio):
    job, lost = submitted(pair, prompt="x"), []
    jobs = pair.worker.jobs
    slow, quick = (Leases(jobs, name, seconds, lost.append) for name, seconds in (("slow", 0.0), ("quick", 60.0)))
    first = slow.take(job)
    second = quick.take(job)
    assert first is not None and second is not None and second.fence == first.fence + 1
    assert slow.take(job) is None, "another holds it"
    before = pair.get(f"/jobs/{job}")
    for write in (
        lambda: jobs.tell(first, {"done": 5}, [("progress", {})]),
        lambda: jobs.begin(first, "elsewhere"),
        lambda: jobs.end(first, "failed", "x", 1.0),
        lambda: jobs.finish(first, {"id": "v"}, 1.0),
        lambda: jobs.release(first),
    ):
        with pytest.raises(LeaseLost):
            write()
    assert pair.get(f"/jobs/{job}") == before
    slow.check()
    slow.renew()
    assert len(lost) == 2
    quick.renew()
    jobs.end(second, "cancelled", None, 0.0)


class Queue:
    """A queue of which a test says what it holds."""

    def __init__(self, states: dict[str, tuple[str, str | None]]):
        self.known, self.asked = states, []

    def states(self, workflows: Sequence[str]) -> dict[str, tuple[str, str | None]]:
        return {name: self.known[name] for name in workflows if name in self.known}

    def submit(self, workflow: str, job: str, number: int) -> None:
        self.asked.append(("submit", workflow))

    def resume(self, workflow: str) -> None:
        self.asked.append(("resume", workflow))


@pytest.mark.parametrize(
    ("state", "asked"),
    [
        (None, "submit"),
        (("ENQUEUED", None), None),
        (("PENDING", "me"), None),
        (("PENDING", "you"), None),
        (("PENDING", "gone"), "resume"),
        (("ERROR", "me"), "submit"),
        (("SUCCESS", "gone"), "submit"),
    ],
)
def test_what_nobody_reaches_comes_back(pair: Studio, state: Any, asked: str | None):
    job = submitted(pair, prompt="x")
    with pair.worker.database.write() as connection:
        connection.execute(JOBS.update().where(JOBS.c.id != job).values(state="cancelled"))
        connection.execute(JOBS.update().where(JOBS.c.id == job).values(created=0.0))
    queue = Queue({} if state is None else {job: state})
    bring_back(pair.worker.jobs, queue, "me", {"me", "you"})
    assert [what for what, _ in queue.asked] == ([] if asked is None else [asked])
    pair.post(f"/jobs/{job}/cancel")


def test_jobs_with_steps_of_their_own_are_painted_alone():
    def held(job: str, kind: str) -> painting.HeldJob:
        return painting.HeldJob(Claim(job, 1, None, {"model": "tiny"}), JobBody.model_validate({"kind": kind}))

    kinds = ("paint", "repaint", "fork", "seams", "style")
    likeness = {kind: [painting._likeness(held(f"{kind}{number}", kind)) for number in range(2)] for kind in kinds}
    assert {one for kind in kinds[:3] for one in likeness[kind]} == {likeness["paint"][0]}
    assert len({one for kind in kinds[3:] for one in likeness[kind]} - {likeness["paint"][0]}) == 4
