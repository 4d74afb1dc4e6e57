"""Words and a photograph for a generator of classes: laws of the search for z, on a tiny generator and a tiny CLIP."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.testing import assert_close

from aognet import DirectedPrompt, Generator, Photo, Request, Result
from aognet.callbacks import Cancelled, Listener
from aognet.canvas import Canvas
from aognet.errors import UserError
from aognet.gan.biggan import BigGanConfig
from aognet.generate.asked import ModelConfig
from aognet.generate.generator import Defaults
from aognet.geometry.camera import Camera
from aognet.geometry.perspective import look
from aognet.geometry.tiles import TilesConfig
from aognet.geometry.view_sets import make_views
from aognet.io.images import load_image, save_image
from aognet.methods.ganorama.aims import Networks, Picture
from aognet.methods.ganorama.finding import Search, Space, find, tried
from aognet.methods.ganorama.model import Ganorama
from aognet.methods.ganorama.picking import nearest_classes, unit_texts
from aognet.methods.ganorama.settings import FindingConfig, GanoramaSettings
from aognet.methods.ganorama.together import made_together
from aognet.perception.clip import ClipNetwork
from aognet.perception.lpips import Lpips, PerceptualDistance
from aognet.perception.network import NetworkConfig
from tests.generate.painter import smooth_photo
from tests.stub_model import contents
from tests.tiny import tiny_clip_folder

ROWS, SIZE = 32, 16
NAMES = ["sandbar, sand bar", "valley, vale", "lakeside"]
DIRECTIONS = [DirectedPrompt(90.0, 0.0, "a red barn"), DirectedPrompt(0.0, -90.0, "wet grass")]


@pytest.fixture(scope="module")
def model(generator_folder: Path) -> Ganorama:
    return Ganorama.from_pretrained(generator_folder).eval()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> NetworkConfig:
    torch.manual_seed(0)
    return NetworkConfig("clip", str(tiny_clip_folder(tmp_path_factory.mktemp("clip"), 16)))


@pytest.fixture(scope="module")
def settings(clip: NetworkConfig) -> GanoramaSettings:
    finding = FindingConfig(candidates=1, steps=3, rate=0.2, clip=clip, views_at_once=18)
    return GanoramaSettings(start_layer=1, end_layer=3, finding=finding)


def changed(settings: GanoramaSettings, **finding: Any) -> GanoramaSettings:
    return replace(settings, finding=replace(settings.finding, **finding))


def space_of(model: Ganorama, request: Request, settings: GanoramaSettings, canvas: Canvas | None = None) -> Space:
    views = make_views(settings.view_set(model.config.generator.size))
    return model.space(request, settings, views, canvas)


def made(folder: Path, settings: GanoramaSettings, request: Request, into: Path | None = None, **more: Any) -> Result:
    return Generator(ModelConfig(str(folder)), Defaults(ROWS, settings), device="cpu").generate(request, into, **more)


def report_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text())["steps"][-1]["note"]["found"]


@pytest.fixture(scope="module")
def own_photo(model: Ganorama, settings: GanoramaSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph of 90 degrees that the generator itself can make, from another z."""
    z, classes = model.drawn(Request(label="valley", seed=7), settings, make_views(settings.view_set(SIZE)))
    with torch.no_grad():
        panorama = model.panorama(z, classes, ROWS, settings)
    path = tmp_path_factory.mktemp("own") / "own.png"
    save_image(look(panorama[None] * 2 - 1, Camera(0.0, 0.0, 0.0, 90.0, SIZE, SIZE))[0], path)
    return path


def test_without_steps_words_make_the_class_that_they_pick(
    generator_folder: Path, settings: GanoramaSettings, tmp_path: Path
) -> None:
    made(generator_folder, changed(settings, steps=0), Request("a lake in the hills", name="one"), tmp_path / "words")
    (found,) = report_of(tmp_path / "words")["classes"]
    made(generator_folder, settings, Request(label=found["name"], name="one"), tmp_path / "class")
    pictures = [load_image(tmp_path / name / "result.png") for name in ("words", "class")]
    assert torch.equal(*pictures) and found["words"] == "a lake in the hills"


