"""Law 6: a plan leaves nothing unknown, its waves are independent, and its views continue what is known."""

import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from aognet.errors import UserError
from aognet.geometry import plans
from aognet.geometry.camera import Camera
from aognet.geometry.plans import (
    PUBLISHED,
    Plan,
    PlanConfig,
    Step,
    anchor_of,
    known_before,
    known_by,
    make_plan,
    overlap_of,
)
from tests.slow import rest_slow

PHOTO = Camera(width=64, height=64)


def overlaps(plan: Plan, known: Tensor) -> list[float]:
    """Walks a plan as the generator does; checks what every plan promises; returns each view's known share."""
    height, shares, anchor = known.shape[0], [], anchor_of(known)
    is_anchored = {step.wave: step.anchored for step in plan.steps}
    for number, wave in enumerate(plan.waves):
        seen = known | anchor if is_anchored[number] else known
        fresh = [known_by([camera], height) & ~seen for camera in wave]
        shares += [float(overlap_of(camera, seen)) for camera in wave]
        assert torch.stack(fresh).sum(0).max() <= 1, "two views of a wave show a pixel that is unknown"
        assert all(mask.any() for mask in fresh), "a view paints nothing"
        known = known | torch.stack(fresh).any(0)
    assert known.all(), f"{int((~known).sum())} pixels stay unknown"
    return shares


@pytest.mark.parametrize("kind", ["cover", "published"])
@pytest.mark.parametrize("height", [32, 64, 100, 256, 512])
def test_a_90_degree_photo(kind: str, height: int):
    known = known_by([PHOTO], height)
    # The published views are painted to their edges, as published.
    plan = make_plan(PlanConfig(kind=kind, size=64, margin=0.05 if kind == "cover" else 0.0), known)
    assert min(overlaps(plan, known)) > 0.27
    assert len(plan.steps) < 21 if kind == "cover" else len(plan.steps) >= 21


@pytest.mark.parametrize("pose", [(0.0, 0.0, 90.0), (70.0, 15.0, 60.0)])
def test_sky_and_ground_come_first_while_the_anchor_stands(pose: tuple[float, float, float]):
    yaw, pitch, fov = pose
    known = known_by([Camera(yaw, pitch, fov_degrees=fov, width=64, height=64)], 128)
    plan = make_plan(PlanConfig(kind="anchored", size=64), known)
    assert min(overlaps(plan, known)[1:]) > 0.27
    anchored = [step for step in plan.steps if step.anchored]
    assert anchored and tuple(anchored) == plan.steps[: len(anchored)], "the anchor stands first, then no more"
    assert all(abs(step.camera.pitch_degrees) >= plans.STEEP_DEGREES for step in anchored)
    painted = known_by([step.camera for step in anchored], 128) | known | anchor_of(known)
    # All that is higher than 62 degrees, and lower, where a view of the ground meets enough of the photograph.
    assert painted[:20].all() and (pitch != 0 or painted[-20:].all())
    # What a step counts as known: the anchor while it stands, and nothing of it afterwards.
    first, later = known_before(plan, known, 0), known_before(plan, known, len(anchored))
    assert torch.equal(first, known | anchor_of(known)) and not (later & anchor_of(known)).any()


def test_without_a_photograph_or_room_behind_it_there_is_no_anchor():
    nothing = torch.zeros(64, 128, dtype=torch.bool)
    for known in (nothing, known_by([PHOTO, replace(PHOTO, yaw_degrees=180.0)], 64)):
        steps = make_plan(PlanConfig(kind="anchored", size=64), known).steps
        assert steps == make_plan(PlanConfig(size=64), known).steps


@pytest.mark.parametrize("yaw", [0.0, 33.3, -120.0])
def test_a_cube_is_six_level_faces_in_one_wave_that_face_the_photo(yaw: float):
    known = known_by([replace(PHOTO, yaw_degrees=yaw)], 64)
    plan = make_plan(PlanConfig(kind="cube", fov_degrees=95.0, size=32), known)
    assert [step.wave for step in plan.steps] == [0] * 6
    assert plan.steps[0].camera.forward @ Camera(yaw_degrees=yaw).forward > 0.999
    cameras = [step.camera for step in plan.steps]
    assert known_by(cameras, 128).all()
    assert all(camera.margin == 0 and camera.fov_degrees == 95.0 for camera in cameras)
    with pytest.raises(UserError, match="fov_degrees must be at least 90 for the faces of a cube, got 80"):
        PlanConfig(kind="cube", fov_degrees=80.0)


@pytest.mark.parametrize("yaw", [0.0, 45.0])
def test_sequential_is_the_published_schedule_one_by_one(yaw: float):
    known = known_by([replace(PHOTO, yaw_degrees=yaw)], 128)
    plan = make_plan(PlanConfig(kind="sequential", size=64, margin=0.0), known)
    overlaps(plan, known)
    assert [step.wave for step in plan.steps] == list(range(len(plan.steps)))
    looks = [(step.camera.yaw_degrees - yaw, step.camera.pitch_degrees) for step in plan.steps]
    assert looks[: len(PUBLISHED)] == list(PUBLISHED) and len(looks) - len(PUBLISHED) <= 6  # the published leave gaps


