"""What is kept: names, damaged files, threads and processes, and how much outlives a run."""

import os
import random
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

from aognet.errors import UserError
from aognet.io.digest import content_digest, file_digest, pieces_digest
from aognet.io.store import TENSORS, CacheConfig, Store

TENSORS_KEPT = {"a": torch.arange(6).view(2, 3), "b": torch.tensor(0.25, dtype=torch.float64)}
ROOT = Path(__file__).resolve().parents[2]
HOLDER = """
import sys, time
from aognet.io.store import TENSORS, CacheConfig, Store
with Store(CacheConfig(sys.argv[1], 0.0), TENSORS).held():
    print("held", flush=True)
    time.sleep(60)
"""


def store_in(folder: Path, gigabytes: float = 1.0) -> Store[Mapping[str, Tensor]]:
    return Store(CacheConfig(str(folder), gigabytes), TENSORS)


CROWD = """
import random, sys
import torch
from aognet.io.store import TENSORS, CacheConfig, Store
draw, store = random.Random(int(sys.argv[2])), Store(CacheConfig(sys.argv[1], 40_000 / 2**30), TENSORS)
store.started += 1e9  # as of a later run, to which the others' values are unused ones
hits = 0
for _ in range(150):
    number = draw.randrange(24)
    found = store.get(f"{number:032x}")
    if found is None:
        store.offer(f"{number:032x}", {"a": torch.full((1000,), float(number))})
    else:
        hits += 1
        assert found["a"].eq(number).all() and len(found["a"]) == 1000
print(hits)
"""


def key_of(name: str) -> str:
    return content_digest(name.encode())


def age(folder: Path) -> None:
    """As if all there were of long ago."""
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))


@pytest.mark.parametrize("name", ["er", "caf\udce9", "line\nfeed"])
def test_what_is_put_is_there(name: str, tmp_path: Path) -> None:
    store_in(tmp_path / "deep" / name).put("key", TENSORS_KEPT | {"c": torch.eye(3)[:, :2]})
    store = store_in(tmp_path / "deep" / name)
    found = store.get("key")
    assert found.keys() == {"a", "b", "c"}
    for key, value in TENSORS_KEPT.items():
        assert torch.equal(found[key], value) and found[key].dtype == value.dtype
    assert store.get("other") is None
    assert [path.name for path in store.folder.iterdir()] == ["key.safetensors"]


@pytest.mark.parametrize("keep", [0, 5, 40, -1])
def test_a_torn_file_is_as_if_it_had_never_been(tmp_path: Path, keep: int) -> None:
    store = store_in(tmp_path)
    store.put("key", TENSORS_KEPT)
    path = tmp_path / "key.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    assert store.get("key") is None
    store.put("key", TENSORS_KEPT)
    assert store.get("key") is not None


def test_no_damage_is_more_than_a_miss(tmp_path: Path) -> None:
    """Any byte of the header may have any value: what comes back are tensors, or nothing."""
    store, draw = store_in(tmp_path), random.Random(0)
    store.put("key", TENSORS_KEPT)
    path = tmp_path / "key.safetensors"
    whole = path.read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] = draw.randrange(256)
        path.write_bytes(damaged)
        found = store.get("key")
        assert found is None or all(isinstance(value, Tensor) for value in found.values())
    path.write_bytes(whole.replace(b"F64", b"F8_"))
    assert store.get("key") is None


def test_threads_may_put_one_name_at_once(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: store.put("key", {"a": torch.zeros(20_000)}), range(100)))
    assert [path.name for path in tmp_path.iterdir()] == ["key.safetensors"]


