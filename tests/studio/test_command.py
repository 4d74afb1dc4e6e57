"""What a user gets wrong when the studio is started: one clear line, and nothing is started again and again."""

import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aognet.commands.studio import main, parse
from aognet.errors import UserError
from aognet.studio.supervisor import Supervisor


@pytest.fixture
def signals() -> Iterator[None]:
    """What a supervisor changes of this process is as before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("words", "part", "overrides"),
    [
        ([], "serve", []),
        (["workers.count=2"], "serve", ["workers.count=2"]),
        (["worker", "workers.count=2"], "worker", ["workers.count=2"]),
        (["web", "-b", "config/studio.yaml", "port=1"], "web", ["port=1"]),
    ],
)
def test_a_part_and_settings_in_any_number(words: list[str], part: str, overrides: list[str]):
    options = parse(words)
    assert (options.part, options.overrides) == (part, overrides)


@pytest.mark.parametrize("words", [["webb"], ["web", "worker"]])
def test_other_words_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        parse(words)
    assert ended.value.code == 2 and "expects one of serve, web, worker" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(tiny_studio_yaml: Path, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--port of 127.0.0.1 cannot be listened on .*got {port}"):
            main(["web", "-b", str(tiny_studio_yaml), "--port", str(port), "--folder", str(tmp_path / "new")])
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("part", ["serve", "web", "worker"])
def test_a_folder_that_cannot_be_is_named(part: str, tiny_studio_yaml: Path, tmp_path: Path):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "studio"
    with pytest.raises(UserError, match=f"--folder {folder}: cannot make this folder"):
        main([part, "-b", str(tiny_studio_yaml), "--folder", str(folder)])


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://bucket/studio", "--storage needs a further package .*s3fs.*, got 's3://bucket/studio'"),
        ("file:///proc/none", "--storage cannot be written to .*, got 'file:///proc/none'"),
        ("memory://studio", "--storage is forgotten with each process, got 'memory://studio'"),
        ("/mnt/share", "storage must be a URL, such as s3://bucket/studio .*, got '/mnt/share'"),
    ],
)
def test_storage_that_cannot_be_used_is_named(url: str, said: str, tiny_studio_yaml: Path, tmp_path: Path):
    with pytest.raises(UserError, match=said):
        main(["serve", "-b", str(tiny_studio_yaml), "--folder", str(tmp_path / "new"), "--storage", url])
    assert not (tmp_path / "new").exists()


def test_a_mistake_ends_all_processes(signals: None, tmp_path: Path):
    waits = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    wrong = [sys.executable, "-c", f"open({str(tmp_path / 'tries')!r}, 'a').write('x'); raise SystemExit(2)"]
    assert Supervisor({"one": waits, "other": wrong}).run() == 2
    assert (tmp_path / "tries").read_text() == "x"
