"""Photographs with holes: views like any other, masks of every share, the same sample for the same number."""

from pathlib import Path

import numpy as np
import pytest
import torch

from aognet.data.photographs import PhotographSamples, random_mask
from aognet.data.random_views import ViewSamples
from aognet.io.images import save_image
from tests.smooth import smooth_panorama


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("panoramas")
    save_image(smooth_panorama(32)[0], folder / "0.png")
    return folder


def test_they_are_views_with_masks_of_their_own(folder: Path):
    options = {"folders": [str(folder)], "height": 32, "size": 16}
    samples = PhotographSamples(PhotographSamples.Config(**options))
    views = ViewSamples(ViewSamples.Config(**options, fov_degrees=(45.0, 75.0), pitch_degrees=(-15.0, 15.0)))
    batch = samples.collate([samples[number] for number in range(5)])
    assert torch.equal(batch.view, torch.stack([views[number].image for number in range(5)]))
    assert torch.equal(batch.known, samples.collate([samples[number] for number in range(5)]).known)
    assert batch.known.shape == (5, 1, 16, 16) and len({mask.numpy().tobytes() for mask in batch.known}) > 1
    assert batch.to(torch.device("cpu")).seeds is batch.seeds


def test_masks_leave_much_and_little_in_every_place():
    masks = torch.stack([random_mask(np.random.default_rng(number), 32) for number in range(400)]).float()
    shares = masks.mean((1, 2, 3))
    assert shares.min() < 0.1 and shares.max() > 0.8
    assert 0.35 < shares.mean() < 0.6
    everywhere = masks.mean((0, 1))
    assert everywhere.min() > 0.25 and everywhere.max() < 0.75
