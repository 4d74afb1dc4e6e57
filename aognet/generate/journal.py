"""The folder of one panorama: what it started from, every step, and what is needed to repeat it.

The steps on disk are the state: a killed run continues where its journal ends. Everything is written atomically, and
what is about to be written or removed is recorded first. So after any kill, the same command comes to the same end.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from aognet.canvas import Canvas
from aognet.diffusion.condition import ControlImage
from aognet.errors import UserError
from aognet.generate.asked import Asked
from aognet.generate.earlier import READABLE as EARLIER
from aognet.generate.earlier import upgraded
from aognet.generate.entries import Edit, JournalEntry, StepEntry, read_edit, read_step
from aognet.generate.pixels import read_canvas, write_canvas
from aognet.generate.result_files import write_truth
from aognet.generate.run_files import (
    DEPTH,
    JOURNAL,
    MESHES,
    OUTPUTS,
    check_foreign,
    clear,
    face_files,
    input_file,
    outputs_of,
)
from aognet.geometry.camera import Camera
from aognet.io.depth_maps import DepthMap, load_depth, write_depth
from aognet.io.files import write_atomically
from aognet.io.images import load_panorama
from aognet.io.value_range import RANGE, Encoding

VERSION = 3
MAX_BYTES = 16 * 2**20


class Journal:
    """``run.json``, the input and ``steps/`` of one panorama's folder. Its steps are tensors with a note."""

    kind = "steps"

    def __init__(
        self,
        folder: Path,
        asked: Asked,
        encoding: Encoding = "srgb",
        provenance: Mapping[str, Any] | None = None,
    ):
        """Make a journal of what the run is ``asked`` for, in the ``encoding`` of its panorama. ``provenance``: what it
        is made with.
        """
        self.folder, self.asked, self.encoding = folder, asked, encoding
        self.provenance = dict(provenance or {})
        self.entries: list[Any] = []
        self.finished = False  # nothing is left to make
        self.version = VERSION  # of run.json when it was opened
        self.begun = False  # whether what it starts from is on the disk
        self.plan: list[JournalEntry] | None = None  # all views to paint, once painting begins
        self.outputs: tuple[str, ...] = ()  # what it wrote or is about to write, besides run.json and steps
        self.edit: Edit | None = None
        self.expansion: dict[str, Any] | None = None  # `aognet.generate.expander.Expander.record` of what is made of it

    def begin(
        self,
        start: Canvas,
        before: "Journal | None",
        truth: Canvas | None = None,
        faces: bool = False,
        depth: DepthMap | None = None,
        meshes: Sequence[str] = (),
        expanded: Sequence[str] = (),
    ) -> None:
        """Write what is known at the beginning, and the ground ``truth`` and the ``depth`` if there are such.

        ``before``: the run in the folder, which is replaced, as `check_free` returns it. ``faces``: whether those of
        the cubemap will be written. ``meshes``, ``expanded``: those files that will be (`aognet.generate.run_files`).

        :raises UserError: if the folder cannot be made.
        """
        outputs = outputs_of(self.encoding, truth is not None, faces, depth is not None, meshes, expanded)
        self.outputs = _ordered({*outputs, *(before.outputs if before else ())})
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.write()
            (self.folder / "steps").mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.folder}: cannot make this output folder ({error.strerror})") from error
        clear(self.folder, leave=lambda name: name == JOURNAL)
        write_canvas(start, self.folder / input_file(self.encoding))
        if truth is not None:
            write_truth(self.folder, truth)
        if depth is not None:
            write_depth(depth, self.folder / DEPTH)
        self.outputs, self.begun = _ordered(outputs), True
        self.write()

    def read(self, content: Mapping[str, Any]) -> None:
        """Take over the content of a ``run.json`` (`read_content`).

        Raises ValueError, KeyError or TypeError where it makes no sense.
        """
        self.version, self.finished = content["version"], bool(content["finished"])
        self.entries = [self.read_entry(step) for step in content["steps"]]
        self.begun, edit = bool(content["begun"]), content["edit"]
        if unknown := [name for name in content["outputs"] if name not in OUTPUTS]:
            raise ValueError(f"outputs: unknown name {unknown[0]!r}")
        self.outputs = _ordered(content["outputs"])
        if self.version == 1:  # whatever has the name of a run's file counts as its own
            self.outputs = tuple(name for name in self.outputs if (self.folder / name).is_file())
        if content["plan"] is not None:
            self.plan = [self.read_entry(step) for step in content["plan"]]
        self.edit = None if edit is None else read_edit(edit)
        expansion = content.get("expansion")
        self.expansion = None if expansion is None else dict(expansion)

    @staticmethod
    def read_entry(step: dict[str, Any]) -> Any:
        """Read a step. Raises ValueError, TypeError or KeyError where it is none."""
        return read_step(step)

    def write(self) -> None:
        """Put ``run.json`` on the disk."""
        content = {
            "version": VERSION,
            "kind": self.kind,
            "encoding": self.encoding,
            "begun": self.begun,
            "finished": self.finished,
            **self.asked.to_dict(),
            "outputs": self.outputs,
            "plan": None if self.plan is None else [asdict(entry) for entry in self.plan],
            "steps": [asdict(entry) for entry in self.entries],
            "edit": None if self.edit is None else asdict(self.edit),
            "provenance": self.provenance,
            **({} if self.expansion is None else {"expansion": self.expansion}),
        }
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        write_atomically(self.folder / JOURNAL, text)

    def owns(self, name: str) -> bool:
        """Return whether a file (``steps/003.png``) belongs to this run: it wrote it or is about to."""
        folder, _, step = name.rpartition("/")
        if folder != "steps":
            return name == JOURNAL or name in self.outputs
        if self.version == 1 or not self.begun or step in (self.edit.gone if self.edit else ()):
            return True
        expected = [*self.entries, *(self.plan or []), *([self.edit.view] if self.edit and self.edit.view else [])]
        return any(step == one.file for one in expected) or step in self.next_files()

    def next_files(self) -> Sequence[str]:
        """Return the names that the next step may have; none if the plan has it.

        The first is for a step that stays. Those that pass take turns in the others, so that the earlier one is there
        until the later one is.
        """
        staying = len([entry for entry in self.entries if not entry.passing])
        return [f"{number:03d}.safetensors" for number in range(staying, staying + 3)]

    @property
    def done(self) -> int:
        """How many steps or views lie behind it."""
        last = self.entries[-1] if self.entries else None
        told = last.note.get("done") if isinstance(last, StepEntry) else None
        return told if isinstance(told, int) else len(self.entries)

    def claim(self, outputs: Iterable[str]) -> None:
        """Note that these files will be written. Raises UserError where one is there that no run wrote."""
        claimed = _ordered({*self.outputs, *outputs})
        if claimed == self.outputs:
            return
        check_foreign(self.folder, self.owns)
        self.outputs = claimed
        self.write()

    def clear(self) -> None:
        """Remove what a kill left that is not recorded: unfinished files, steps that no journal knows."""
        recorded = {f"steps/{entry.file}" for entry in self.entries}
        check_foreign(self.folder, self.owns)
        clear(self.folder, leave=lambda name: not name.startswith("steps/") or name in recorded)

    @property
    def has_faces(self) -> bool:
        """Whether the faces of the cubemap belong to its results."""
        return set(face_files(self.encoding)) <= set(self.outputs)

    @property
    def meshes(self) -> tuple[str, ...]:
        """The meshes that belong to its results."""
        return tuple(name for name in MESHES if name in self.outputs)

    @property
    def shown(self) -> bool:
        """Whether the results are there, and are those of the recorded steps."""
        return self.finished and self.edit is None and all((self.folder / name).is_file() for name in self.outputs)

    @property
    def photo_camera(self) -> Camera | None:
        """The camera of the photograph the run started from."""
        return self.asked.camera

    def start(self) -> Canvas:
        """Read what was known at the beginning."""
        return read_canvas(self.folder / input_file(self.encoding), self.encoding)

    def controls(self) -> list[ControlImage]:
        """Return the request's images for ControlNets: that of its depth, as it was written, and the others.

        Raises UserError naming the file.
        """
        request, images = self.asked.request, []
        if request.depth is not None:
            depth = load_depth(self.folder / DEPTH, request.rows)
            where = None if depth.known.all() else depth.known[None].float()
            images.append(ControlImage(depth.picture, where=where))
        for control in request.controls:
            picture = load_panorama(Path(control.image), request.rows).add_(1).div_(2)
            images.append(ControlImage(picture[None], control.scale))
        return images

    def has(self, entry: JournalEntry | StepEntry) -> bool:
        """Return whether a step of this name is recorded."""
        return any(recorded.file == entry.file for recorded in self.entries)

    def record(
        self, tensors: Mapping[str, Tensor], note: Mapping[str, Any] | None = None, passing: bool = False
    ) -> None:
        """Record a step: it is on the disk completely or not at all. ``note`` has plain values for JSON. ``passing``:
        the next step takes its place.
        """
        gone = [entry for entry in self.entries if entry.passing]
        stays, *slots = self.next_files()
        used = [entry.file for entry in gone]
        file = next(slot for slot in slots if slot not in used) if passing else stays
        entry = StepEntry(file, json.loads(json.dumps(dict(note or {}))), passing)
        kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        write_atomically(self.folder / "steps" / entry.file, save(kept))
        self.entries = [*(one for one in self.entries if not one.passing), entry]
        self.write()
        if gone:
            self.clear()

    def recorded(self) -> Sequence[StepEntry]:
        """Return the notes of the steps that are recorded, in their order; `step` reads their tensors."""
        return tuple(self.entries)

    def step(self, number: int) -> dict[str, Tensor]:
        """Read the tensors of a recorded step, on the CPU. Raises UserError naming the file."""
        path = self.folder / "steps" / self.entries[number].file
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path}: not readable ({error})") from error

    def settle(self) -> None:
        """Record that the results show what is recorded."""
        self.edit = None
        self.write()

    def differences(self, asked: Asked) -> list[str]:
        """Return where another run and this one are not asked for the same, as ``key: there, here``."""
        return self.asked.differences(asked)


def read_content(folder: Path) -> dict[str, Any]:
    """Read a folder's ``run.json``, of an earlier version as today's. Raises UserError where it makes no sense."""
    path = folder / JOURNAL
    if not path.is_file():
        raise UserError(f"{folder}: no run here (no {JOURNAL})")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] in EARLIER:
            content = upgraded(content)
        elif content["version"] != VERSION:
            raise ValueError(f"version {content['version']}, this program writes version {VERSION}")
        if content["encoding"] not in RANGE:
            raise ValueError(f"encoding: unknown value {content['encoding']!r}")
        return {**content, "asked": Asked.from_dict(content, str(path))}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise not_a_run(path, error) from error


def not_a_run(path: Path, error: Exception) -> UserError:
    """Return the error for a ``run.json`` that makes no sense."""
    return UserError(f"{path}: not a run that can be continued ({error})")


def _ordered(names: Iterable[str]) -> tuple[str, ...]:
    names = set(names)
    return tuple(name for name in OUTPUTS if name in names)
