"""The user's home folder, which not every process has: containers run as users without a name."""

import os
from pathlib import Path

from aognet.errors import UserError

HUB_FOLDERS = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")


def expanded(path: str | Path) -> Path:
    """Return ``path`` with a leading ``~`` or ``~name`` replaced.

    :raises UserError: if there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except (RuntimeError, KeyError) as error:
        raise UserError(
            f"{path}: there is no home folder here; set HOME (for caches: AOGNET_CACHE), or write the path in full"
        ) from error


def default_folder(name: str = "panoramas") -> str:
    """Return the folder ``name`` in ``$AOGNET_CACHE``, or in ``aognet`` in the user's cache folder. It is to be
    `expanded`.
    """
    user = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return str(Path(os.environ.get("AOGNET_CACHE") or Path(user) / "aognet") / name)


def check_hub_folder() -> None:
    """Raise UserError if the Hugging Face hub's files would go to a folder named ``~``."""
    if not any(os.environ.get(name) for name in HUB_FOLDERS) and os.path.expanduser("~") == "~":  # noqa: PTH111
        raise UserError("there is no home folder to keep what the Hugging Face hub gives: set HF_HOME to a folder")
