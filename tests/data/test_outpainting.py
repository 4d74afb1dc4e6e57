"""Samples depend on their number alone, and an outpainting sample is one step of a painted canvas."""

import logging
import math
import pickle
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from aognet.canvas import Canvas
from aognet.data.augment import AugmentConfig
from aognet.data.outpainting import OutpaintingSample, OutpaintingSamples
from aognet.data.random_views import ViewSamples
from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.geometry.perspective import look
from aognet.geometry.plans import Plan, PlanConfig, known_by, make_plan
from aognet.io.captions import CaptionRecord, save_captions, save_records
from aognet.io.images import from_uint8, save_image
from aognet.io.store import CacheConfig
from tests.smooth import smooth_panorama

HEIGHT = 32
# Views are sampled from bytes.
TOLERANCE = 1.5 / 127.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six different panoramas of 64x32 pixels, smooth enough to tell one turn from the next, with captions."""
    folder = tmp_path_factory.mktemp("panoramas")
    for number in range(6):
        save_image(smooth_panorama(HEIGHT)[0].roll(number, 0) * (1 - number / 10), folder / f"{number}.png")
    save_captions({f"{n}.png": [f"scene {n}", f"place {n}"] for n in range(6)}, folder / "captions.jsonl")
    return folder


def view_samples(folder: Path, **settings) -> ViewSamples:
    defaults = {"folders": [str(folder)], "captions": [str(folder / "captions.jsonl")], "height": HEIGHT, "size": 16}
    return ViewSamples(ViewSamples.Config(**defaults | settings))


def outpainting_samples(folder: Path, **settings) -> OutpaintingSamples:
    defaults = {
        "folders": [str(folder)],
        "captions": [str(folder / "captions.jsonl")],
        "height": HEIGHT,
        "face_size": 16,
        "plan": PlanConfig(size=16),
    }
    return OutpaintingSamples(OutpaintingSamples.Config(**defaults | settings))


def panorama_of(samples, sample) -> Tensor:
    """The panorama [1, 3, height, width] that a sample's prompt tells it was drawn from."""
    image = samples.panoramas[int(sample.prompt[-1])].pixels.image
    return from_uint8(torch.tensor(image)).permute(2, 0, 1)[None]


def same(one: object, other: object) -> bool:
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in fields(one)]
    return all(torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in pairs)


@pytest.mark.parametrize("make", [view_samples, outpainting_samples])
def test_a_sample_is_a_function_of_its_number(folder: Path, make):
    first, second = make(folder), make(folder, cache=CacheConfig(folder=None))
    numbers = [0, 1, 5, 6, 17, 1000]
    forwards = {number: first[number] for number in numbers}
    for number in reversed(numbers):
        assert same(forwards[number], second[number])
    assert len({sample.seed for sample in forwards.values()}) == len(numbers)
    other = make(folder, seed=1)
    assert not any(same(forwards[number], other[number]) for number in numbers)


@pytest.mark.parametrize("make", [view_samples, outpainting_samples])
def test_an_epoch_shows_every_panorama_with_its_own_captions(folder: Path, make):
    samples = make(folder)
    assert len(samples) == 6
    prompts = [samples[number].prompt for number in range(18)]
    for epoch in range(3):
        assert sorted(prompt[-1] for prompt in prompts[epoch * 6 : epoch * 6 + 6]) == list("012345")
    assert {prompt[:5] for prompt in prompts} == {"scene", "place"}


@pytest.mark.parametrize("make", [view_samples, outpainting_samples])
def test_workers_may_be_sent_a_copy(folder: Path, make):
    samples = make(folder)
    before = samples[3]
    assert same(pickle.loads(pickle.dumps(samples))[3], before)


@pytest.mark.parametrize("make", [view_samples, outpainting_samples])
def test_batches_hold_the_samples(folder: Path, make):
    samples = make(folder)
    rows = [samples[number] for number in range(3)]
    batch = samples.collate(rows)
    assert batch.prompts == [row.prompt for row in rows]
    assert batch.seeds.tolist() == [row.seed for row in rows] and batch.seeds.dtype == torch.int64
    moved = batch.to(torch.device("cpu"))
    for name in ("image",) if make is view_samples else ("view", "known", "faces", "faces_known"):
        stacked = getattr(moved, "images" if name == "image" else name)
        assert torch.equal(stacked, torch.stack([getattr(row, name) for row in rows]))


