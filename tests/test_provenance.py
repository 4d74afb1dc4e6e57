"""What is noted about the program that ran."""

import subprocess
from typing import Any

import pytest

from aognet import provenance


def test_git_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, run = [], subprocess.run

    def counted(command: list[str], **options: Any) -> Any:
        asked.append(command)
        return run(command, **options)

    monkeypatch.setattr(provenance.subprocess, "run", counted)
    provenance._git.cache_clear()
    first = provenance.provenance("cpu")
    first["git"].clear()  # what callers do with their copy does not reach the next
    assert all(provenance.provenance("cpu")["git"].keys() == {"commit", "dirty"} for _ in range(5))
    assert sum(command[0] == "git" for command in asked) <= 2