def test_what_this_run_did_not_use_goes_oldest_first(tmp_path: Path) -> None:
    before, keys = store_in(tmp_path), {name: key_of(name) for name in ("newest", "used", "old", "older", "own")}
    for number, name in enumerate(("newest", "used", "old", "older")):
        before.put(keys[name], {"a": torch.zeros(2500)})
        os.utime(tmp_path / f"{keys[name]}.safetensors", (1e9 - number, 1e9 - number))
    (tmp_path / "mine.txt").write_text("not of the store")
    store = store_in(tmp_path, gigabytes=25_000 / 2**30)
    with store.held():
        assert store.get(keys["used"]) is not None
        store.put(keys["own"], TENSORS_KEPT)
        assert len(list(tmp_path.iterdir())) == 6
    assert {path.stem for path in tmp_path.iterdir()} == {keys["newest"], keys["used"], keys["own"], "mine"}
    age(tmp_path)
    store_in(tmp_path, gigabytes=0.0).make_room()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_nothing_goes_while_anyone_holds_the_folder(tmp_path: Path) -> None:
    """Two runs, the second without any room: what the first measured is there until it ends, and then goes."""
    first, second = store_in(tmp_path, 0.0), store_in(tmp_path, 0.0)
    with first.held():
        first.put(key_of("first"), TENSORS_KEPT)
        age(tmp_path)
        with second.held():
            second.make_room(10)
        second.offer(key_of("second"), TENSORS_KEPT)
        assert first.get(key_of("first")) is not None
        age(tmp_path)
    assert not list(tmp_path.iterdir())


def test_another_process_holds_until_it_is_killed(tmp_path: Path) -> None:
    store = store_in(tmp_path, 0.0)
    store.put(key_of("a"), TENSORS_KEPT)
    age(tmp_path)
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    other = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "held\n"
        store.make_room()
        assert len(list(tmp_path.iterdir())) == 1
    finally:
        other.kill()
        other.communicate()
    store.make_room()
    assert not list(tmp_path.iterdir())


def test_a_crowd_of_processes_reads_whole_values_or_none(tmp_path: Path) -> None:
    """They write the same few values and remove each other's, since only some of them have room."""
    commands = [[sys.executable, "-c", CROWD, str(tmp_path / "store"), str(seed)] for seed in range(2)]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for command in commands]
    hits = [int(process.communicate(timeout=100)[0]) for process in running]
    assert [process.returncode for process in running] == [0, 0] and min(hits) > 5
    sizes = [path.stat().st_size for path in (tmp_path / "store").iterdir()]
    assert 1 <= len(sizes) < 20 and sum(sizes) < 2 * 40_000


def test_an_error_removes_nothing_and_lets_go(tmp_path: Path) -> None:
    store = store_in(tmp_path, 0.0)
    store.put(key_of("a"), TENSORS_KEPT)
    age(tmp_path)
    with pytest.raises(RuntimeError), store.held():
        raise RuntimeError
    assert len(list(tmp_path.iterdir())) == 1
    store.make_room()
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_a_folder_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        store = store_in(folder)
        with pytest.raises(UserError, match="cannot make this folder"):
            store.put("key", TENSORS_KEPT)
        for _ in range(2):
            store.offer("key", TENSORS_KEPT)
        assert store.get("key") is None
    assert caplog.text.count("nothing is kept: ") == 2


def test_without_a_folder_nothing_is_kept() -> None:
    store = Store(CacheConfig(None), TENSORS)
    store.offer("key", TENSORS_KEPT)
    assert store.get("key") is None


def test_contents_are_told_apart(tmp_path: Path) -> None:
    contents = (b"", b"a", b"b", b"ab")
    assert len({content_digest(content) for content in contents}) == 4
    path = tmp_path / "a"
    for digest in (file_digest, pieces_digest):
        found = []
        for number, content in enumerate(contents):
            path.write_bytes(content)
            os.utime(path, (number, number))
            found.append(digest(path))
        assert len(set(found)) == 4 and digest(path) == found[-1]


def test_digests_are_those_of_runs_and_models_that_are_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aognet.io.digest.PIECE_BYTES", 2)
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    # printf ab | sha256sum, printf c | sha256sum, both as bytes through sha256sum.
    assert pieces_digest(tmp_path / "a") == "115323e562c4a4fdf7ceacedca660dc4bbe1389dab9323aad08440907c7426d0"
    assert content_digest(b"abc") == "cf4ab791c62b8d2b2109c90275287816"


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    expected = [digest(path) for digest in (file_digest, pieces_digest)]

    def refuse(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(Path, "open", refuse)
    assert [digest(path) for digest in (file_digest, pieces_digest)] == expected
