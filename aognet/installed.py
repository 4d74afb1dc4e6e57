"""Files that come with the program, found from any working directory.

In a checkout, ``config`` and ``assets`` stand beside the package; an installation carries them in ``installed_files``.
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CARRIED = _PACKAGE / "installed_files"
ROOT = _CARRIED if _CARRIED.is_dir() else _PACKAGE.parent
CONFIGS = ROOT / "config"
ASSETS = "assets"


def installed(path: str) -> str:
    """A path below ``assets`` as it is to be opened from here: in the installation, whatever else has that name.

    Any other path stays as it is. Where the working directory is the installation, so does this one.
    """
    if path != ASSETS and not path.startswith(f"{ASSETS}/"):
        return path
    try:
        return path if Path.cwd() == ROOT else str(ROOT / path)
    except OSError:  # the working directory is gone
        return str(ROOT / path)


def known_config(path: Path) -> Path:
    """A config file as a user names it: the user's own, or else the one below ``config`` that comes with the program.

    A name that is neither stays as it is.
    """
    try:
        return (
            path if path.exists() or path.parts[:1] != (CONFIGS.name,) or not (ROOT / path).is_file() else ROOT / path
        )
    except (OSError, ValueError):  # a name that no file can have
        return path