@pytest.mark.parametrize("kind", ["cover", "anchored", "published", "cube"])
@pytest.mark.parametrize("columns", rest_slow([-17, 1, 64]))
def test_a_plan_turns_with_its_frame(kind: str, columns: int):
    config = PlanConfig(kind=kind, fov_degrees=95.0, size=64)
    known = known_by([replace(PHOTO, pitch_degrees=10.0), Camera(100.0, fov_degrees=50.0, width=64, height=64)], 64)
    turn = columns * 360 / 128
    plan, turned = make_plan(config, known), make_plan(config, known.roll(columns, 1), turn)
    assert [step.wave for step in turned.steps] == [step.wave for step in plan.steps]
    for step, other in zip(plan.steps, turned.steps, strict=True):
        assert replace(other.camera, yaw_degrees=0.0) == replace(step.camera, yaw_degrees=0.0)
        assert other.camera.yaw_degrees == pytest.approx(step.camera.yaw_degrees + turn, abs=1e-9)
    if kind != "cube":
        overlaps(turned, known.roll(columns, 1))


def random_cameras(seed: int) -> list[Camera]:
    draw = random.Random(seed)
    return [
        Camera(
            yaw_degrees=draw.uniform(-180, 180),
            pitch_degrees=draw.uniform(-90, 90),
            roll_degrees=draw.uniform(-180, 180),
            fov_degrees=draw.uniform(2, 130),
            width=64,
            height=draw.choice([32, 64, 100]),
        )
        for _ in range(draw.choice([1, 1, 2, 3, 5]))
    ]


@pytest.mark.parametrize("seed", rest_slow(range(16), fast=4))
def test_any_input_cameras(seed: int):
    cameras = random_cameras(seed)
    known = known_by(cameras, (64, 96, 128, 200)[seed % 4])
    shares = overlaps(make_plan(PlanConfig(size=64), known), known)
    assert min(shares) > 0
    # A small photo cannot fill 0.3 of the first view; everything after it can be met as wished.
    assert min(shares[1:], default=1) > 0.25
    overlaps(make_plan(PlanConfig(kind="published", size=64), known), known)


@pytest.mark.parametrize(
    ("fov", "overlap"),
    rest_slow([(60.0, 0.6), (75.0, 0.05), (150.0, 0.3), (45.0, 0.3), (90.0, 0.6), (120.0, 0.3)], fast=3),
)
def test_any_field_of_view_and_overlap(fov: float, overlap: float):
    known = known_by([PHOTO], 96)
    shares = overlaps(make_plan(PlanConfig(fov_degrees=fov, size=64, overlap=overlap), known), known)
    # The input itself may be too small a part of a wide view.
    assert min(shares) > min(overlap, shares[0]) - 0.05


def test_small_views_come_in_few_waves():
    known = known_by([PHOTO], 64)
    plan = make_plan(PlanConfig(fov_degrees=24.0, size=64, overlap=0.35), known)
    assert min(overlaps(plan, known)) > 0.28
    assert len(plan.waves) < len(plan.steps) / 5


@pytest.mark.parametrize("fov", [45.0, 60.0, 80.0])
def test_published_views_too_narrow_for_the_sphere_are_completed(fov: float):
    known = known_by([PHOTO], 64)
    plan = make_plan(PlanConfig(kind="published", fov_degrees=fov, size=64), known)
    overlaps(plan, known)
    assert len(plan.steps) > 21


def test_published_is_the_published_schedule():
    assert len(set(PUBLISHED)) == 21
    plan = make_plan(PlanConfig(kind="published", size=64), known_by([PHOTO], 128))
    cameras = {(step.camera.yaw_degrees, step.camera.pitch_degrees): step.wave for step in plan.steps}
    assert set(PUBLISHED) <= set(cameras)
    assert list(cameras)[0] == (0, -25)
    # Where two views share new pixels, the published order is kept.
    assert cameras[-45, 0] < cameras[-90, 0] < cameras[-105, 0] < cameras[180, 0]


@pytest.mark.parametrize("kind", ["cover", "published"])
@pytest.mark.parametrize("height", [64, 90])
def test_nothing_known(kind: str, height: int):
    known = torch.zeros(height, 2 * height, dtype=torch.bool)
    plan = make_plan(PlanConfig(kind=kind, size=64), known)
    shares = overlaps(plan, known)
    assert shares[0] == 0 and min(shares[1:]) > 0.1
    assert plan.steps[0].camera.yaw_degrees == 0


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_known_pixels_scattered_everywhere(share: float):
    known = torch.rand(64, 128, generator=torch.Generator().manual_seed(0)) < share
    assert min(overlaps(make_plan(PlanConfig(size=64), known), known)) > 0.05


def test_the_first_view_shows_a_photo_smaller_than_a_planning_cell():
    tele = Camera(130.0, 40.0, 0.0, 2.0, 64, 64)
    known = known_by([tele], 512)
    first = make_plan(PlanConfig(size=64), known).steps[0].camera
    assert first.forward @ tele.forward > 0.98


