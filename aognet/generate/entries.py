"""The entries of a run's journal: views, planned or painted, other steps, and a change under way."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aognet.generate.run_files import STEP
from aognet.geometry.camera import Camera
from aognet.geometry.plans import MAX_SIZE
from aognet.request import DirectedPrompt


@dataclass(frozen=True)
class JournalEntry:
    """A painted view. ``erased``: the part of the canvas that was cleared first (the input's own pixels excepted).

    ``anchored``: what the input shows stood behind it, too, while this was painted (`aognet.geometry.plans.Step`).
    """

    file: str
    camera: Camera
    wave: int
    prompt: str
    seed: int
    erased: Camera | None = None
    anchored: bool = False


@dataclass(frozen=True)
class StepEntry:
    """A step of a method that does not paint views: the file of its tensors, and a note of plain values.

    ``passing``: the next step takes its place.
    """

    file: str
    note: Mapping[str, Any] = field(default_factory=dict)
    passing: bool = False


@dataclass(frozen=True)
class Edit:
    """A change to a run that its results do not show yet: the ``command``, what it took back, and the view it paints.

    The same command, given again, completes it. Once it is complete, the same command is another edit.
    """

    command: str
    gone: tuple[str, ...] = ()
    view: JournalEntry | None = None


def undo_command(count: int) -> str:
    """Return the text that identifies an undo."""
    return f"--undo {count}"


def repaint_command(at: DirectedPrompt) -> str:
    """Return the text that identifies a repainting."""
    return f"--repaint {at.yaw!r},{at.pitch!r}: {at.text}"


def read_entry(step: dict[str, Any]) -> JournalEntry:
    """Read a view from what `dataclasses.asdict` returned. Raises ValueError, TypeError or KeyError for anything
    else.
    """
    read_step_name(step["file"])
    if type(step["wave"]) is not int:
        raise ValueError(f"wave must be a whole number, got {step['wave']!r}")
    camera, erased = Camera(**step["camera"]), Camera(**step["erased"]) if step["erased"] else None
    for one in filter(None, (camera, erased)):
        if max(one.width, one.height) > MAX_SIZE:
            raise ValueError(f"a view has at most {MAX_SIZE} pixels a side, got {one.width}x{one.height}")
    anchored = step.get("anchored", False)
    if type(anchored) is not bool:
        raise ValueError(f"anchored must be true or false, got {anchored!r}")
    values: dict[str, Any] = {**step, "camera": camera, "erased": erased}
    return JournalEntry(**values)


def read_step(step: dict[str, Any]) -> StepEntry:
    """Read a step from what `dataclasses.asdict` returned. Raises ValueError, TypeError or KeyError for anything
    else.
    """
    return StepEntry(read_step_name(step["file"]), dict(step["note"]), bool(step.get("passing", False)))


def read_edit(edit: dict[str, Any]) -> Edit:
    """Read a change from what `dataclasses.asdict` returned. Raises ValueError, TypeError or KeyError for anything
    else.
    """
    view = read_entry(edit["view"]) if edit["view"] else None
    return Edit(str(edit["command"]), tuple(read_step_name(name) for name in edit["gone"]), view)


def read_step_name(name: str) -> str:
    """Check the name of a view's file, which is a number: a journal may come from a stranger. Return the name."""
    if not STEP.fullmatch(name):
        raise ValueError(f"a step's file must be a number with .png, .exr or .safetensors, got {name!r}")
    return name
