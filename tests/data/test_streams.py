"""Every panorama once per epoch however the readers split it; reading goes on exactly where it stopped."""

import io
import json
import logging
import pickle
import tarfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset

from aognet.data import shards, streams
from aognet.data.streams import PanoramaStream, Position, StreamConfig, Streamed
from aognet.errors import UserError
from tests.slow import rest_slow

HEIGHT = 16


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """``datasets`` leaves a lock file in its cache, for every dataset it opens."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def png(value: int) -> bytes:
    """A grey panorama of one value."""
    buffer = io.BytesIO()
    Image.new("RGB", (2 * HEIGHT, HEIGHT), (value, value, value)).save(buffer, "PNG")
    return buffer.getvalue()


def write_tar(path: Path, members: Mapping[str, bytes], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return path


def write_shards(folder: Path, sizes: Sequence[int]) -> StreamConfig:
    """Tar files whose panoramas have the values 0, 1, 2, ..., with captions."""
    values = iter(range(sum(sizes)))
    for number, size in enumerate(sizes):
        members: dict[str, bytes] = {}
        for value in islice(values, size):
            members |= {f"{value:03d}.png": png(value), f"{value:03d}.txt": f"number {value}".encode()}
        write_tar(folder / f"{number:03d}.tar", members)
    return StreamConfig(shards=[str(folder)], block=4)


def value_of(streamed: Streamed) -> int:
    return int(streamed.panorama.pixels.image[0, 0, 0])


def values(stream: PanoramaStream, count: int, *where: Any) -> list[int]:
    return [value_of(streamed) for streamed in islice(stream.read(*where), count)]


def epochs(stream: PanoramaStream, part: int, parts: int, count: int) -> list[list[int]]:
    """What a part sees in each of the first epochs."""
    seen: list[list[int]] = [[] for _ in range(count)]
    for streamed in stream.read(part, parts):
        if streamed.position.epoch >= count:
            return seen
        seen[streamed.position.epoch].append(value_of(streamed))
    raise AssertionError


# The order


@pytest.mark.parametrize(
    ("sizes", "parts"),
    rest_slow(
        [([5, 1, 7, 3, 4], 2), ([9, 8], 5), ([5, 1, 7, 3, 4], 1), ([5, 6, 7], 3), ([11], 4), ([3, 3, 3], 7)], fast=2
    ),
)
def test_all_parts_together_see_every_panorama_once_in_every_epoch(
    tmp_path: Path, sizes: list[int], parts: int
) -> None:
    stream = PanoramaStream(write_shards(tmp_path, sizes), HEIGHT, seed=1)
    seen = [epochs(stream, part, parts, 3) for part in range(parts)]
    for epoch in range(3):
        assert sorted(value for part in seen for value in part[epoch]) == list(range(sum(sizes)))
        assert all(part[epoch] for part in seen)
    if parts == 1:
        assert seen[0][0] != seen[0][1] != sorted(seen[0][1])


def test_the_order_depends_on_the_seed_and_on_nothing_else(tmp_path: Path) -> None:
    config = write_shards(tmp_path, [5, 6, 7])
    one, same, other = (PanoramaStream(config, HEIGHT, seed) for seed in (1, 1, 2))
    assert values(one, 40, 0, 2) == values(same, 40, 0, 2) != values(other, 40, 0, 2)
    assert values(one, 40, 0, 2) == values(one, 40, 0, 2)


@pytest.mark.parametrize(("part", "parts", "views"), rest_slow([(1, 2, 3), (0, 1, 1), (4, 5, 1)]))
def test_reading_goes_on_where_it_stopped(tmp_path: Path, part: int, parts: int, views: int) -> None:
    config = write_shards(tmp_path, [5, 6, 7])
    config = StreamConfig(shards=config.shards, block=4, views_per_panorama=views)
    stream = PanoramaStream(config, HEIGHT, seed=3)
    whole = list(islice(stream.read(part, parts), 45))
    for index, stopped in enumerate(whole[:40]):
        position = Position(**json.loads(json.dumps(asdict(stopped.position))))
        following = list(islice(stream.read(part, parts, position), 5))
        assert [value_of(one) for one in following] == [value_of(one) for one in whole[index + 1 : index + 6]]
        assert [one.number for one in following] == [one.number for one in whole[index + 1 : index + 6]]
        assert following[-1].position == whole[index + 5].position


def test_no_two_samples_have_one_number(tmp_path: Path) -> None:
    config = StreamConfig(shards=write_shards(tmp_path, [5, 6]).shards, views_per_panorama=2)
    stream = PanoramaStream(config, HEIGHT, seed=0)
    streamed = list(islice(stream.read(0, 1), 44))
    assert [one.number for one in streamed] == list(range(44))
    assert [value_of(one) for one in streamed[::2]] == [value_of(one) for one in streamed[1::2]]
    numbers = [one.number for part in range(3) for one in islice(stream.read(part, 3), 10)]
    assert sorted(numbers) == list(range(30))


def test_going_on_reads_neither_earlier_shards_nor_earlier_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = PanoramaStream(write_shards(tmp_path, [10, 10, 10]), HEIGHT, seed=0)
    stopped = list(islice(stream.read(0, 1), 27))[-1].position
    assert (stopped.shard, stopped.offset, stopped.place) == (2, 4, 3)
    opened, decoded = [], []
    monkeypatch.setattr(shards, "_open", lambda place, real=shards._open: opened.append(place) or real(place))
    decode = streams.decode_panorama
    monkeypatch.setattr(
        streams, "decode_panorama", lambda *arguments: decoded.append(arguments[1]) or decode(*arguments)
    )
    next(stream.read(0, 1, stopped))
    assert len(opened) == len(decoded) == 1


def test_more_readers_than_panoramas_are_told(tmp_path: Path) -> None:
    stream = PanoramaStream(write_shards(tmp_path, [3]), HEIGHT, seed=0)
    with pytest.raises(UserError, match=r"fewer panoramas than the 4 readers \(processes x trainer.num_workers\)"):
        next(stream.read(3, 4))


# What shards hold


def test_captions_of_a_tar_file(tmp_path: Path) -> None:
    members = {
        "a/0.jpg.png": png(0),
        "a/0.txt": b"  a\n room ",
        "a/1.png": png(1),
        "a/1.json": b'{"caption": ["one", "two", ""], "more": {"long": "a long one"}}',
        "a/2.png": png(2),
        "a/._2.png": b"a resource fork",
        "a/3.png": png(3),
        "a/3.caption": "grün".encode(),
    }
    where = str(write_tar(tmp_path / "a.tar.gz", members, "w:gz"))
    stream = PanoramaStream(StreamConfig(shards=[where], augmented_key="json.more.long"), HEIGHT, seed=0)
    found = {value_of(one): one.panorama for one in islice(stream.read(0, 1), 4)}
    assert {value: one.captions for value, one in found.items()} == {
        0: ("a room",),
        1: ("one", "two"),
        2: (),
        3: ("grün",),
    }
    assert found[1].augmented == ("a long one",) and found[0].augmented == ()


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("exploded"),)


def test_pickles_and_arrays_stay_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bomb = pickle.dumps(Bomb())
    members = {f"{n}.{kind}": bomb for n in range(3) for kind in ("pkl", "pth", "pyd", "npy", "tar.gz")}
    members = dict(sorted((members | {f"{n}.png": png(n) for n in range(3)}).items()))
    read: list[str] = []
    extract = tarfile.TarFile.extractfile
    monkeypatch.setattr(tarfile.TarFile, "extractfile", lambda self, one: read.append(one.name) or extract(self, one))
    for config in (
        StreamConfig(shards=[str(write_tar(tmp_path / "set" / "train.tar", members))]),
        StreamConfig(dataset=str(tmp_path / "set")),
    ):
        assert sorted(values(PanoramaStream(config, HEIGHT, 0), 3, 0, 1)) == [0, 1, 2]
    assert {Path(name).suffix for name in read} == {".png"}
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("kind", ["imagefolder", "parquet", "tar"])
def test_local_datasets(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "set"
    write_dataset(folder, kind)
    stream = PanoramaStream(StreamConfig(dataset=str(folder), block=3), HEIGHT, seed=0)
    seen = [epochs(stream, part, 3, 2) for part in range(3)]
    for epoch in range(2):
        assert sorted(value for part in seen for value in part[epoch]) == list(range(12))
    for streamed in islice(stream.read(0, 1), 12):
        assert streamed.panorama.captions == (f"number {value_of(streamed)}",)
    whole = values(stream, 20, 1, 2)
    stopped = list(islice(stream.read(1, 2), 7))[-1].position
    assert values(stream, 13, 1, 2, stopped) == whole[7:]
    with pytest.raises(UserError, match="dataset: .*tran"):
        PanoramaStream(StreamConfig(dataset=str(folder), split="tran"), HEIGHT, 0)


def write_dataset(folder: Path, kind: str) -> None:
    if kind == "tar":
        write_shards(folder, [5, 7])
    elif kind == "imagefolder":
        folder.mkdir()
        for n in range(12):
            (folder / f"{n}.png").write_bytes(png(n))
        lines = [json.dumps({"file_name": f"{n}.png", "text": f"number {n}"}) for n in range(12)]
        (folder / "metadata.jsonl").write_text("\n".join(lines))
    else:
        import pyarrow as pa
        from pyarrow import parquet

        folder.mkdir()
        for k in range(4):
            rows = range(3 * k, 3 * k + 3)
            images = [{"bytes": png(n), "path": f"{n}.png"} for n in rows]
            table = pa.table({"panorama": images, "captions": [[f"number {n}"] for n in rows]})
            parquet.write_table(table, folder / f"train-{k:05d}-of-00004.parquet")


class _Workers(IterableDataset):
    def __init__(self, stream: PanoramaStream) -> None:
        self.stream = stream

    def __iter__(self) -> Iterator[int]:
        yield from values(self.stream, 12, 0, 1)


@pytest.mark.parametrize("kind", ["imagefolder", "parquet"])
def test_a_worker_of_torch_reads_all_that_is_its_part(tmp_path: Path, kind: str) -> None:
    """``datasets`` by itself would give the second worker of a loader other shards, or none."""
    write_dataset(tmp_path / "set", kind)
    stream = PanoramaStream(StreamConfig(dataset=str(tmp_path / "set")), HEIGHT, seed=0)
    seen = list(DataLoader(_Workers(stream), batch_size=None, num_workers=2))
    assert sorted(seen) == sorted([*range(12), *range(12)])


def test_shards_from_a_web_server(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    write_shards(tmp_path, [4, 3])
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        config = StreamConfig(shards=[f"http://127.0.0.1:{server.server_port}/{{000..001}}.tar"])
        assert sorted(values(PanoramaStream(config, HEIGHT, 0), 7, 0, 1)) == list(range(7))
        config = StreamConfig(shards=[f"http://127.0.0.1:{server.server_port}/none.tar"])
        with pytest.raises(UserError, match=r"http://127.0.0.1:\d+/none.tar: cannot be read: "):
            next(PanoramaStream(config, HEIGHT, 0).read(0, 1))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None: ...


# What is broken or mistaken


def test_a_broken_image_is_reported_once_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    members = {f"{n}.png": png(n) for n in range(6)} | {"1.png": b"no image", "4.png": png(4)[:50]}
    members |= {"6.txt": b"no image either", "7.png": png(7), "7.json": b"{"}
    where = str(write_tar(tmp_path / "a.tar", members))
    stream = PanoramaStream(StreamConfig(shards=[where]), HEIGHT, seed=0)
    with caplog.at_level(logging.WARNING):
        seen = epochs(stream, 0, 1, 3)
    assert [sorted(epoch) for epoch in seen] == [[0, 2, 3, 5]] * 3
    told = sorted(record.message for record in caplog.records)
    assert [line.partition(": ")[2][:1] for line in told] == ["1", "4", "6", "7"]
    assert all(line.startswith(f"{where}: ") and line.endswith("it is left out") for line in told)
    numbers = [one.number for one in islice(stream.read(0, 1), 12)]
    assert numbers == list(range(12))


def test_no_image_that_can_be_read_is_a_mistake(tmp_path: Path) -> None:
    where = str(write_tar(tmp_path / "a.tar", {"0.png": b"none", "1.png": b"none"}))
    with pytest.raises(UserError, match=r"a.tar: none of 2 images can be read"):
        next(PanoramaStream(StreamConfig(shards=[where]), HEIGHT, 0).read(0, 1))


@pytest.mark.parametrize("kept", [0, 512, 700, 1124, 4096], ids=["all", "data", "half", "header", "end mark"])
def test_a_truncated_tar_file_is_named(tmp_path: Path, kept: int) -> None:
    """Four members of two blocks each; the first file has nothing left, the last only lacks the mark of its end."""
    where = write_tar(tmp_path / "a.tar", {f"{n}.png": png(n) for n in range(4)})
    where.write_bytes(where.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"a.tar: cannot be read: \w") as caught:
        list(islice(PanoramaStream(StreamConfig(shards=[str(where)]), HEIGHT, 0).read(0, 1), 4))
    assert "\n" not in str(caught.value)


def test_what_is_no_tar_file_or_spoilt_is_named(tmp_path: Path) -> None:
    where = tmp_path / "a.tar"
    where.write_bytes(b"something else" * 1000)
    stream = PanoramaStream(StreamConfig(shards=[str(where)]), HEIGHT, 0)
    with pytest.raises(UserError, match="a.tar: cannot be read"):
        next(stream.read(0, 1))
    write_tar(where, {f"{n}.png": png(n) for n in range(4)})
    content = bytearray(where.read_bytes())
    content[1024:1030] = b"xxxxxx"  # the second header
    where.write_bytes(content)
    with pytest.raises(UserError, match="a.tar: cannot be read: it is no tar file"):
        next(stream.read(0, 1))
    where.unlink()
    with pytest.raises(UserError, match="a.tar: cannot be read: .*No such file"):
        next(stream.read(0, 1))


def test_large_members_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_IMAGE_BYTES", shards.MAX_TEXT_BYTES + 1)
    members = {"0.png": png(0), "0.txt": b"a" * (shards.MAX_TEXT_BYTES + 1), "1.png": b"0" * 2**21, "2.png": png(2)}
    where = str(write_tar(tmp_path / "a.tar", members))
    stream = PanoramaStream(StreamConfig(shards=[where]), HEIGHT, 0)
    first = list(islice(stream.read(0, 1), 2))
    assert sorted(map(value_of, first)) == [0, 2]
    assert all(one.panorama.captions == () for one in first)


def test_a_block_is_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BLOCK_BYTES", 2 * len(png(0)))
    stream = PanoramaStream(write_shards(tmp_path, [9]), HEIGHT, seed=0)
    positions = [one.position for one in islice(stream.read(0, 1), 9)]
    assert positions[-1].block == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "shards or dataset must be set, one of them, got .* None"),
        ({"shards": ["a"], "dataset": "b"}, "shards or dataset must be set, one of them"),
        ({"shards": ["a"], "revision": "b"}, "revision is for a dataset, not for shards, got 'b'"),
        ({"dataset": "a", "block": 0}, "block must be at least 1, got 0"),
        ({"dataset": "a", "views_per_panorama": 0}, "views_per_panorama must be at least 1, got 0"),
        ({"dataset": "a", "image_key": ""}, "image_key must be"),
    ],
)
def test_impossible_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        StreamConfig(**options)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("pipe:touch exploded", "shards: pipe:touch exploded: only files and .* no command is run"),
        ("pipe:curl https://a/b.tar", "no command is run"),
        ("ftp://a/b.tar", "only files and http://, https://, hf:// are read"),
        ("none.tar", "shards: no such tar file or folder: none.tar"),
        ("*.tar", r"shards: no tar file in \*.tar"),
        (".", r"shards: no tar file in \."),
        ("{000..999}{0000..9999}.tar", "more than 1000000 files"),
    ],
)
def test_shards_that_are_not_there_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        PanoramaStream(StreamConfig(shards=[entry]), HEIGHT, 0)
    assert list(tmp_path.iterdir()) == []


def test_shards_are_found_in_folders_globs_and_ranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shards(tmp_path / "in [x]", [1] * 11)
    monkeypatch.chdir(tmp_path)
    assert len(shards.tar_files(["in [x]"])) == len(shards.tar_files(["in*/*.tar"])) == 11
    assert len(shards.tar_files([str(tmp_path / "**" / "00[0-4].tar")])) == 5
    assert shards.tar_files(["in [x]/{009..010}.tar", "in [x]/010.tar"]) == ["in [x]/009.tar", "in [x]/010.tar"]
    assert shards.tar_files(["hf://a/{8..10}.tar"]) == [f"hf://a/{n}.tar" for n in (8, 9, 10)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"caption_key": "json.capton"}, "caption_key must name a text or texts, got 'json.capton': none of the first"),
        ({"augmented_key": "aug"}, "augmented_key must name .* got 'aug': .* they have png, json"),
        ({"image_key": "jpg"}, "image_key must name an image, got 'jpg'"),
    ],
)
def test_keys_that_no_sample_has_are_refused(tmp_path: Path, options: dict[str, str], message: str) -> None:
    where = str(write_tar(tmp_path / "a.tar", {"0.png": png(0), "0.json": b'{"caption": "one"}', "0.cls": b"1"}))
    with pytest.raises(UserError, match=message):
        next(PanoramaStream(StreamConfig(shards=[where], **options), HEIGHT, 0).read(0, 1))


def test_of_several_images_the_key_says_which(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    where = str(write_tar(tmp_path / "a.tar", {"0.depth.png": png(9), "0.rgb.png": png(1)}))
    with pytest.raises(UserError, match="none of 1 images"):
        next(PanoramaStream(StreamConfig(shards=[where]), HEIGHT, 0).read(0, 1))
    assert "several images (depth.png, rgb.png): image_key must say which" in caplog.text
    assert values(PanoramaStream(StreamConfig(shards=[where], image_key="rgb.png"), HEIGHT, 0), 1, 0, 1) == [1]


def test_other_kinds_of_datasets_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("image,text\na.png,b\n")
    with pytest.raises(UserError, match="a dataset of kind 'csv'; this reads parquet, arrow, imagefolder, webdataset"):
        PanoramaStream(StreamConfig(dataset=str(tmp_path)), HEIGHT, 0)
    with pytest.raises(UserError, match="dataset: nobody/nothing: cannot be read: "):
        PanoramaStream(StreamConfig(dataset="nobody/nothing"), HEIGHT, 0)


def test_a_table_cannot_point_to_files_of_this_machine(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    (tmp_path / "secret.png").write_bytes(png(1))
    images = [{"bytes": None, "path": str(tmp_path / "secret.png")}, {"bytes": png(2), "path": None}]
    (tmp_path / "set").mkdir()
    parquet.write_table(pa.table({"image": images}), tmp_path / "set" / "train.parquet")
    stream = PanoramaStream(StreamConfig(dataset=str(tmp_path / "set")), HEIGHT, 0)
    assert values(stream, 3, 0, 1) == [2, 2, 2]


def test_pixels_are_those_of_the_file(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, 2 * HEIGHT, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    where = str(write_tar(tmp_path / "a.tar", {"0.png": buffer.getvalue()}))
    panorama = next(PanoramaStream(StreamConfig(shards=[where]), HEIGHT, 0).read(0, 1)).panorama
    assert np.array_equal(panorama.pixels.image, image)
