from dataclasses import replace

import pytest
import torch
from torch import Tensor

from aognet.callbacks import Cancelled, Listener
from aognet.errors import UserError
from aognet.hdr import expanding
from aognet.hdr.expanding import check_factor, expand, scaled
from aognet.hdr.sritmo import PUBLISHED, SrItmo, SrItmoConfig, from_published
from tests.hdr.plain_sritmo import plain_sritmo, public_tensors

SMALL = SrItmoConfig(features=6, blocks=2, sr_widths=(12, 10), itmo_widths=(8,))


def image(height: int = 12, width: int = 24, seed: int = 3) -> Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def small(**changes: object) -> SrItmo:
    torch.manual_seed(0)
    return SrItmo(replace(SMALL, **changes)).eval()


def test_the_published_layout_has_88_tensors():
    tensors = public_tensors()
    ours = SrItmo(PUBLISHED).state_dict()
    assert len(tensors) == 88 and len(ours) == 84 and set(ours) < set(tensors)
    assert all(ours[key].shape == tensors[key].shape for key in ours)
    assert sum(value.numel() for value in ours.values()) == 1_700_166


@pytest.mark.parametrize("factor", [1.0, 2.0, 2.5, 3.0, 3.7, 4.0, 8.0])
def test_it_answers_as_a_plain_reading_of_the_published_weights(factor: float, monkeypatch: pytest.MonkeyPatch):
    """Unfolded features, all four cells by the nearest sample, queries in chunks: the result is the same."""
    tensors = public_tensors(seed=1)
    monkeypatch.setattr(expanding, "BLOCK_VALUES", 2**15)
    seen = image(10, 20) if factor < 4 else image(6, 12)
    rows, columns = (scaled(side, factor) for side in seen.shape[-2:])
    with torch.no_grad():
        display, light = plain_sritmo(tensors, seen.flip(0)[None], rows, columns, chunk=700)
    found = expand(from_published(tensors), seen, factor)
    for ours, plain in ((found.display, display), (found.log_light, light)):
        assert ours.shape == (3, rows, columns)
        assert torch.allclose(ours, plain.flip(0), atol=1e-5, rtol=1e-5)


def test_missing_and_unknown_weights_are_named():
    tensors = public_tensors(seed=1)
    with pytest.raises(UserError, match="old.pth: 1 weights are missing: hdrmapper.layers.0.bias"):
        from_published({key: value for key, value in tensors.items() if key != "hdrmapper.layers.0.bias"}, "old.pth")
    with pytest.raises(UserError, match="1 weights are unexpected: more"):
        from_published(tensors | {"more": torch.zeros(1)})


@pytest.mark.parametrize("sphere", [False, True])
def test_strips_and_blocks_change_nothing(sphere: bool, monkeypatch: pytest.MonkeyPatch):
    network, seen = small(sphere=sphere), image(40, 80)
    whole = expand(network, seen, 1.6)
    monkeypatch.setattr(expanding, "STRIP_PIXELS", 1)
    monkeypatch.setattr(expanding, "BLOCK_VALUES", 50 * max(network.config.sr_widths))  # less than half a row
    parts = expand(network, seen, 1.6)
    assert torch.allclose(parts.display, whole.display, atol=1e-6)
    assert torch.allclose(parts.log_light, whole.log_light, atol=1e-6)


@pytest.mark.parametrize("factor", [1.0, 2.0, 3.0])
def test_turning_the_panorama_turns_the_result(factor: float):
    network, seen = small(), image()
    turned = expand(network, seen.roll(5, -1), factor)
    whole = expand(network, seen, factor)
    assert torch.allclose(turned.display, whole.display.roll(int(5 * factor), -1), atol=1e-5)
    assert torch.allclose(turned.log_light, whole.log_light.roll(int(5 * factor), -1), atol=1e-5)
    flat = small(sphere=False)
    seam = expand(flat, seen.roll(5, -1), factor).display - expand(flat, seen, factor).display.roll(int(5 * factor), -1)
    assert seam.abs().max() > 1e-3


def test_memory_does_not_grow_with_the_factor(monkeypatch: pytest.MonkeyPatch):
    """What is asked at a time is one block of rows, and one strip of cells."""
    sizes: list[tuple[int, ...]] = []
    answers = SrItmo.answers

    def watched(self: SrItmo, firsts: object, weights: object, position: Tensor, *others: object):
        sizes.append(tuple(position.shape))
        return answers(self, firsts, weights, position, *others)

    monkeypatch.setattr(SrItmo, "answers", watched)
    monkeypatch.setattr(expanding, "BLOCK_VALUES", 12 * 300)
    for factor in (2.0, 6.0):
        expand(small(), image(), factor)
    assert max(rows * columns for rows, columns, _ in sizes) <= 300


def test_a_residual_network_of_zeros_interpolates():
    network = small(position="latitude")
    for layers in (network.srmapper.layers, network.hdrmapper.layers):
        torch.nn.init.zeros_(layers[-1].weight)
        torch.nn.init.zeros_(layers[-1].bias)
    seen = image().clamp(-0.9, 0.9)
    same = expand(network, seen, 1.0)
    assert torch.allclose(same.display, seen, atol=1e-6)
    ramp = torch.linspace(-0.5, 0.5, 24).expand(3, 12, 24)
    doubled = expand(network, ramp, 2.0).display
    inner = torch.nn.functional.interpolate(ramp[None], scale_factor=2, mode="bilinear", align_corners=False)[0]
    assert torch.allclose(doubled[..., 2:-2], inner[..., 2:-2], atol=1e-6)


def test_hidden_layers_in_bfloat16_are_nearly_the_same():
    network, seen = small(), image()
    exact, rough = (expand(network, seen, 2.0, inner=inner) for inner in (None, torch.bfloat16))
    assert rough.display.dtype == torch.float32 and not torch.equal(rough.display, exact.display)
    assert (rough.display - exact.display).abs().max() < 0.01
    assert (rough.log_light - exact.log_light).abs().max() < 0.05


def test_it_tells_how_far_it_is_and_stops():
    told: list[tuple[str, int, int]] = []
    expand(small(), image(), 2.0, Listener(lambda *words: told.append(words)))
    assert told[-1] == ("rows", 24, 24)
    with pytest.raises(Cancelled):
        expand(small(), image(60, 120), 8.0, Listener(cancel=lambda: True))


@pytest.mark.parametrize("factor", [0.99, 8.01, float("nan"), float("inf"), -1.0])
def test_factors_out_of_range_are_refused(factor: float):
    with pytest.raises(UserError, match=r"factor must lie in \[1, 8\], got"):
        check_factor(factor)
    with pytest.raises(UserError, match="factor must lie in"):
        expand(small(), image(), factor)


def test_panoramas_too_large_are_refused_before_they_are_made():
    check_factor(2.0, 4096)
    with pytest.raises(UserError, match="factor of 4096 rows would make 16384; a panorama has at most 134217728"):
        check_factor(4.0, 4096)


@pytest.mark.parametrize(
    "changes",
    [{"features": 0}, {"blocks": 1000}, {"sr_widths": ()}, {"itmo_widths": (0,)}, {"position": "longitude"}],
)
def test_configs_without_sense_are_refused(changes: dict[str, object]):
    with pytest.raises(UserError, match=next(iter(changes))):
        SrItmoConfig(**changes)
