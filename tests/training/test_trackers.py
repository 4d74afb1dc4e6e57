# ruff: noqa: F811 (fixtures)
"""TensorBoard and Weights & Biases: no account, no network, one curve over all parts of a run."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto.wandb_internal_pb2 import Record

from aognet.errors import UserError
from aognet.training.trackers import RunTracker, open_trackers
from tests.slow import rest_slow
from tests.training.test_trainer import QUICK, clean_slate, make  # noqa: F401
from tests.training.toy import metrics, power_cut

TRACKERS = ("tensorboard", "wandb")


def tensorboard_curve(folder: Path) -> dict[int, float]:
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    assert len(events.Images("input | output")) == 2
    return {event.step: event.value for event in events.Scalars("train/loss")}


def records(log: bytes) -> Iterator[bytes]:
    """The records of LevelDB's log format: checksum (4 bytes), length (2), kind (1: whole, 2 to 4: parts).

    The file begins with 7 bytes of its own. No head of a record crosses the end of a block: zeros fill that.
    """
    place, parts, block = 7, b"", 32768
    while place + 7 <= len(log):
        if (left := block - place % block) < 7:
            place += left
            continue
        length, kind = int.from_bytes(log[place + 4 : place + 6], "little"), log[place + 6]
        parts += log[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield parts
            parts = b""


def wandb_curve(folder: Path) -> dict[int, float]:
    runs = sorted(folder.glob("wandb/offline-run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime_ns)
    assert len(runs) == 2 and len({run.name for run in runs}) == 1, "both parts belong to one run"
    assert len(list(folder.glob("wandb/offline-run-*/files/media/images/*.png"))) == 2
    found: dict[int, float] = {}
    for run in runs:
        for content in records(run.read_bytes()):
            record = Record()
            record.ParseFromString(content)
            values = {"/".join(item.nested_key) or item.key: item.value_json for item in record.history.item}
            if "train/loss" in values:
                found[int(values["_step"])] = float(values["train/loss"])
    return found


@pytest.mark.parametrize("tracker", rest_slow(TRACKERS))
def test_a_resumed_run_continues_its_curve(tmp_path: Path, tracker: str) -> None:
    config = replace(QUICK, tracker=tracker, images_every=4, checkpoint_every=4)
    first = make(tmp_path, config)
    first.train_data.on_read = partial(power_cut, 6 * config.batch_size)
    with pytest.raises(RuntimeError, match="power cut"):
        first.fit()
    make(tmp_path, config).fit(resume=True)
    read, latest = {"tensorboard": tensorboard_curve, "wandb": wandb_curve}[tracker], time.monotonic() + 20
    # A process of the tracker writes the end, and may do so a moment later.
    while len(curve := read(tmp_path)) < 8 and time.monotonic() < latest:
        time.sleep(0.1)
    assert list(curve) == list(range(1, 9))
    assert curve == pytest.approx(metrics(tmp_path))
    with Image.open(tmp_path / "images" / "step-00000008.png") as image:
        assert image.size == (2 * (4 + 4), 4 * (4 + 4))


@pytest.mark.parametrize("tracker", TRACKERS)
def test_what_is_not_installed_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracker: str) -> None:
    for module in (tracker, "tensorboardX", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delattr(torch.utils, "tensorboard", raising=False)
    with pytest.raises(UserError) as caught:
        open_trackers(tracker, tmp_path, 0)
    assert str(caught.value) == f"trainer.tracker: {tracker} is not installed: pip install {tracker}"


def test_wandb_without_an_account_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wandb.errors import UsageError

    def refuse(**settings: object) -> None:
        raise UsageError("No API key configured")

    monkeypatch.setattr("wandb.init", refuse)
    with pytest.raises(UserError, match=r"^wandb: No API key configured \(WANDB_MODE=offline needs no account\)$"):
        open_trackers("wandb", tmp_path, 0)


class FullDisk:
    """A tracker whose disk is full."""

    name = "full"

    def start(self) -> None: ...

    def __getattr__(self, name: str) -> Callable[..., None]:
        def fail(*arguments: object, **options: object) -> None:
            raise OSError(28, "No space left on device")

        return fail


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    tracker = RunTracker(FullDisk(), tmp_path)
    for call in (lambda: tracker.log(1, {"loss": 1.0}), tracker.close):
        with pytest.raises(UserError, match=f"^{tmp_path}: cannot be written .No space left on device.$"):
            call()
