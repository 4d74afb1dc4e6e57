"""What is known of a whole set of panoramas, gathered in one pass whose memory does not grow with the set."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.metrics.frechet import Moments
from aognet.metrics.inception_score import ClassSums
from aognet.metrics.kernel import FeatureSample
from aognet.perception.network import FeatureNetwork

MAX_ROWS = 10_000  # features kept for kernel distances, which draw subsets of them
BLOCK = 64  # panoramas whose features are in memory together


@dataclass(frozen=True)
class Selection:
    """The features of some pictures (``picture``: of the one with that number alone)."""

    pictures: str
    picture: int | None = None


@dataclass(frozen=True)
class SetStatistics:
    """Features of a set: moments of every other panorama and of those between, a sample, sums of class probabilities.

    ``sample``: of at most ``MAX_ROWS`` features. ``classes``: None without an inception score.
    """

    panoramas: int
    halves: tuple[Moments, Moments]
    sample: FeatureSample
    classes: ClassSums | None

    @property
    def moments(self) -> Moments:
        """Of the whole set."""
        return self.halves[0].merged(self.halves[1])

    def merged(self, other: "SetStatistics") -> "SetStatistics":
        """Of both sets together."""
        first, second = (mine.merged(theirs) for mine, theirs in zip(self.halves, other.halves, strict=True))
        classes = self.classes and other.classes and self.classes.merged(other.classes)
        return SetStatistics(
            self.panoramas + other.panoramas, (first, second), self.sample.merged(other.sample), classes
        )


def gather(
    features: Iterable[Float[Tensor, "pictures dim"]], network: FeatureNetwork, splits: int = 0
) -> SetStatistics:
    """Statistics of the features of panoramas; ``splits`` of an inception score, 0 without one."""
    found = (_of_block(block, network, splits) for block in _numbered_blocks(features))
    return reduce(SetStatistics.merged, found)


def _numbered_blocks(features: Iterable[Tensor]) -> Iterator[tuple[int, list[Tensor]]]:
    source, first = iter(features), 0
    while block := list(islice(source, BLOCK)):
        yield first, block
        first += len(block)


def _of_block(numbered: tuple[int, list[Tensor]], network: FeatureNetwork, splits: int) -> SetStatistics:
    first, block = numbered
    joined, each = torch.cat(block).float(), len(block[0])
    numbers = torch.arange(len(joined)) + first * each
    odd = (numbers // each) % 2 == 1
    halves = (Moments.of(joined[~odd]), Moments.of(joined[odd]))
    classes = ClassSums.of(network.logits(joined).cpu(), numbers, splits) if splits else None
    return SetStatistics(len(block), halves, FeatureSample.of(joined, numbers, MAX_ROWS), classes)


def to_tensors(statistics: SetStatistics) -> dict[str, Tensor]:
    """As named tensors, for the store."""
    sample = statistics.sample
    tensors = {"panoramas": torch.tensor(statistics.panoramas), "numbers": sample.numbers, "rows": sample.features}
    for side, moments in enumerate(statistics.halves):
        tensors |= {
            f"count{side}": torch.tensor(moments.count),
            f"mean{side}": moments.mean,
            f"scatter{side}": moments.scatter,
        }
    if statistics.classes is not None:
        sums = statistics.classes
        tensors |= {
            "class_count": sums.count,
            "class_probabilities": sums.probabilities,
            "class_information": sums.information,
        }
    return tensors


def from_tensors(tensors: dict[str, Tensor]) -> SetStatistics:
    """The inverse of ``to_tensors``. Raises KeyError for what is something else."""
    halves = [
        Moments(int(tensors[f"count{side}"]), tensors[f"mean{side}"], tensors[f"scatter{side}"]) for side in range(2)
    ]
    names = ("class_count", "class_probabilities", "class_information")
    classes = ClassSums(*(tensors[name] for name in names)) if names[0] in tensors else None
    sample = FeatureSample(MAX_ROWS, tensors["numbers"], tensors["rows"])
    return SetStatistics(int(tensors["panoramas"]), (halves[0], halves[1]), sample, classes)
