"""What is kept: names, broken files, threads, and how much outlives a run."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from aognet.errors import UserError
from aognet.evaluation.protocol import digest_of
from aognet.evaluation.store import Store, digest_of_content

TENSORS = {"a": torch.arange(6).view(2, 3), "b": torch.tensor(0.25, dtype=torch.float64)}


@pytest.mark.parametrize("name", ["er", "caf\udce9", "line\nfeed"])
def test_what_is_put_is_there(name: str, tmp_path: Path) -> None:
    Store(tmp_path / "deep" / name).put("key", TENSORS | {"c": torch.eye(3)[:, :2]})
    store = Store(tmp_path / "deep" / name)
    found = store.get("key")
    assert store.has("key") and found.keys() == {"a", "b", "c"}
    assert all(torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in TENSORS.items())
    assert store.get("other") is None and not store.has("other")
    assert [path.name for path in store.folder.iterdir()] == ["key.safetensors"]


@pytest.mark.parametrize("keep", [0, 5, 40, -1])
def test_a_broken_file_is_as_if_it_had_never_been(tmp_path: Path, keep: int) -> None:
    store = Store(tmp_path)
    store.put("key", TENSORS)
    path = tmp_path / "key.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    assert store.get("key") is None
    assert not store.has("key")
    store.put("key", TENSORS)
    assert store.get("key") is not None


def test_threads_may_put_one_name_at_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: store.put("key", {"a": torch.zeros(20_000)}), range(100)))
    assert [path.name for path in tmp_path.iterdir()] == ["key.safetensors"]


def test_pruning_takes_what_this_run_did_not_use_oldest_first(tmp_path: Path) -> None:
    before, keys = Store(tmp_path), {name: digest_of(name) for name in ("newest", "used", "old", "older", "own")}
    for age, name in enumerate(("newest", "used", "old", "older")):
        before.put(keys[name], {"a": torch.zeros(2500)})
        os.utime(tmp_path / f"{keys[name]}.safetensors", (1e9 - age, 1e9 - age))
    (tmp_path / "mine.txt").write_text("not of the store")
    store = Store(tmp_path, gigabytes=25_000 / 2**30)
    assert store.get(keys["used"]) is not None
    store.put(keys["own"], TENSORS)
    store.prune()
    assert {path.stem for path in tmp_path.iterdir()} == {keys["newest"], keys["used"], keys["own"], "mine"}
    Store(tmp_path, gigabytes=0.0).prune()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_place_that_cannot_be_a_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--cache: cannot make .*file"):
        Store(tmp_path / "file")
    with pytest.raises(UserError, match="--cache: cannot make"):
        Store(tmp_path / "file" / "below")


def test_the_default_is_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AOGNET_CACHE", str(tmp_path))
    assert Store().folder == tmp_path / "evaluation"


def test_contents_are_told_apart() -> None:
    assert len({digest_of_content(content) for content in (b"", b"a", b"b", b"ab")}) == 4
    assert digest_of_content(b"a") == digest_of_content(b"a")
