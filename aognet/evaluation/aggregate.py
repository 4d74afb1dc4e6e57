"""From what was measured of every panorama to the numbers of the report."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median, pstdev

import torch
from torch import Tensor

from aognet.errors import UserError
from aognet.evaluation.measure import Contents, Measurer, Unit
from aognet.evaluation.pictures import cameras_of
from aognet.evaluation.players import Cast, Player
from aognet.evaluation.protocol import MeasureConfig, Protocol
from aognet.evaluation.results import Value
from aognet.evaluation.rows import PAIRS, SECTIONS, SHAPE, pictures_of, row
from aognet.evaluation.sets import Sets
from aognet.evaluation.statistics import SetStatistics
from aognet.evaluation.texts import Texts
from aognet.metrics.clip_score import clip_score, embedding_similarity
from aognet.metrics.frechet import frechet_distance
from aognet.metrics.kernel import kernel_distance
from aognet.metrics.omnifid import omnifid_by_face, omnifid_pooled
from aognet.metrics.typicality import mahalanobis

SIDES = ("generated", "reference")
ATYPICAL = "atypicality"
Scores = dict[str, dict[str, float]]
"""Key of a measure -> name of a panorama -> its own value."""


@dataclass
class Findings:
    """All that was measured; the numbers are made from it one after the other, so that memory stays small."""

    protocol: Protocol
    measurer: Measurer
    cast: Cast
    units: Sequence[Unit]
    contents: Sequence[Contents]
    texts: Mapping[str, Texts]
    scores: Scores = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    scarce: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        both = list(zip(self.units, self.contents, strict=True))
        self.generated = [(unit, found) for unit, found in both if unit.generated]
        self.pairs = [(unit, found) for unit, found in self.generated if unit.reference]
        contents = {
            "generated": [found.generated or "" for _, found in self.generated],
            "reference": [found.reference or "" for unit, found in both if unit.reference],
        }
        self.sets = Sets(self.measurer, contents)
        self._texts: dict[tuple[str, str], Tensor] = {}

    def values(self, done: Callable[[int], None]) -> list[Value]:
        """One value for each measure of the protocol, in its order; ``done`` is told after each."""
        makers = {
            "frechet": self._frechet,
            "kernel": self._kernel,
            "inception_score": self._inception_score,
            "omnifid": self._omnifid,
            "clip_score": self._clip_score,
            "image_similarity": self._image_similarity,
        }
        values, seen = [], set()
        for measure in self.protocol.measures:
            same = self._identity(measure)
            if same not in seen:
                seen.add(same)
                maker = makers.get(measure.kind, self._shape if measure.kind in SHAPE else self._pair)
                values.append(self._absent(measure) or maker(measure))
            done(0)
        if self.scarce:
            self.warnings.append(
                "fewer pictures than features make a covariance singular and its Fréchet distance too high; compare "
                f"these only between sets of equal counts: {'; '.join(self.scarce)}"
            )
        return values

    def _identity(self, measure: MeasureConfig) -> tuple:
        """Two roles played by one network ask for the same number twice."""
        player = self.cast.players.get(measure.network)
        network = player.network.fingerprint if player else measure.network
        return measure.kind, measure.pictures, measure.views, measure.by_face, measure.region, network

    def _absent(self, measure: MeasureConfig) -> Value | None:
        """The row of a measure that cannot be made, with the reason."""
        reason = self.cast.absent.get(measure.network, "")
        few = [side for side in SIDES if len(self.sets.contents[side]) < 2]
        if few and SECTIONS.get(measure.kind) == "Distribution":
            reason = f"one panorama has no distribution: at least 2 are needed, {' and '.join(few)} has 1"
        elif measure.needs("pairs") and not self.pairs:
            reason = "no generated panorama has a reference of its name"
        elif measure.needs("pairs") and measure.region != "whole" and not any(unit.photo for unit in self.units):
            reason = "where the photograph lies is not known (--photo_fov)"
        elif measure.needs("captions") and not self.texts:
            reason = "no captions were given (--captions)"
        elif measure.needs("captions") and not measure.views and not any(one.whole for one in self.texts.values()):
            reason = "the captions are all of directions"
        elif measure.views and not any(texts.at for texts in self.texts.values()):
            reason = "the captions say nothing of directions (records with yaws)"
        elif measure.kind == "inception_score" and not reason and not self._player(measure).network.classes:
            reason = "this network knows no classes"
        elif measure.needs("captions") and not reason and not self._player(measure).network.reads_text:
            reason = "this network reads no text"
        return self._value(measure, None, note=reason) if reason else None

    # Distributions

    def _frechet(self, measure: MeasureConfig) -> Value:
        generated, reference = (self._statistics(side, measure) for side in SIDES)
        moments = generated.moments, reference.moments
        self._check_count(measure, min(one.count for one in moments))
        return self._value(measure, frechet_distance(*moments), better="lower", note=_floor(reference))

    def _kernel(self, measure: MeasureConfig) -> Value:
        generated, reference = (self._statistics(side, measure).sample.features for side in SIDES)
        found = kernel_distance(generated, reference, measure.subsets, measure.subset_size)
        size = min(measure.subset_size, len(generated), len(reference))
        whole = size == len(generated) == len(reference)
        note = f"{measure.subsets} subsets of {size}" if not whole else "all pictures in one subset"
        deviation = None if whole else found.deviation
        return self._value(measure, found.mean, deviation, better="lower", note=note)

    def _inception_score(self, measure: MeasureConfig) -> Value:
        generated, reference = (self._statistics(side, measure).classes for side in SIDES)
        score, there = generated.score(), reference.score()
        note = f"{len(generated.count)} splits; reference {there.mean:.3f}"
        return self._value(measure, score.mean, score.deviation, better="higher", note=note)

    def _omnifid(self, measure: MeasureConfig) -> Value:
        network = self._player(measure).network
        generated, reference = (self.sets.faces(side, measure, network) for side in SIDES)
        distance = (omnifid_by_face if measure.by_face else omnifid_pooled)(generated, reference)
        return self._value(measure, distance, better="lower")

    def _statistics(self, side: str, measure: MeasureConfig) -> SetStatistics:
        return self.sets.statistics(side, measure, self._player(measure).network)

    def _check_count(self, measure: MeasureConfig, count: int) -> None:
        dim = self._player(measure).network.dim
        if count <= dim:
            self.scarce.append(f"{self.protocol.pictures[measure.pictures].title} ({count} of {dim} features)")

    # Text

    def _clip_score(self, measure: MeasureConfig) -> Value:
        swapped, there = [], []
        names = [unit.generated.name for unit, _ in self.generated]
        scores: dict[str, float] = {}
        for number, (unit, found) in enumerate(self.generated):
            name, other = unit.generated.name, names[(number + 1) % len(names)]
            features = self._features(measure, found.generated)
            score = self._text_score(measure, features, self.texts[name])
            if score is None:
                continue
            scores[name] = score
            if (other_score := self._text_score(measure, features, self.texts[other])) is not None:
                swapped.append(other_score)
            if found.reference:
                there.append(self._text_score(measure, self._features(measure, found.reference), self.texts[name]))
        self.scores[measure.key] = scores
        notes = [f"with the next panorama's captions {fmean(swapped):.2f}"] if swapped and len(names) > 1 else []
        notes += [f"the references with these captions {fmean(there):.2f}"] if there else []
        return self._value(measure, *_spread(list(scores.values())), better="higher", note="; ".join(notes))

    def _features(self, measure: MeasureConfig, content: str) -> Tensor:
        return next(self.measurer.features([content], self._player(measure).network.fingerprint, measure.pictures))

    def _text_score(self, measure: MeasureConfig, features: Tensor, texts: Texts) -> float | None:
        """Mean over the pictures of a panorama and the captions that speak of them."""
        network, picture = self._player(measure).network, self.protocol.pictures[measure.pictures]
        if measure.views and picture.kind == "panorama":
            raise UserError(f"{measure.key}: captions of directions need pictures that look in one")
        pairs = []
        for number, feature in enumerate(features):
            reach = 180 / len(features)
            said = texts.near(cameras_of(picture)[number].yaw_degrees, reach) if measure.views else texts.whole
            pairs += [(feature, self._embedded(network, text)) for text in said]
        if not pairs:
            return None
        images, captions = (torch.stack(list(side)) for side in zip(*pairs, strict=True))
        return float(clip_score(images, captions).mean())

    def _embedded(self, network, text: str) -> Tensor:
        key = network.fingerprint, text
        if key not in self._texts:
            self._texts[key] = network.texts([text])[0].float().cpu()
        return self._texts[key]

    # Single panoramas and pairs

    def _shape(self, measure: MeasureConfig) -> Value:
        found = {unit.generated.name: self.measurer.shape(c.generated)[measure.kind] for unit, c in self.generated}
        there = [self.measurer.shape(content)[measure.kind] for content in self.sets.contents["reference"]]
        self.scores[measure.key] = found
        note = f"median {median(found.values()):.4g}" + (f"; reference {fmean(there):.4g}" if there else "")
        if there and measure.kind != "unknown":
            note += f", median {median(there):.4g}"
        if measure.kind == "unknown" and (holes := sum(value > 0 for value in found.values())):
            self.warnings.append(f"{holes} generated panorama(s) have unknown pixels")
        better = SHAPE[measure.kind][1]
        return self._value(measure, *_spread(list(found.values())), better=better, note=note)

    def _pair(self, measure: MeasureConfig) -> Value:
        key = "/".join(filter(None, [measure.kind, measure.network, measure.pictures or measure.region]))
        found = {
            unit.generated.name: score
            for unit, contents in self.pairs
            if not math.isnan(score := self.measurer.pair(contents, unit.photo).get(key, math.nan))
        }
        self.scores[measure.key] = found
        equal = sum(math.isinf(score) for score in found.values())
        note = f"{equal} pair(s) are equal, which is infinite" if equal else ""
        better = PAIRS[measure.kind][1]
        return self._value(measure, *_spread(list(found.values())), better=better, note=note)

    def _image_similarity(self, measure: MeasureConfig) -> Value:
        network = self._player(measure).network
        found = {}
        for unit, contents in self.pairs:
            both = [contents.generated or "", contents.reference or ""]
            mine, theirs = self.measurer.features(both, network.fingerprint, measure.pictures)
            found[unit.generated.name] = float(embedding_similarity(mine, theirs).mean())
        self.scores[measure.key] = found
        return self._value(measure, *_spread(list(found.values())), better="higher")

    def rank(self) -> tuple[str, str]:
        """The score that orders panoramas, and whether lower or higher is better.

        Likeness to its own reference where there is one, else how unusual its pictures are among the reference's.
        """
        for measure in self.protocol.measures:
            if measure.kind == "image_similarity" and self.scores.get(measure.key):
                return measure.key, "higher"
        measure = next((one for one in self.protocol.measures if one.kind == "frechet"), None)
        if measure is None:
            return next(iter(self.scores), ""), "lower"
        reference = self._statistics("reference", measure).moments
        network = self._player(measure).network
        features = self.measurer.features(self.sets.contents["generated"], network.fingerprint, measure.pictures)
        names = (unit.generated.name for unit, _ in self.generated)
        self.scores[ATYPICAL] = {
            name: float(mahalanobis(each, reference).mean()) for name, each in zip(names, features, strict=True)
        }
        return ATYPICAL, "lower"

    # The row of a table

    def _player(self, measure: MeasureConfig) -> Player:
        return self.cast.players[measure.network]

    def _value(
        self,
        measure: MeasureConfig,
        value: float | None,
        deviation: float | None = None,
        better: str = "",
        note: str = "",
    ) -> Value:
        player = self.cast.players.get(measure.network)
        counts = self._counts(measure) if value is not None else ""
        return row(measure, self.protocol, player, value, deviation, better, note, counts)

    def _counts(self, measure: MeasureConfig) -> str:
        if SECTIONS.get(measure.kind) != "Distribution":
            return str(len(self.scores[measure.key]))
        each = pictures_of(measure, self.protocol)
        return " / ".join(str(len(contents) * each) for contents in self.sets.contents.values())


def _spread(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and standard deviation (of the population)."""
    if not values:
        return None, None
    mean = fmean(values)
    return mean, pstdev(values) if len(values) > 1 and math.isfinite(mean) else None


def _floor(reference: SetStatistics) -> str:
    """What sets as alike as two halves of the reference score, to read a distance by."""
    if min(half.count for half in reference.halves) < 2:
        return ""
    return f"between two halves of the reference {frechet_distance(*reference.halves):.4g}"
