"""The files below a folder, by one rule for all commands. Nothing else here walks through a user's folders.

Hidden files and folders are skipped, and so are the folders where programs keep previews and deleted files. Links are
followed. A folder that can be reached in several ways is listed once, by its own path if it has one.
"""

import logging
import os
import re
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from aognet.errors import UserError
from aognet.io.files import is_file, is_folder
from aognet.io.formats import HEIF_HINT, SUFFIXES, lacks_decoder
from aognet.io.matching import normal

log = logging.getLogger(__name__)

TRASH = ("__macosx", "$recycle.bin", "system volume information", "lost+found", "@eadir", "#recycle", "#snapshot")
"""Folders of programs, besides hidden ones such as ``.ipynb_checkpoints``, ``.thumbnails`` and ``.Trash-1000``."""
NAMED_AT_MOST = 6


def find_images(folder: Path, key: str, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """Return the images below a folder, in the order of their relative paths. One line counts what else is there.

    :raises UserError: naming the setting ``key``, as `files_below`.
    """
    return images_among(files_below(folder, key), folder, suffixes)


def images_among(files: Iterable[Path], folder: Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """Return those of the ``files`` that have one of the suffixes and can be read. One line counts the others."""
    taken, skipped = [], []
    for path in files:
        is_taken = path.name.lower().endswith(tuple(suffixes)) and not lacks_decoder(path.name)
        (taken if is_taken else skipped).append(path)
    if skipped:
        level = logging.WARNING if any(lacks_decoder(path.name) for path in skipped) else logging.INFO
        log.log(level, "%s: skipped %d file(s): %s", folder, len(skipped), _kinds(skipped))
    return taken


def files_below(folder: Path, key: str) -> list[Path]:
    """Return all files below a folder that are not hidden, in the order of their relative paths.

    :raises UserError: naming the setting ``key`` and a folder that does not exist or cannot be read.
    """
    folder = Path(folder)
    if not is_folder(folder):
        raise UserError(f"{folder}: no such folder", key=key)
    # Links wait until all true folders have been seen, so that the names of files do not depend on the links.
    found, seen, folders, links = [], set(), deque([folder]), deque()
    while folders or links:
        here = folders.popleft() if folders else links.popleft()
        try:
            status = here.stat()
            if (identity := (status.st_dev, status.st_ino)) in seen:
                continue
            seen.add(identity)
            with os.scandir(here) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if entry.name.startswith(".") or (entry.name.lower() in TRASH and entry.is_dir()):
                        continue
                    if entry.is_dir():
                        (links if entry.is_symlink() else folders).append(here / entry.name)
                    elif entry.is_file():
                        found.append(here / entry.name)
        except OSError as error:
            raise UserError(f"{here}: cannot read this folder ({error.strerror})", key=key) from error
    return sorted(found, key=lambda path: path.relative_to(folder).parts)


class NamedFiles:
    """Finds files by names relative to a folder, also if their accents are composed in another way (NFC, NFD) or their
    slashes are of the other kind.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._listed: dict[Path, dict[str, str]] = {}

    def find(self, name: str) -> Path | None:
        """Return the file, under the name that it has on the disk; None if there is none."""
        place = Path(normal(name) if not name.startswith("/") else f"/{normal(name)}")
        here = self.folder / place.anchor
        for part in place.relative_to(place.anchor).parts:
            here = here / self._names(here).get(part, part)
        return here if is_file(here) else None

    def _names(self, folder: Path) -> dict[str, str]:
        if folder not in self._listed:
            try:
                self._listed[folder] = {normal(path.name): path.name for path in folder.iterdir()}
            except (OSError, ValueError):
                self._listed[folder] = {}
        return self._listed[folder]


def _kinds(paths: Sequence[Path]) -> str:
    """Return a count such as "10 .txt, 2 .psd", the most frequent first."""
    suffixes = (path.suffix.lower() for path in paths)
    counts = Counter(suffix if re.fullmatch(r"\.\w{1,12}", suffix) else "without suffix" for suffix in suffixes)
    said = [
        f"{count} {suffix}{f' ({HEIF_HINT})' if lacks_decoder(suffix) else ''}"
        for suffix, count in counts.most_common(NAMED_AT_MOST)
    ]
    others = sum(counts.values()) - sum(count for _, count in counts.most_common(NAMED_AT_MOST))
    return ", ".join([*said, *([f"{others} others"] if others else [])])
