"""The kinds of the scenes in a folder, as captions: generators of classes take them for the names of classes."""

import re
from pathlib import Path

import numpy as np

from aognet.errors import UserError
from aognet.io.captions import CaptionRecord
from aognet.io.text_files import read_json
from aognet.scenes import KINDS, VERSION
from aognet.scenes.folder import SCENE, SETTINGS


def kind_records(folder: Path) -> list[CaptionRecord]:
    """Return a record for each image of a folder of scenes, whose one caption is its kind. Nothing is drawn.

    :raises UserError: for a folder without scenes, or with those of another version.
    """
    path = folder / SETTINGS
    if not path.is_file():
        raise UserError(f"{path}: no such file; misc/make_scenes.py makes folders of scenes")
    settings = read_json(path)
    seed, kinds = settings.get("seed"), settings.get("kinds")
    if settings.get("version") != VERSION or not isinstance(seed, int) or not isinstance(kinds, list | None):
        raise UserError(f"{path}: not the settings of scenes of version {VERSION}, whose kinds are known here")
    files = sorted(file.name for file in folder.iterdir() if re.fullmatch(SCENE, file.name))
    if not files:
        raise UserError(f"{folder}: has no scenes")
    numbers = [int(file.split(".")[0].removeprefix("scene_")) for file in files]
    found = [kinds[number % len(kinds)] if kinds else drawn_kind(seed + number) for number in numbers]
    return [CaptionRecord(file, (str(kind),)) for file, kind in zip(files, found, strict=True)]


def drawn_kind(seed: int) -> str:
    """Return the kind of ``make_scene(seed)`` without making it."""
    return str(np.random.default_rng(seed).choice(KINDS))
