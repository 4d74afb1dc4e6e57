"""Whatever a file's name, a prompt or an error says, a terminal is not commanded by it."""

import io
import logging
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import rich
from rich.console import Console

from aognet import cli
from aognet.errors import UserError
from aognet.system.terminal import VisibleFormatter, visible

ROOT = Path(__file__).resolve().parents[2]
EVIL = "a\x1b]0;owned\x07\x1b[2J\r\x9b31m\u202egnp.jpg\u2028\x7f\udcff\nb"


@pytest.mark.parametrize("text", ["", "hall/01 é 日本 👩\u200d🚀.png", "C:\\photos", "[red]x[/red]"])
def test_what_is_harmless_stays(text: str):
    assert visible(text) == text


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, 0x202E, 0x2066, 0xDC80, 0xDFFF])
def test_what_commands_is_escaped(code: int):
    shown = visible(f"a{chr(code)}b")
    assert shown.isprintable() and shown.startswith("a") and shown.endswith("b")
    shown.encode()


def assert_harmless(shown: str) -> None:
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e\udc80-\udfff]", shown), repr(shown)
    assert "owned" in shown and "x1b" in shown


def formatted(record: logging.LogRecord) -> str:
    return VisibleFormatter("%(asctime)s %(levelname)s %(message)s").format(record)


def test_log_lines_are_single_lines():
    record = logging.LogRecord("aognet", logging.WARNING, "x", 1, "%s: broken", (EVIL,), None)
    assert_harmless(formatted(record))
    assert "\n" not in formatted(record)


def test_tracebacks_keep_their_lines():
    try:
        raise ValueError(EVIL)
    except ValueError:
        record = logging.LogRecord("aognet", logging.ERROR, "x", 1, "bug", (), sys.exc_info())
    assert_harmless(formatted(record))
    assert formatted(record).count("\n") > 2


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is written to the terminal, without colours."""
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=200)
    monkeypatch.setattr(rich, "_console", console)
    monkeypatch.setattr(rich, "reconfigure", lambda **options: None)
    before = logging.getLogger().handlers[:]
    yield console.file
    logging.getLogger().handlers[:] = before


def test_errors_and_log_lines_on_a_terminal(shown: io.StringIO):
    def main(arguments: object) -> None:
        logging.getLogger("aognet.test").warning("%s: [bold]broken", EVIL)
        raise UserError(f"{EVIL}: no such file [/bold]")

    with pytest.raises(SystemExit) as stopped:
        cli.run(main)
    assert stopped.value.code == 2
    assert_harmless(shown.getvalue())
    assert "[/bold]" in shown.getvalue() and "[bold]broken" in shown.getvalue()


def test_progress_bars(shown: io.StringIO):
    with cli.progress_bars(f"{EVIL}[/red]") as listener:
        listener.tell("views", 1, 2)
    moved = re.sub("\x1b\\[[\\d;?]*[A-Za-z]|\r", "", shown.getvalue())  # how bars are drawn anew
    assert_harmless(moved)
    assert "[/red]" in moved


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_command_on_a_terminal(tmp_path: Path):
    ours, theirs = pty.openpty()
    name = os.fsencode(tmp_path) + b"/a\x1b]0;owned\x07.yaml"
    ran = subprocess.run([sys.executable, ROOT / "inference.py", "-b", name], stdout=theirs, stderr=theirs, timeout=60)
    os.close(theirs)
    said = os.read(ours, 65536)
    os.close(ours)
    assert ran.returncode == 2
    assert b"\\x1b]0;owned\\x07" in said and b"\x1b]0" not in said and b"\x07" not in said
