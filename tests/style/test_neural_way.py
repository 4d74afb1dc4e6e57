"""Losses by definition and by finite differences; views that cover the sphere; work that goes on after a kill."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from aognet.callbacks import UNHEARD, Cancelled, Listener
from aognet.style.colour_way import Segmented
from aognet.style.kept_state import KeptState
from aognet.style.matting import MattingLaplacian
from aognet.style.neural_way import NeuralStyle, Weights, grams, optimized, relative
from aognet.style.oklab import to_oklab
from aognet.style.styling import StyleConfig, Styler
from aognet.style.vgg_features import VggFeatures
from tests.style.networks import written
from tests.style.pictures import panorama, photograph
from tests.style.test_styling import saved

ROWS = 32
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(tmp_path_factory.mktemp("vgg"))


def style_of(weights: str, parts: Weights, segmented: bool = False) -> NeuralStyle:
    content, photo = panorama(ROWS), photograph()
    segments = Segmented.of(to_oklab(content), to_oklab(photo), 3) if segmented else None
    return NeuralStyle(content * 2 - 1, photo * 2 - 1, VggFeatures.load(weights, CPU), parts, segments)


def test_grams_by_definition():
    activations = torch.rand(1, 5, 4, 6, generator=torch.Generator().manual_seed(0))
    whole = torch.einsum("irc,jrc->ij", activations[0], activations[0]) / 24
    assert torch.allclose(grams(activations, None)[0], whole)
    masks = torch.zeros(2, 8, 12)
    masks[0, :4], masks[1, 4:] = 1, 1
    halves = grams(activations, masks)
    assert torch.allclose(halves[0], grams(activations[:, :, :2], None)[0], atol=1e-6)
    assert torch.allclose(halves.mean(0), whole, atol=1e-6), "segments of one size have the whole as their mean"
    assert float(relative(whole, whole)) == 0 and abs(float(relative(2 * whole, whole)) - 1) < 1e-6


def test_directions_are_spread_evenly(weights: str):
    style = style_of(weights, Weights(1.0, 1.0, 0.0))
    forward = torch.stack([style.camera(3, step).forward for step in range(2000)])
    assert forward.mean(0).abs().max() < 0.06
    assert torch.allclose(forward.square().mean(0), torch.full((3,), 1 / 3, dtype=torch.float64), atol=0.03)
    assert style.camera(3, 5) == style.camera(3, 5) != style.camera(4, 5)


@pytest.mark.parametrize("segmented", [False, True])
def test_gradients_are_those_of_finite_differences(weights: str, segmented: bool):
    """Along random directions; the panorama's gradient is that of all parts of the loss together."""
    style = style_of(weights, Weights(1.0, 5.0, 0.1), segmented)
    source = torch.Generator().manual_seed(1)
    image = (style.content + 0.2 * torch.randn(style.content.shape, generator=source)).clamp(-0.9, 0.9).double()
    style.features.trunk.double()
    style.content = style.content.double()
    style.wanted = {name: value.double() for name, value in style.wanted.items()}
    style.shares = None if style.shares is None else style.shares.double()
    camera = style.camera(0, 0)
    image.requires_grad_()
    style.loss(image, camera).backward()
    for seed in range(3):
        along = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        with torch.no_grad():
            step = 1e-4
            change = (style.loss(image + step * along, camera) - style.loss(image - step * along, camera)) / (2 * step)
        assert abs(float(change - (image.grad * along).sum())) < 2e-2 * abs(float(change)) + 1e-3


@pytest.mark.parametrize("segmented", [False, True])
def test_the_style_comes_nearer_and_the_content_stays(weights: str, segmented: bool):
    style = style_of(weights, Weights(0.2, 10.0, 0.0), segmented)
    found = optimized(style, style.content, 40, 0, UNHEARD)
    seen = [style.camera(9, step) for step in range(8)]
    with torch.no_grad():
        before, after, style.weights = style.content, found, Weights(0.0, 1.0, 0.0)
        losses = [sum(float(style.loss(image, camera)) for camera in seen) for image in (before, after)]
    assert losses[1] < 0.7 * losses[0]
    grey = [image.mean(0).flatten() for image in (before, after)]
    assert float(torch.corrcoef(torch.stack(grey))[0, 1]) > 0.6


