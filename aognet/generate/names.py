"""Names of panoramas' folders: safe wherever the folder may go, and no two equal on any file system."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable

MAX_BYTES = 200  # of 255 that file systems allow: hidden neighbours and numbers need some, too
FALLBACK = "panorama"
_FORBIDDEN = re.compile(r'[<>:"/\\|?*]')
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE | re.DOTALL)


def safe_name(name: str) -> str:
    """Return ``name`` as a plain, visible folder name on Linux, macOS and Windows. A safe name stays as it is.

    What no name may have (separators, control characters, bytes that are no UTF-8) becomes ``_``. Dots and blanks at
    its ends are removed. A long name is cut and ends with a hash of the whole.
    """
    name = "".join("_" if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") else letter for letter in name)
    name = _FORBIDDEN.sub("_", name).lstrip(". ").rstrip(". ") or FALLBACK
    if _RESERVED.fullmatch(name):
        name = f"_{name}"
    if len(name.encode()) <= MAX_BYTES:
        return name
    ending = f"-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"
    return name.encode()[: MAX_BYTES - len(ending)].decode(errors="ignore").rstrip(". ") + ending


def unique_names(names: Iterable[str]) -> list[str]:
    """Return safe names, numbered where some file system cannot tell them apart, in order: a, a-2, a-3.

    Upper and lower case, and the ways to write an accent, do not tell names apart.
    """
    safe = [safe_name(name) for name in names]
    wanted, taken, unique = {_folded(name) for name in safe}, set(), []
    for first in safe:
        name, number = first, 1
        while _folded(name) in taken or (number > 1 and _folded(name) in wanted):
            number += 1
            name = f"{first}-{number}"
        taken.add(_folded(name))
        unique.append(name)
    return unique


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
