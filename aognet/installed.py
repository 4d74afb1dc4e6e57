"""Files that come with the program, found from any working directory."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
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