def test_the_class_is_that_of_the_nearest_synonym(clip: NetworkConfig) -> None:
    network = ClipNetwork.load(clip, torch.device("cpu"))
    for number, name in enumerate(NAMES):
        for synonym in name.split(", "):
            order = nearest_classes(network, NAMES, unit_texts(network, [f"a {synonym}"]))[0].tolist()
            assert order[0] == number and sorted(order) == [0, 1, 2]


@pytest.mark.parametrize(("way", "rate"), [("mean", 0.1), ("mean", 10.0), ("solve", 0.1)])
def test_words_are_followed_and_never_less_than_at_the_start(
    model: Ganorama, settings: GanoramaSettings, way: str, rate: float
) -> None:
    """With a rate of 10 steps go anywhere."""
    chosen = replace(changed(settings, rate=rate, steps=4), way=way)
    report = find(space_of(model, Request("a lake"), chosen), NAMES).report
    start, found = report["similarity"]["start"], report["similarity"]["found"]
    assert found >= start and (rate > 1 or found > start), (start, found)
    assert report["steps"] == 4 and "psnr" not in report


def test_what_is_kept_is_the_best_that_was_seen(model: Ganorama, settings: GanoramaSettings) -> None:
    search = Search(space_of(model, Request("a lake"), changed(settings, rate=5.0, steps=4)), [0])
    seen: list[float] = []
    kept = search._kept
    search._kept = lambda measured: seen.append(float(measured.objective.detach())) or kept(measured)  # type: ignore[method-assign]
    search.run(None, Listener())
    found = search.found(NAMES)
    again = search.space.measured(found.z, found.classes, found.moved)
    assert len(seen) == 5 and float(again.objective.detach()) == pytest.approx(min(seen), abs=1e-6)
    assert found.z.abs().max() <= 2 * settings.truncation and search.moved["z"].abs().max() > 1


def test_more_candidates_never_leave_it_further_away(model: Ganorama, settings: GanoramaSettings) -> None:
    """Of several prompts, too, and where there are more candidates than classes."""
    request, objectives = Request("a lake", prompts_at=DIRECTIONS), []
    for candidates in (1, 2, 4):
        space = space_of(model, request, changed(settings, candidates=candidates))
        with torch.no_grad():
            objectives.append(float(space.measured(*space.start(tried(space))).objective))
    assert objectives == sorted(objectives, reverse=True) and objectives[-1] < objectives[0], objectives
    assert space.candidate(0, 1)[1] == 0 and space.candidate(0, 4) == (space.groups[0].classes[1], 1)


def test_words_of_directions_are_those_of_the_views_that_look_there(
    model: Ganorama, settings: GanoramaSettings
) -> None:
    views = make_views(settings.view_set(SIZE))
    space = space_of(model, Request("a lake", prompts_at=DIRECTIONS), settings)
    words = {view: group.words for group in space.groups for view in group.views}
    assert len(words) == len(views) and set(words.values()) == {"a lake", "a red barn, a lake", "wet grass, a lake"}
    aims = [(view.yaw_degrees % 360, view.pitch_degrees) for view in views]
    barn, grass = words[aims.index((90.0, 0.0))], words[aims.index((0.0, -90.0))]
    assert (barn, grass) == ("a red barn, a lake", "wet grass, a lake")
    assert space.aims.words is not None
    counts = {round(float(count), 3) for count in space.aims.words.counts}
    assert {0.0, 1.0} < counts  # common words count by how level a view looks, those of the ground fully
    only = space_of(model, Request(prompts_at=DIRECTIONS[:1], label="valley"), settings)
    assert [group.words for group in only.groups] == ["a red barn"]
    assert only.groups[0].classes != (1,)  # the class that is asked for is that of the other views
    z, classes = only.start([0])
    others = [view for view in range(len(views)) if view not in only.groups[0].views]
    assert (classes[others].argmax(1) == 1).all()


def test_a_class_that_is_asked_for_stays(model: Ganorama, settings: GanoramaSettings) -> None:
    report = find(space_of(model, Request("a lake", label="valley"), changed(settings, candidates=3)), NAMES).report
    (found,) = report["classes"]
    assert found["name"] == NAMES[1] and found["draw"] in (0, 1, 2)