def test_one_broken_panorama_is_reported_once_and_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    for number in range(3):
        save_image(smooth_panorama(HEIGHT)[0], tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:200])
    with caplog.at_level(logging.WARNING):
        for make in (view_samples, outpainting_samples):
            samples = make(tmp_path, captions=[])
            assert all(samples[number].prompt == "" for number in range(9))
    assert len(caplog.records) == 2 and caplog.text.count("1.png") >= 2  # once for each dataset


def test_views_are_within_the_asked_range(folder: Path):
    fixed = {"fov_degrees": (50.0, 50.0), "pitch_degrees": (90.0, 90.0)}
    samples = view_samples(folder, **fixed)
    for number in range(6):
        sample = samples[number]
        assert sample.image.shape == (3, 16, 16) and sample.image.abs().max() <= 1
        # Straight up, every yaw turns the same disc: its mean is the mean of the zenith.
        zenith = panorama_of(samples, sample)[0, :, 0].mean(-1)
        assert_close(sample.image[:, 7:9, 7:9].mean((1, 2)), zenith, atol=0.05, rtol=0)


@pytest.mark.parametrize("mirror", [False, True])
def test_directed_prompts_are_those_of_the_views_direction(tmp_path: Path, mirror: bool):
    """The panorama's colours tell the longitude, and so do its captions."""
    longitudes = ((torch.arange(64) + 0.5) / 64 - 0.5) * 2 * torch.pi
    colours = torch.stack([longitudes.sin(), longitudes.cos(), longitudes * 0])
    save_image(colours[:, None].expand(3, 32, 64), tmp_path / "a.png")
    yaws = tuple((float(yaw),) for yaw in range(-180, 180, 30))
    save_captions({"a.png": ["everything."]}, tmp_path / "captions.jsonl")
    save_records([CaptionRecord("a.png", tuple(f"{yaw}." for (yaw,) in yaws), yaws)], tmp_path / "aug.jsonl")
    settings = {"augmented_captions": [str(tmp_path / "aug.jsonl")], "augment": AugmentConfig(mirror=mirror)}
    views = view_samples(tmp_path, directed=1.0, fov_degrees=(20.0, 20.0), pitch_degrees=(0.0, 0.0), **settings)
    for number in range(40):
        assert longitude_gap(views[number].image, views[number].prompt) < 17
    steps, said = outpainting_samples(tmp_path, directed=0.5, **settings), []
    for number in range(40):
        sample = steps[number]
        direction, comma, rest = sample.prompt.rpartition(", ")
        assert rest == "everything."
        said.append(bool(comma))
        if comma and abs(sample.camera.pitch_degrees) < 50:
            assert longitude_gap(sample.view, direction) < 22
    assert 5 < sum(said) < 35


def longitude_gap(image: Tensor, said: str) -> float:
    """Degrees between the longitude that the middle of a view shows as a colour and a number in a text."""
    middle = image.shape[-1] // 2
    sine, cosine, _ = image[:, middle, middle - 1 : middle + 1].mean(-1)
    return abs((math.degrees(math.atan2(sine, cosine)) - float(said.rstrip(".")) + 180) % 360 - 180)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("fov_degrees", (100.0, 60.0)),
        ("fov_degrees", (0.0, 60.0)),
        ("fov_degrees", (60.0, 180.0)),
        ("fov_degrees", (float("nan"), 60.0)),
        ("pitch_degrees", (-91.0, 0.0)),
        ("size", 4),
        ("directed", 1.5),
    ],
)
def test_view_settings_that_cannot_be(key: str, value: object):
    with pytest.raises(UserError, match=key):
        ViewSamples.Config(**{"folders": ["x"], key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("input_fov_degrees", value) for value in ((), (0.0,), (90.0, 180.0), (float("nan"),))),
        ("face_size", 4),
        ("face_size", 20),
        ("first_steps", -1),
        *(("input_pitch_degrees", value) for value in ((), (91.0,))),
    ],
)
def test_outpainting_settings_that_cannot_be(key: str, value: object):
    with pytest.raises(UserError, match=key):
        OutpaintingSamples.Config(**{"folders": ["x"], key: value})


