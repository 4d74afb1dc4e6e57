"""The generated and the reference set as a whole: statistics of their features, gathered once for the same files."""

from collections.abc import Mapping
from dataclasses import dataclass

from aognet.evaluation.measure import Measurer
from aognet.evaluation.protocol import MeasureConfig, digest_of
from aognet.evaluation.rows import pictures_of
from aognet.evaluation.statistics import Selection, SetStatistics, from_tensors, gather, to_tensors
from aognet.geometry.cubemap import LATERAL, POLAR
from aognet.metrics.frechet import Moments
from aognet.perception.network import FeatureNetwork


@dataclass(frozen=True)
class Sets:
    """``contents``: side (generated, reference) -> the digests of its files, in order."""

    measurer: Measurer
    contents: Mapping[str, list[str]]

    def statistics(self, side: str, measure: MeasureConfig, network: FeatureNetwork) -> SetStatistics:
        """Of all pictures that a measure looks at."""
        return self._gathered(side, measure, network, Selection(measure.pictures))

    def faces(self, side: str, measure: MeasureConfig, network: FeatureNetwork) -> dict[str, Moments]:
        """Moments of each face of the cube."""
        places = [("equator", number, face) for number, face in enumerate(LATERAL)]
        places += [("poles", number, face) for number, face in enumerate(POLAR)]
        return {
            face: self._gathered(side, measure, network, Selection(pictures, number)).moments
            for pictures, number, face in places
        }

    def _gathered(
        self, side: str, measure: MeasureConfig, network: FeatureNetwork, selection: Selection
    ) -> SetStatistics:
        contents = self.contents[side]
        pictures = len(contents) * pictures_of(measure, self.measurer.protocol)
        splits = min(measure.splits, pictures) if measure.kind == "inception_score" else 0
        keys = [self.measurer.features_key(content, network.fingerprint) for content in contents]
        key = digest_of("statistics", keys, selection, splits)
        store = self.measurer.store
        if (kept := store.get(key)) is not None:
            return from_tensors(kept)
        features = self.measurer.features(contents, network.fingerprint, selection.pictures)
        if selection.picture is not None:
            features = (each[selection.picture][None] for each in features)
        found = gather(features, network, splits)
        store.put(key, to_tensors(found))
        return found
