"""SSIM against torchmetrics, and where a mask lets it look."""

import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from aognet.errors import UserError
from aognet.metrics.masked import masked_mean
from aognet.metrics.ssim import ssim, ssim_map
from tests.metrics import defects


@pytest.mark.parametrize("damage", [defects.blurred, defects.noisy, defects.tilted])
@pytest.mark.parametrize("strength", [0.3, 2.0])
def test_it_is_what_torchmetrics_measures(damage, strength: float):
    reference = defects.scenes()[..., :100, :150]
    image = damage(defects.scenes(), strength)[..., :100, :150]
    # Black is 0 for them; on other ranges the term of the luminances means nothing.
    theirs = structural_similarity_index_measure(image / 2 + 0.5, reference / 2 + 0.5, data_range=1.0, reduction="none")
    torch.testing.assert_close(ssim(image, reference), theirs, rtol=0, atol=1e-5)


def test_equal_images_score_one_and_contrary_ones_below_zero():
    image = defects.noise((1, 1, 32, 64)).clamp(-1, 1)
    assert ssim(image, image).item() == pytest.approx(1)
    assert ssim(image, -image).item() < -0.8


def test_parts_of_a_mask_add_up_to_the_whole():
    image = defects.scenes()
    other = defects.noisy(image, 0.1)
    mask = torch.zeros(4, 1, 256, 512, dtype=torch.bool)
    mask[..., 60:120, :200] = True
    share = mask.float().mean((1, 2, 3))
    parts = share * ssim(image, other, mask) + (1 - share) * ssim(image, other, ~mask)
    torch.testing.assert_close(parts, ssim(image, other), rtol=0, atol=1e-5)
    torch.testing.assert_close(masked_mean(ssim_map(image, other), mask), ssim(image, other, mask))
    assert ssim(image, other, torch.zeros_like(mask)).isnan().all()


def test_damage_farther_than_a_window_from_the_mask_does_not_count():
    image = defects.scenes()[:1]
    other = image.clone()
    other[..., 20:] = 0
    mask = torch.zeros(1, 1, 256, 512, dtype=torch.bool)
    mask[..., :15] = True
    assert ssim(image, other, mask).item() == pytest.approx(1)
    mask[..., 15] = True
    assert ssim(image, other, mask).item() < 0.9999


def test_an_image_smaller_than_the_window_is_refused():
    with pytest.raises(UserError, match="11x11 pixels, got images of 20x10"):
        ssim(torch.zeros(1, 3, 10, 20), torch.zeros(1, 3, 10, 20))
