"""What is added to a backbone when it is loaded: files and models of other people."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from aognet.errors import UserError

Added = TypeVar("Added", bound="Additions")


@dataclass(frozen=True, kw_only=True)
class Additions:
    """What is added to a backbone, by the keys that name it in every configuration.

    ``controlnets``: hub ids or folders of diffusers' ControlNets; the first is shown a request's depth. ``words``:
    files of learned words (`aognet.diffusion.word_files`), which prompts may have.
    """

    controlnets: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for key, what in (("controlnets", "hub ids or folders"), ("words", "files")):
            if not all(getattr(self, key)):
                raise UserError(f"must be {what}", key=key, value=getattr(self, key))

    def relocated(self: Added, change: Callable[[str, str], str]) -> Added:
        """Return the same with other paths: those that ``change`` makes of a key and a path."""
        paths = {key: [change(key, path) for path in getattr(self, key)] for key in ("controlnets", "words")}
        return replace(self, **paths)

    def with_more(self: Added, more: "Additions") -> Added:
        """Return the same with ``more`` behind what is there."""
        return replace(self, **{key: [*getattr(self, key), *added] for key, added in more.additions().items()})

    def additions(self) -> dict[str, list[Any]]:
        """Return what there is by key, and no key without anything."""
        keys = [one.name for one in fields(Additions)]
        return {key: getattr(self, key) for key in keys if getattr(self, key)}
