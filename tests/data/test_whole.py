"""Whole panoramas are turned, mirrored and lit as views of them are."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from aognet.data.augment import AugmentConfig
from aognet.data.patches import PanoramaPatches
from aognet.data.viewing import bordered, view_all
from aognet.data.whole import PanoramaImages, turned
from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.geometry.perspective import look
from aognet.io.images import from_uint8

HEIGHT = 32


def samples(folder: Path, **settings) -> PanoramaImages:
    captions = [str(folder / "captions.jsonl")]
    return PanoramaImages(PanoramaImages.Config(folders=[str(folder)], captions=captions, height=HEIGHT, **settings))


def test_a_sample_is_a_turned_panorama(folder: Path):
    found = samples(folder)
    for number in range(6):
        sample = found[number]
        pixels = found.panoramas[int(sample.prompt[-1])].pixels.image
        original = from_uint8(torch.from_numpy(pixels.copy()).permute(2, 0, 1))
        errors = torch.stack([(original.roll(k, -1) - sample.image).abs().max() for k in range(2 * HEIGHT)])
        assert (errors < 1e-5).sum() == 1
        assert torch.equal(found[number].image, sample.image) and found[number].seed == sample.seed
    assert len({found[number].seed for number in range(6)}) == 6


@pytest.mark.parametrize("mirror", [False, True])
def test_views_of_it_are_the_views_of_training(folder: Path, mirror: bool):
    pyramid = bordered(samples(folder).panoramas[0].pixels.image)
    camera = Camera(yaw_degrees=30.0, pitch_degrees=10.0, fov_degrees=90.0, width=20, height=20)
    whole = turned(pyramid, 7, mirror)
    expected = view_all(pyramid, [camera], 7, mirror)
    assert_close(look(whole[None], camera), expected, atol=1.5 / 127.5, rtol=0)


def test_light_and_words_change_with_it(folder: Path):
    found = samples(folder, augment=AugmentConfig(mirror=True, exposure_stops=1.0))
    drawn = [found[number] for number in range(12)]
    assert {sample.prompt.split()[1] for sample in drawn} == {"left", "right"}
    assert len({round(float(sample.image.mean()), 3) for sample in drawn}) > 3


def test_samples_become_a_batch(folder: Path):
    found = samples(folder)
    batch = found.collate([found[number] for number in range(3)]).to(torch.device("cpu"))
    assert batch.images.shape == (3, 3, HEIGHT, 2 * HEIGHT)
    assert len(batch.prompts) == 3 and batch.seeds.tolist() == [found[number].seed for number in range(3)]


def test_patches_are_parts_of_what_is_a_sample_without_them(folder: Path):
    captions, tops = [str(folder / "captions.jsonl")], set()
    shape = {"folders": [str(folder)], "captions": captions, "height": HEIGHT}
    for rows, columns in ((8, 16), (HEIGHT, 2 * HEIGHT), (4, 2 * HEIGHT)):
        found = PanoramaPatches(PanoramaPatches.Config(**shape, rows=rows, columns=columns))
        for number in range(6):
            patch, whole = found[number], samples(folder)[number]
            assert (patch.prompt, patch.seed) == (whole.prompt, whole.seed) and patch.image.shape == (3, rows, columns)
            places = [
                top
                for top in range(HEIGHT - rows + 1)
                if torch.equal(whole.image[:, top : top + rows, :columns], patch.image)
            ]
            assert places
            tops |= {places[0]} if rows == 8 else set()
        batch = found.collate([found[0], found[1]])
        assert batch.wraps == (columns == 2 * HEIGHT) and torch.equal(batch.images[1], found[1].image)
    assert len(tops) > 2
    assert samples(folder).collate([samples(folder)[0]]).wraps
    with pytest.raises(UserError, match=r"rows must lie in \[1, 32\], the panorama's, got 33"):
        PanoramaPatches.Config(**shape, rows=33)