def test_one_unknown_pixel():
    known = torch.ones(64, 128, dtype=torch.bool)
    known[63, 5] = False
    assert overlaps(make_plan(PlanConfig(size=64), known), known)[0] > 0.9


@pytest.mark.parametrize("kind", ["cover", "published"])
def test_everything_known(kind: str):
    plan = make_plan(PlanConfig(kind=kind, size=64), torch.ones(32, 64, dtype=torch.bool))
    assert plan == Plan(())
    assert plan.waves == []


def test_known_before_a_step_is_the_input_and_the_earlier_waves():
    known = known_by([PHOTO], 64)
    plan = make_plan(PlanConfig(size=64), known)
    for number, step in enumerate(plan.steps):
        earlier = [other.camera for other in plan.steps if other.wave < step.wave]
        assert torch.equal(known_before(plan, known, number), known | known_by(earlier, 64))
    assert torch.equal(known, known_by([PHOTO], 64)), "the input mask was written into"


def test_plans_are_repeatable_and_in_the_order_of_their_waves():
    known = known_by([Camera(40.0, 10.0, 5.0, 70.0)], 128)
    for kind in ("cover", "published"):
        plan = make_plan(PlanConfig(kind=kind, size=64), known)
        assert plan == make_plan(PlanConfig(kind=kind, size=64), known.clone())
        waves = [step.wave for step in plan.steps]
        assert waves == sorted(waves) and set(waves) == set(range(waves[-1] + 1))
        assert [camera for wave in plan.waves for camera in wave] == [step.camera for step in plan.steps]


def test_waves():
    steps = (Step(Camera(0.0), 0), Step(Camera(90.0), 1), Step(Camera(-90.0), 1))
    assert Plan(steps).waves == [[Camera(0.0)], [Camera(90.0), Camera(-90.0)]]


def test_overlap_is_a_share_of_solid_angle():
    camera = Camera(0.0, 0.0, 0.0, 90.0, 64, 64)
    known = torch.zeros(256, 512, dtype=torch.bool)
    known[:, 256:] = True
    assert overlap_of(camera, known) == pytest.approx(0.5, abs=1e-6)
    # A 90-degree square view is a sixth of the sphere.
    assert overlap_of(Camera(0.0, 90.0), known_by([camera], 256)) < 0.005
    area = torch.cos(torch.deg2rad(torch.arange(89.648, -90, -180 / 256)))[:, None]
    assert (known_by([camera], 256) * area).sum() / (512 * area.sum()) == pytest.approx(1 / 6, abs=2e-3)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kind", "spiral"),
        *(("fov_degrees", value) for value in (0.0, 19.0, 180.0, float("nan"))),
        *(("size", value) for value in (0, 4, 65, -8)),
        *(("overlap", value) for value in (0.0, 0.7, -1.0, float("nan"))),
    ],
)
def test_plans_that_cannot_be(key: str, value: object):
    # Types are checked in front of values when tests run, so a wrong word may be told either way.
    with pytest.raises(Exception, match=key) as caught:
        PlanConfig(**{key: value})
    assert isinstance(caught.value, UserError) or key == "kind"


@pytest.mark.parametrize("yaw", [0.0, 90.0, 180.0, -37.5])
def test_the_published_plan_starts_at_the_photo(yaw: float):
    known = known_by([Camera(yaw, width=32, height=32)], 64)
    plan = make_plan(PlanConfig(kind="published", size=32), known)
    first = [step.camera for step in plan.steps if step.wave == 0]
    assert all(abs((camera.yaw_degrees - yaw + 180) % 360 - 180) < 1.5 for camera in first[:2])
    assert all(overlap_of(camera, known) > 0.5 for camera in first[:2])


def test_candidates_that_are_turned_and_mirrored_are_those_computed_one_by_one():
    config = PlanConfig(size=32, fov_degrees=60.0)
    candidates = plans._candidates(config)
    alone = torch.stack([plans._mask(replace(one, margin=0), plans.PLANNING_HEIGHT) for one in candidates.cameras])
    assert len(alone) > 200 and torch.equal(candidates.seen, alone)


@pytest.mark.parametrize("size", [4104, 10**9, 10**30])
def test_views_have_a_largest_size(size: int):
    with pytest.raises(UserError, match="4096]"):
        PlanConfig(size=size)


def test_a_plan_of_too_many_pixels_is_refused_before_it_is_painted():
    known = torch.zeros(32, 64, dtype=torch.bool)
    assert len(make_plan(PlanConfig(size=4096), known).steps) < 64
    with pytest.raises(UserError, match="views of 4096x4096 are more than .* pixels"):
        make_plan(PlanConfig(size=4096, fov_degrees=30.0), known)


@pytest.mark.parametrize("width", [2**15 + 1, 10**12, 2**14 + 8, 10.0, "10", True, float("nan")])
def test_a_camera_has_a_whole_and_bounded_number_of_pixels(width: object):
    with pytest.raises((UserError, TypeError), match="pixels|width"):  # types are checked under test
        Camera(width=width, height=2**14 if width == 2**14 + 8 else 8)