def test_a_photograph_is_projected_and_kept(
    generator_folder: Path, settings: GanoramaSettings, own_photo: Path, tmp_path: Path
) -> None:
    request = Request(photos=[Photo(image=str(own_photo), fov=90.0)], label="valley")
    result = made(generator_folder, changed(settings, steps=8), request, tmp_path / "run")
    report = report_of(tmp_path / "run")
    assert report["psnr"]["found"] > report["psnr"]["start"] + 1 and "similarity" not in report
    given = load_image(tmp_path / "run" / "input.png")
    seen = result.given[0]
    assert 0.05 < seen.float().mean() < 0.3 and not seen[:, 0].any()
    shown = load_image(tmp_path / "run" / "result.png")
    assert (shown - given)[:, seen].abs().max() < 0.01
    jumps = (shown - shown.roll(1, -1)).abs().mean(0)[ROWS // 2]
    assert jumps.max() < 0.8  # nothing cuts it off
    made(generator_folder, changed(settings, steps=0), replace(request, label=None), tmp_path / "picked")
    assert report_of(tmp_path / "picked")["classes"][0]["words"] == ""  # without a class the photograph picks one


def canvas_of(yaw: float) -> Canvas:
    return Canvas.empty(ROWS).paint(smooth_photo(24, 32)[None], Camera(yaw, 10.0, 0.0, 80.0, 32, 24))


def test_with_the_photograph_all_views_turn(model: Ganorama, settings: GanoramaSettings) -> None:
    panoramas: list[Tensor] = []
    for turn in (0.0, 90.0):
        at = [DirectedPrompt(turn - 180.0, 0.0, "a red barn")]
        request, turned = Request("a lake", prompts_at=at), replace(settings, yaw_degrees=turn)
        found = find(space_of(model, request, turned, canvas_of(turn)), NAMES)
        with torch.no_grad():
            panoramas.append(model.panorama(found.z, found.classes, ROWS, turned, moved=found.moved))
    assert_close(panoramas[1], panoramas[0].roll(ROWS // 2, -1), atol=2e-3, rtol=0)


def test_what_is_seen_of_a_photograph_is_compared_where_it_is(model: Ganorama, settings: GanoramaSettings) -> None:
    views = make_views(settings.view_set(SIZE))
    picture = Picture.of(canvas_of(30.0), views, torch.device("cpu"))
    assert picture is not None and picture.shares.sum() == pytest.approx(1) and 0 < picture.seeing.sum() < len(views)
    networks = space_of(model, Request("x"), settings).aims.networks
    elsewhere = torch.where(picture.known > 0, picture.image, torch.rand(len(views), 3, SIZE, SIZE))
    assert float(picture.distance(elsewhere, networks)) == pytest.approx(0, abs=1e-5)
    assert math.isinf(picture.psnr(elsewhere))
    assert float(picture.distance(elsewhere + 0.1, networks)) > 0.09
    assert Picture.of(Canvas.empty(ROWS), views, torch.device("cpu")) is None


def test_lpips_compares_where_there_are_weights(clip: NetworkConfig, tmp_path: Path) -> None:
    torch.manual_seed(1)
    save_file(Lpips("squeeze", 8).state_dict(), tmp_path / "lpips.safetensors")
    lpips = PerceptualDistance.load(str(tmp_path / "lpips.safetensors"), torch.device("cpu"))
    images, others = torch.rand(2, 3, 3, 32, 32) * 2 - 1
    images.requires_grad_()
    found = Networks(ClipNetwork.load(clip, torch.device("cpu")), lpips, at_once=2).distances(images, others)
    assert_close(found.detach(), lpips.distance(images.detach(), others), atol=1e-5, rtol=1e-4)
    assert torch.autograd.grad(found.sum(), images)[0].abs().sum() > 0


@pytest.mark.parametrize("way", ["mean", "solve"])
def test_few_views_at_once_make_the_same(model: Ganorama, settings: GanoramaSettings, way: str) -> None:
    settings = replace(settings, way=way)
    views = make_views(settings.view_set(SIZE))
    gradients, images = [], []
    for at_once in (None, 5):
        z, classes = model.drawn(Request(label="valley"), settings, views)
        z.requires_grad_()
        images.append(made_together(model.network, z, classes, views, settings, at_once=at_once))
        gradients.append(torch.autograd.grad(images[-1].square().mean(), z)[0])
    assert_close(images[1], images[0], atol=1e-5, rtol=0)
    assert_close(gradients[1], gradients[0], atol=1e-6, rtol=1e-3)
    assert all(weight.grad is None for weight in model.parameters())


def test_a_search_that_was_stopped_goes_on_to_the_same_bytes(
    generator_folder: Path, settings: GanoramaSettings, tmp_path: Path
) -> None:
    settings, request = changed(settings, candidates=2), Request("a lake", prompts_at=DIRECTIONS[:1])
    made(generator_folder, settings, request, tmp_path / "whole")
    told: list[tuple[str, int, int]] = []

    def hear(stage: str, done: int, total: int) -> None:
        told.append((stage, done, total))

    def stop_in(*moments: tuple[str, int]) -> bool:
        return bool(told) and told[-1][:2] in moments

    for moment in (("candidates", 2), ("steps", 2), ("layers", 1)):
        with pytest.raises(Cancelled):
            made(generator_folder, settings, request, tmp_path / "run", progress=hear, cancel=lambda: stop_in(moment))  # noqa: B023
    assert [done for stage, done, _ in told if stage == "steps"] == [1, 2, 3]
    made(generator_folder, settings, request, tmp_path / "run")
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def test_flat_images_take_words(model: Ganorama, settings: GanoramaSettings) -> None:
    tiles, request = TilesConfig(3), Request("a lake", name="flat")
    model.check_flat(request, settings, tiles)
    plain, found = (model.flat(request, changed(settings, steps=steps), tiles, Listener()) for steps in (0, 3))
    assert plain.shape == found.shape and not torch.equal(plain, found)
    with pytest.raises(UserError, match="photos is not for flat images"):
        model.check_flat(Request(photos=[Photo(image="a.png")]), settings, tiles)
    with pytest.raises(UserError, match="prompts_at is not for flat images"):
        model.check_flat(Request(prompts_at=DIRECTIONS), settings, tiles)


def test_without_names_a_photograph_still_has_classes(settings: GanoramaSettings, clip: NetworkConfig) -> None:
    layers: list[list[int]] = [[0, 4, 4], [1, 4, 2], [0, 2, 2], [1, 2, 1]]
    nameless = Ganorama(
        Ganorama.Config(generator=BigGanConfig(layers, 5, 6, 6, width=8, attention_at=2, statistics=3))
    ).eval()
    photo = Request(photos=[Photo(image="a.png")])
    nameless.check(photo, settings)
    asked = [replace(photo, seed=seed) for seed in range(4)]
    orders = {space_of(nameless, one, settings, canvas_of(0.0)).groups[0].classes for one in asked}
    assert len(orders) > 1 and all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)
    nameless.check(Request("a lake", label="3"), settings)
    with pytest.raises(UserError, match="prompt chooses classes by their names.*give label, got 'a lake'"):
        nameless.check(Request("a lake"), settings)
    with pytest.raises(UserError, match="prompts_at chooses classes by their names"):
        nameless.check(Request(prompts_at=DIRECTIONS, label="3"), settings)


def test_what_it_refuses(
    model: Ganorama, settings: GanoramaSettings, clip: NetworkConfig, sd2_folder: Path, tmp_path: Path
) -> None:
    def refused(said: str, changes: GanoramaSettings = settings, **request: Any) -> None:
        with pytest.raises(UserError, match=said):
            model.check(Request(**request), changes)

    refused("share_z must be false", replace(settings, share_z=True), prompt="a lake")
    refused("negative is not for the method ganorama, got 'fog'", prompt="a lake", negative="fog")
    refused("finding.lpips needs views of at least 32 pixels", changed(settings, lpips="weights"), prompt="a lake")
    nowhere = replace(clip, model=str(tmp_path / "nowhere"))
    refused("nowhere: no such folder", changed(settings, clip=nowhere), prompt="a lake")
    mute = NetworkConfig("clip", str(sd2_folder), image_encoder="image_encoder")
    refused("finding.clip .*has no text encoder", changed(settings, clip=mute), prompt="a lake")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"steps": -1}, "steps"),
        ({"candidates": 0}, "candidates"),
        ({"rate": float("nan")}, "rate"),
        ({"pull": -1.0}, "pull"),
        ({"views_at_once": 0}, "views_at_once"),
        ({"clip": NetworkConfig("faed", "a")}, "clip.kind"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError) as caught:
        FindingConfig(**changes)
    assert caught.value.key == key
