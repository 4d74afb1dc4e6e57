"""What an experiment ran on: the commit, the package versions, the command."""

import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from aognet.files import write_atomically

PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "omegaconf", "numpy", "pillow")


def provenance(device: str, processes: int = 1) -> dict[str, Any]:
    """Everything needed to repeat a run besides its config and data."""
    from aognet import __version__

    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "git": dict(_git()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": device,
        "processes": processes,
        "packages": {"aognet": __version__} | {name: _version(name) for name in PACKAGES},
    }


def record(path: Path, entry: dict[str, Any]) -> None:
    """Append ``entry`` to the JSON list in ``path``: one entry for the start and one for every resumption."""
    entries = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    write_atomically(path, json.dumps([*entries, entry], indent=2) + "\n")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def _git() -> dict[str, Any]:
    """Commit of the source tree, and whether it had uncommitted changes; null outside a git checkout. Asked once."""
    root = Path(__file__).parents[1]
    try:
        commit = _ask_git(root, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_ask_git(root, "status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


def _ask_git(root: Path, *arguments: str) -> str:
    answer = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=20
    )
    return answer.stdout.strip()
