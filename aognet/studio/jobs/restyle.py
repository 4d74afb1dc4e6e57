"""Jobs of the kind ``style``: the panorama of a version in the colours of an uploaded photograph."""

from pathlib import Path
from typing import Any

from aognet.callbacks import Listener
from aognet.errors import UserError
from aognet.io.images import load_image
from aognet.io.panorama_files import write_panorama
from aognet.io.viewer import write_viewer
from aognet.studio.database import Row
from aognet.studio.jobs.asking import upload_path
from aognet.studio.records import Records
from aognet.studio.schemas import JobBody
from aognet.studio.storage import Desk
from aognet.style.styling import StyleConfig, Styler

RESULT = "result.png"
PAINTED = ("views", "steps")
"""What is told of a version that was painted, and not of its style."""


def style_config(body: JobBody, parent: Row | None, desk: Desk, records: Records) -> StyleConfig:
    """Return how a job of the kind gives its style. ``parent``: the version that it starts from.

    :raises UserError: for a job that does not name both, or an upload that is not there.
    """
    if parent is None:
        raise UserError("is needed for a style", key="version_id", value=body.version_id)
    if body.style is None:
        raise UserError("must name the photograph whose style is taken", key="style")
    asked = body.style
    photo = str(upload_path(asked.photo, desk, records))
    return StyleConfig(photo=photo, strength=asked.strength, segments=asked.segments, transport=asked.transport)


def write_styled(body: JobBody, parent: Row, folder: Path, desk: Desk, records: Records, listener: Listener) -> None:
    """Write the panorama and its page into a folder.

    :raises UserError: for a photograph that cannot be read.
    :raises aognet.callbacks.Cancelled: if the ``listener`` wants it.
    """
    styler = Styler(style_config(body, parent, desk, records))
    shown = load_image(desk.path(f"{parent['place']}/{RESULT}")).add(1).div(2)
    found = styler(shown, listener)
    words = parent["about"]["prompt"]
    write_panorama(found, folder / RESULT, "srgb", description=words)
    write_viewer(folder / RESULT, folder / "viewer.html", title=words)


def about_style(parent: Row) -> dict[str, Any]:
    """Return what is told of a version that such a job made of another one."""
    return parent["about"] | {"kind": "style", "encoding": "srgb"} | dict.fromkeys(PAINTED)