def test_the_matting_laplacian_holds_edges(weights: str):
    """With it the result is nearer to an affine map of the panorama."""
    style, energies = style_of(weights, Weights(0.2, 10.0, 0.0), segmented=True), []
    laplacian = MattingLaplacian(style.content.add(1).div(2))
    for matting in (0.0, 0.1, 1.0):
        found = optimized(style, style.content, 20, 0, UNHEARD, matting=matting)
        energies.append(float((found * laplacian(found)).sum()))
    assert energies[1] < 0.1 * energies[0] and energies[2] < 0.5 * energies[1]


@pytest.mark.parametrize("way", ["gatys", pytest.param("photo", marks=pytest.mark.slow)])
def test_work_that_was_stopped_goes_on_to_the_same_pixels(weights: str, tmp_path: Path, way: str):
    photo, kept = saved(photograph(), tmp_path / "photo.png"), tmp_path / ".kept"
    config = StyleConfig(photo=photo, way=way, weights=weights, rows=ROWS, steps=25, segments=2)
    image = panorama(64)
    whole, told = Styler(config)(image), []
    stopping = Listener(lambda stage, done, total: told.append(done), lambda: told[-1] >= 23)
    with pytest.raises(Cancelled):
        Styler(config)(image, stopping, kept)
    assert int(load_file(kept)["step"]) == 20
    told.clear()
    again = Styler(config)(image, Listener(lambda stage, done, total: told.append(done)), kept)
    assert told[0] == 20 and torch.equal(again, whole) and not kept.exists()
    with pytest.raises(Cancelled):
        told.clear()
        Styler(config)(image, stopping, kept)
    told.clear()
    other = panorama(64, seed=5)
    mixed = Styler(config)(other, Listener(lambda stage, done, total: told.append(done)), kept)
    assert told[0] == 0 and torch.equal(mixed, Styler(config)(other)), "that of another panorama is not taken"


def test_damaged_states_are_not_taken(tmp_path: Path):
    kept, shape = KeptState(tmp_path / "a", "one"), (3, 4, 8)
    state = {name: torch.zeros(shape) for name in ("image", "mean", "square")} | {"step": torch.tensor(3)}
    kept.write(state)
    found = kept.read(torch.Size(shape))
    assert found is not None and int(found["step"]) == 3
    assert kept.read(torch.Size((3, 8, 16))) is None and KeptState(kept.path, "two").read(torch.Size(shape)) is None
    for content in (b"", b"x" * 100, kept.path.read_bytes()[:-5]):
        kept.path.write_bytes(content)
        assert kept.read(torch.Size(shape)) is None
    kept.remove()
    kept.remove()
    assert kept.read(torch.Size(shape)) is None


@pytest.mark.parametrize("way", ["gatys", "photo"])
def test_there_is_no_seam_in_what_the_network_made(weights: str, tmp_path: Path, way: str):
    photo = saved(photograph(), tmp_path / "photo.png")
    config = StyleConfig(photo=photo, way=way, weights=weights, rows=ROWS, steps=40, segments=2)
    found = Styler(config)(panorama(64, grain=0.0))
    steps = (found.roll(-1, -1) - found).abs().mean((0, 1))
    assert steps[-1] < 1.5 * steps.max().minimum(torch.cat([steps[:16], steps[-17:-1]]).max())


def test_nothing_finer_than_a_row_comes_to_be_near_the_poles(weights: str):
    """What was added to the last row is smooth along it: near the pole, columns are finer than the network sees."""
    style = style_of(weights, Weights(0.2, 10.0, 0.0))
    added = optimized(style, style.content, 40, 0, UNHEARD) - style.content
    fine = added.diff(dim=-1).abs().mean((0, 2)) / added.abs().mean((0, 2))
    assert fine[[0, -1]].max() < 0.15 * fine[ROWS // 2]
