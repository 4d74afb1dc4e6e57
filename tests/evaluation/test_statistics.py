"""Statistics of a set: the same however they are gathered, and in bounded memory."""

import gc
import weakref
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from aognet.evaluation import statistics
from aognet.evaluation.statistics import SetStatistics, from_tensors, gather, to_tensors
from aognet.metrics.frechet import Moments
from aognet.metrics.inception_score import ClassSums

PICTURES, DIM = 3, 5


class Straight:
    """A network whose logits are its features."""

    name, fingerprint, dim, is_fid_inception, classes, reads_text = "straight", "0", DIM, False, DIM, False

    def features(self, images: Tensor) -> Tensor:
        raise AssertionError("nothing is to be looked at here")

    def logits(self, features: Tensor) -> Tensor:
        return 3 * features

    def texts(self, prompts: list[str]) -> Tensor:
        raise AssertionError("no text is to be read here")


def features(panoramas: int = 11) -> list[Tensor]:
    generator = torch.Generator().manual_seed(panoramas)
    return [torch.randn(PICTURES, DIM, generator=generator) + 4 for _ in range(panoramas)]


@pytest.fixture(params=[1, 2, 3, 64])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(statistics, "BLOCK", request.param)
    return request.param


def test_moments_are_those_of_everything_at_once(block: int) -> None:
    every = features()
    found = gather(iter(every), Straight())
    expected = Moments.of(torch.cat(every))
    assert found.panoramas == 11 and found.classes is None
    assert_close(found.moments.mean, expected.mean)
    assert_close(found.moments.scatter, expected.scatter)
    assert found.moments.count == expected.count == 33


def test_halves_are_every_other_panorama(block: int) -> None:
    every = features()
    found = gather(iter(every), Straight())
    for half, expected in zip(found.halves, (every[::2], every[1::2]), strict=True):
        assert half.count == PICTURES * len(expected)
        assert_close(half.mean, torch.cat(expected).double().mean(0))


def test_classes_and_sample_are_of_all_pictures_whatever_the_block(block: int) -> None:
    every = features()
    found = gather(iter(every), Straight(), splits=4)
    expected = ClassSums.of(3 * torch.cat(every), torch.arange(33), 4)
    assert torch.equal(found.classes.count, expected.count)
    assert_close(found.classes.probabilities, expected.probabilities)
    assert_close(found.classes.score().mean, expected.score().mean)
    assert torch.equal(found.sample.features[found.sample.numbers.argsort()], torch.cat(every))


def test_the_sample_is_bounded_and_the_same_for_all_blocks(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "MAX_ROWS", 7)
    sample = gather(iter(features()), Straight()).sample
    monkeypatch.setattr(statistics, "BLOCK", 5)
    other = gather(iter(features()), Straight()).sample
    assert len(sample.features) == 7 and sample.numbers.unique().numel() == 7
    assert torch.equal(sample.numbers.sort().values, other.numbers.sort().values)
    assert torch.equal(sample.features, torch.cat(features())[sample.numbers])


@pytest.mark.parametrize("splits", [0, 2])
def test_kept_statistics_are_the_same(splits: int) -> None:
    found = gather(iter(features()), Straight(), splits)
    again = from_tensors(to_tensors(found))
    assert isinstance(again, SetStatistics) and again.panoramas == found.panoramas
    before, after = to_tensors(found), to_tensors(again)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (again.classes is None) == (splits == 0)
    more = again.merged(again)
    assert more.panoramas == 22 and more.moments.count == 66


def test_something_else_is_no_statistics() -> None:
    with pytest.raises(KeyError):
        from_tensors({"psnr/whole": torch.zeros(1)})


def test_a_set_is_never_in_memory_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "BLOCK", 4)
    monkeypatch.setattr(statistics, "MAX_ROWS", 4)
    alive: weakref.WeakSet = weakref.WeakSet()
    most = 0

    def stream() -> Iterator[Tensor]:
        nonlocal most
        for _ in range(60):
            one = torch.randn(PICTURES, DIM)
            alive.add(one)
            yield one
            del one
            gc.collect(0)
            most = max(most, len(alive))

    assert gather(stream(), Straight()).panoramas == 60
    assert most <= 2 * 4 + 1
