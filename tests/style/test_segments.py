"""Segments cover everything once, do not depend on where the panorama begins, and find their counterpart."""

import torch

from aognet.geometry.sphere import pixel_directions, pixel_solid_angles
from aognet.style.colour_way import Segmented
from aognet.style.oklab import to_oklab
from aognet.style.segments import clusters, coupling, panorama_features, photo_features
from tests.style.pictures import panorama, photograph


def test_shares_and_masses_add_up_to_one():
    ours, theirs = panorama_features(to_oklab(panorama(24))), photo_features(to_oklab(photograph()))
    for count in (1, 2, 4, 8):
        a, b = clusters(ours, count), clusters(theirs, count)
        assert torch.allclose(a.shares.sum(0), torch.ones(24 * 48, dtype=torch.float64))
        assert abs(float(a.masses.sum()) - 1) < 1e-9
        plan = coupling(a, b)
        assert torch.allclose(plan.sum(1), a.masses) and plan.min() >= 0
    mean = ours.values @ ours.weights
    assert mean.abs().max() < 1e-9, "standard scores, by solid angle"


def test_a_roll_rolls_the_segments():
    lab, photo = to_oklab(panorama(24)), to_oklab(photograph())
    found, turned = Segmented.of(lab, photo, 4), Segmented.of(lab.roll(7, -1), photo, 4)
    assert torch.allclose(turned.shares, found.shares.roll(7, -1), atol=1e-9)
    assert torch.allclose(turned.of_photo, found.of_photo, atol=1e-9)


def test_sky_takes_sky_and_ground_takes_ground():
    """A dark ground and a bright one, skies of other colours: the upper parts belong together."""
    up = (pixel_directions(32, 64)[..., 1] > 0).float()
    grain = 0.01 * torch.randn(3, 32, 64, generator=torch.Generator().manual_seed(0))
    ours = torch.tensor([0.5, 0.6, 0.9])[:, None, None] * up + 0.15 * (1 - up) + grain.abs()
    photo = torch.full((3, 40, 60), 0.9)
    photo[:, :12] = torch.tensor([0.9, 0.4, 0.2])[:, None, None]
    photo = (photo + 0.01 * torch.randn(3, 40, 60, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    found = Segmented.of(to_oklab(ours), to_oklab(photo), 2)
    sky = int((found.shares * up).sum((1, 2)).argmax())
    assert float(found.of_photo[sky, :12].sum()) > 0.8
    assert float(found.of_photo[1 - sky, 12:].sum()) > 0.8


def test_weights_of_the_sphere_are_solid_angles():
    weights = panorama_features(to_oklab(panorama(16))).weights.view(16, 32)
    angles = pixel_solid_angles(16, 32)
    assert torch.allclose(weights / weights[8, 0], (angles / angles[8])[:, None].expand(-1, 32))
