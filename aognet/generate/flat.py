"""Flat images, which are no panoramas: ``NAME.png`` beside ``NAME.json``, what it was asked for."""

import json
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aognet.callbacks import Listener
from aognet.errors import Setting, UserError
from aognet.generate.asked import Asked
from aognet.generate.generator import Generator
from aognet.geometry.tiles import TilesConfig
from aognet.io.files import made_folder, write_atomically
from aognet.io.images import save_image
from aognet.io.text_files import read_json
from aognet.request import Request
from aognet.system.locking import exclusive

Bars = Callable[[str], AbstractContextManager[Listener]]
"""Shows the progress of what is named, as command lines do."""
log = logging.getLogger(__name__)


def make_flat_images(
    generator: Generator, tiles: TilesConfig, requests: Sequence[Request], out_dir: Path, overwrite: bool, bars: Bars
) -> int:
    """Make the flat image of each request in ``out_dir``; return the exit code. One that is there already stays.

    :raises UserError: before anything is written, for a method that makes none, for what it cannot make, and for files
        that something else wrote, or that were asked for otherwise, unless these are to be made anew (``overwrite``).
    """
    method = generator.method
    if not hasattr(method.model_class, "flat"):
        raise UserError(f"is not for the method {method.name}", key="tiles", value=asdict(tiles))
    with made_folder(out_dir, "out_dir"):
        left = [request for request in requests if not _is_there(out_dir, _asked(generator, request, tiles), overwrite)]
        for request in left:
            generator.model.check_flat(request, generator.settings_of(request), tiles)
        for request in left:
            asked, path = _asked(generator, request, tiles), out_dir / f"{request.name}.png"
            with exclusive(out_dir, path.name), bars(request.name) as listener:
                image = generator.model.flat(request, generator.settings_of(request), tiles, listener)
                path.unlink(missing_ok=True)  # its note must never be that of another image
                write_atomically(path.with_suffix(".json"), json.dumps(asked, indent=2, ensure_ascii=False) + "\n")
                save_image(image * 2 - 1, path)
            log.info("wrote %s", path)
    return 0


def _asked(generator: Generator, request: Request, tiles: TilesConfig) -> dict[str, Any]:
    return Asked.of(request, generator.config, generator.weights).to_dict() | {"tiles": asdict(tiles)}


def _is_there(out_dir: Path, asked: dict[str, Any], overwrite: bool) -> bool:
    """Return whether the image is there as it is asked for. Raises UserError for one that may not be replaced."""
    path = out_dir / f"{asked['request']['name']}.png"
    note = path.with_suffix(".json")
    if not os.path.lexists(note) and not os.path.lexists(path):
        return False
    noted = read_json(note) if note.is_file() else {}
    try:
        before = Asked.from_dict(noted, str(note))
        there, here = TilesConfig(**noted["tiles"]), TilesConfig(**asked["tiles"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        said = f"{path}: is there already, and no run wrote it; choose another "
        raise UserError(said, Setting("out_dir"), " or ", Setting("name"), ", or move it away") from error
    if overwrite:
        return False
    different = before.differences(Asked.from_dict(asked, "request"))
    if there != here:
        different.append(f"tiles: {there} there, {here} here")
    if different:
        said = f"{path}: is an image with other settings ({different[0]}); choose another "
        raise UserError(said, Setting("out_dir"), " or ", Setting("name"), ", or add ", Setting("overwrite"))
    if path.is_file():
        log.info("%s: made already with these settings (%s makes it again)", path, Setting("overwrite"))
    return path.is_file()
