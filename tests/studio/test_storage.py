"""Files are kept, found by other machines, and removed in the same way wherever the storage is."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

from aognet.errors import UserError
from aognet.io.files import write_atomically
from aognet.request import Photo, Request
from aognet.studio import shared_storage
from aognet.studio.config import ModelEntry, StudioConfig
from aognet.studio.shared_storage import SharedStorage, make_storage
from aognet.studio.storage import Storage, StorageError, linked
from tests.slow import rest_slow

JOB = "0123abcd"
KINDS = ("folder", "memory", "file")
Machines = Callable[[str], Storage]
"""Gives the storage as a machine of some name has it."""


@pytest.fixture(params=KINDS)
def machines(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machines]:
    """Machines that share a folder, or storage in memory or below a file URL and nothing else."""
    url = {"folder": "", "memory": f"memory://{tmp_path.name}/a b", "file": f"file://{tmp_path}/share"}[request.param]

    def machine(name: str) -> Storage:
        folder = tmp_path / ("one" if request.param == "folder" else name)
        folder.mkdir(exist_ok=True)
        models = {"x": ModelEntry("x.yaml")}
        return make_storage(StudioConfig(folder=str(folder), storage=url, models=models))

    yield machine
    fsspec.filesystem("memory").store.clear()


sharing = pytest.mark.parametrize("machines", KINDS[1:], indirect=True)
"""For machines that do not share a folder."""


def read(storage: Storage, place: str) -> bytes:
    with storage.open(place) as file:
        return file.read()


def painted(folder: Path, views: int) -> None:
    """A run's files, as a journal writes them: views, then the journal that names them."""
    (folder / "steps").mkdir(exist_ok=True)
    (folder / "faces").mkdir(exist_ok=True)
    for number in range(views):
        if not (folder / f"steps/{number:03d}.png").exists():
            write_atomically(folder / f"steps/{number:03d}.png", f"view {number}")
    write_atomically(folder / "run.json", json.dumps({"steps": views}))


def test_an_upload_is_found_by_every_machine(machines: Machines):
    one, other = machines("a"), machines("b")
    one.check()
    with one.desk() as desk:
        (desk.inputs / "image.png").write_bytes(b"picture")
        one.put(desk.inputs / "image.png", "uploads/ab.png")
    assert read(other, "uploads/ab.png") == b"picture"
    with other.desk() as desk:
        path = desk.upload("ab.png")
        assert path.read_bytes() == b"picture"
        assert not desk.upload("none.png").exists()
    with pytest.raises(FileNotFoundError):
        other.open("uploads/none.png")
    assert not [path for path in other.root.rglob("*") if path.name.startswith("desk-")]


def test_another_machine_goes_on_from_what_was_pushed(machines: Machines):
    one, other = machines("a"), machines("b")
    place, folder = one.begin(JOB, 1, None)
    painted(folder, 2)
    (folder / ".run.json.7-1.tmp").write_text("half")
    one.push(place)
    if other.root != one.root:
        shutil.rmtree(one.root)  # it burned down
    there, path = other.begin(JOB, 2, place)
    assert (there, path) == other.begin(JOB, 2, place), "this holder tries again"
    assert [(path / f"steps/00{number}.png").read_text() for number in range(2)] == ["view 0", "view 1"]
    assert (path / "faces").is_dir(), "also folders that are empty still"
    assert read(other, f"{there}/run.json") == b'{"steps": 2}'
    painted(path, 3)
    write_atomically(path / "result.png", "all")
    other.push(there, whole=True)
    third = machines("c")
    other.settle(JOB, there)
    for storage in (third, other):
        assert read(storage, f"{there}/steps/001.png") == b"view 1"
        assert read(storage, f"{there}/steps/002.png") == b"view 2"
        assert read(storage, f"{there}/run.json") == b'{"steps": 3}'
    with pytest.raises(FileNotFoundError):
        third.open(f"{place}/run.json")
    with pytest.raises(FileNotFoundError):
        third.open(f"{there}/steps/003.png")


