"""Pillow's warnings become log lines that name the file."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import PIL
from PIL import Image

log = logging.getLogger(__name__)

_PILLOW = str(Path(PIL.__file__).parent)
_lock = threading.Lock()
_readers = 0
_stack = ExitStack()
_here = threading.local()


@contextmanager
def as_log_lines(name: str) -> Iterator[None]:
    """Collect Pillow's warnings inside the block and log them in one line about ``name`` at its end. Other warnings go
    their usual way.

    How warnings are shown is one setting of the process, but images are decoded in several threads: the first thread in
    sets it, the last one out resets it.
    """
    before, said = getattr(_here, "said", None), []
    _here.said = said
    _enter()
    try:
        yield
    finally:
        _leave()
        _here.said = before
        if said and before is not None:
            before.extend(said)
        elif said:
            more = f" (and {len(said) - 1} more)" if len(said) > 1 else ""
            log.warning("%s: %s%s", name, said[0], more)


def _enter() -> None:
    global _readers
    with _lock:
        _readers += 1
        if _readers == 1:
            _stack.enter_context(warnings.catch_warnings())
            shown = warnings.showwarning
            warnings.filterwarnings("always", module=r"PIL\b")
            # Of half the pixels that are allowed here, and checked.
            warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

            def keep(message: Warning | str, category: type[Warning], filename: str, *rest: Any, **named: Any) -> None:
                if filename.startswith(_PILLOW):
                    text, said = " ".join(str(message).split()), getattr(_here, "said", None)
                    if said is not None and text not in said:
                        said.append(text)
                else:
                    shown(message, category, filename, *rest, **named)

            warnings.showwarning = keep


def _leave() -> None:
    global _readers
    with _lock:
        _readers -= 1
        if _readers == 0:
            _stack.close()
