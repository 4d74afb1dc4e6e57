"""Configuration sections that name a class with ``target``: the class, checked, and the object made of the section.

A room of this package says in ``TARGETS`` what it offers; methods are found by their folder or entry point.
"""

from difflib import get_close_matches
from importlib import import_module
from typing import Any

from aognet.config import LoadedConfig, build_config
from aognet.errors import UserError
from aognet.methods.method import imported, methods

ROOMS = ("aognet.data", "aognet.embedded", "aognet.perception")


def targets() -> dict[str, str]:
    """Return what ``target`` may say -> ``module:Class``, imported only when it is built."""
    found: dict[str, str] = {}
    for room in ROOMS:
        found |= import_module(room).TARGETS
    for method in methods().values():
        found |= {**method.targets, method.name: method.model}
    return found


def target_class(section: LoadedConfig) -> type:
    """Import the class that the section's ``target`` names. Raises UserError for another name."""
    target, known = section.values.get("target"), targets()
    if isinstance(target, str) and target in known:
        return imported(known[target])
    close = get_close_matches(str(target or ""), known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    problem = "is missing" if target is None else f"is unknown: {target!r}"
    raise section.error(f"{problem}; {hint}known: {', '.join(sorted(known))}", "target")


def check(section: LoadedConfig, needs: str) -> None:
    """Refuse what :func:`build` would refuse in the section itself, and a class without the method ``needs``."""
    target = target_class(section)
    if not hasattr(target, needs):
        raise section.error(f"does not fit here, {target.__name__} has no {needs}", "target", section.values["target"])
    build_config(section, target.Config)


def build(section: LoadedConfig, **extra: Any) -> Any:
    """Make the object that the section's ``target`` names, from the section's other keys and ``extra``."""
    target = target_class(section)
    config = build_config(section, target.Config)
    try:
        return target(config, **extra)
    except UserError as error:  # what only building finds, such as an empty folder
        raise section.failed(error) from error
