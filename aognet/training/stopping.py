"""Lets the current training step end before Ctrl-C stops the run."""

import logging
import signal
import threading
import time
from types import FrameType
from typing import Any

log = logging.getLogger(__name__)

AGAIN_SECONDS = 2.0  # launchers pass the same Ctrl-C on a second time


class StopRequest:
    """While active, Ctrl-C (SIGINT) and SIGTERM only set ``requested``; a second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.requested = False
        self._since = 0.0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.requested:
            self.requested, self._since = True, time.monotonic()
            log.info("finishing this step and writing a checkpoint; Ctrl-C again stops at once")
        elif number == signal.SIGINT and time.monotonic() - self._since > AGAIN_SECONDS:
            raise KeyboardInterrupt("at once, without a new checkpoint")
