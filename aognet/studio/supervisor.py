"""Starts the web process and the workers, and starts those again that end before they are told to."""

import logging
import signal
import subprocess
import time
from collections.abc import Sequence
from threading import Event

from aognet.studio.children import environment

log = logging.getLogger(__name__)
PAUSE_SECONDS, MOST_SECONDS = 0.5, 30.0
MISTAKE = 2  # exit code


class Supervisor:
    """Keeps processes running. They end when it ends, in whatever way: each reads a pipe from it."""

    def __init__(self, commands: dict[str, Sequence[str]]):
        """``commands``: what each process runs, by the name that the log says."""
        self.commands = commands
        self._running: dict[str, subprocess.Popen] = {}
        self._stop = Event()

    def run(self) -> int:
        """Keep all processes running until this one is told to end; return the exit code.

        If a process ends with a mistake of the user's right after the start, all end.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        pauses = dict.fromkeys(self.commands, PAUSE_SECONDS)
        begun, due = {}, dict.fromkeys(self.commands, 0.0)
        started = time.monotonic()
        while not self._stop.is_set():
            now = time.monotonic()
            for name, command in self.commands.items():
                process = self._running.get(name)
                if process is not None and process.poll() is not None:
                    if process.returncode == MISTAKE and now - started < MOST_SECONDS:  # it said what is wrong
                        self._end()
                        return MISTAKE
                    lived = now - begun[name]
                    pauses[name] = PAUSE_SECONDS if lived > MOST_SECONDS else min(pauses[name] * 2, MOST_SECONDS)
                    log.warning("%s ended (%s); it is started again in %.1f s", name, process.returncode, pauses[name])
                    due[name] = now + pauses[name]
                    self._close(self._running.pop(name))
                if name not in self._running and now >= due[name]:
                    begun[name] = now
                    self._running[name] = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment())
            self._stop.wait(0.1)
        self._end()
        return 0

    def _end(self) -> None:
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
            self._close(process)

    @staticmethod
    def _close(process: subprocess.Popen) -> None:
        if process.stdin is not None:
            process.stdin.close()


def end_with_parent() -> None:
    """End this process when the other end of its standard input is closed: the one that started it is gone."""
    import os
    from threading import Thread

    def wait() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(20)
        os._exit(1)

    Thread(target=wait, name="parent", daemon=True).start()
