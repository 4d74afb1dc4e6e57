"""How threads wait is chosen by the load, before torch is there; the user's own setting wins."""

import ast
import os
import subprocess
import sys
from collections import namedtuple
from functools import lru_cache
from pathlib import Path

import pytest
import torch

from aognet.system import threads

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = [path for path in sorted((ROOT / "benchmarks").glob("*.py")) if "__main__" in path.read_text()]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment without any setting, in a process that has not imported torch."""
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(os, "environ", {})
    return os.environ


def set_in(environment: dict[str, str]) -> dict[str, str]:
    """What it says about threads."""
    return {name: value for name, value in environment.items() if name in (*threads.ALONE, *threads.WAITING)}


@pytest.mark.parametrize(("share", "chosen"), [(0.0, {}), (0.1, {}), (0.5, threads.SLEEPING), (1.0, threads.SLEEPING)])
def test_threads_sleep_where_others_keep_the_cores_busy(share, chosen, environment, monkeypatch):
    monkeypatch.setattr(threads, "busy_share", lambda: share)
    threads.settle()
    assert set_in(environment) == chosen


@pytest.mark.parametrize("name", threads.WAITING)
def test_the_users_way_to_wait_stays(name: str, environment, monkeypatch):
    monkeypatch.setattr(threads, "busy_share", lambda: 1.0)
    environment[name] = "7"
    threads.settle()
    assert set_in(environment) == {name: "7"}


def test_processes_side_by_side_take_one_thread_each(environment, monkeypatch):
    monkeypatch.setattr(threads, "busy_share", lambda: 1.0)
    environment["LOCAL_WORLD_SIZE"] = "2"
    threads.settle()
    assert {environment[name] for name in threads.ALONE} == {"1"}


def test_the_users_number_of_threads_stays(environment):
    environment.update({"LOCAL_WORLD_SIZE": "2", "OMP_NUM_THREADS": "3"})
    threads.settle()
    assert environment["OMP_NUM_THREADS"] == "3" and "OMP_NUM_THREADS" not in threads.one_thread()


def test_once_torch_is_there_nothing_is_changed(monkeypatch):
    monkeypatch.setattr(os, "environ", {"LOCAL_WORLD_SIZE": "2"})
    threads.settle()
    assert set_in(os.environ) == {}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs a choice of cores")
def test_a_busy_neighbour_is_seen():
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    with subprocess.Popen(
        [sys.executable, "-c", "print(1, flush=True)\nwhile True: pass"], stdout=subprocess.PIPE
    ) as one:
        try:
            one.stdout.readline()
            assert threads.busy_share() >= threads.BUSY_SHARE
        finally:
            one.kill()
            os.sched_setaffinity(0, cores)


def test_who_gives_way_does_not_count(monkeypatch):
    times = namedtuple("times", "user nice system idle iowait steal")
    cores = [times(0, 90, 0, 10, 0, 0), times(30, 0, 10, 40, 10, 10)]
    monkeypatch.setattr(threads.psutil, "cpu_times_percent", lambda seconds, percpu: cores)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    assert threads.busy_share() == pytest.approx((0 + 0.5) / 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1}, raising=False)
    assert threads.busy_share() == pytest.approx(0.5)


def imports_torch(name: str) -> bool:
    """Whether importing a module of the repository imports torch at once."""
    if name.partition(".")[0] == "torch":
        return True
    path = ROOT / Path(*name.split("."))
    files = [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()]
    return any(imports_torch(inner) for file in files for node in top_of(file) for inner in names_of(node))


@lru_cache
def top_of(path: Path) -> list[ast.stmt]:
    return ast.parse(path.read_text(encoding="utf-8")).body


def names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_settles_threads_before_it_imports_torch(path: Path):
    """Command lines do it in `cli.run`, and import nothing heavy before (test_architecture.py)."""
    lines = [ast.unparse(node) for node in top_of(path)]
    settled = lines.index("threads.settle()") if "threads.settle()" in lines else len(lines)
    assert settled < len(lines) or "run(main)" in lines[-1]
    for node in top_of(path)[:settled]:
        assert not any(map(imports_torch, names_of(node))), ast.unparse(node)


def test_tests_and_what_they_start_compute_on_one_thread():
    assert torch.get_num_threads() == 1
    assert (os.environ["OMP_NUM_THREADS"], os.environ["OMP_WAIT_POLICY"]) == ("1", "PASSIVE")
