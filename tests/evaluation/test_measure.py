"""Measuring one panorama or pair: its pixels, its pictures, right numbers, nothing twice, and no change unseen."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

from aognet.data.viewing import bordered
from aognet.errors import UserError
from aognet.evaluation import measure
from aognet.evaluation.measure import DecodedPanorama, Measurer, UnitDigests, decode, take
from aognet.evaluation.protocol import MeasureConfig, NetworkRole, PictureConfig, Protocol, cameras_of
from aognet.evaluation.sets import PanoramaFile, Unit
from aognet.geometry.camera import Camera
from aognet.geometry.plans import known_by
from aognet.io.hdr import write_exr
from aognet.io.images import load_image, save_image, to_uint8
from aognet.io.store import TENSORS, CacheConfig, Store
from aognet.metrics.cube_edges import cube_edge_ratio
from aognet.metrics.discontinuity import discontinuity_score
from aognet.metrics.psnr import psnr
from aognet.metrics.seam import pole_gradient_ratio, wrap_gradient_ratio
from aognet.metrics.sharpness import sharpness
from aognet.metrics.ssim import ssim
from tests.evaluation.folders import panoramas, write
from tests.smooth import smooth_panorama, smooth_view

TALL = 64
BYTE = 1 / 127.5
CPU = torch.device("cpu")
HEIGHT, WIDTH = 32, 64
PICTURES = {
    "panorama": PictureConfig("panorama"),
    "crops": PictureConfig("random", 3, 16),
    "faces": PictureConfig("poles", size=16),
}


class Coarse:
    """Features: the pictures on 2x2 pixels. It counts what it saw."""

    dim, is_fid_inception, classes, reads_text = 12, False, 0, False

    def __init__(self, fingerprint: str = "coarse") -> None:
        self.name = self.fingerprint = fingerprint
        self.seen: list[int] = []

    def features(self, images: Tensor) -> Tensor:
        self.seen.append(len(images))
        return functional.adaptive_avg_pool2d(images, 2).flatten(1)

    def logits(self, features: Tensor) -> Tensor:
        raise AssertionError("it has no classes")

    def texts(self, prompts: list[str]) -> Tensor:
        raise AssertionError("it reads no text")


def protocol(**roles: tuple[str, ...]) -> Protocol:
    """Each role looks at these pictures."""
    measures = [MeasureConfig("frechet", name, role) for role, names in roles.items() for name in names]
    measures.append(MeasureConfig("discontinuity"))
    return Protocol("x", networks={role: NetworkRole("clip") for role in roles}, pictures=PICTURES, measures=measures)


def measurer(store: Store, *networks: Coarse, height: int = HEIGHT, batch_size: int = 64) -> Measurer:
    roles = {f"role{number}": network for number, network in enumerate(networks)}
    wanted = protocol(**{role: tuple(PICTURES) for role in roles})
    return Measurer(wanted, height, roles, {}, store, batch_size, CPU)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_in(tmp_path / "store")


def store_in(folder: Path) -> Store:
    return Store(CacheConfig(str(folder)), TENSORS)


@pytest.fixture
def units(tmp_path: Path) -> list[Unit]:
    """Two pairs with a photograph, and a reference alone."""
    images = panoramas(3)
    generated = write(tmp_path / "generated", [image + 0.1 * image.roll(5, -1) for image in images[:2]])
    reference = write(tmp_path / "reference", images)
    photo = Camera(20.0, -10.0, 0.0, 80.0, 16, 16)
    pairs = [Unit(item(generated, number), item(reference, number), photo) for number in range(2)]
    return [*pairs, Unit(None, item(reference, 2))]


def item(folder: Path, number: int) -> PanoramaFile:
    return PanoramaFile(f"p{number}.png", folder / f"p{number}.png")


def measured(one: Measurer, units: list[Unit]) -> list[UnitDigests]:
    return [one.finish(one.prepare(unit)) for unit in units]


@pytest.fixture
def no_decoding_after(monkeypatch: pytest.MonkeyPatch):
    """Call it: from then on nothing may be decoded."""
    return lambda: monkeypatch.setattr(measure, "decode", lambda *_: pytest.fail("decoded again"))


# ------------------------------------------------------------------------------------------------- decoding


def decoded(panorama: PanoramaFile, height: int = HEIGHT) -> DecodedPanorama:
    return decode(panorama.path.read_bytes(), panorama, height)


def saved(path: Path, pixels: np.ndarray) -> PanoramaFile:
    Image.fromarray(pixels).save(path)
    return PanoramaFile(path.name, path)


def test_pixels_without_any_colour_are_unknown(tmp_path: Path) -> None:
    rgba = np.random.default_rng(0).integers(0, 256, (HEIGHT, 2 * HEIGHT, 4), dtype=np.uint8) | 1
    rgba[:8, :, 3] = 0
    found = decoded(saved(tmp_path / "a.png", rgba))
    assert torch.equal(found.known, (torch.arange(HEIGHT) >= 8)[None, None, :, None].expand(1, 1, HEIGHT, WIDTH))
    assert np.array_equal(found.pixels, rgba[..., :3])
    shutil.copy(tmp_path / "a.png", tmp_path / "b.jpg")
    assert torch.equal(decoded(PanoramaFile("b.jpg", tmp_path / "b.jpg")).known, found.known)
    half = decoded(PanoramaFile("a.png", tmp_path / "a.png"), HEIGHT // 2).known
    assert half.shape == (1, 1, HEIGHT // 2, WIDTH // 2) and half.float().mean() == 0.75
    assert decoded(saved(tmp_path / "c.png", rgba[..., :3].copy())).known is None
    light = {name: np.full((HEIGHT, WIDTH), 0.5, np.float32) for name in "RGB"}
    alpha = np.broadcast_to(np.arange(HEIGHT) >= 8, (WIDTH, HEIGHT)).T.astype(np.float32)
    write_exr(light | {"A": alpha}, tmp_path / "d.exr")
    assert torch.equal(decoded(PanoramaFile("d.exr", tmp_path / "d.exr")).known, found.known)


def test_a_cut_body_is_named(tmp_path: Path) -> None:
    panorama = item(write(tmp_path, panoramas(2)), 1)
    content = panorama.path.read_bytes()
    with pytest.raises(UserError, match="p1.png: not a readable image"):
        decode(content[: len(content) // 2], panorama, HEIGHT)


def test_a_panorama_comes_in_the_size_that_is_asked_for(tmp_path: Path) -> None:
    panorama = item(write(tmp_path, panoramas(2)), 0)
    same, smaller, larger = (decoded(panorama, height).pixels for height in (HEIGHT, HEIGHT // 2, HEIGHT * 2))
    assert np.array_equal(same, np.asarray(Image.open(panorama.path)))
    blocks = same.reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 3).astype(float).mean((1, 3))
    assert np.abs(smaller - blocks).max() <= 1
    assert larger.shape == (2 * HEIGHT, 2 * WIDTH, 3)


# ------------------------------------------------------------------------------------------------- pictures


def smooth_pixels() -> np.ndarray:
    return to_uint8(smooth_panorama(TALL))[0].permute(1, 2, 0).contiguous().numpy()


@pytest.mark.parametrize("kind", ["random", "horizon", "random_horizon", "seam", "equator", "poles"])
def test_a_view_shows_what_lies_in_its_direction(kind: str) -> None:
    config = PictureConfig(kind, count=5, size=24)
    found = take(bordered(smooth_pixels()), config)
    expected = torch.cat([smooth_view(camera) for camera in cameras_of(config)])
    assert found.shape == expected.shape and len(found) == {"equator": 4, "poles": 2}.get(kind, 5)
    assert (found - expected).abs().max() < 0.05
    assert (found - expected).abs().mean() < 0.01


def test_the_panorama_itself_is_every_pixel_of_it() -> None:
    image = smooth_pixels()
    whole = take(bordered(image), PictureConfig("panorama"))
    assert whole.shape == (1, 3, TALL, 2 * TALL)
    assert_close(whole[0], torch.from_numpy(image).permute(2, 0, 1) * BYTE - 1)
    turned = take(bordered(image), PictureConfig("panorama", turn_degrees=180.0))
    assert torch.equal(turned, whole.roll(TALL, -1))


def test_a_rolled_panorama_has_the_same_views_all_round() -> None:
    image, config = smooth_pixels(), PictureConfig("horizon", 8, 24)
    views, turned = take(bordered(image), config), take(bordered(np.roll(image, TALL // 2, 1)), config)
    assert (turned - views.roll(2, 0)).abs().max() <= 2 * BYTE
    assert (turned - views).abs().max() > 0.5


def test_coarse_views_are_averages_not_samples() -> None:
    stripes = np.zeros((TALL, 2 * TALL, 3), np.uint8)
    stripes[:, ::2] = 255
    view = take(bordered(stripes), PictureConfig("horizon", 1, 8))
    assert view.std() < 0.25  # samples of stripes would be black and white: 1
    assert math.isclose(float(view.mean()), 0, abs_tol=0.1)


# ------------------------------------------------------------------------------------------------- right numbers


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_features_are_the_networks_of_the_pictures(store: Store, units: list[Unit], batch_size: int) -> None:
    network = Coarse()
    one = measurer(store, network, batch_size=batch_size)
    contents = measured(one, units)
    assert max(network.seen) <= batch_size
    assert [(found.generated is None, found.reference is None) for found in contents] == [(False, False)] * 2 + [
        (True, False)
    ]
    for name, config in PICTURES.items():
        found = list(one.features([found.reference for found in contents], "coarse", name))
        for unit, features in zip(units, found, strict=True):
            pixels = decode(unit.reference.path.read_bytes(), unit.reference, HEIGHT).pixels
            assert_close(features, Coarse().features(take(bordered(pixels), config)))


def test_shape_scores_are_those_of_the_metrics(store: Store, units: list[Unit]) -> None:
    one = measurer(store)
    found = one.shape_scores(measured(one, units[:1])[0].generated)
    image = load_image(units[0].generated.path)[None]
    assert found.keys() == {"discontinuity", "wrap_gradient", "pole_gradient", "cube_edges", "unknown"}
    for name, metric in (
        ("discontinuity", discontinuity_score),
        ("wrap_gradient", wrap_gradient_ratio),
        ("pole_gradient", pole_gradient_ratio),
        ("cube_edges", cube_edge_ratio),
    ):
        assert found[name] == pytest.approx(float(metric(image)))
    assert found["unknown"] == 0


def test_pair_scores_are_of_the_photograph_and_what_lies_outside(store: Store, units: list[Unit]) -> None:
    one = measurer(store)
    digests = measured(one, units[:1])[0]
    found = one.pair_scores(digests.generated, digests.reference, units[0].photo)
    generated, reference = (load_image(item.path)[None] for item in (units[0].generated, units[0].reference))
    inside = known_by([units[0].photo], HEIGHT)[None, None]
    for region, mask in (("whole", None), ("photo", inside), ("outside", ~inside)):
        assert found[f"psnr/{region}"] == pytest.approx(float(psnr(generated, reference, mask)))
        assert found[f"ssim/{region}"] == pytest.approx(float(ssim(generated, reference, mask)), abs=1e-5)
        assert found[f"sharpness/{region}"] == pytest.approx(float(sharpness(generated, reference, mask)))


def test_a_panorama_in_another_size_is_brought_to_the_height(store: Store, tmp_path: Path) -> None:
    large = item(write(tmp_path / "large", panoramas(1, 2 * HEIGHT)), 0)
    one = measurer(store, Coarse())
    contents = measured(one, [Unit(None, large)])
    small = functional.avg_pool2d(load_image(large.path)[None], 2)
    assert_close(
        next(one.features([contents[0].reference], "coarse", "panorama")), Coarse().features(small), atol=0.01, rtol=0
    )


# ------------------------------------------------------------------------------------------------- nothing twice


def test_nothing_is_decoded_or_asked_twice(store: Store, units: list[Unit], no_decoding_after) -> None:
    first, again = Coarse(), Coarse()
    contents = measured(measurer(store, first), units)
    no_decoding_after()
    assert measured(measurer(store_in(store.folder), again), units) == contents
    assert sum(first.seen) == 5 * 6 and again.seen == []


def test_two_roles_of_one_network_are_one_question(store: Store, units: list[Unit]) -> None:
    network = Coarse()
    measured(measurer(store, network, network), units)
    assert sum(network.seen) == 5 * 6


def test_another_network_or_height_is_asked_anew(store: Store, units: list[Unit]) -> None:
    measured(measurer(store, Coarse()), units)
    other, taller = Coarse("other"), Coarse()
    measured(measurer(store, other), units)
    measured(measurer(store, taller, height=48), units)
    assert sum(other.seen) == sum(taller.seen) == 5 * 6


def test_a_changed_file_and_no_other_is_measured_anew(store: Store, units: list[Unit], no_decoding_after) -> None:
    before = measured(measurer(store, Coarse()), units)
    save_image(panoramas(5)[4].clamp(-1, 1), units[1].reference.path)
    network = Coarse()
    after = measured(measurer(store, network), units)
    assert sum(network.seen) == 6
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True]
    assert before[1].generated == after[1].generated
    no_decoding_after()
    measured(measurer(store, Coarse()), units)


def test_a_file_that_only_has_another_name_is_known(store: Store, units: list[Unit], no_decoding_after) -> None:
    measured(measurer(store, Coarse()), units)
    no_decoding_after()
    copy = units[2].reference.path.with_name("copy.png")
    copy.write_bytes(units[2].reference.path.read_bytes())
    measured(measurer(store, Coarse()), [Unit(None, PanoramaFile("copy.png", copy))])


def test_another_photograph_is_another_pair(store: Store, units: list[Unit]) -> None:
    one = measurer(store)
    digests = measured(one, units[:1])[0]
    moved = Unit(units[0].generated, units[0].reference, Camera(90.0))
    measured(one, [moved])
    here, there = (one.pair_scores(digests.generated, digests.reference, u.photo) for u in (units[0], moved))
    assert here["psnr/photo"] != there["psnr/photo"] and here["psnr/whole"] == there["psnr/whole"]


def test_what_broke_in_the_store_is_said_once_and_measured_anew(store: Store, units: list[Unit]) -> None:
    contents = measured(measurer(store, Coarse()), units)
    network = Coarse()
    one = measurer(store, network)
    kept = {
        "features": one.features_key(contents[0].reference, "coarse"),
        "shape": one.shape_key(contents[0].generated),
        "pair": one.pair_key(contents[0].generated, contents[0].reference, units[0].photo),
    }
    ask = {
        "features": lambda: next(one.features([contents[0].reference], "coarse", "crops")),
        "shape": lambda: one.shape_scores(contents[0].generated),
        "pair": lambda: one.pair_scores(contents[0].generated, contents[0].reference, units[0].photo),
    }
    for what, key in kept.items():
        path = store.folder / f"{key}.safetensors"
        path.write_bytes(path.read_bytes()[:-3])
        with pytest.raises(UserError, match=f"cache .*{key} is gone or broken; the same command measures it anew"):
            ask[what]()
        measured(one, units)
        ask[what]()
    assert sum(network.seen) == 6


def test_an_unreadable_file_is_named(store: Store, tmp_path: Path) -> None:
    gone = PanoramaFile("gone.png", tmp_path / "gone.png")
    with pytest.raises(UserError, match=r"gone.png: cannot be read \(No such file or directory\)"):
        measurer(store).prepare(Unit(gone, None))
    gone.path.write_bytes(b"no image")
    with pytest.raises(UserError, match="gone.png: not a readable image"):
        measurer(store).prepare(Unit(gone, None))
