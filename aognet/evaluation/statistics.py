"""Statistics of all features of a set of panoramas, gathered in one pass whose memory does not grow with the set."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.evaluation.measure import Measurer
from aognet.evaluation.protocol import digest_of
from aognet.geometry.cubemap import LATERAL, POLAR
from aognet.metrics.frechet import Moments
from aognet.metrics.inception_score import ClassSums
from aognet.metrics.kernel import FeatureSample
from aognet.perception.network import FeatureNetwork

MAX_ROWS = 10_000  # features kept for kernel distances, which draw subsets of them
BLOCK = 64  # panoramas whose features are in memory together


@dataclass(frozen=True)
class SetStatistics:
    """Statistics of the features of a set.

    ``halves``: moments of every other panorama, and of those between. ``sample``: at most ``MAX_ROWS`` features.
    ``classes``: sums of class probabilities; None without an inception score.
    """

    panoramas: int
    halves: tuple[Moments, Moments]
    sample: FeatureSample
    classes: ClassSums | None

    @property
    def moments(self) -> Moments:
        """The moments of the whole set."""
        return self.halves[0].merged(self.halves[1])

    def merged(self, other: "SetStatistics") -> "SetStatistics":
        """Return the statistics of both sets together."""
        first, second = (mine.merged(theirs) for mine, theirs in zip(self.halves, other.halves, strict=True))
        classes = self.classes and other.classes and self.classes.merged(other.classes)
        return SetStatistics(
            self.panoramas + other.panoramas, (first, second), self.sample.merged(other.sample), classes
        )


def gather(
    features: Iterable[Float[Tensor, "pictures dim"]], network: FeatureNetwork, splits: int = 0
) -> SetStatistics:
    """Gather the statistics of the features of panoramas; ``splits`` of an inception score, 0 without one."""
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


@dataclass(frozen=True)
class FeatureSets:
    """The features of the generated and the reference set. Their statistics are gathered once for the same files.

    ``contents``: side (generated, reference) -> the digests of its files, in order.
    """

    measurer: Measurer
    contents: Mapping[str, list[str]]

    def statistics(
        self, side: str, network: FeatureNetwork, pictures: str, number: int | None = None, splits: int = 0
    ) -> SetStatistics:
        """Return the statistics of some pictures of all panoramas; ``number``: of the one with this number alone."""
        contents, store = self.contents[side], self.measurer.store
        keys = [self.measurer.features_key(content, network.fingerprint) for content in contents]
        key = digest_of("statistics", keys, {"pictures": pictures, "picture": number}, splits)
        if (stored := store.get(key)) is not None:
            return from_tensors(stored)
        features = self.measurer.features(contents, network.fingerprint, pictures)
        if number is not None:
            features = (each[number][None] for each in features)
        found = gather(features, network, splits)
        store.put(key, to_tensors(found))
        return found

    def faces(self, side: str, network: FeatureNetwork) -> dict[str, Moments]:
        """Return the moments of each face of the cube."""
        places = [("equator", number, face) for number, face in enumerate(LATERAL)]
        places += [("poles", number, face) for number, face in enumerate(POLAR)]
        return {face: self.statistics(side, network, pictures, number).moments for pictures, number, face in places}


def to_tensors(statistics: SetStatistics) -> dict[str, Tensor]:
    """Return statistics as named tensors, for the store."""
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


def from_tensors(tensors: Mapping[str, Tensor]) -> SetStatistics:
    """Invert ``to_tensors``.

    :raises KeyError: for tensors that are no statistics.
    """
    halves = [
        Moments(int(tensors[f"count{side}"]), tensors[f"mean{side}"], tensors[f"scatter{side}"]) for side in range(2)
    ]
    names = ("class_count", "class_probabilities", "class_information")
    classes = ClassSums(*(tensors[name] for name in names)) if names[0] in tensors else None
    sample = FeatureSample(MAX_ROWS, tensors["numbers"], tensors["rows"])
    return SetStatistics(int(tensors["panoramas"]), (halves[0], halves[1]), sample, classes)
