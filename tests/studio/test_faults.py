"""What happens to processes does not happen to jobs: kills at random moments, workers that are gone or asleep."""

import random
import shutil
import signal
import sqlite3
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
import yaml

from aognet.studio import database
from aognet.studio.database import Database
from benchmarks.studio_faults import run_studio
from benchmarks.studio_processes import Processes, free_port, wait_for

pytestmark = pytest.mark.slow
JOBS, KILLS = 5, 20


@pytest.fixture(scope="module")
def settings(tiny_studio_yaml: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A studio whose jobs take a few seconds, and whose leases are short."""
    found = yaml.safe_load(tiny_studio_yaml.read_text())
    model = yaml.safe_load(Path(found["models"]["tiny"]["config"]).read_text())
    model["generator"]["sampler"]["steps"] = 8
    path = tmp_path_factory.mktemp("model") / "longer.yaml"
    path.write_text(yaml.safe_dump(model))
    found["models"]["tiny"]["config"] = str(path)
    # Kills from outside may hit three times before one view is painted; only a job's own faults should count so.
    found["workers"] |= {"lease_seconds": 3, "attempts": KILLS + 1}
    return found


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[str]:
    """The address of a Postgres of the tests' own."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        pytest.skip("needs Postgres: `apt-get install postgresql`")
    user, folder = "postgres", Path(f"/tmp/studio-postgres-{free_port()}")
    folder.mkdir()
    shutil.chown(folder, user)
    bin_folder, port = programs[-1].parent, free_port()
    quiet = {"user": user, "cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": True}
    subprocess.run([bin_folder / "initdb", "-D", folder / "data", "-A", "trust", "-U", user], **quiet)
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    subprocess.run([bin_folder / "pg_ctl", "-D", folder / "data", "-w", "-o", options, "start"], **quiet)
    yield f"postgresql://{user}@127.0.0.1:{port}"
    subprocess.run([bin_folder / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop"], **quiet)
    shutil.rmtree(folder)


@pytest.fixture
def postgres(postgres_server: str) -> str:
    """The address of an empty database: a job that another test left would be taken for this one's."""
    name = f"studio_{uuid.uuid4().hex}"
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))
    return f"{postgres_server}/{name}"


def test_kills_at_random_moments_change_no_pixel(settings: dict[str, Any], tmp_path: Path):
    quiet = run_studio(tmp_path / "quiet", settings, JOBS, 0, random.Random(0))
    killed = run_studio(tmp_path / "killed", settings, JOBS, KILLS, random.Random(0))
    assert killed.states == ["done"] * JOBS
    assert killed.digests == quiet.digests and len(set(quiet.digests)) == JOBS
    assert killed.jobs == JOBS and killed.in_order and killed.views_told_once


def painting(studio: Processes, job: str) -> bool:
    progress = studio.job(job)["progress"]
    return progress["stage"] == "views" and progress["done"] >= 4


def put_to_sleep(studio: Processes, name: str) -> None:
    """Stop a worker at a moment when it writes no table: who sleeps with a lock of SQLite keeps all others waiting."""
    for _ in range(1000):
        studio.signal(name, signal.SIGSTOP)
        if all(is_free(path) for path in studio.folder.glob("files/*.db")):
            return
        studio.signal(name, signal.SIGCONT)
        time.sleep(0.02)
    raise AssertionError("it always writes")


def is_free(path: Path) -> bool:
    """Whether some process could write to a database within a moment."""
    with closing(sqlite3.connect(path, timeout=0.5, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return False
    return True


def check_taken_over(folder: Path, settings: dict[str, Any]) -> None:
    """A worker is gone for good in the middle of a job, another is asleep for longer than its lease."""
    with Processes(folder, settings) as studio:
        for name in ("web", "w-0", "w-1"):
            studio.start(name)
        quiet = studio.ended(studio.submit("quiet", prompt="a yard", seed=1))
        assert quiet["state"] == "done", quiet["error"]
        studio.kill("w-1")
        gone = studio.submit("gone", prompt="a yard", seed=1)
        wait_for(lambda: painting(studio, gone), 120, "it does not begin")
        studio.kill("w-0")
        studio.start("w-1")
        assert studio.result(studio.ended(gone)) == studio.result(quiet)
        asleep = studio.submit("asleep", prompt="a yard", seed=1)
        wait_for(lambda: painting(studio, asleep), 120, "it does not begin")
        put_to_sleep(studio, "w-1")
        studio.start("w-2")
        ended = studio.ended(asleep)
        before = studio.ask("GET", f"/versions/{ended['version_id']}/files/result.png")
        events = studio.events(asleep)
        studio.signal("w-1", signal.SIGCONT)
        studio.wait_gone("w-1")  # it ends by itself, before it writes anything
        time.sleep(1)
        assert studio.result(studio.job(asleep)) == before == studio.result(quiet)
        assert studio.events(asleep) == events
        assert studio.job(asleep) == ended


def test_another_worker_takes_over(settings: dict[str, Any], tmp_path: Path):
    check_taken_over(tmp_path, settings)


def test_another_worker_takes_over_with_postgres(settings: dict[str, Any], tmp_path: Path, postgres: str):
    check_taken_over(tmp_path, {**settings, "database": postgres})


def test_a_postgres_session_that_sleeps_in_a_change_is_ended(postgres: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(database, "IDLE_MILLISECONDS", 300)
    url = postgres.replace("postgresql://", "postgresql+psycopg://")
    tables, others = Database(url), Database(url)
    with others.write() as connection:
        connection.execute(sa.text("CREATE TABLE rows (number int); INSERT INTO rows VALUES (1)"))
    with pytest.raises(sa.exc.DBAPIError), tables.write() as connection:
        connection.execute(sa.text("UPDATE rows SET number = 2"))
        with others.write() as other:  # waits for the row, and gets it
            other.execute(sa.text("UPDATE rows SET number = 3"))
    with others.read() as connection:
        assert connection.execute(sa.text("SELECT number FROM rows")).scalar() == 3
    tables.dispose()
    others.dispose()


def check_other_machine(folder: Path, settings: dict[str, Any]) -> None:
    """A machine burns down in the middle of a job: a worker of another, with a folder of its own, goes on."""
    workers = {**settings["workers"], "lease_seconds": 15}  # it is long until a busy machine has read the model
    with Processes(folder, {**settings, "storage": f"file://{folder}/share", "workers": workers}) as studio:
        for name in ("web", "w-0"):
            studio.start(name)
        quiet = studio.ended(studio.submit("quiet", prompt="a yard", seed=1))
        gone = studio.submit("gone", prompt="a yard", seed=1)
        wait_for(lambda: painting(studio, gone), 120, "it does not begin")
        studio.kill("w-0")
        before = studio.job(gone)["progress"]["done"]
        shutil.rmtree(folder / "files" / "runs")
        (folder / "elsewhere").mkdir()
        if not settings.get("database"):  # the tables are all that is common
            for name in ("studio.db", "queue.db"):
                (folder / "elsewhere" / name).symlink_to(folder / "files" / name)
        other = folder / "other.yaml"
        other.write_text(yaml.safe_dump({**yaml.safe_load(studio.config.read_text()), "folder": f"{folder}/elsewhere"}))
        studio.start("w-1", other)
        ended = studio.ended(gone)
        assert studio.result(ended) == studio.result(quiet)
        views = [data["index"] for kind, data in studio.events(gone) if kind == "view"]
        assert before >= 4 and views == list(range(len(views)))
        assert not (folder / "files" / "runs").exists(), "nothing is painted where the fire was"


def test_another_machine_takes_over(settings: dict[str, Any], tmp_path: Path):
    check_other_machine(tmp_path, settings)


def test_another_machine_takes_over_with_postgres(settings: dict[str, Any], tmp_path: Path, postgres: str):
    check_other_machine(tmp_path, {**settings, "database": postgres})


def test_kills_at_random_moments_change_no_pixel_in_shared_storage(settings: dict[str, Any], tmp_path: Path):
    given = {**settings, "storage": f"file://{tmp_path}/share"}
    quiet = run_studio(tmp_path / "quiet", settings, 2, 0, random.Random(0))
    killed = run_studio(tmp_path / "killed", given, 2, KILLS // 2, random.Random(0))
    assert killed.states == ["done"] * 2 and killed.digests == quiet.digests
    assert killed.in_order and killed.views_told_once


def test_a_running_job_is_cancelled_within_a_view(settings: dict[str, Any], tmp_path: Path):
    with Processes(tmp_path, settings) as studio:
        for name in ("web", "w-0"):
            studio.start(name)
        first, second = (studio.submit(key, prompt=key) for key in ("first", "second"))
        wait_for(lambda: painting(studio, first), 120, "it does not begin")
        studio.ask("POST", f"/jobs/{first}/cancel")
        # Read after the answer: what was painted while a busy machine carried the request is no fault of the worker's.
        before = studio.job(first)["progress"]["done"]
        job = studio.ended(first, 30.0)
        assert job["state"] == "cancelled" and job["progress"]["done"] <= before + 4
        assert studio.ended(second)["state"] == "done"
