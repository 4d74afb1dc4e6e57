"""Turns what was measured of every panorama into the numbers of the report."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, pstdev

import torch
from torch import Tensor

from aognet.callbacks import Listener
from aognet.errors import UserError
from aognet.evaluation.light import is_light
from aognet.evaluation.measure import Measurer, UnitDigests
from aognet.evaluation.networks import LoadedNetworks
from aognet.evaluation.protocol import DISTRIBUTION, HDR, MEASURES, MeasureConfig, cameras_of
from aognet.evaluation.sets import PanoramaCaptions, Unit
from aognet.evaluation.statistics import FeatureSets, SetStatistics
from aognet.evaluation.values import Aggregate, Scores, Value
from aognet.geometry.camera import Camera
from aognet.metrics.clip_score import clip_score, embedding_similarity
from aognet.metrics.frechet import frechet_distance
from aognet.metrics.kernel import kernel_distance
from aognet.metrics.omnifid import omnifid_by_face, omnifid_pooled
from aognet.metrics.typicality import mahalanobis
from aognet.perception.network import FeatureNetwork

SIDES = ("generated", "reference")
ATYPICAL = "atypicality"


@dataclass(frozen=True)
class GeneratedPanorama:
    """A measured panorama: its name, and the digests of its file and of its reference (None: it has none).

    ``photo``: the camera of the photograph that it continues.
    """

    name: str
    content: str
    reference: str | None
    photo: Camera | None


class Aggregator:
    """Makes the numbers one after the other, so that memory stays small.

    ``digests`` belong to ``units`` in their order; ``captions`` to the generated panoramas by name.
    """

    def __init__(
        self,
        measurer: Measurer,
        networks: LoadedNetworks,
        units: Sequence[Unit],
        digests: Sequence[UnitDigests],
        captions: Mapping[str, PanoramaCaptions],
    ):
        self.protocol, self.measurer, self.networks, self.captions = measurer.protocol, measurer, networks, captions
        measured = list(zip(units, digests, strict=True))
        self.generated = [
            GeneratedPanorama(unit.generated.name, found.generated, found.reference, unit.photo)
            for unit, found in measured
            if unit.generated and found.generated
        ]
        self.pairs = [(one, one.reference) for one in self.generated if one.reference]
        references = [found.reference for _, found in measured if found.reference]
        sides = [(unit.generated, found.generated) for unit, found in measured]
        sides += [(unit.reference, found.reference) for unit, found in measured]
        self.light = {content for item, content in sides if item and content and is_light(item)}
        self.sets = FeatureSets(
            measurer, {"generated": [one.content for one in self.generated], "reference": references}
        )
        self._scores: Scores = {}
        self._warnings: list[str] = []
        self._scarce: list[str] = []
        self._texts: dict[tuple[str, str], Tensor] = {}

    def aggregate(self, listener: Listener) -> Aggregate:
        """Make one value for each measure of the protocol, in its order, and tell the ``listener`` after each."""
        aggregators = {
            "frechet": self._frechet,
            "kernel": self._kernel,
            "inception_score": self._inception_score,
            "omnifid": self._omnifid,
            "clip_score": self._clip_score,
            "image_similarity": self._image_similarity,
        }
        values, seen = [], set()
        for number, measure in enumerate(self.protocol.measures, start=1):
            same = self._identity(measure)
            if same not in seen and not self._lacks_light(measure):
                seen.add(same)
                otherwise = self._pair if measure.needs("pairs") else self._alone
                values.append(self._absent(measure) or aggregators.get(measure.kind, otherwise)(measure))
            listener.tell("measures", number, len(self.protocol.measures))
        if not values:
            raise UserError("has no EXR or HDR files, and this protocol measures nothing else", key="generated")
        if self._scarce:
            self._warnings.append(
                "fewer pictures than features make a covariance singular and its Fréchet distance too high; compare "
                f"these only between sets of equal counts: {'; '.join(self._scarce)}"
            )
        ranking, better = self._rank()
        return Aggregate(values, self._scores, ranking, better, self._warnings)

    def _identity(self, measure: MeasureConfig) -> tuple:
        """Return what is equal for measures that give the same number: two roles may have one network."""
        named = self.networks.named.get(measure.network)
        network = named.network.fingerprint if named else measure.network
        variant = measure.views, measure.by_face, measure.region, measure.by_solid_angle
        return measure.kind, measure.pictures, variant, network

    def _lacks_light(self, measure: MeasureConfig) -> bool:
        """Return whether a measure of light has none to look at: then the report does not speak of it."""
        alone = (one.content in self.light for one in self.generated)
        paired = (one.content in self.light and reference in self.light for one, reference in self.pairs)
        return measure.section == HDR and not any(paired if measure.needs("pairs") else alone)

    def _absent(self, measure: MeasureConfig) -> Value | None:
        """Return the row of a measure that cannot be made, with the reason; None if it can."""
        reason = self.networks.absent.get(measure.network, "")
        few = [side for side in SIDES if len(self.sets.contents[side]) < 2]
        if few and measure.section == DISTRIBUTION:
            reason = f"one panorama has no distribution: at least 2 are needed, {' and '.join(few)} has 1"
        elif measure.needs("pairs") and not self.pairs:
            reason = "no generated panorama has a reference of its name"
        elif measure.needs("pairs") and measure.region != "whole" and not any(one.photo for one in self.generated):
            reason = "where the photograph lies is not known (photo_fov says it)"
        elif measure.needs("captions") and not self.captions:
            reason = "no captions were given"
        elif measure.needs("captions") and not measure.views and not any(one.whole for one in self.captions.values()):
            reason = "the captions are all of directions"
        elif measure.views and not any(one.views for one in self.captions.values()):
            reason = "the captions say nothing of directions (records with yaws)"
        elif measure.kind == "inception_score" and not reason and not self._network(measure).classes:
            reason = "this network knows no classes"
        elif measure.needs("captions") and not reason and not self._network(measure).reads_text:
            reason = "this network reads no text"
        return self._value(measure, None, note=reason, measured=False) if reason else None

    # Distributions

    def _frechet(self, measure: MeasureConfig) -> Value:
        generated, reference = (self._statistics(side, measure) for side in SIDES)
        moments = generated.moments, reference.moments
        count, dim = min(one.count for one in moments), self._network(measure).dim
        if count <= dim:
            self._scarce.append(f"{self.protocol.pictures_title(measure)} ({count} of {dim} features)")
        return self._value(measure, frechet_distance(*moments), note=_distance_of_halves(reference))

    def _kernel(self, measure: MeasureConfig) -> Value:
        generated, reference = (self._statistics(side, measure).sample.features for side in SIDES)
        found = kernel_distance(generated, reference, measure.subsets, measure.subset_size)
        size = min(measure.subset_size, len(generated), len(reference))
        if size == len(generated) == len(reference):
            return self._value(measure, found.mean, note="all pictures in one subset")
        return self._value(measure, found.mean, found.deviation, note=f"{measure.subsets} subsets of {size}")

    def _inception_score(self, measure: MeasureConfig) -> Value:
        generated, reference = (self._statistics(side, measure).classes for side in SIDES)
        assert generated and reference, "the statistics of an inception score have classes"
        score, there = generated.score(), reference.score()
        note = f"{len(generated.count)} splits; reference {there.mean:.3f}"
        return self._value(measure, score.mean, score.deviation, note=note)

    def _omnifid(self, measure: MeasureConfig) -> Value:
        generated, reference = (self.sets.faces(side, self._network(measure)) for side in SIDES)
        distance = (omnifid_by_face if measure.by_face else omnifid_pooled)(generated, reference)
        return self._value(measure, distance)

    def _statistics(self, side: str, measure: MeasureConfig) -> SetStatistics:
        pictures = len(self.sets.contents[side]) * self.protocol.pictures_per_panorama(measure)
        splits = min(measure.splits, pictures) if measure.kind == "inception_score" else 0
        return self.sets.statistics(side, self._network(measure), measure.pictures, splits=splits)

    # Text

    def _clip_score(self, measure: MeasureConfig) -> Value:
        swapped, there = [], []
        scores: dict[str, float] = {}
        following = [*self.generated[1:], *self.generated[:1]]
        for one, other in zip(self.generated, following, strict=True):
            features = self._features(measure, one.content)
            score = self._caption_score(measure, features, self.captions[one.name])
            if score is None:
                continue
            scores[one.name] = score
            if (other_score := self._caption_score(measure, features, self.captions[other.name])) is not None:
                swapped.append(other_score)
            if one.reference:
                reference = self._features(measure, one.reference)
                there.append(self._caption_score(measure, reference, self.captions[one.name]))
        several = len(self.generated) > 1
        notes = [f"with the next panorama's captions {fmean(swapped):.2f}"] if swapped and several else []
        notes += [f"the references with these captions {fmean(there):.2f}"] if there else []
        return self._mean(measure, scores, "; ".join(notes))

    def _features(self, measure: MeasureConfig, content: str) -> Tensor:
        return next(self.measurer.features([content], self._network(measure).fingerprint, measure.pictures))

    def _caption_score(self, measure: MeasureConfig, features: Tensor, captions: PanoramaCaptions) -> float | None:
        """Average over the pictures of a panorama and the captions of each; None where no caption is of any."""
        network, picture = self._network(measure), self.protocol.pictures[measure.pictures]
        if measure.views and picture.kind == "panorama":
            raise UserError(f"{measure.key}: captions of directions need pictures that look in one")
        reach = 180 / len(features)
        pairs = []
        for number, feature in enumerate(features):
            texts = captions.near(cameras_of(picture)[number].yaw_degrees, reach) if measure.views else captions.whole
            pairs += [(feature, self._text_embedding(network, text)) for text in texts]
        if not pairs:
            return None
        images, embeddings = (torch.stack(list(side)) for side in zip(*pairs, strict=True))
        return float(clip_score(images, embeddings).mean())

    def _text_embedding(self, network: FeatureNetwork, text: str) -> Tensor:
        key = network.fingerprint, text
        if key not in self._texts:
            self._texts[key] = network.texts([text])[0].float().cpu()
        return self._texts[key]

    # Single panoramas and pairs

    def _alone(self, measure: MeasureConfig) -> Value:
        scores = {one.name: self._own_scores(one.content).get(measure.kind, math.nan) for one in self.generated}
        scores = {name: score for name, score in scores.items() if not math.isnan(score)}
        references = self.sets.contents["reference"]
        there = [self._own_scores(content).get(measure.kind, math.nan) for content in references]
        there = [score for score in there if not math.isnan(score)]
        note = f"median {median(scores.values()):.4g}" if scores else ""
        note += f"; reference {fmean(there):.4g}" if there else ""
        if there and measure.kind != "unknown":
            note += f", median {median(there):.4g}"
        if measure.kind == "unknown" and (holes := sum(value > 0 for value in scores.values())):
            self._warnings.append(f"{holes} generated panorama(s) have unknown pixels")
        return self._mean(measure, scores, note)

    def _own_scores(self, content: str) -> dict[str, float]:
        light = self.measurer.light_scores(content) if content in self.light else {}
        return self.measurer.shape_scores(content) | light

    def _pair(self, measure: MeasureConfig) -> Value:
        weighted = "solid_angle" if measure.by_solid_angle else ""
        key = "/".join(filter(None, [measure.kind, measure.network, measure.pictures or measure.region, weighted]))
        every = {
            one.name: self._pair_scores(measure, one, reference).get(key, math.nan) for one, reference in self.pairs
        }
        scores = {name: score for name, score in every.items() if not math.isnan(score)}
        equal = sum(math.isinf(score) for score in scores.values())
        return self._mean(measure, scores, f"{equal} pair(s) are equal, which is infinite" if equal else "")

    def _pair_scores(self, measure: MeasureConfig, one: GeneratedPanorama, reference: str) -> dict[str, float]:
        if measure.section != HDR:
            return self.measurer.pair_scores(one.content, reference, one.photo)
        both = {one.content, reference} <= self.light
        return self.measurer.light_scores(one.content, reference) if both else {}

    def _image_similarity(self, measure: MeasureConfig) -> Value:
        scores = {}
        for one, reference in self.pairs:
            mine, theirs = (self._features(measure, content) for content in (one.content, reference))
            scores[one.name] = float(embedding_similarity(mine, theirs).mean())
        return self._mean(measure, scores)

    def _rank(self) -> tuple[str, str]:
        """Choose the score that orders panoramas, and tell whether lower or higher is better.

        It is the similarity to the own reference where that was measured, else how unusual the pictures are among
        those of the reference set.
        """
        for measure in self.protocol.measures:
            if measure.kind == "image_similarity" and self._scores.get(measure.key):
                return measure.key, "higher"
        measure = next((one for one in self.protocol.measures if one.kind == "frechet"), None)
        if measure is None:
            return next(iter(self._scores), ""), "lower"
        reference = self._statistics("reference", measure).moments
        fingerprint = self._network(measure).fingerprint
        features = self.measurer.features(self.sets.contents["generated"], fingerprint, measure.pictures)
        self._scores[ATYPICAL] = {
            one.name: float(mahalanobis(each, reference).mean())
            for one, each in zip(self.generated, features, strict=True)
        }
        return ATYPICAL, "lower"

    # The rows of the table

    def _network(self, measure: MeasureConfig) -> FeatureNetwork:
        return self.networks.named[measure.network].network

    def _mean(self, measure: MeasureConfig, scores: dict[str, float], note: str = "") -> Value:
        """Keep the scores of panoramas and return their mean with the deviation of the population."""
        self._scores[measure.key] = scores
        numbers = list(scores.values())
        mean = fmean(numbers) if numbers else None
        deviation = pstdev(numbers) if mean is not None and len(numbers) > 1 and math.isfinite(mean) else None
        return self._value(measure, mean, deviation, note)

    def _value(
        self,
        measure: MeasureConfig,
        value: float | None,
        deviation: float | None = None,
        note: str = "",
        measured: bool = True,
    ) -> Value:
        named = self.networks.named.get(measure.network)
        if measure.published:
            stands_in = named and named.label == "embedded"
            published = f"{'in place of the published' if stands_in else 'published as'} {measure.published!r}"
            note = "; ".join(filter(None, [published, note]))
        return Value(
            key=measure.key,
            title=self.networks.title(measure, self.protocol),
            pictures=self.protocol.pictures_title(measure),
            section=measure.section,
            value=value,
            deviation=deviation,
            better=MEASURES[measure.kind].better if measured else "",
            network=named.short if named else "",
            counts="" if value is None else self._counts(measure),
            note=note,
        )

    def _counts(self, measure: MeasureConfig) -> str:
        if measure.section != DISTRIBUTION:
            return str(len(self._scores[measure.key]))
        each = self.protocol.pictures_per_panorama(measure)
        return " / ".join(str(len(contents) * each) for contents in self.sets.contents.values())


def _distance_of_halves(reference: SetStatistics) -> str:
    """Say how far two halves of the reference are apart, to compare a distance with."""
    if min(half.count for half in reference.halves) < 2:
        return ""
    return f"between two halves of the reference {frechet_distance(*reference.halves):.4g}"
