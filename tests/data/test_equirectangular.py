"""Whole panoramas around a photograph: turned exactly, mirrored with their words; masks of photographs of any pose."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from aognet.canvas import Canvas
from aognet.data.augment import AugmentConfig
from aognet.data.equirectangular import EquirectangularSamples
from aognet.data.whole import PanoramaImages
from aognet.errors import UserError
from aognet.io.images import from_uint8

HEIGHT = 32


def samples(folder: Path, kind: type = EquirectangularSamples, **settings) -> EquirectangularSamples:
    defaults = {"folders": [str(folder)], "captions": [str(folder / "captions.jsonl")], "height": HEIGHT}
    return kind(kind.Config(**defaults | settings))


def test_a_sample_is_a_panorama_and_how_it_is_turned(folder: Path):
    found = samples(folder)
    batch = found.collate([found[number] for number in range(12)])
    for shown, image, columns, prompt in zip(
        batch.turned(), batch.images, batch.columns.tolist(), batch.prompts, strict=True
    ):
        pixels = found.panoramas[int(prompt[-1])].pixels.image
        original = from_uint8(torch.from_numpy(pixels.copy()).permute(2, 0, 1))
        assert_close(image, original, atol=1e-6, rtol=0)
        assert torch.equal(shown, image.roll(-columns, -1))
    assert len(set(batch.columns.tolist())) > 6


def test_what_it_shows_is_what_other_samples_of_whole_panoramas_show(folder: Path):
    """The direction of the turn is that of `aognet.data.whole`, and so that of views."""
    settings = {"augment": AugmentConfig(mirror=True)}
    found, other = samples(folder, **settings), samples(folder, PanoramaImages, **settings)
    batch = found.collate([found[number] for number in range(12)])
    shown = torch.stack([other[number].image for number in range(12)])
    assert torch.equal(batch.turned(), shown)
    assert {prompt.split()[1] for prompt in batch.prompts} == {"left", "right"}


def test_known_is_what_a_photograph_of_that_pose_shows(folder: Path):
    poses = {"input_fov_degrees": (50.0, 80.0), "input_pitch_degrees": (0.0, 40.0), "input_roll_degrees": (0.0, 20.0)}
    found = samples(folder, **poses)
    masks = {found[number].known.numpy().tobytes() for number in range(60)}
    expected = set()
    for photo in found.photos:
        canvas = Canvas.empty(HEIGHT)
        canvas.paint_(torch.ones(1, 3, HEIGHT, HEIGHT), photo)
        expected.add(canvas.known[0].numpy().tobytes())
    assert len(expected) == 8 and masks == expected


def test_few_turns_are_whole_latents(folder: Path):
    columns = {samples(folder, turns=8)[number].columns for number in range(60)}
    assert columns == set(range(0, 2 * HEIGHT, 2 * HEIGHT // 8))


def test_batches_and_the_same_sample_again(folder: Path):
    found = samples(folder)
    batch = found.collate([found[5], found[6]]).to(torch.device("cpu"))
    assert batch.images.shape == (2, 3, HEIGHT, 2 * HEIGHT) and batch.known.shape == (2, 1, HEIGHT, 2 * HEIGHT)
    again = samples(folder)[6]
    assert torch.equal(batch.images[1], again.image) and batch.seeds[1] == again.seed
    assert batch.columns[1] == again.columns and batch.prompts[1] == again.prompt
    assert samples(folder, seed=1)[6].seed != again.seed


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"input_fov_degrees": (180.0,)}, "input_fov_degrees must be fields of view between 0 and 180"),
        ({"input_fov_degrees": ()}, "input_fov_degrees must be fields of view between 0 and 180"),
        ({"input_pitch_degrees": (91.0,)}, "input_pitch_degrees must be pitches between -90 and 90"),
        ({"input_roll_degrees": (200.0,)}, "input_roll_degrees must be rolls between -180 and 180"),
        ({"turns": 65}, r"turns must lie in \[0, 64\], the columns, got 65"),
    ],
)
def test_what_cannot_be(folder: Path, settings: dict, said: str):
    with pytest.raises(UserError, match=said):
        samples(folder, **settings)
