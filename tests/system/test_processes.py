"""One process without a launcher, several that part in the end, and the device that was asked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from aognet.errors import UserError
from aognet.system.processes import Processes

ROOT = Path(__file__).parents[2]


def test_one_machine_has_one_process_and_the_processor():
    processes = Processes.start("auto")
    assert (processes.number, processes.count, processes.first) == (0, 1, True)
    assert processes.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert processes.total(3) == 3


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Processes.start("cpu").device.type == "cpu"
    with pytest.raises(UserError, match="device: cuda was asked for"):
        Processes.start("cuda")


TWO = """
import torch
from aognet.system.processes import Processes
with Processes.start("cpu") as processes:
    assert processes.total(processes.number + 1) == 3 and torch.distributed.is_initialized()
assert not torch.distributed.is_initialized()
"""


@pytest.mark.slow
def test_processes_part_in_the_end(tmp_path: Path):
    (tmp_path / "two.py").write_text(TWO)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "true"}
    command = [*launcher, str(tmp_path / "two.py")]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr[-3000:]
