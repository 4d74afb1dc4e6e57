"""What is added to a backbone when it is loaded: files and models of other people."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from aognet.errors import UserError

MAX_SCALE = 10.0
Added = TypeVar("Added", bound="Additions")


@dataclass(frozen=True)
class LoraFile:
    """Low-rank additions to a backbone. They are added ``scale`` times; several files add up.

    ``file``: a safetensors file, a folder with one, or one on the hub ("owner/name" or "owner/name/file.safetensors").
    """

    file: str
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not self.file:
            raise UserError("must be a .safetensors file", key="file", value="")
        if not -MAX_SCALE <= self.scale <= MAX_SCALE:  # not true of NaN either
            raise UserError(f"must lie in [-{MAX_SCALE:g}, {MAX_SCALE:g}]", key="scale", value=self.scale)


@dataclass(frozen=True, kw_only=True)
class Additions:
    """What is added to a backbone, by the keys that name it in every configuration.

    ``controlnets``: hub ids or folders of diffusers' ControlNets; the first is shown a request's depth. ``words``:
    files of learned words (`aognet.diffusion.word_files`), which prompts may have. ``loras``: low-rank additions to the
    weights of its UNet and its text encoders.
    """

    controlnets: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    loras: list[LoraFile] = field(default_factory=list)

    def __post_init__(self) -> None:
        for key, what in (("controlnets", "hub ids or folders"), ("words", "files")):
            if not all(getattr(self, key)):
                raise UserError(f"must be {what}", key=key, value=getattr(self, key))

    def relocated(self: Added, change: Callable[[str, str], str]) -> Added:
        """Return the same with other paths: those that ``change`` makes of a key and a path."""
        paths = {key: [change(key, path) for path in getattr(self, key)] for key in ("controlnets", "words")}
        loras = [replace(lora, file=change("loras", lora.file)) for lora in self.loras]
        return replace(self, **paths, loras=loras)

    def with_more(self: Added, more: "Additions") -> Added:
        """Return the same with ``more`` behind what is there."""
        return replace(self, **{key: [*getattr(self, key), *added] for key, added in more.additions().items()})

    def additions(self) -> dict[str, list[Any]]:
        """Return what there is by key, and no key without anything."""
        keys = [one.name for one in fields(Additions)]
        return {key: getattr(self, key) for key in keys if getattr(self, key)}
