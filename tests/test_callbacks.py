"""Whoever calls long work hears how far it is and can stop it, and the same call goes on where it stopped."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from aognet.callbacks import Cancelled, Listener
from aognet.captioning.captioner import CaptionerConfig
from aognet.captioning.folder_captions import FolderCaptionsConfig, caption_folder
from aognet.data.conversion import Conversion, convert_folder
from aognet.evaluation.pipeline import EvaluationConfig, evaluate
from aognet.io.captions import load_captions
from aognet.io.hdr import write_exr
from aognet.scenes.folder import SceneFolder, fill
from tests.captioning.test_folder_captions import Compass
from tests.evaluation.folders import ALONE, panoramas, small, write

COUNT = 3
Work = Callable[[Listener], object]


def captioning(folder: Path) -> Work:
    images = write(folder / "images", panoramas(COUNT))
    config = FolderCaptionsConfig(images, folder / "out", "said", batch_size=1)
    return lambda listener: caption_folder(config, CaptionerConfig(model="compass"), ALONE, listener)


def conversion(folder: Path) -> Work:
    (folder / "light").mkdir()
    for number in range(COUNT):
        write_exr({name: np.ones((4, 8), np.float32) for name in "RGB"}, folder / "light" / f"{number}.exr")
    return lambda listener: convert_folder(folder / "light", folder / "out", Conversion(), 1, listener=listener)


def scenes(folder: Path) -> Work:
    return lambda listener: fill(SceneFolder(folder / "out", 16, 0, ("field rows",), "jpg", None), COUNT, 1, listener)


def evaluation(folder: Path) -> Work:
    images = write(folder / "images", panoramas(COUNT))
    config = EvaluationConfig(images, images, folder / "out" / "report", cache=folder / "cache", threads=1)
    return lambda listener: evaluate(config, small("psnr"), ALONE, listener)


@pytest.mark.parametrize(
    ("begin", "stage", "made"),
    [(captioning, "pictures", "*.jsonl"), (conversion, "images", "*.png"), (scenes, "scenes", "scene*.jpg")]
    + [(evaluation, "panoramas", "report.html")],
)
def test_it_is_heard_stopped_and_goes_on(
    begin: Callable[[Path], Work], stage: str, made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aognet.captioning.folder_captions.build_captioner", lambda *_: Compass())
    work, heard = begin(tmp_path), []
    with pytest.raises(Cancelled, match=f"after 1 of {COUNT} {stage}"):
        work(Listener(lambda *told: heard.append(told), cancel=lambda: True))
    assert heard == [(stage, 1, COUNT)]
    work(Listener(lambda *told: heard.append(told)))
    assert not list(tmp_path.rglob("*.tmp"))
    done, total = next(told[1:] for told in reversed(heard) if told[0] == stage)
    assert done == total and list((tmp_path / "out").glob(made))
    if begin is captioning:
        assert len(load_captions(tmp_path / "out" / "said.jsonl")) == COUNT
    if begin is scenes:
        assert len(load_captions(tmp_path / "out" / "captions.jsonl")) == COUNT
