"""Rooms keep the laws of light and geometry, whatever stands in them, and say what is true of them."""

import re

import numpy as np
import pytest

from aognet.geometry.sphere import pixel_directions
from aognet.scenes.indoors.finishes import Finish
from aognet.scenes.indoors.furnisher import Furnisher, Thing
from aognet.scenes.indoors.furniture import dining_table, slab
from aognet.scenes.indoors.interiors import ROOMS, FurnishedRoom, indoors
from aognet.scenes.indoors.lightmap import Lamp, Lightmap
from aognet.scenes.indoors.openings import Opening
from aognet.scenes.indoors.palette import plain
from aognet.scenes.indoors.room_captions import count_things, plural
from aognet.scenes.indoors.rooms import Indoors, Room
from aognet.scenes.indoors.shells import Shell, draw_shell
from aognet.scenes.indoors.surfaces import Frame, shell_frames
from aognet.scenes.indoors.voxels import Voxels
from aognet.scenes.rays import Rays
from aognet.scenes.sky.sky import Sky, draw_sky
from aognet.scenes.solids import box
from aognet.scenes.world import LUX, Seen

WHITE = Finish("plain", np.full(3, 0.8, np.float32))


def rays(height: int = 30) -> Rays:
    directions = pixel_directions(height, 2 * height).numpy().reshape(-1, 3).astype(np.float32)
    return Rays(np.ascontiguousarray(directions), np.pi / height)


@pytest.fixture(scope="module")
def worlds() -> list[FurnishedRoom]:
    return [indoors(np.random.default_rng(5 + number), kind) for number, kind in enumerate(ROOMS)]


def bare(sky: Sky, width: float = 6.0, openings=lambda frames: [], things=()) -> Indoors:
    """A white box 6 x 8 x 3 m with the camera in its middle."""
    shell = draw_shell(np.random.default_rng(0), (width, 8.0, 3.0), "box", "flat", 1.5, 0.0)

    def outside(seen: Rays) -> Seen:
        count = len(seen.directions)
        nothing = np.zeros(count, np.int16)
        return Seen(np.full((count, 3), 0.2, np.float32), np.full(count, np.inf), nothing, np.ones(count))

    room = Room(shell, [WHITE] * len(shell.normals), sky, outside)
    room.openings += openings(room.frames)
    f = Furnisher(np.random.default_rng(0), room)
    for thing, place in things:
        f.add(thing, np.array(place))
    return Indoors(np.random.default_rng(0), room)


def test_at_least_twelve_kinds_of_many_plans(worlds):
    assert len(set(ROOMS)) >= 12
    drawn = [indoors(np.random.default_rng(seed), "empty room").room.shell for seed in range(12)]
    assert len({(shell.form, shell.ceiling) for shell in drawn}) >= 4


def test_every_kind_is_finite_lit_and_labelled(worlds):
    look = rays()
    for world in worlds:
        seen = world.seen(look)
        assert seen.radiance.dtype == np.float32 and seen.distance.dtype == np.float32, world.name
        assert np.isfinite(seen.radiance).all() and seen.radiance.min() >= 0, world.name
        assert seen.radiance.max() > 1e-4 and (seen.distance > 0.02).all(), world.name
        assert seen.label.min() >= 0 and seen.label.max() < len(world.labels), world.name
        assert world.labels[0] == "" and all(world.labels[1:]), world.name
        assert world.caption[0].isupper() and world.caption.endswith("."), world.caption
        assert world.name.split()[-1] in world.caption


def test_same_seed_same_room():
    first, second = (indoors(np.random.default_rng(3), "cafe") for _ in range(2))
    look = rays(24)
    assert np.array_equal(first.seen(look).radiance, second.seen(look).radiance)
    assert first.caption == second.caption


