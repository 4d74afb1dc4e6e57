"""Laws of differentiable augmentation, and of the hinge losses."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from aognet.errors import UserError
from aognet.gan.augmentation import AugmentationConfig, augmented, drawn_numbers
from aognet.gan.discriminator import hinge_of_discriminator

OFF = AugmentationConfig(colour=0.0, translation=0.0, cutout=0.0)
PARTS = {
    name: replace(OFF, **{name: share}) for name, share in (("colour", 1.0), ("translation", 0.25), ("cutout", 0.5))
}
SEEDS = torch.arange(20, 26)


def images() -> torch.Tensor:
    return torch.rand(6, 3, 12, 10, generator=torch.Generator().manual_seed(0)).mul(2).sub(1)


def test_off_it_is_the_identity() -> None:
    numbers = drawn_numbers(SEEDS, 0)
    assert torch.equal(augmented(images(), numbers, OFF), images())
    assert torch.equal(augmented(images(), numbers, AugmentationConfig(probability=0.0)), images())


@pytest.mark.parametrize("part", PARTS)
def test_equal_numbers_change_images_alike_and_others_otherwise(part: str) -> None:
    numbers, config = drawn_numbers(SEEDS, 0), PARTS[part]
    changed = augmented(images(), numbers, config)
    assert not torch.equal(changed, images())
    assert torch.equal(changed, augmented(images(), drawn_numbers(SEEDS, 0), config))
    assert not torch.equal(changed, augmented(images(), drawn_numbers(SEEDS, 1), config))
    # An image's change does not depend on its neighbours in the batch.
    assert torch.equal(changed[2:3], augmented(images()[2:3], drawn_numbers(SEEDS[2:3], 0), config))


@pytest.mark.parametrize("part", PARTS)
def test_gradients_pass(part: str) -> None:
    numbers = drawn_numbers(SEEDS[:2], 3)
    small = images()[:2, :, :4, :4].double().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda some: augmented(some, numbers, PARTS[part]), (small,))


def test_numbers_in_the_middle_change_nothing() -> None:
    middle = torch.full((6, 8), 0.5)
    assert_close(augmented(images(), middle, replace(OFF, colour=1.0, translation=0.25)), images())


def test_translation_moves_by_whole_pixels_and_no_further_than_it_may() -> None:
    """Down by the most, and to the left by the most."""
    numbers = torch.full((6, 8), 0.5)
    numbers[:, 3], numbers[:, 4] = 0.999, 0.0
    moved = augmented(images(), numbers, PARTS["translation"])
    assert torch.equal(moved[:, :, 3:, :-2], images()[:, :, :-3, 2:])
    assert not moved[:, :, :3].any() and not moved[:, :, :, -2:].any()


def test_cutout_blanks_a_square_and_nothing_else() -> None:
    changed = augmented(images(), torch.full((6, 8), 0.5), PARTS["cutout"])
    blank = (changed == 0).all(1)
    assert blank.sum((1, 2)).tolist() == [6 * 5] * 6
    assert torch.equal(changed[~blank[:, None].expand_as(changed)], images()[~blank[:, None].expand_as(changed)])


def test_shares_outside_of_0_to_1_are_refused() -> None:
    with pytest.raises(UserError, match="cutout must lie in"):
        AugmentationConfig(cutout=1.5)


def test_the_hinge_is_0_beyond_the_margins_and_a_line_before_them() -> None:
    assert hinge_of_discriminator(torch.tensor([1.0, 3.0]), torch.tensor([-1.0, -2.0])) == 0
    assert_close(hinge_of_discriminator(torch.tensor([0.0, 2.0]), torch.tensor([0.5])), torch.tensor(0.5 + 1.5))
    real = torch.tensor([0.25], requires_grad=True)
    hinge_of_discriminator(real, real.detach() - 5).backward()
    assert real.grad is not None and real.grad.item() == -1
