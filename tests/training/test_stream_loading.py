"""Streamed data: each worker reads its part, and a stopped run goes on as if it had never stopped."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import pytest
import torch

from aognet.data.random_views import ViewBatch, ViewSamples
from aognet.data.streams import Position, StreamConfig
from aognet.errors import UserError
from aognet.training.checkpoint import Checkpoints
from aognet.training.loader import SampleOrder, StreamFeed, load_batches
from aognet.training.setup import TrainerConfig
from aognet.training.trainable import StreamedSamples
from aognet.training.trainer import Trainer
from tests.data.test_streams import HEIGHT, write_shards, write_tar
from tests.slow import rest_slow
from tests.training.test_trainer import QUICK, assert_bitwise_equal, clean_slate  # noqa: F401
from tests.training.toy import Toy, ToyConfig, metrics

ROOT = Path(__file__).parents[2]
STREAMED = replace(QUICK, max_steps=8, batch_size=2, checkpoint_every=1, warmup_steps=0)


@pytest.fixture
def data(tmp_path: Path) -> ViewSamples:
    return samples(write_shards(tmp_path / "shards", [5, 7, 4, 6]))


def samples(stream: StreamConfig) -> ViewSamples:
    return ViewSamples(ViewSamples.Config(stream=stream, height=HEIGHT, size=8))


def train(folder: Path, data: ViewSamples, config: TrainerConfig, resume: bool = False) -> Trainer:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    trainer = Trainer(config, Toy(ToyConfig()), data, data, folder)
    trainer.fit(resume)
    return trainer


def taken(batches: Iterator[ViewBatch], count: int) -> list[list[int]]:
    """The seeds of some batches, which tell panorama, view and noise."""
    return [batch.seeds.tolist() for batch in islice(batches, count)]


def state_after(feed: StreamFeed) -> dict:
    return feed.gathered(feed.table())


def test_a_streamed_dataset_is_what_the_trainer_expects(data: ViewSamples) -> None:
    assert isinstance(data, StreamedSamples) and data.stream is not None


@pytest.mark.parametrize("workers", rest_slow([2, 0, 1]))
def test_taking_batches_goes_on_where_it_stopped(data: ViewSamples, workers: int) -> None:
    """After any number of batches, so with any worker next; batches loaded ahead do not count."""
    order = SampleOrder(0, steps=100, batch_size=2)
    whole = taken(iter(StreamFeed(data, order, workers, {})), 20)
    assert len({seed for seeds in whole for seed in seeds}) == 40
    for stopped in (1, 5, 12):
        first = StreamFeed(data, order, workers, {})
        assert taken(iter(first), stopped) == whole[:stopped]
        assert sum(position.count for position in first.positions) == 2 * stopped
        second = StreamFeed(data, order, workers, state_after(first))
        assert taken(iter(second), 20 - stopped) == whole[stopped:]


def test_processes_and_workers_share_every_epoch(data: ViewSamples) -> None:
    """Four shards among six readers."""
    seen: list[str] = []
    for rank in range(3):
        feed = StreamFeed(data, SampleOrder(0, 100, batch_size=1, processes=3, rank=rank), 2, {})
        for batch in feed:
            if feed.positions[feed.turn - 1].epoch == 0:
                seen += batch.prompts
            if all(position.epoch for position in feed.positions):
                break
    assert sorted(seen) == sorted(f"number {value}" for value in range(22))


def test_other_readers_begin_another_epoch(data: ViewSamples, caplog: pytest.LogCaptureFixture) -> None:
    order = SampleOrder(0, steps=100, batch_size=2)
    feed = StreamFeed(data, order, 2, {})
    before = taken(iter(feed), 9)
    state = state_after(feed)
    for one in (StreamFeed(data, order, 1, state), StreamFeed(data, replace(order, processes=2), 2, state)):
        assert {position.epoch for position in one.positions} == {1}
        assert set(sum(before, [])).isdisjoint(sum(taken(iter(one), 5), []))
    assert "processes: 1, workers: 2, data: 4 shards" in caplog.text
    assert "and now is as processes: 2, workers: 2" in caplog.text
    assert "it goes on with the beginning of epoch 1" in caplog.text
    other = samples(replace(data.config.stream, block=5))
    assert StreamFeed(other, order, 2, state).positions == [Position(epoch=1, count=11)] * 2


@pytest.mark.parametrize("workers", [0, 2])
def test_first_samples_are_the_same_every_time(data: ViewSamples, workers: int) -> None:
    (whole,) = load_batches(data, [list(range(6))], 0)
    for numbers in ([[0, 1], [2, 3], [4, 5]], [[1, 3], [5]]):
        batches = list(load_batches(data, numbers, workers))
        seeds = [whole.seeds[chosen].tolist() for chosen in numbers]
        assert [batch.seeds.tolist() for batch in batches] == seeds


@pytest.mark.parametrize("workers", rest_slow([2, 0]))
def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path, data: ViewSamples, workers: int) -> None:
    config = replace(STREAMED, num_workers=workers, gradient_accumulation=3, validate_every=4, images_every=4)
    whole = train(tmp_path / "whole", data, config)
    train(tmp_path / "parts", data, replace(config, max_steps=5))
    second = train(tmp_path / "parts", data, config, resume=True)
    assert_bitwise_equal(whole, second)
    for step in range(6, 9):
        assert metrics(tmp_path / "whole")[step] == metrics(tmp_path / "parts")[step]
    assert second.progress.stream["turn"] == (24 % workers if workers else 0)


def test_other_shards_of_the_same_number_are_refused(tmp_path: Path, data: ViewSamples) -> None:
    order = SampleOrder(0, 100, batch_size=2)
    state = state_after(StreamFeed(data, order, 0, {}))
    (tmp_path / "shards").rename(tmp_path / "moved")
    moved = samples(replace(data.config.stream, shards=[str(tmp_path / "moved")]))
    assert StreamFeed(moved, order, 0, state).positions == [Position()]
    other = samples(write_shards(tmp_path / "other", [5, 7, 40, 6]))
    with pytest.raises(UserError, match=r"other shards than those of the checkpoint, though as many \(4\)"):
        StreamFeed(other, order, 0, state)
    earlier = {key: value for key, value in state.items() if key != "shards"}  # of a version that did not write it
    assert StreamFeed(other, order, 0, earlier).positions == [Position()]
    damaged = [{"positions": [[{"x": 1}]]}, *(state | {"positions": rows} for rows in ([], [[{"epoch": "x"}]], 7))]
    for one in damaged:
        with pytest.raises(UserError, match="does not say where the readers of the stream are"):
            StreamFeed(other, order, 0, one)


def test_a_worker_names_the_shard_that_is_broken(tmp_path: Path) -> None:
    where = write_tar(tmp_path / "a.tar", {"0.png": b""})
    where.write_bytes(where.read_bytes()[:100])
    with pytest.raises(UserError, match=r"^\S+a.tar: cannot be read: it is no tar file") as caught:
        train(tmp_path / "run", samples(StreamConfig(shards=[str(where)])), replace(STREAMED, num_workers=1))
    assert "\n" not in str(caught.value)


CONFIG = """
model: {{target: toy}}
data: {{train: {{target: views, height: 16, size: 8, stream: {{shards: [{shards}], block: 4}}}}}}
trainer: {{max_steps: 6, checkpoint_every: 3, log_every: 1, learning_rate: 1e-2, batch_size: 2, num_workers: 2,
           device: cpu, threads: 1}}
"""


@pytest.mark.slow
def test_a_checkpoint_of_two_processes_says_where_all_readers_are(tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text(CONFIG.format(shards=tmp_path / "shards"))
    data = samples(write_shards(tmp_path / "shards", [5, 7, 4]))
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    script = str(ROOT / "tests" / "training" / "toy_main.py")
    options = ("--out_dir", str(tmp_path), "-n", "run", "-b", str(tmp_path / "toy.yaml"))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, *launcher, script, *options]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, timeout=90)
    assert ran.returncode == 0, ran.stderr
    orders = [SampleOrder(0, 6, batch_size=2, processes=2, rank=rank) for rank in range(2)]
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    for path, step in zip(checkpoints.complete(), (3, 6), strict=True):
        stopped = checkpoints.load(path)
        for rank, order in enumerate(orders):
            feed = StreamFeed(data, order, 2, {})
            whole = iter(feed)
            taken(whole, step)
            assert [asdict(position) for position in feed.positions] == stopped.progress.stream["positions"][rank]
            assert taken(iter(StreamFeed(data, order, 2, stopped.progress.stream)), 5) == taken(whole, 5)
