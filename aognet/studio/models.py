"""The models on offer: their generators, and what they say of themselves."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from threading import RLock
from typing import TYPE_CHECKING, Any

from aognet.errors import UserError
from aognet.studio.config import ModelEntry

if TYPE_CHECKING:
    from aognet.generate.generator import Generator


class Models:
    """The models by name. A generator is made when it is first asked for, which reads no weights."""

    def __init__(self, entries: Mapping[str, ModelEntry], device: str = "auto"):
        """``device``: on which the generators work."""
        self.entries, self.device = entries, device
        self._lock, self._generators = RLock(), {}

    def generator(self, name: str) -> "Generator":
        """Return the generator of a model. Raises UserError for an unknown name, and as the model's configuration."""
        from aognet.generate.inference import read_inference

        with self._lock:
            if name not in self._generators:
                loaded = self.entry(name).loaded([] if self.device == "auto" else [f"device={self.device}"])
                self._generators[name] = read_inference(loaded)[1]
            return self._generators[name]

    def entry(self, name: str) -> ModelEntry:
        """Return the entry of a model. Raises UserError for an unknown name."""
        if name not in self.entries:
            raise UserError(f"must be one of {', '.join(self.entries)}", key="model", value=name)
        return self.entries[name]

    def forget_others(self, name: str) -> None:
        """Let go of the weights of all models but one."""
        with self._lock:
            self._generators = {key: one for key, one in self._generators.items() if key == name}

    def named(self, model: str | None, method: str | None = None) -> str:
        """Return the model of a name, or the first of a method, or the first of all. Raises UserError for others."""
        if model is not None:
            self.entry(model)
            return model
        if method is None:
            return next(iter(self.entries))
        for name in self.entries:
            if self.generator(name).method.name == method:
                return name
        raise UserError("is of no model here", key="method", value=method)

    @cached_property
    def described(self) -> list[dict[str, Any]]:
        """What each model takes, with the JSON schema of its settings and their defaults."""
        return [self._described(name) for name in self.entries]

    def _described(self, name: str) -> dict[str, Any]:
        generator = self.generator(name)
        return {
            "name": name,
            "title": self.entries[name].title or name,
            "method": generator.method.name,
            "encoding": generator.method.encoding,
            "paints_views": generator.paints_views,
            "takes": sorted(generator.method.takes),
            "height": generator.defaults.height,
            "settings": settings_schema(generator.method.settings_class, asdict(generator.defaults.settings)),
        }


def settings_schema(settings: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of a dataclass of settings, with other defaults."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(settings).json_schema()
    _set_defaults(schema, values, schema.get("$defs", {}))
    return schema


def _set_defaults(schema: dict[str, Any], values: Mapping[str, Any], definitions: dict[str, Any]) -> None:
    for key, value in values.items():
        one = schema.get("properties", {}).get(key)
        if one is None:
            continue
        reference = one.get("$ref", "").rpartition("/")[2]
        if isinstance(value, Mapping) and reference in definitions:
            inner = dict(definitions[reference])
            inner["properties"] = {name: dict(part) for name, part in inner.get("properties", {}).items()}
            _set_defaults(inner, value, definitions)
            schema["properties"][key] = inner
        else:
            one["default"] = value
