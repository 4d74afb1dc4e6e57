"""The fit finds affine maps, has no seam, and carries them to any size."""

import torch

from aognet.io.images import resize_panorama
from aognet.style.local_affine import LocalAffine
from tests.style.pictures import panorama

MATRIX = torch.tensor([[0.8, 0.1, 0.0], [0.2, 0.5, 0.1], [-0.1, 0.3, 1.2]])
OFFSET = torch.tensor([0.1, -0.05, 0.02])


def mapped(image: torch.Tensor) -> torch.Tensor:
    return torch.tensordot(MATRIX, image, dims=1) + OFFSET[:, None, None]


def test_an_affine_map_is_found_and_carried_to_full_size():
    small, large = panorama(16), panorama(40, seed=3)
    fit = LocalAffine.fit(small, mapped(small), 2, 1e-6)
    assert torch.allclose(fit.here(small).float(), mapped(small), atol=1e-3)
    full = fit.enlarged(80)
    found = torch.cat([full.at(large[:, strip], strip, 40) for strip in full.strips(40)], dim=1)
    assert torch.allclose(found, mapped(large), atol=5e-3), "colours that it was not fitted to are mapped, too"


def test_a_ridge_pulls_towards_the_map_of_the_whole():
    small = panorama(16)
    fit = LocalAffine.fit(small, mapped(small), 2, 1e3)
    assert fit.slopes.std(dim=(2, 3)).max() < 1e-3
    flat = torch.full_like(small, 0.5)
    fit = LocalAffine.fit(flat, mapped(flat), 2, 1e-4)
    assert torch.allclose(fit.here(flat).float(), mapped(flat), atol=1e-6), "no variance, and no division by it"


def test_rolls_go_through_and_strips_do_not_show():
    small, target, large = panorama(16), panorama(16, seed=5), panorama(32, seed=6)
    fit = LocalAffine.fit(small, target, 2, 1e-3)
    turned = LocalAffine.fit(small.roll(5, -1), target.roll(5, -1), 2, 1e-3)
    assert torch.allclose(turned.slopes, fit.slopes.roll(5, -1), atol=1e-9)
    full = fit.enlarged(64)
    whole = full.at(large, slice(0, 32), 32)
    rolled = turned.enlarged(64).at(large.roll(10, -1), slice(0, 32), 32)
    assert torch.allclose(rolled, whole.roll(10, -1), atol=1e-5)
    parts = torch.cat(
        [full.at(large[:, top : top + 5], slice(top, min(top + 5, 32)), 32) for top in range(0, 32, 5)], 1
    )
    assert torch.equal(parts, whole)


def test_enlarging_is_bilinear_on_the_sphere():
    """As `resize_panorama` does it, which crosses the wrap and the poles."""
    small = panorama(8)
    offsets = LocalAffine(torch.zeros(3, 3, 8, 16, dtype=torch.float64), small.double())
    found = offsets.enlarged(48).at(torch.zeros(3, 24, 48), slice(0, 24), 24)
    assert torch.allclose(found, resize_panorama(small[None], 24)[0], atol=1e-5)


def test_the_exact_map_gives_its_target():
    small, target = panorama(16), panorama(16, seed=5)
    fit = LocalAffine.fit(small, target, 2, 1e-2)
    assert (fit.here(small).float() - target).abs().max() > 0.05
    assert torch.allclose(fit.exact(small, target).here(small).float(), target, atol=1e-6)
