"""Samples of six faces: cut like any view, turned together, and a prompt for each."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from aognet.data.cubes import CubeSamples
from aognet.errors import UserError
from aognet.geometry.cubemap import face_cameras
from aognet.geometry.perspective import look
from aognet.io.captions import save_captions
from aognet.io.images import save_image
from tests.smooth import smooth_panorama

HEIGHT, SIZE = 32, 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("panoramas")
    for number in range(3):
        save_image(smooth_panorama(HEIGHT)[0] * (1 - number / 5), folder / f"{number}.png")
    save_captions({f"{n}.png": [f"scene {n}"] for n in range(3)}, folder / "captions.jsonl")
    lines = [
        f'{{"file": "{n}.png", "captions": ["ahead.", "right", "behind", "left"], "yaws": [[0], [90], [180], [-90]]}}'
        for n in range(3)
    ]
    (folder / "augmented.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def cubes(folder: Path, **settings) -> CubeSamples:
    defaults = {"folders": [str(folder)], "captions": [str(folder / "captions.jsonl")], "height": HEIGHT, "size": SIZE}
    return CubeSamples(CubeSamples.Config(**defaults | settings))


def test_faces_are_views_of_the_turned_panorama(folder: Path):
    samples = cubes(folder)
    for number in range(2):
        sample = samples[number]
        panorama = smooth_panorama(HEIGHT) * (1 - int(sample.prompts[0][-1]) / 5)
        gaps = []
        for columns in range(2 * HEIGHT):
            cameras = [camera.turned(columns / HEIGHT * 180) for camera in face_cameras(SIZE, 95.0)]
            gaps.append(
                max((look(panorama, c)[0] - face).abs().max() for c, face in zip(cameras, sample.faces, strict=True))
            )
        assert min(gaps) < 2 / 127.5 < sorted(gaps)[1]


def test_the_photograph_is_known_on_all_faces_it_reaches(folder: Path):
    known = cubes(folder, input_fov_degrees=(60.0,))[0].known[:, 0].float()
    assert 0.1 < known[0].mean() < 0.3 and known[1:].sum() == 0
    known = cubes(folder, input_fov_degrees=(90.0,), input_pitch_degrees=(45.0,))[0].known[:, 0].float()
    assert 0.3 < known[0].mean() < 0.8 and 0.3 < known[4].mean() < 0.8 and known[[2, 5]].sum() == 0
    both = cubes(folder, input_fov_degrees=(50.0, 100.0))
    assert len({float(both[n].known.float().mean()) for n in range(20)}) == 2


def test_a_whole_face_is_known_and_nothing_else(folder: Path):
    plain, whole = cubes(folder)[3], cubes(folder, whole_face=True)[3]
    assert whole.known[0].all() and not whole.known[1:].any()
    assert torch.equal(plain.faces, whole.faces) and (plain.prompts, plain.seed) == (whole.prompts, whole.seed)


def test_every_lateral_face_can_have_the_words_of_its_direction(folder: Path):
    augmented = [str(folder / "augmented.jsonl")]
    plain = cubes(folder, augmented_captions=augmented)[1]
    assert set(plain.prompts) == {plain.prompts[0]}
    samples = cubes(folder, augmented_captions=augmented, directed=1.0)
    order = ["ahead", "right", "behind", "left"]
    for number in range(6):
        prompts = samples[number].prompts
        words = [prompt.split(",")[0] for prompt in prompts[:4]]
        start = order.index(words[0])
        assert words == order[start:] + order[:start]
        assert all(prompt.startswith("scene") for prompt in prompts[4:])


def test_few_turns_show_the_same_faces_again(folder: Path):
    samples = cubes(folder, turns=2)
    seen = {samples[number].faces.numpy().tobytes() for number in range(40)}
    assert len(seen) == 6  # three panoramas, two turns


def test_batches_and_the_same_sample_again(folder: Path):
    samples = cubes(folder)
    batch = samples.collate([samples[5], samples[6]])
    assert batch.faces.shape == (12, 3, SIZE, SIZE) and batch.known.shape == (12, 1, SIZE, SIZE)
    assert len(batch.prompts) == 12 and batch.seeds.shape == (2,)
    assert_close(batch.faces[6:], cubes(folder)[6].faces, atol=0, rtol=0)
    assert batch.to(torch.device("cpu")).seeds is batch.seeds


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"size": 12}, r"size must be a multiple of 8 in \[8, 4096\], got 12"),
        ({"fov_degrees": 80.0}, r"fov_degrees must lie in \[90, 120\], got 80"),
        ({"input_fov_degrees": (180.0,)}, "input_fov_degrees must be fields of view between 0 and 180"),
        ({"input_pitch_degrees": ()}, "input_pitch_degrees must be pitches between -90 and 90"),
        ({"turns": 65}, r"turns must lie in \[0, 64\], the columns, got 65"),
        ({"directed": 2.0}, "directed"),
    ],
)
def test_what_cannot_be(folder: Path, settings: dict, said: str):
    with pytest.raises(UserError, match=said):
        cubes(folder, **settings)