def test_the_photograph_is_known_at_every_pitch_of_the_list(folder: Path):
    samples = outpainting_samples(folder, input_fov_degrees=(70.0, 90.0), input_pitch_degrees=(0.0, 40.0))
    photos = {(photo.fov_degrees, photo.pitch_degrees) for photo in samples.inputs}
    assert photos == {(70.0, 0.0), (90.0, 0.0), (70.0, 40.0), (90.0, 40.0)}
    above = {bool(samples[number].faces_known[4].any()) for number in range(12)}  # of the face above
    assert above == {True, False}


def test_only_the_first_steps_of_a_plan_are_learned(folder: Path):
    samples = outpainting_samples(folder, plan=PlanConfig(kind="sequential", size=16, margin=0.0), first_steps=3)
    looks = {(samples[n].camera.yaw_degrees, samples[n].camera.pitch_degrees) for n in range(24)}
    assert looks == {(0, -25), (0, 25), (-45, 0)}


def painted_before(panorama: Tensor, plan: Plan, photo: Camera, wave: int) -> Canvas:
    """The canvas before a wave: the photo, and the views of the earlier waves painted one by one."""
    truth, known = Canvas.of(panorama), known_by([photo], HEIGHT)
    canvas = Canvas.of(panorama, known[None, None])
    for camera in (step.camera.sized(64, 64) for step in plan.steps if step.wave < wave):
        canvas = canvas.paint(truth.look(camera).image, camera)
    return canvas


def explained(sample: OutpaintingSample, panorama: Tensor, kind: str, fov: float) -> tuple[int, int] | None:
    """By how many columns the panorama is turned and which step is taken, if this plan's step gives this sample."""
    photo = Camera(fov_degrees=fov, width=16, height=16)
    plan = make_plan(PlanConfig(kind=kind, size=16), known_by([photo], HEIGHT))
    rolled = torch.cat([panorama.roll(-columns, -1) for columns in range(2 * HEIGHT)])
    for number, step in enumerate(plan.steps):
        if step.camera != sample.camera:
            continue
        gaps = (look(rolled, step.camera) - sample.view).abs().amax((1, 2, 3))
        turns = (gaps < TOLERANCE).nonzero().flatten().tolist()
        if len(turns) != 1:
            continue
        canvas = painted_before(panorama.roll(-turns[0], -1), plan, photo, step.wave)
        faces = canvas.faces(16)
        if torch.equal(canvas.look(step.camera).known[0], sample.known) and torch.equal(
            faces.known[0], sample.faces_known
        ):
            # The canvas is made of resampled views, the sample of the panorama itself.
            assert_close(sample.faces, faces.image[0], atol=0.03, rtol=0)
            assert sample.faces[~sample.faces_known.expand(-1, 3, -1, -1)].abs().sum() == 0
            return turns[0], number
    return None


@pytest.mark.parametrize("kind", ["cover", pytest.param("published", marks=pytest.mark.slow)])
def test_a_sample_is_a_step_of_a_painted_canvas(folder: Path, kind: str):
    samples = outpainting_samples(folder, plan=PlanConfig(kind=kind, size=16), input_fov_degrees=(70.0, 90.0))
    found = []
    for number in range(12):
        sample = samples[number]
        panorama = panorama_of(samples, sample)
        found += [answer for fov in (70.0, 90.0) if (answer := explained(sample, panorama, kind, fov))][:1]
    assert len(found) == 12
    assert len({turn for turn, _ in found}) > 6 and len({step for _, step in found}) > 4


def test_few_turns_are_whole_shares_of_a_turn(folder: Path):
    samples = outpainting_samples(folder, turns=2)
    found = [explained(samples[n], panorama_of(samples, samples[n]), "cover", 90.0) for n in range(12)]
    assert {turn for turn, _ in found} == {0, samples.config.height}


def test_mirrored_samples_are_samples_of_the_mirrored_panorama(folder: Path):
    plain, mirrored = outpainting_samples(folder), outpainting_samples(folder, augment=AugmentConfig(mirror=True))
    changed = 0
    for number in range(8):
        sample = mirrored[number]
        panorama = panorama_of(plain, sample)
        as_it_is, flipped = (explained(sample, image, "cover", 90.0) for image in (panorama, panorama.flip(-1)))
        assert (as_it_is is None) != (flipped is None)
        changed += flipped is not None
    assert 0 < changed < 8