def test_what_is_removed_leaves_nothing(machines: Machines, tmp_path: Path):
    storage = machines("a")
    place, folder = storage.begin(JOB, 1, None)
    desk = storage.job_desk(place)
    mask = desk.drawn(JOB, "mask.png", lambda path: path.write_text("mask"))
    assert mask.read_text() == "mask" and read(machines("b"), f"inputs/{JOB}/mask.png") == b"mask"
    painted(folder, 1)
    storage.push(place)
    storage.settle(JOB, None)
    storage.settle(JOB, None)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not fsspec.filesystem("memory").store
    with pytest.raises(FileNotFoundError):
        storage.open(f"{place}/run.json")


def test_what_was_drawn_for_an_answer_is_gone(machines: Machines):
    storage = machines("a")
    with storage.desk() as desk:
        mask = desk.drawn(JOB, "mask.png", lambda path: path.write_text("mask"))
        assert mask.read_text() == "mask"
    assert not mask.exists()
    with pytest.raises(FileNotFoundError):
        storage.open(f"inputs/{JOB}/mask.png")


def test_files_of_an_earlier_run_are_found_where_they_are_now(machines: Machines):
    """The request says where they were on the machine that painted them."""
    one, other = machines("a"), machines("b")
    place, folder = one.begin(JOB, 3, None)
    painted(folder, 1)
    one.push(place)
    for name in ("uploads/ab.png", f"inputs/{JOB}/mask.png"):
        (one.root / "x").write_text(name)
        one.put(one.root / "x", name)
    earlier = f"/elsewhere/runs/{JOB}/1/panorama/steps/000.png"  # by an earlier holder of the same job
    with other.desk() as desk:
        found = desk.brought(Request(panorama=earlier, mask=f"/else where/inputs/{JOB}/mask.png"), place)
        assert found.panorama is not None and Path(found.panorama).read_text() == "view 0"
        assert found.mask is not None and Path(found.mask).read_text() == f"inputs/{JOB}/mask.png"
        found = desk.brought(Request(photos=[Photo(image="/runs/0/uploads/ab.png")]), place)
        assert Path(found.photos[0].image).read_text() == "uploads/ab.png"
        for path in (f"/x/runs/{JOB}/1/panorama/../../../../a.png", "/etc/passwd", "/x/uploads/../a.png"):
            assert desk.brought(Request(panorama=path), place).panorama == path


def shared(machines: Machines, name: str) -> SharedStorage:
    storage = machines(name)
    assert isinstance(storage, SharedStorage)
    return storage


@sharing
def test_a_push_that_was_cut_short_is_not_seen(machines: Machines):
    one, other = shared(machines, "a"), shared(machines, "b")
    place, folder = one.begin(JOB, 1, None)
    painted(folder, 1)
    one.push(place)
    painted(folder, 2)
    one.push(place)
    (latest,) = [path for path in one._system.find(one._path(place)) if path.endswith("manifests/000003.json")]
    content = one._system.cat_file(latest)
    for length in range(0, len(content), 7):
        one._system.pipe_file(latest, content[:length])
        assert read(other, f"{place}/run.json") == b'{"steps": 1}'
        with pytest.raises(FileNotFoundError):
            other.open(f"{place}/steps/001.png")
    one._system.pipe_file(latest, content)
    assert read(other, f"{place}/steps/001.png") == b"view 1"


