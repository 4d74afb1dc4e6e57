"""What is added to a backbone when it is loaded: files and models of other people."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from aognet.errors import UserError

Added = TypeVar("Added", bound="Additions")


@dataclass(frozen=True, kw_only=True)
class Additions:
    """What is added to a backbone, by the keys that name it in every configuration.

    ``controlnets``: hub ids or folders of diffusers' ControlNets; the first is shown a request's depth.
    """

    controlnets: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in self.controlnets:
            if not name:
                raise UserError("must be hub ids or folders", key="controlnets", value=self.controlnets)

    def relocated(self: Added, change: Callable[[str, str], str]) -> Added:
        """Return the same with other paths: those that ``change`` makes of a key and a path."""
        return replace(self, controlnets=[change("controlnets", path) for path in self.controlnets])

    def with_more(self: Added, more: "Additions") -> Added:
        """Return the same with ``more`` behind what is there."""
        return replace(self, **{key: [*getattr(self, key), *added] for key, added in more.additions().items()})

    def additions(self) -> dict[str, list[Any]]:
        """Return what there is by key, and no key without anything."""
        keys = [one.name for one in fields(Additions)]
        return {key: getattr(self, key) for key in keys if getattr(self, key)}
