"""A studio whose files lie in storage that machines share paints, shows and removes as one with a folder does."""

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from PIL import Image

from aognet.config import load_config
from aognet.studio import painting
from aognet.studio.config import read_studio
from aognet.studio.database import JOBS
from aognet.studio.worker import Worker
from tests.slow import rest_slow
from tests.studio.running import API, Studio

STROKES = [{"radius_degrees": 30, "points": [[100, 0], [140, 10]]}]


class Cut(BaseException):
    """Ends a worker in the middle of a job."""


@pytest.fixture(params=rest_slow(["memory", "file", "folder"]))
def kept(request: pytest.FixtureRequest, tiny_studio_yaml: Path, tmp_path: Path) -> Iterator[Studio]:
    """A studio with storage of a kind."""
    url = {"memory": "memory://share", "file": f"file://{tmp_path}/share", "folder": ""}[request.param]
    (tmp_path / "one").mkdir()
    changes = [f"folder={tmp_path}/one", *([f"storage={url}"] if url else [])]
    with Studio(load_config([tiny_studio_yaml], changes)) as running:
        yield running
    fsspec.filesystem("memory").store.clear()


def picture(studio: Studio, job: dict[str, Any]) -> bytes:
    return studio.get(f"/versions/{job['version_id']}/files/result.png")


def painted(studio: Studio, path: str, **body: Any) -> dict[str, Any]:
    job = studio.paint(studio.post(path, body, 201)["id"])
    assert job["state"] == "done", job["error"]
    return job


def files_left(studio: Studio) -> list[str]:
    """All files of the studio, but those of its tables."""
    folder = studio.config.root.parent
    found = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    found = [name for name in found if not name.startswith(("one/studio.db", "one/queue.db", "one/."))]
    return found + list(fsspec.filesystem("memory").store)


@pytest.mark.slow
def test_all_kinds_of_jobs(kept: Studio, studio: Studio, photo_file: Path):
    """The same pixels as with a folder, and nothing is left of what is deleted."""
    results = []
    for one in (studio, kept):
        photo = {"upload": one.upload(photo_file), "yaw": 20.0, "fov": 80.0}
        first = one.painted(prompt="a yard", photos=[photo], seed=3)
        path = f"/panoramas/{first['panorama_id']}"
        second = painted(one, f"{path}/repaint", prompt="a door", mask={"strokes": STROKES})
        third = painted(one, f"{path}/fork", version_id=second["version_id"], view=1, prompt="snow")
        jobs = [first, second, third]
        results.append([picture(one, job) for job in jobs])
    assert results[0] == results[1] and len(set(results[1])) == 3
    version = kept.get(f"/versions/{first['version_id']}")
    for name, address in version["files"].items():
        got = kept.client.get(address, params={"download": "true"})
        assert got.status_code == 200 and int(got.headers["content-length"]) == len(got.content) > 0
        assert name == "run.json" or f'filename="{name}"' in got.headers["content-disposition"]
    views = [event["data"] for event in kept.events(first["id"]) if event["event"] == "view"]
    assert [Image.open(io.BytesIO(kept.get(view["preview"]))).size for view in views] == [(32, 32)] * len(views)
    kept.get(f"/jobs/{first['id']}/views/999", 404)
    assert kept.get(f"/versions/{first['version_id']}/export", params={"preset": "web"}).startswith(b"PK")
    assert str(kept.config.root) not in json.dumps(kept.get(version["files"]["run.json"]))
    kept.answer("DELETE", path, 204)
    assert [name for name in files_left(kept) if "uploads/" not in name] == []
    assert kept.get(version["files"]["result.png"], 404)


@pytest.mark.slow
def test_seams(kept: Studio):
    job = kept.painted(kind="seams", prompt="a hall", seams=2, seam_degrees=20)
    told = [one["data"] for one in kept.events(job["id"]) if one["event"] == "preview"]
    assert [Image.open(io.BytesIO(kept.get(one["preview"]))).size for one in told] == [(64, 32)] * 2
    again = painted(kept, f"/panoramas/{job['panorama_id']}/fork", view=1, prompt="snow")
    assert picture(kept, again) != picture(kept, job)