@sharing
@pytest.mark.parametrize("when", rest_slow(range(4)))
def test_a_push_that_failed_is_made_up_for(machines: Machines, when: int, monkeypatch: pytest.MonkeyPatch):
    """At whatever file the storage goes away, what was there stays as it was, and the next push brings all."""
    one, other = shared(machines, "a"), shared(machines, "b")
    place, folder = one.begin(JOB, 1, None)
    painted(folder, 1)
    one.push(place)
    painted(folder, 3)
    left = [when]

    def away(method: str) -> None:
        whole = getattr(one._system, method)

        def fails(*given: object) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise TimeoutError("gone")
            whole(*given)

        monkeypatch.setattr(one._system, method, fails)

    for method in ("put_file", "pipe_file"):
        away(method)
    with pytest.raises(StorageError, match="gone"):
        one.push(place)
    assert read(other, f"{place}/run.json") == b'{"steps": 1}'
    monkeypatch.undo()
    one.push(place)
    assert read(other, f"{place}/run.json") == b'{"steps": 3}'
    assert [read(other, f"{place}/steps/00{number}.png") for number in range(3)] == [b"view 0", b"view 1", b"view 2"]


@sharing
def test_nothing_is_pushed_twice(machines: Machines, monkeypatch: pytest.MonkeyPatch):
    one, other = shared(machines, "a"), shared(machines, "b")
    place, folder = one.begin(JOB, 1, None)
    painted(folder, 2)
    one.push(place)
    sent: list[str] = []
    for storage in (one, other):
        put = storage.put
        monkeypatch.setattr(storage, "put", lambda source, kept, put=put: (sent.append(kept), put(source, kept)))
    one.push(place)
    there, path = other.begin(JOB, 2, place)
    assert sent == []
    painted(path, 3)
    other.push(there)
    assert sorted(kept.rpartition("files/")[2] for kept in sent) == ["000002/run.json", "000002/steps/002.png"]


@sharing
@pytest.mark.parametrize("times", rest_slow(range(1, 6), 2))
def test_every_push_is_of_one_moment(machines: Machines, times: int, monkeypatch: pytest.MonkeyPatch):
    """Steps take turns in two files while a journal names the latest; a push meanwhile never mixes two moments."""
    one, other = shared(machines, "a"), shared(machines, "b")
    place, folder = one.begin(JOB, 1, None)
    (folder / "steps").mkdir()
    numbers, left = iter(range(1, 1000)), times

    def write() -> None:
        number = next(numbers)
        name = f"steps/00{number % 2}.safetensors"
        write_atomically(folder / name, str(number))
        write_atomically(folder / "run.json", json.dumps({"file": name, "number": number}))
        (folder / f"steps/00{1 - number % 2}.safetensors").unlink(missing_ok=True)

    def interrupted(source: str, target: str) -> str:
        nonlocal left
        linked(source, target)
        if left:
            left -= 1
            write()
            write()
        return target

    monkeypatch.setattr(shared_storage, "linked", interrupted)
    for _ in range(3):
        write()
        one.push(place)
        journal = json.loads(read(other, f"{place}/run.json"))
        assert read(other, f"{place}/{journal['file']}") == str(journal["number"]).encode()
    assert left == 0


@sharing
def test_what_a_killed_worker_left_is_swept(machines: Machines):
    storage = shared(machines, "a")
    for job in (JOB, "gone"):
        storage.begin(job, 1, None)
    storage.sweep(lambda job: job == JOB)
    assert [path.name for path in (storage.root / "runs").iterdir()] == [JOB]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://bucket/studio", "storage needs a further package .*s3fs"),
        ("nope://x", "storage is of no kind that is known .*nope"),
        ("file:///proc/nowhere/studio", "storage cannot be written to"),
        ("sftp://me:secret@127.0.0.1:1/x", "storage (needs a further package|cannot be opened).*sftp://127.0.0.1:1/x"),
    ],
)
def test_storage_that_cannot_be_used_is_named(url: str, said: str, tmp_path: Path):
    with pytest.raises(UserError, match=said) as raised:
        make_storage(StudioConfig(folder=str(tmp_path), storage=url, models={"x": ModelEntry("x.yaml")})).check()
    assert "\n" not in str(raised.value) and "secret" not in str(raised.value)


def test_a_storage_is_a_url():
    with pytest.raises(UserError, match="storage must be a URL, .*got '/mnt/share'"):
        StudioConfig(storage="/mnt/share", models={"x": ModelEntry("x.yaml")})
