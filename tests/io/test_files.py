"""Files and folders of others stay: caches and commands remove what is theirs alone."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from aognet.data.cache import PanoramaCache
from aognet.diffusion.encodings import EncodingCache
from aognet.errors import UserError
from aognet.evaluation.protocol import digest_of
from aognet.io.files import (
    clear_unfinished,
    filled_folder,
    is_file,
    is_folder,
    made_folder,
    replace_folder,
    write_atomically,
)
from aognet.io.store import TENSORS, CacheConfig, Store
from aognet.nn.weights import write_tensors

FOREIGN = (
    *("model.safetensors", "a.bin", "notes.txt", "download.tmp", ".model.safetensors.7-8.tmp", ".hidden", "x.bin.tmp"),
    *("0123456789abcdef.safetensors", f"{'0' * 33}.safetensors", f"{'0' * 32}.bin", f"{'0' * 32}-1.bin.bak"),
    *(f"{'0' * 32}.safetensors.7-8.tmp", f"{'0' * 64}", f"{'G' * 32}.safetensors", f"{'0' * 31}-512.bin"),
)
LONG_AGO = 1e9


def fill_panoramas(folder: Path, number: int) -> None:
    image = folder.parent / f"image-{number}.png"
    Image.fromarray(np.full((16, 32, 3), number, np.uint8)).save(image)
    PanoramaCache(CacheConfig(folder=str(folder), gigabytes=12_000 / 2**30), 16).get(image)


def fill_encodings(folder: Path, number: int) -> None:
    cache = EncodingCache(CacheConfig(folder=str(folder), gigabytes=12_000 / 2**30), torch.nn.Linear(1, 1))
    images = torch.full((1, 3, 8, 8), number / 8)
    cache.encoded(images, lambda rows: (rows.repeat(1, 1, 2, 2),), torch.device("cpu"))


def fill_store(folder: Path, number: int) -> None:
    store = Store(CacheConfig(str(folder), 12_000 / 2**30), TENSORS)
    with store.held():
        store.put(digest_of(number), {"a": torch.zeros(1000)})


@pytest.mark.parametrize("fill", [fill_panoramas, fill_encodings, fill_store])
def test_caches_remove_what_they_wrote_and_nothing_else(tmp_path: Path, fill: Callable[[Path, int], None]):
    folder = tmp_path / "cache"
    folder.mkdir()
    for name in FOREIGN:
        (folder / name).write_bytes(name.encode() * 5000)  # whatever is there, the cache's own bound is for its own
    foreign = {path: path.read_bytes() for path in folder.iterdir()}
    kept: set[Path] = set()
    for number in range(8):
        fill(folder, number)
        for path in folder.iterdir():
            os.utime(path, (LONG_AGO, LONG_AGO))
        if number == 0:
            (own,) = set(folder.iterdir()) - foreign.keys()
            abandoned = own.with_name(f".{own.name}.7-8.tmp")
            abandoned.write_bytes(b"half")
            os.utime(abandoned, (LONG_AGO, LONG_AGO))
        kept |= set(folder.iterdir()) - foreign.keys()
    assert {path: path.read_bytes() for path in foreign} == foreign
    assert not abandoned.exists()
    ours = set(folder.iterdir()) - foreign.keys()
    assert 1 <= len(ours) < len(kept) - 2, "the oldest of its own had to go"


def test_an_empty_folder_goes_with_the_error_and_those_above_it_that_were_made(tmp_path: Path):
    for folder in (tmp_path / "a", tmp_path / "b" / "c" / "d"):
        with pytest.raises(RuntimeError), made_folder(folder):
            assert folder.is_dir()
            raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_what_was_there_or_holds_something_stays(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(KeyboardInterrupt), made_folder(tmp_path / "empty"):
        raise KeyboardInterrupt
    with pytest.raises(RuntimeError), made_folder(tmp_path / "a" / "b"):
        (tmp_path / "a" / "mine.txt").write_text("")
        raise RuntimeError
    with made_folder(tmp_path / "c"):
        (tmp_path / "c" / "result.txt").write_text("")
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == ["a", "a/mine.txt", "c", "c/result.txt", "empty"]


@pytest.mark.parametrize("name", ["file", "file/below", "dangling", "n" * 300, "a\0b"])
def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, name: str):
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "else")
    with (
        pytest.raises(UserError, match="^--out_dir .*cannot make this folder"),
        made_folder(tmp_path / "new" / ".." / name, "--out_dir"),
    ):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "file"]


def test_only_named_leftovers_of_killed_writers_are_cleared(tmp_path: Path):
    names = (".a.png.1-2.tmp", ".b.png.1-2.tmp", "a.png.1-2.tmp", ".a.png.tmp", ".a.png.1-2.tmp.bak", "a.png")
    for name in names:
        (tmp_path / name).write_text("")
    clear_unfinished(tmp_path, lambda name: name == "a.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])
    clear_unfinished(tmp_path / "missing", lambda name: True)


def test_what_a_kill_leaves_is_what_is_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("aognet.io.files.flush", killed)
        patched.setattr("pathlib.Path.unlink", killed)
        write_atomically(tmp_path / "name with\nanything.png", b"")
    assert len(list(tmp_path.iterdir())) == 1
    clear_unfinished(tmp_path, lambda name: name == "name with\nanything.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127 + "a", "x" * 240 + ".png", "\udce9" * 255])
def test_the_longest_names_are_written(name: str, tmp_path: Path):
    assert len(os.fsencode(name)) in (244, 255)
    write_atomically(tmp_path / name, "content")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a" * 256, "nul\0", "\ud800"])
def test_names_that_no_file_can_have_are_one_line(name: str, tmp_path: Path):
    with pytest.raises(UserError, match="cannot write this file") as caught:
        write_atomically(tmp_path / name, "content")
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())
    assert not is_file(tmp_path / name) and not is_folder(tmp_path / name)


def test_half_characters_come_back_from_json(tmp_path: Path):
    names = ["caf\udce9.png", "日本", "line\u2028break"]
    write_atomically(tmp_path / "a.json", json.dumps(names, ensure_ascii=False))
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == names


def test_a_folder_is_filled_at_once_or_not_at_all(tmp_path: Path):
    final = tmp_path / "deep" / "out"
    with pytest.raises(ZeroDivisionError), filled_folder(final) as unfinished:
        (unfinished / "a").write_text("new")
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
    for content in ("new", "newer"):
        with filled_folder(final) as unfinished:
            (unfinished / "below").mkdir()
            (unfinished / "below" / "a").write_text(content)
            assert not final.exists() or (final / "below" / "a").read_text() == "new"
        assert (final / "below" / "a").read_text() == content
        (final / "mine").write_text("mine")
    assert {path.name for path in final.iterdir()} == {"below", "mine"}
    assert [path.name for path in final.parent.iterdir()] == ["out"]


def test_a_folder_that_cannot_be_filled_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "out" / "a").mkdir(parents=True)
    impossible = {
        "file": "file/a: cannot write",
        "a\0b": "cannot make",
        "n" * 300: "File name too long",
        "out": "out/a: ",
    }
    for name, said in impossible.items():
        with pytest.raises(UserError, match=said) as caught, filled_folder(tmp_path / name) as unfinished:
            (unfinished / "a").write_text("new")
        assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "out"]
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(sys.platform == "win32", reason="has other permissions")
def test_who_may_read_a_folder_may_read_its_weights(tmp_path: Path):
    """safetensors makes files for their owner alone; a model is often for a group."""
    before = os.umask(0o027)
    try:
        for name in ("whole", "replaced", "filled"):
            (tmp_path / name / "part").mkdir(parents=True)
            save_file({"one": torch.zeros(2)}, tmp_path / name / "part" / "raw.safetensors")
            write_tensors(tmp_path / name / "model.safetensors", {"one": torch.zeros(2)})
        replace_folder(tmp_path / "replaced", tmp_path / "final")
        with filled_folder(tmp_path / "out") as unfinished:
            save_file({"one": torch.zeros(2)}, unfinished / "raw.safetensors")
    finally:
        os.umask(before)
    paths = ["whole/model.safetensors", "final/part/raw.safetensors", "final/model.safetensors", "out/raw.safetensors"]
    assert {oct((tmp_path / path).stat().st_mode & 0o777) for path in paths} == {"0o640"}