def test_floor_and_walls_are_where_the_plan_says(worlds):
    """A floor is met at eye height / sin(depression), every other face of the shell on its plane."""
    look = rays()
    for world in worlds:
        shell, met, seen = world.room.shell, world.meet(look), world.seen(look)
        floor = met.face == shell.floor_face
        assert floor.sum() > 60, world.name
        expected = shell.floor / look.directions[floor, 1]
        np.testing.assert_allclose(seen.distance[floor], expected, rtol=1e-5)
        wall = met.face < len(shell.normals)
        points = look.directions[wall] * seen.distance[wall, None]
        planes = np.einsum("ij,ij->i", points, shell.normals[met.face[wall]])
        np.testing.assert_allclose(planes, shell.offsets[met.face[wall]], atol=2e-3)


def test_only_windows_show_the_sky(worlds):
    for world in worlds:
        seen = world.seen(rays())
        far = np.isinf(seen.distance)
        nouns = {world.labels[label] for label in np.unique(seen.label[far])}
        assert all("indow" in noun or noun in ("a skylight", "a glass wall") for noun in nouns), nouns
        clear = {world.labels[label] for label in np.unique(seen.label[seen.through > 0])}
        assert all("indow" in noun or noun in ("a skylight", "a glass wall") for noun in clear), clear


def test_windows_by_day_are_much_brighter_than_walls():
    checked = 0
    for seed in range(3):
        world = indoors(np.random.default_rng(seed), "office")
        if world.room.sky.weather not in ("clear", "cloudy", "overcast"):
            continue
        look = rays()
        seen, face = world.seen(look), world.meet(look).face
        glass = [
            first
            for first, opening in zip(world.recesses, world.room.openings, strict=True)
            if opening.kind == "window"
        ]
        outside = np.median(seen.radiance[np.isin(face, glass)].mean(1))
        walls = np.median(seen.radiance[face < world.room.shell.floor_face].mean(1))
        assert 4 < outside / walls < 300, (seed, outside / walls)
        checked += 1
    assert checked >= 1


def reaches_sun(world: Indoors, point: np.ndarray, light: np.ndarray) -> bool | None:
    """By small steps: whether nothing stands between a point and a window; None where it is too close to tell."""
    shell = world.room.shell
    way = np.arange(0.02, 30, 0.02)[:, None] * light + point
    outside = (way @ shell.normals.T > shell.offsets).any(1)
    way = way[: int(outside.argmax())]
    nearest = min((float(solid.gap(way).min()) for solid in world.surfaces.solids), default=1.0)
    if abs(nearest) < 0.02:
        return None
    if nearest < 0:
        return False
    leaves = way[-1]
    face = int((shell.normals @ leaves - shell.offsets).argmax())
    margins = [-1.0]
    for opening in world.room.openings:
        if opening.face == face and opening.kind == "window":
            frame = world.room.frames[face]
            steps = opening.deep / float(shell.normals[face] @ light)
            spots = np.array([leaves - frame.origin, leaves + steps * light - frame.origin])
            margin = float(opening.inside(spots @ frame.u, spots @ frame.v).min())
            bars = opening.glass(spots[1:] @ frame.u, spots[1:] @ frame.v, np.array([0.06]))[0]
            margins.append(margin if margin < 0 or bars > 0.99 else 0.0)
    return None if abs(max(margins)) < 0.08 else max(margins) > 0


def test_a_point_is_sunlit_exactly_if_its_way_to_the_sun_leaves_through_a_window():
    rng, told = np.random.default_rng(0), []
    for seed, kind in ((0, "living room"), (3, "cafe"), (4, "empty room"), (8, "classroom")):
        world = indoors(np.random.default_rng(seed), kind)
        world.room.sky = draw_sky(np.random.default_rng(seed), "clear", 30.0, float(rng.uniform(0, 360)))
        light, shell = world.room.sky.light.astype(float), world.room.shell
        spots = rng.uniform(shell.low + 0.05, shell.high - 0.05, (60, 2))
        points = np.array([[x, shell.floor + 0.03, z] for x, z in spots if shell.inside(x, z, 0.05)], np.float32)
        free = [all(solid.gap(point[None])[0] > 0.03 for solid in world.surfaces.solids) for point in points]
        points = points[free]
        sun = world.sun(points, np.tile(np.array([0, 1, 0], np.float32), (len(points), 1))).max(1)
        for point, shines in zip(points, sun, strict=True):
            expected = reaches_sun(world, point.astype(float), light)
            if expected is not None:
                assert (shines > 0) == expected, (kind, point, shines)
                told.append(expected)
    assert sum(told) > 5 and len(told) - sum(told) > 60


