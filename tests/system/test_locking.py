"""A folder belongs to one process at a time, and to none once that process is gone."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from aognet.errors import UserError
from aognet.system import locking
from aognet.system.locking import FolderInUseError, exclusive, shared

HOLD = "import sys, time; from pathlib import Path; from aognet.system.locking import exclusive\n"
HOLD += "with exclusive(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"


def holder(folder: Path, code: str = HOLD) -> subprocess.Popen:
    """Another process that holds the folder."""
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", code, folder], cwd=root, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path: Path):
    process = holder(tmp_path)
    try:
        with pytest.raises(FolderInUseError, match=str(tmp_path)), exclusive(tmp_path):
            pass
    finally:
        process.kill()
        process.wait()
    with exclusive(tmp_path):
        assert not list(tmp_path.iterdir())


def test_a_second_holder_in_the_same_process_is_refused(tmp_path: Path):
    with exclusive(tmp_path), pytest.raises(FolderInUseError), exclusive(tmp_path):
        pass
    with exclusive(tmp_path):
        pass


def test_many_share_a_folder_that_none_then_has_alone(tmp_path: Path):
    with shared(tmp_path):
        process = holder(tmp_path, HOLD.replace("exclusive", "shared"))
        with pytest.raises(FolderInUseError, match=str(tmp_path)), exclusive(tmp_path, patience=0.0):
            pass
    try:
        with pytest.raises(FolderInUseError), exclusive(tmp_path, patience=0.0):
            pass
    finally:
        process.kill()
        process.wait()
    with exclusive(tmp_path):
        assert not list(tmp_path.iterdir())


def test_whoever_shares_waits_for_an_exclusive_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    process = holder(tmp_path, HOLD.replace("time.sleep(60)", "time.sleep(0.7)"))
    with shared(tmp_path):
        process.wait(timeout=5)
    monkeypatch.setattr(locking, "SHARED_PATIENCE_SECONDS", 0.05)
    with exclusive(tmp_path), pytest.raises(FolderInUseError), shared(tmp_path):
        pass
    with pytest.raises(UserError, match="missing"), shared(tmp_path / "missing"):
        pass


def test_a_forked_child_that_outlives_its_parent_does_not_hold_the_folder(tmp_path: Path):
    child = "import os, time\n" + HOLD.replace("print('held'", "child = os.fork()\n    child and print('held'")
    process = holder(tmp_path, child.replace("flush=True)", "flush=True)\n    child and print(child, flush=True)"))
    orphan = int(process.stdout.readline())
    process.kill()
    process.wait()
    try:
        deadline = time.monotonic() + 5  # the fork may still be on its way to close its copy
        while True:
            try:
                with exclusive(tmp_path):
                    break
            except FolderInUseError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
    finally:
        os.kill(orphan, signal.SIGKILL)


def test_a_folder_that_is_not_there_is_the_users_mistake(tmp_path: Path):
    with pytest.raises(UserError, match="missing"), exclusive(tmp_path / "missing"):
        pass


HOLD_NAME = HOLD.replace("exclusive(Path(sys.argv[1]))", "exclusive(Path(sys.argv[1]), 'report')")


def test_of_a_folder_one_name_may_be_held(tmp_path: Path):
    process = holder(tmp_path, HOLD_NAME)
    try:
        with pytest.raises(FolderInUseError, match="report: another process"), exclusive(tmp_path, "report"):
            pass
        with exclusive(tmp_path, "other"), exclusive(tmp_path):
            pass
    finally:
        process.kill()
        process.wait()
    with exclusive(tmp_path, "report"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_name_is_held_by_one_however_often_it_changes_hands(tmp_path: Path):
    """The file of a lock goes with it: whoever opened it before must not take what is gone for the lock."""
    inside, most, refused = [], [], []

    def work() -> None:
        for _ in range(200):
            try:
                with exclusive(tmp_path, "name"):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
            except FolderInUseError:
                refused.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1 and len(most) + len(refused) == 800
    assert not list(tmp_path.iterdir())


def test_a_process_that_is_just_ending_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(locking, "PATIENCE_SECONDS", 10.0)  # the machine may be busy
    process = holder(tmp_path, HOLD.replace("time.sleep(60)", "time.sleep(0.25)"))
    with exclusive(tmp_path):
        process.wait()
