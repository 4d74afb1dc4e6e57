"""Values that mean what they say: nothing in them is filled in by OmegaConf."""

import re
from typing import Any


def literal(value: Any) -> Any:
    """``value`` with every ``${`` in its texts escaped, in nested mappings and lists too."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    if isinstance(value, dict):
        return {key: literal(inner) for key, inner in value.items()}
    return [literal(inner) for inner in value] if isinstance(value, list) else value