def window(frames: list[Frame]) -> list[Opening]:
    return [Opening(0, 2.0, 4.0, 0.8, 2.4, "window", "a window")]


def test_no_sun_where_the_window_is_behind_the_sun():
    frame = bare(draw_sky(np.random.default_rng(1), "overcast")).room.frames[0]
    towards = float(np.degrees(np.arctan2(-frame.normal[0], -frame.normal[2])))
    for azimuth, lit in ((towards, True), (towards + 180, False)):
        world = bare(draw_sky(np.random.default_rng(1), "clear", 25.0, azimuth), openings=window)
        seen = world.sun(world.lightmap.points, world.lightmap.normals)
        assert (seen.max() > 0) == lit


def test_it_is_darker_under_a_table_than_beside_it():
    table = dining_table(np.random.default_rng(0), 1.8)
    sky = draw_sky(np.random.default_rng(1), "overcast")
    world = bare(sky, openings=window, things=[(table, (-1.5, 0.5))])
    face = world.room.shell.floor_face
    frame = world.room.frames[face]

    def light(x: float, z: float) -> float:
        spot = np.array([x, world.room.shell.floor, z]) - frame.origin
        return float(
            world.lightmap.light(np.array([face]), np.array([spot @ frame.u]), np.array([spot @ frame.v])).mean()
        )

    middle = 0.5 + table.deep / 2
    under, beside = light(-1.5, middle), 0.5 * (light(-1.5 - 1.4, middle) + light(-1.5 + 1.4, middle))
    assert 0.02 * beside < under < 0.8 * beside


def test_light_from_a_window_falls_with_distance_and_leaves_other_walls_lit():
    world = bare(draw_sky(np.random.default_rng(1), "overcast"), openings=window)
    floor, inward = world.room.shell.floor_face, world.room.frames[0].normal
    first, last = world.lightmap.starts[floor], world.lightmap.starts[floor + 1]
    along = world.lightmap.points[first:last] @ inward
    values = world.lightmap.values[first:last].mean(1)
    near, far = values[along < np.quantile(along, 0.3)].mean(), values[along > np.quantile(along, 0.8)].mean()
    assert near > 1.8 * far > 0


def test_bounced_light_fills_a_white_box_as_the_sum_of_all_orders_says():
    """Mean light in a closed box of one albedo: direct light / (1 - albedo), whatever its shape."""
    shell = draw_shell(np.random.default_rng(0), (4.0, 5.0, 3.0), "box", "flat", 1.5, 0.0)
    frames = shell_frames(shell.normals, shell.offsets)
    low, high = np.array([-2.0, -1.5, -2.5]), np.array([2.0, 1.5, 2.5])
    means = []
    for albedo in (0.0, 0.5):
        lightmap = Lightmap(frames, len(frames))
        lamp = Lamp(np.array([0.3, 0.4, 0.2], np.float32), np.full(3, 100 * LUX, np.float32))
        colors = np.full((len(frames), 3), albedo, np.float32)
        lightmap.bake(Voxels(low, high, []), [], [lamp], lambda p, n: np.zeros((len(p), 3), np.float32), colors)
        means.append(np.mean([lightmap.values[a:b].mean() * w for a, b, w in _faces(lightmap)]))
    assert means[1] / means[0] == pytest.approx(2.0, rel=0.12)


