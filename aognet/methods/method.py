"""What a method says of itself, and where methods are found: in the folders here and in other packages."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import Any, Literal

import aognet.methods
from aognet.errors import UserError

ENTRY_POINTS = "aognet.methods"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Method:
    """A way to make panoramas. Its module is imported to list the methods, so it imports nothing heavy itself.

    ``name``: what configs (``target``), the ``config.json`` of trained models, and requests call it.
    ``model``: ``module:Class`` of the network. Its class has a ``Config``, what `aognet.training.trainable.Trainable`
    asks for, and ``from_pretrained``. It generates in one of two ways: it continues views
    (`aognet.methods.outpainter.Outpainter`), or it makes whole panoramas (`aognet.methods.generative.Generative`).
    ``settings``: ``module:Class`` of a frozen dataclass: what it is told when it generates, besides the request's
    prompt, size, seed and inputs.
    ``encoding``: of what it makes, ``srgb`` in [-1, 1] or ``linear`` light in [0, inf).
    ``untrained``: its ``Config`` on a backbone of which nothing is trained for it; None: it does nothing untrained.
    ``takes``: what of a request it takes besides the prompt and the inputs: ``prompts_at``, ``depth``,
    ``controls``, ``label``.
    ``targets``: what else ``target`` may name, such as its samples: name to ``module:Class``.
    """

    name: str
    model: str
    settings: str
    encoding: Literal["srgb", "linear"] = "srgb"
    untrained: Mapping[str, Any] | None = None
    takes: frozenset[str] = frozenset()
    targets: Mapping[str, str] = field(default_factory=dict)

    @property
    def model_class(self) -> type:
        """The class of the network, imported."""
        return imported(self.model)

    @property
    def settings_class(self) -> type:
        """The dataclass of the settings, imported."""
        return imported(self.settings)


def imported(target: str) -> Any:
    """Return what ``module:name`` names."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


@cache
def methods() -> dict[str, Method]:
    """Return all methods by name: each folder of `aognet.methods`, then the entry points of the group
    ``aognet.methods``.

    An entry point of another package names its ``Method``. One that cannot be imported is reported and left out; the
    name of an earlier method is not taken.
    """
    folders = [module.name for module in iter_modules(aognet.methods.__path__) if module.ispkg]
    found = {method.name: method for method in (import_module(f"aognet.methods.{name}").METHOD for name in folders)}
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            method = entry.load()
        except Exception as error:  # noqa: BLE001 - another package's fault is not this one's
            log.warning("%s: the method of this package cannot be imported (%s)", entry.value, error)
            continue
        if not isinstance(method, Method) or method.name in found:
            log.warning("%s: names no method, or one whose name is taken; left out", entry.value)
            continue
        found[method.name] = method
    return found


def find_method(name: Any, where: str = "") -> Method:
    """Return the method of a name that the key ``method`` was given in the file ``where``.

    :raises UserError: naming the nearest method.
    """
    known = methods()
    if isinstance(name, str) and name in known:
        return known[name]
    close = get_close_matches(str(name), known, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise UserError(f"must be one of {', '.join(sorted(known))}{hint}", key="method", value=name, where=where)
