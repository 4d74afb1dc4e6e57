"""Files that come with the program, found from any working directory.

In a checkout, ``config`` and ``assets`` lie beside the package. An installation has them in ``installed_files``.
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CARRIED = _PACKAGE / "installed_files"
ROOT = _CARRIED if _CARRIED.is_dir() else _PACKAGE.parent
CONFIGS = ROOT / "config"
ASSETS = "assets"


def installed(path: str) -> str:
    """Return a path below ``assets`` as it can be opened from here: in the installation, whatever else has that name.

    Any other path stays as it is. This one does too, if the working directory is the installation.
    """
    if path != ASSETS and not path.startswith(f"{ASSETS}/"):
        return path
    try:
        return path if Path.cwd() == ROOT else str(ROOT / path)
    except OSError:  # the working directory is gone
        return str(ROOT / path)


def known_config(path: Path) -> Path:
    """Return a config file by the name that a user gives: the user's own, or else the one below ``config`` in the
    program.

    A name that is neither stays as it is.
    """
    try:
        return (
            path if path.exists() or path.parts[:1] != (CONFIGS.name,) or not (ROOT / path).is_file() else ROOT / path
        )
    except (OSError, ValueError):  # a name that no file can have
        return path