def _faces(lightmap: Lightmap) -> list[tuple[int, int, float]]:
    areas = lightmap.frames.sizes.prod(1)
    return [(lightmap.starts[i], lightmap.starts[i + 1], areas[i]) for i in range(len(areas))]


def test_a_wall_of_solids_stops_light_and_air_does_not():
    wall = box((0, 0, 0), (0.4, 4, 4), (1, 1, 1))
    voxels = Voxels(np.array([-3.0, -2, -2]), np.array([3.0, 2, 2]), [wall])
    starts = np.array([[-2.5, 0.3, 0.2], [2.0, 0.3, 0.2]], np.float32)
    assert voxels.passing(starts, np.array([2.5, 0.1, 0.1])).tolist() == pytest.approx([0, 1], abs=0.02)


@pytest.mark.parametrize(("form", "walls"), [("box", 4), ("corner", 6), ("alcove", 8), ("bay", 6)])
@pytest.mark.parametrize("ceiling", ["flat", "gable", "attic", "shed", "vault"])
def test_shells_are_closed_and_hold_the_camera(form, walls, ceiling):
    look = rays(16)
    for seed in range(3):
        shell: Shell = draw_shell(np.random.default_rng(seed), (5.0, 7.0, 3.2), form, ceiling, 1.55, 0.4)
        assert len(shell.walls) == walls and (shell.offsets > 0.2).all() and shell.inside(0.0, 0.0, 0.2)
        along = look.directions @ shell.normals.T
        distance = np.where(along > 1e-7, shell.offsets / np.maximum(along, 1e-7), np.inf).min(1)
        assert distance.max() < 12 and shell.ceiling_at(0.0, 0.0) > 0.3
        assert all(wall.height > 1.1 for wall in shell.walls)


def test_furniture_stands_apart_and_inside():
    rng = np.random.default_rng(0)
    room = bare(draw_sky(rng, "overcast")).room
    f = Furnisher(rng, room)
    block = Thing("a block", (slab(0.0, 0.0, 0.0, 1.0, 1.0, 1.0, plain(0.5, 0.5, 0.5)),), 1.0, 1.0, 1.0)
    placed = sum([f.against(block) for _ in range(30)]) + sum([f.free(block) for _ in range(10)])
    solids = [piece.solid for piece in room.pieces]
    assert placed == len(solids) > 8
    for number, one in enumerate(solids):
        assert (one.corners @ room.shell.normals.T <= room.shell.offsets + 0.01).all()
        assert one.gap(np.zeros((1, 3), np.float32))[0] > 0
        for other in solids[:number]:
            assert (one.low >= other.high - 0.02).any() or (other.low >= one.high - 0.02).any()


WORDS = (
    "sofa",
    "bed with",
    "bathtub",
    "treadmill",
    "car",
    "altar",
    "bar",
    "toilet",
    "fridge",
    "bookshel",
    "television",
    "piano",
)


def test_captions_name_only_what_is_there(worlds):
    for seed, kind in enumerate(ROOMS):
        world = worlds[seed]
        told = f" {world.caption.lower()} "
        for word in WORDS:
            if f" {word}" in told.replace("carpet", "").replace("cardboard", "").replace("bare", ""):
                assert any(word in noun for noun in world.labels), (world.caption, word)
        assert kind in told


def test_numbers_in_captions_are_those_of_the_things(worlds):
    for world in worlds:
        counted = count_things(world.labels[1:])
        for told in re.findall(r"\b(?:two|three|four) [a-z ]+?(?=,| and |\.)", world.caption):
            assert told in counted, (world.caption, told, counted)


def test_things_are_counted_in_words():
    assert count_things(["a chair", "a bed", "a chair"]) == ["two chairs", "a bed"]
    assert plural("a table with chairs", 3) == "three tables with chairs"
    assert plural("a rack of dumbbells", 2) == "two racks of dumbbells"
    assert plural("wooden pews", 9) == "wooden pews" and plural("a bookshelf", 5) == "bookshelves"
