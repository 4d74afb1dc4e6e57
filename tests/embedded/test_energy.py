"""The energy score prefers the true distribution to the mean of it, to a part of it, and to too much of it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from aognet.embedded.few_steps.energy import described, energy_score

COUNT = 4000


def normals(seed: int, scale: float = 1.0, mean: float = 0.0) -> Tensor:
    return mean + scale * torch.randn(COUNT, 5, 3, generator=torch.Generator().manual_seed(seed))


def two_sided(seed: int) -> Tensor:
    """One of two things, as a picture that could be a room or a meadow."""
    generator = torch.Generator().manual_seed(seed)
    sides = torch.randint(2, (COUNT, 1, 1), generator=generator) * 4.0 - 2
    return sides + 0.1 * torch.randn(COUNT, 5, 3, generator=generator)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda seed: torch.zeros(COUNT, 5, 3),
        lambda seed: two_sided(seed).abs(),
        lambda seed: 0.5 * two_sided(seed),
        lambda seed: 1.5 * two_sided(seed),
        lambda seed: two_sided(seed) + 1,
    ],
    ids=["mean", "one side", "too little", "too much", "moved"],
)
def test_nothing_scores_better_than_the_truth(wrong: Callable[[int], Tensor]):
    truth = [two_sided(0)]
    right = energy_score([two_sided(1)], [two_sided(2)], truth)
    assert right.loss < energy_score([wrong(1)], [wrong(2)], truth).loss - 0.01
    assert_close(right.spread, right.near, atol=0.03, rtol=0.0)
    assert_close(right.loss, torch.tensor(0.5), atol=0.03, rtol=0.0)  # half the distance between true ones


def test_a_painter_that_learns_by_it_ends_at_the_true_mean_and_spread():
    mean, scale = torch.zeros(3, requires_grad=True), torch.full((3,), 0.2, requires_grad=True)
    optimizer = torch.optim.Adam([mean, scale], lr=0.05)
    for step in range(150):
        optimizer.zero_grad()
        one, other = (mean + scale * normals(3 * step + number) for number in (1, 2))
        energy_score([one], [other], [normals(3 * step, 1.5, 0.7)]).loss.backward()
        optimizer.step()
    assert_close(mean.detach(), torch.full((3,), 0.7), atol=0.06, rtol=0.0)
    assert_close(scale.detach().abs(), torch.full((3,), 1.5), atol=0.1, rtol=0.0)


def test_distances_are_means_of_norms_in_units_of_those_between_truths():
    one, other, truth = (torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(seed)) for seed in range(3))

    def distance(a: Tensor, b: Tensor) -> float:
        return sum((a[row, place] - b[row, place]).norm().item() for row in range(4) for place in range(6)) / 24

    score = energy_score([one, one], [other, other], [truth, truth])
    unit = distance(truth, truth[[3, 0, 1, 2]])
    assert score.near.item() == pytest.approx((distance(one, truth) + distance(other, truth)) / 2 / unit, rel=1e-4)
    assert score.spread.item() == pytest.approx(distance(one, other) / unit, rel=1e-4)


def test_equal_images_have_finite_gradients():
    values = torch.zeros(3, 2, 4, requires_grad=True)
    energy_score([values], [values.detach()], [torch.zeros(3, 2, 4)]).loss.backward()
    assert values.grad is not None and values.grad.isfinite().all()


def test_places_textures_wholes_and_colours_are_compared():
    features = [torch.randn(2, 4 + scale, 16 >> scale, 16 >> scale) for scale in range(4)]
    images = torch.rand(2, 3, 64, 64)
    found = described(features, images)
    shapes = [tuple(one.shape) for one in found]
    assert shapes == [
        *((2, 256, 4), (2, 64, 5), (2, 16, 6), (2, 4, 7), (2, 64, 3)),
        *((2, 16, 4), (2, 4, 5)),
        *((2, 1, 96), (2, 1, 28), (2, 1, 192)),
        (2, 1, 3),
    ]
    assert_close(found[0][1, 17], features[0][1, :, 1, 1])
    assert_close(found[5][0, 5], features[0][0, :, 4:8, 4:8].abs().mean((1, 2)))
    assert_close(found[-1][1, 0], images[1].mean((1, 2)))
