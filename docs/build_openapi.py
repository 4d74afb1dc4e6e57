"""Write the description of the studio's API: ``python docs/build_openapi.py``. A test compares it with the program."""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "docs" / "openapi.json"
sys.path.insert(0, str(ROOT))


def described() -> str:
    """Return the OpenAPI document as JSON."""
    from aognet.config import load_config
    from aognet.studio.app import make_app
    from aognet.studio.config import DEFAULT_CONFIG, read_studio

    document = make_app(read_studio(load_config([DEFAULT_CONFIG]))).openapi()
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(described(), encoding="utf-8")
