"""The Inception Score against torchmetrics, plain loops and its bounds."""

import math

import pytest
import torch
from torch import Tensor
from torchmetrics.image.inception import InceptionScore as Theirs

from aognet.errors import UserError
from aognet.metrics.inception_score import ClassSums

pytestmark = pytest.mark.filterwarnings("ignore:Metric .* will save all extracted features", "ignore:std")


class Itself(torch.nn.Module):
    """Images are logits already."""

    def forward(self, images: Tensor) -> Tensor:
        return images


def logits(samples: int, classes: int = 7) -> Tensor:
    return 3 * torch.randn(samples, classes, generator=torch.Generator().manual_seed(0))


def by_loops(values: Tensor) -> float:
    probabilities = values.double().softmax(1).tolist()
    marginal = [sum(column) / len(probabilities) for column in zip(*probabilities, strict=True)]
    divergences = [sum(p * math.log(p / q) for p, q in zip(row, marginal, strict=True)) for row in probabilities]
    return math.exp(sum(divergences) / len(divergences))


def test_one_split_agrees_with_torchmetrics_and_plain_loops():
    ours = ClassSums.of(logits(50), torch.arange(50), 1).score()
    theirs = Theirs(feature=Itself(), splits=1)
    theirs.update(logits(50).double())
    assert ours.mean == pytest.approx(float(theirs.compute()[0]), rel=1e-6)
    assert ours.mean == pytest.approx(by_loops(logits(50)), rel=1e-12)
    assert ours.deviation == 0


def test_splits_take_every_nth_image_in_any_batches_and_order():
    numbers = torch.randperm(53, generator=torch.Generator().manual_seed(1)) + 1000
    sums = [ClassSums.of(logits(53)[part], numbers[part], 4) for part in torch.arange(53).split([1, 30, 22])]
    ours = sums[1].merged(sums[2]).merged(sums[0]).score()
    expected = torch.tensor([by_loops(logits(53)[numbers % 4 == split]) for split in range(4)], dtype=torch.float64)
    assert ours.mean == pytest.approx(float(expected.mean()), rel=1e-12)
    assert ours.deviation == pytest.approx(float(expected.std(correction=0)), rel=1e-9)


def test_bounds_are_1_and_the_number_of_classes():
    """Sure and balanced: every class. Unsure, or always the same class: 1."""
    sure = 200 * torch.eye(5).repeat(4, 1)
    assert ClassSums.of(sure, torch.arange(20), 1).score().mean == pytest.approx(5, rel=1e-12)
    assert ClassSums.of(sure * 0, torch.arange(20), 1).score().mean == pytest.approx(1, rel=1e-12)
    assert ClassSums.of(sure[:1].repeat(6, 1), torch.arange(6), 2).score().mean == pytest.approx(1, rel=1e-12)


def test_a_split_without_images_is_named():
    with pytest.raises(UserError, match="10 splits needs an image in each, got 9 images"):
        ClassSums.of(logits(9), torch.arange(9)).score()
    with pytest.raises(UserError, match="at least 1 split, got 0"):
        ClassSums.of(logits(9), torch.arange(9), 0)


def test_other_shapes_and_broken_logits_are_named():
    with pytest.raises(ValueError, match=r"got \(2, 7\) and \(3, 7\)"):
        ClassSums.of(logits(9), torch.arange(9), 2).merged(ClassSums.of(logits(9), torch.arange(9), 3))
    broken = logits(9)
    broken[4, 2] = torch.nan
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 9"):
        ClassSums.of(broken, torch.arange(9), 1)
