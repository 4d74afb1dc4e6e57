"""What an experiment ran on: the commit, the package versions, the command."""

import json
import logging
import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from aognet.errors import UserError
from aognet.installed import ROOT
from aognet.io.files import write_atomically

log = logging.getLogger(__name__)
PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "omegaconf", "numpy", "pillow")


def provenance(device: str, processes: int = 1) -> dict[str, Any]:
    """Return everything that is needed to repeat a run, besides its config and data."""
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
    """Append ``entry`` to the JSON list in ``path``: one entry for the start and one for every resumption.

    A file that is no such list any more is set aside, and a new list begins.

    :raises UserError: if it cannot be read or written.
    """
    write_atomically(path, json.dumps([*_entries(path), entry], indent=2) + "\n")


def _entries(path: Path) -> list[Any]:
    try:
        entries = json.loads(path.read_bytes())
        if isinstance(entries, list):
            return entries
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError):  # torn, binary, or nested without end
        pass
    aside = path.with_name(f"{path.stem}.damaged{path.suffix}")
    log.warning("%s: is damaged; it is kept as %s and begins anew", path, aside.name)
    try:
        path.replace(aside)
    except OSError as error:
        raise UserError(f"{path}: cannot set it aside ({error.strerror})") from error
    return []


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def _git() -> dict[str, Any]:
    """Return the commit of the source tree and whether it had uncommitted changes; null outside a checkout. It is asked
    once.
    """
    try:
        if not (ROOT / ".git").exists():  # an installation may lie in a repository of something else
            return {"commit": None, "dirty": None}
        commit = _ask_git(ROOT, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_ask_git(ROOT, "status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


def _ask_git(root: Path, *arguments: str) -> str:
    answer = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=20
    )
    return answer.stdout.strip()