def other_machine(studio: Studio, yaml: Path, folder: Path) -> Worker:
    """A worker with a folder of its own. Only the tables are common, as with Postgres."""
    folder.mkdir()
    for name in ("studio.db", "queue.db"):
        (folder / name).symlink_to(studio.config.root / name)
    worker = Worker(read_studio(load_config([yaml], [f"folder={folder}", f"storage={studio.config.storage}"])), "there")
    worker.leases.start()
    return worker


def cut_after(monkeypatch: pytest.MonkeyPatch, views: int) -> None:
    """The next worker to paint so many views ends."""
    tell = painting.Reporter.tell

    def told(self: painting.Reporter, *words: Any, **more: Any) -> None:
        tell(self, *words, **more)
        if self.told >= views:
            raise Cut

    monkeypatch.setattr(painting.Reporter, "tell", told)


@pytest.mark.parametrize("kept", ["memory", pytest.param("file", marks=pytest.mark.slow)], indirect=True)
def test_another_machine_goes_on(kept: Studio, tiny_studio_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A machine is gone with all that was on it, and no view that was told of is painted again."""
    quiet = kept.painted(prompt="a yard", seed=4)
    job = kept.post("/jobs", {"prompt": "a yard", "seed": 4}, 201)["id"]
    cut_after(monkeypatch, 5)
    with pytest.raises(Cut):
        kept.worker.paint(job)
    monkeypatch.undo()
    kept.worker.leases.drop(job)
    told = [event for event in events(kept, job) if event["kind"] == "view"]
    for name in ("runs", "inputs"):
        shutil.rmtree(kept.config.root / name, ignore_errors=True)
    other = other_machine(kept, tiny_studio_yaml, tmp_path / "two")
    with other.database.write() as connection:
        connection.execute(JOBS.update().where(JOBS.c.id == job).values(lease=0.0))
    drawn: list[str] = []
    add = painting.ViewJournal.add

    def counted(self: painting.ViewJournal, views: Any, entries: Any) -> None:
        drawn.extend(entry.file for entry in entries)
        add(self, views, entries)

    monkeypatch.setattr(painting.ViewJournal, "add", counted)
    other.paint(job)
    other.leases.stop()
    ended = kept.get(f"/jobs/{job}")
    assert ended["state"] == "done" and picture(kept, ended) == picture(kept, quiet)
    views = [event["data"]["index"] for event in kept.events(job) if event["event"] == "view"]
    assert len(told) >= 5 and views == list(range(len(views)))
    assert drawn == [f"{number:03d}.png" for number in range(len(told), len(views))]
    assert not [path for path in (tmp_path / "two" / "runs").rglob("*") if path.is_file()]


def events(studio: Studio, job: str) -> list[Any]:
    from aognet.studio.events import events_after

    return list(events_after(studio.worker.database, job, 0))


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["memory"], indirect=True)
def test_an_outage_fails_no_job(kept: Studio, monkeypatch: pytest.MonkeyPatch):
    """The storage is away again and again: at every third file that is written. Nobody is to blame, nothing is lost."""
    monkeypatch.setattr(painting, "STORAGE_PAUSE_SECONDS", 0.0)
    system, calls = type(fsspec.filesystem("memory")), 0

    def away(method: str) -> None:
        whole = getattr(system, method)

        def fails(*given: Any, **more: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls % 3 == 0:
                raise TimeoutError("the network is gone")
            return whole(*given, **more)

        monkeypatch.setattr(system, method, fails)

    quiet = kept.painted(prompt="a yard", seed=4)
    for method in ("put_file", "pipe_file"):
        away(method)
    job = kept.painted(prompt="a yard", seed=4)
    assert calls > 20 and job["attempts"] <= 1 and picture(kept, job) == picture(kept, quiet)
    views = [event["data"]["index"] for event in kept.events(job["id"]) if event["event"] == "view"]
    assert views == list(range(len(views))) and views
    monkeypatch.undo()

    def gone(*given: Any, **more: Any) -> None:
        raise TimeoutError("the network is gone")

    monkeypatch.setattr(system, "open", gone)
    got = kept.client.get(f"{API}/jobs/{job['id']}/views/0")
    assert got.status_code == 503 and "storage does not answer" in got.json()["detail"]
    assert "memory" not in got.text and "network" not in got.text
