"""Changes to finished runs: a direction is painted again, or views are taken back.

What a killed process began is completed by the same change, and not done twice.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from aognet.canvas import Canvas
from aognet.config import LoadedConfig, build_config
from aognet.errors import Setting, UserError
from aognet.generate.entries import repaint_command, undo_command
from aognet.generate.method_settings import without_others
from aognet.generate.run_files import JOURNAL
from aognet.generate.showing import show_canvas
from aognet.generate.view_journal import ViewJournal, open_views
from aognet.methods.method import Method
from aognet.request import DirectedPrompt
from aognet.result import Result
from aognet.system.locking import exclusive

log = logging.getLogger(__name__)


def repaint_view(folder: Path, at: DirectedPrompt, make: Callable[[ViewJournal], Canvas]) -> Result:
    """Paint a direction of a finished run again, with the settings in its journal. ``make``: paints it.

    :raises UserError: for what is no run of views.
    """
    return _changed(folder, repaint_command(at), make)


def undo_views(folder: Path, count: int = 1) -> Result:
    """Take the last ``count`` views of a run back. Raises UserError for what is no run of views, and for too many."""
    return _changed(folder, undo_command(count), lambda journal: journal.undo(count))


def _changed(folder: Path, command: str, make: Callable[[ViewJournal], Canvas]) -> Result:
    """Return what a run shows after a change. ``command`` identifies the change, and ``make`` begins it."""
    with exclusive(folder):
        journal = open_views(folder)
        if not journal.begun:
            raise UserError(f"{folder}: this run has not begun yet; give the command that paints it again")
        journal.clear()
        canvas = journal.canvas() if _under_way(journal, command) else make(journal)
        if canvas.unknown_pixels:
            log.info("%s: %d views left, %d pixels unknown", folder, len(journal.entries), canvas.unknown_pixels)
        given = journal.start().known[0].cpu()
        return replace(show_canvas(journal, canvas), given=given, folder=folder)


def _under_way(journal: ViewJournal, command: str) -> bool:
    """Return whether a change by the same command is recorded whose results may not be written yet."""
    edit = journal.edit
    return edit is not None and edit.command == command and (edit.view is None or journal.has(edit.view))


def check_model(journal: ViewJournal, method: Method, weights: str) -> None:
    """Bring the settings of a run to those of its method. Raises UserError if the model is another one now."""
    asked, path = journal.asked, journal.folder / JOURNAL
    section = without_others(LoadedConfig(asked.request.settings, {"": str(path)}, "settings"), method)
    build_config(section, method.settings_class)
    journal.asked = replace(asked, request=replace(asked.request, settings=dict(section.values)))
    if asked.weights not in (None, weights):
        said = f"{path}: {asked.model.checkpoint} has other weights or settings than when this run was painted; "
        raise UserError(said, Setting("repaint"), " needs the same model")


def find_run(folder: Path) -> Path:
    """Return the folder itself if it holds a run, or the only run in it."""
    if (folder / JOURNAL).is_file():
        return folder
    runs = sorted(path.parent for path in folder.glob(f"*/{JOURNAL}"))
    if len(runs) != 1:
        found = (
            f"has {len(runs)} runs ({', '.join(run.name for run in runs)}): name one of them"
            if runs
            else "holds no run"
        )
        raise UserError(f"{folder}: {found}", key="out_dir")
    return runs[0]
