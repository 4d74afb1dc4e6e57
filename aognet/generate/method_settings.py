"""The section ``generator`` of a configuration: a method's settings, with the size and seed of a request."""

import logging
from dataclasses import fields, make_dataclass
from typing import Any

from aognet.config import LoadedConfig
from aognet.methods.method import Method, methods
from aognet.request import check_height

log = logging.getLogger(__name__)


def without_others(section: LoadedConfig, method: Method) -> LoadedConfig:
    """Return the section without settings that only other methods have: one file may serve several."""
    own = {one.name for one in fields(settings_with_size(method.settings_class))}
    others = {one.name: other.name for other in methods().values() for one in fields(other.settings_class)}
    foreign = {name for name in section.values if name not in own and name in others}
    for name in section.values:
        if name in foreign:
            told = section.key(name), others[name], method.name
            log.info("%s: is of the method %s; %s has no such setting", *told)
    return section.without(foreign)


def settings_with_size(settings: type) -> type:
    """Return the schema of the section ``generator``: a method's settings, with the size and seed of a request."""

    def check(self: Any) -> None:
        check_height(self.height)
        if hasattr(settings, "__post_init__"):
            settings.__post_init__(self)

    # In this order errors name the keys that are there.
    shared = [("height", int, 2048), ("seed", int, 0)]
    return make_dataclass("GeneratorConfig", shared, bases=(settings,), frozen=True, namespace={"__post_init__": check})
