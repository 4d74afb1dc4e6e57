"""Text and JSON of strangers: whatever is wrong with a file is one line that names it."""

import ast
import os
from pathlib import Path

import pytest

from aognet.errors import UserError
from aognet.io.text_files import read_json, read_text

ROOT = Path(__file__).resolve().parents[2]
# Files of our own, whose readers say what follows from a damaged one.
OWN = {
    *("aognet/training/checkpoint.py", "aognet/generate/journal.py", "aognet/provenance.py"),
    "aognet/evaluation/sets.py",
}
BROKEN = {
    "not JSON": [b"", b"{", b"[" * 100_000, b"{" * 9, b'{"a": NaN', b"1" * 5000],
    "UTF-8": [b"\xff\xfe{", b'{"a": "\xe9"}'],
    "expected an object": [b"[]", b"3", b"null", b'"a"'],
    "larger than 1048576 bytes, this has 1048577": [b" " * (2**20 + 1)],
}


@pytest.mark.parametrize(("said", "content"), [(said, content) for said, some in BROKEN.items() for content in some])
def test_what_is_wrong_with_json_is_one_line(said: str, content: bytes, tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: ") and said in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["missing", "folder", "n" * 300, "a\0b", "caf\udce9"])
def test_files_that_are_not_there(name: str, tmp_path: Path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="no such list"):
        read_text(tmp_path / name, "list", 10)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a").write_text("text")

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(UserError, match=r"a: this list cannot be read \(Permission denied\)"):
        read_text(tmp_path / "a", "list", 10)


def test_what_is_right_comes_back(tmp_path: Path):
    (tmp_path / "a").write_bytes('\ufeff{"é": [1, "\u2028"]}\r\n'.encode())
    assert read_json(tmp_path / "a") == {"é": [1, "\u2028"]}
    assert read_text(tmp_path / "a", "list", 99) == '{"é": [1, "\u2028"]}\n'


def test_nobody_else_reads_json_of_a_whole_file():
    """Whoever does forgets a bound, or one of the errors: JSON nested without end is none of ValueError."""
    for path in sorted((ROOT / "aognet").rglob("*.py")):
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        reading = [call for call in calls if ast.unparse(call.func) in ("json.loads", "json.load")]
        whole = [call for call in reading if "read_" in ast.unparse(call)]
        name = path.relative_to(ROOT).as_posix()
        assert not whole or name in OWN | {"aognet/io/text_files.py"}, f"{name} reads JSON: read_json does"
