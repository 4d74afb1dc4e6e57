"""Whatever files are called, their panoramas' folders have names that any file system takes and tells apart."""

import unicodedata
from pathlib import Path

import pytest

from aognet.errors import UserError
from aognet.generate.inputs import InputsConfig, list_requests
from aognet.generate.names import MAX_BYTES, safe_name, unique_names
from aognet.io.images import save_image
from aognet.request import Request
from tests.generate.painter import smooth_photo

HARD = [
    "", ".", "..", "...", ". .", " a ", "a. .", ".hidden", "a/b", "../x", "a\\b", "C:x", "a\nb", "a\0b", "\x1b[31mred",
    "a\u2028b", "caf\udce9", "con", "NUL", "aux.tar", "com1", "LPT9.x", "what?*", "x" * 300, "ü" * 200, "日" * 100,
    "🌲" * 80 + ".", "a" * 199 + " b",
]  # fmt: skip


@pytest.mark.parametrize("name", HARD)
def test_any_name_becomes_a_plain_folder(tmp_path: Path, name: str) -> None:
    safe = safe_name(name)
    assert safe_name(safe) == safe
    assert 0 < len(safe.encode()) <= MAX_BYTES
    assert not any(letter in '<>:"/\\|?*' or unicodedata.category(letter) in ("Cc", "Cs") for letter in safe)
    assert safe[0] not in ". " and safe[-1] not in ". "
    (tmp_path / f".{safe}.4194304-140737488355328.tmp").write_text("")  # as unfinished files are called
    (tmp_path / safe).mkdir()
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {safe}


@pytest.mark.parametrize("name", ["beach", "Café 3", "a.b", "01", "日本 🌲", "-x", "x" * MAX_BYTES])
def test_a_plain_name_stays(name: str) -> None:
    assert safe_name(name) == name


def test_no_file_system_takes_two_for_one() -> None:
    names = unique_names(["a", "A", "a-2", "é", "e\u0301", "x" * 300, "x" * 301, "ß", "SS", *HARD])
    folded = {unicodedata.normalize("NFD", name).casefold() for name in names}
    assert len(folded) == len(names) and names[:3] == ["a", "A-3", "a-2"]
    assert all(len(name.encode()) <= 255 for name in names)


def test_photos_of_hard_names_stay_inside_the_output_folder(tmp_path: Path) -> None:
    for name in ("...png", ".. .png", "con.png", "CON.jpg", "é" * 100 + ".png"):
        save_image(smooth_photo(30, 40), tmp_path / name)
    photos = [str(path) for path in sorted(tmp_path.iterdir())]
    jobs = list_requests(InputsConfig(photos=photos), Request())
    for prefix in (None, "run"):
        jobs = list_requests(InputsConfig(photos=photos, name=prefix), Request())
        assert len({job.name for job in jobs}) == 5
        assert all((tmp_path / "out" / job.name).resolve().parent == tmp_path / "out" for job in jobs)


@pytest.mark.parametrize("name", [name for name in HARD if safe_name(name) != name])
def test_a_name_that_was_asked_for_is_not_changed_but_refused(name: str) -> None:
    with pytest.raises(UserError, match="name must be a plain folder name, such as "):
        InputsConfig(name=name)
