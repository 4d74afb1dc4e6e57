"""One process without a launcher, and the device that was asked for."""

import pytest
import torch

from aognet.errors import UserError
from aognet.processes import Processes


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
