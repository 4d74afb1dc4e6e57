"""An evaluation as a JSON file and as one web page that needs nothing else: no network, no server, no library.

The page itself is ``report.html``.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined

from aognet.errors import UserError
from aognet.evaluation.report_pictures import Pictured, close_up, pictured
from aognet.evaluation.values import Value
from aognet.io.files import made_folder, write_atomically
from aognet.io.gpano import clean_text
from aognet.io.viewer import content_policy

MAX_ROWS = 500  # of the table of panoramas: a page of thousands is slow to open
_PICTURE_BYTES = 1_900_000  # all photographs of a page together, before base64 makes them a third longer
_MAX_TEXT = 4000


@dataclass(frozen=True)
class Sample:
    """One generated panorama, its reference where there is one, and its own scores by the key of a measure."""

    name: str
    generated: Path
    reference: Path | None
    caption: str
    scores: dict[str, float]


@dataclass(frozen=True)
class Report:
    """All of an evaluation. ``notes``: what the protocol measures and how; ``warnings``: what limits these numbers.

    ``settings``: all of the protocol, for the JSON file. ``ranking``: the score that orders samples from best to worst
    (empty: none), ``ranking_better``: lower or higher.
    """

    protocol: str
    notes: list[str]
    warnings: list[str]
    generated: str
    reference: str
    values: list[Value]
    samples: list[Sample]
    ranking: str
    ranking_better: str
    networks: dict[str, str]
    provenance: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)


def write_report(report: Report, out: Path, shown: int = 4) -> None:
    """Write ``out``.json, which holds everything, and ``out``.html, a page to read.

    A suffix .json or .html of ``out`` is dropped first. NaN and infinity become null in JSON. ``shown``: how many of
    the best and of the worst panoramas the page pictures; about 3 MB however many.

    :raises UserError: if ``shown`` is negative, a file cannot be written, or a pictured panorama cannot be read any
        more (the JSON file is written before).
    """
    if shown < 0:
        raise UserError("must be at least 0", key="shown", value=shown)
    page, data = report_files(out)
    with made_folder(out.parent):
        write_atomically(data, json.dumps(_plain(asdict(report)), indent=1, allow_nan=False) + "\n")
        write_atomically(page, _page(report, shown, data.name))


def report_files(out: Path) -> tuple[Path, Path]:
    """Return the paths of the page and of the JSON file of a report."""
    base = out.with_suffix("") if out.suffix in (".json", ".html") else out
    return base.with_name(base.name + ".html"), base.with_name(base.name + ".json")


def _plain(value: Any) -> Any:
    """Convert a value to what JSON can hold."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


# ------------------------------------------------------------------------------------------------------------ numbers


def number(value: float | None, decimals: int) -> str:
    """Format a number for readers; a dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def decimals_of(numbers: Sequence[float | None]) -> int:
    """Return the decimals that show four digits of the largest of these numbers."""
    largest = max((abs(x) for x in numbers if x is not None and math.isfinite(x)), default=0.0)
    return min(max(3 - math.floor(math.log10(largest)), 0), 6) if largest else 4


@dataclass(frozen=True)
class Score:
    """One score of every panorama: what it is called and how its values spread."""

    key: str
    title: str
    pictures: str
    better: str
    values: list[float]

    @cached_property
    def decimals(self) -> int:
        """Decimals that all values are shown with."""
        return decimals_of(self.values)

    @property
    def median(self) -> float:
        """The middle of the values."""
        return float(np.median(self.values))

    @cached_property
    def range(self) -> tuple[float, float]:
        """What the histogram spans: all values within Tukey's outer fences, so that no outlier flattens the rest."""
        lower, upper = np.quantile(self.values, (0.25, 0.75))
        reach = 3 * (upper - lower) or math.inf
        inside = [value for value in self.values if lower - reach <= value <= upper + reach]
        return min(inside), max(inside)

    @property
    def beyond(self) -> str:
        """Say how many values the histogram leaves out, and how far they go; usually empty."""
        low, high = self.range
        below, above = sum(value < low for value in self.values), sum(value > high for value in self.values)
        parts = [f"{below} below, to {number(min(self.values), self.decimals)}"] if below else []
        parts += [f"{above} above, to {number(max(self.values), self.decimals)}"] if above else []
        return "; ".join(parts)

    def place(self, value: float) -> float | None:
        """Return where a value lies on the histogram's axis of [0, 100]; None outside."""
        low, high = self.range
        if low == high:
            return 50.0 if value == low else None
        return round(100 * (value - low) / (high - low), 2) if low <= value <= high else None

    def bars(self) -> list[tuple[float, float, float, str]]:
        """Return the bars of the histogram: x and width in [0, 100], height in [0, 1], and what the bar counts."""
        low, high = self.range
        if low == high:
            return [(48.0, 4.0, 1.0, f"{self.values.count(low)} at {number(low, self.decimals)}")]
        bins = min(max(math.ceil(math.sqrt(len(self.values))), 5), 30)
        counts, edges = np.histogram(self.values, bins, (low, high))
        return [
            (
                round(100 * i / bins, 3),
                round(100 / bins, 3),
                count / counts.max(),
                f"{count} from {number(edges[i], self.decimals)} to {number(edges[i + 1], self.decimals)}",
            )
            for i, count in enumerate(counts.tolist())
        ]


def _scores(report: Report) -> list[Score]:
    """Return the scores of panoramas, in the order of the table of values; those it does not name come last."""
    values = {value.key: value for value in report.values}
    found = dict.fromkeys(key for sample in report.samples for key in sample.scores)
    scores = []
    for key in [key for key in values if key in found] + [key for key in found if key not in values]:
        numbers = [sample.scores[key] for sample in report.samples if math.isfinite(sample.scores.get(key, math.nan))]
        value = values.get(key)
        better = value.better if value else report.ranking_better if key == report.ranking else ""
        title, pictures = (value.title, value.pictures) if value else (key, "")
        if numbers:
            scores.append(Score(key, title, pictures, better, numbers))
    return scores


def _best_first(samples: Sequence[Sample], key: str, better: str) -> list[Sample]:
    """Order the samples that have a score from the best to the worst, equal ones by name."""
    badness = {"lower": lambda x: x, "higher": lambda x: -x, "near 1": lambda x: abs(x - 1)}.get(better, lambda x: x)
    scored = [sample for sample in samples if not math.isnan(sample.scores.get(key, math.nan))]
    return sorted(scored, key=lambda sample: (badness(sample.scores[key]), sample.name))


def _ends(ordered: list[Sample], count: int) -> tuple[list[Sample], list[Sample]]:
    """Return the worst (worst first) and the best (best first); no sample is in both."""
    best = ordered[: min(count, (len(ordered) + 1) // 2)]
    return ordered[len(best) :][::-1][:count], best


# --------------------------------------------------------------------------------------------------------------- page


@dataclass(frozen=True)
class Row:
    """A line of the table of values. ``again``: it has the title of the line above."""

    value: Value
    decimals: int
    network: str
    again: bool


def _sections(report: Report) -> dict[str, list[Row]]:
    names = {description: name for name, description in report.networks.items()}
    sections: dict[str, list[Row]] = {}
    for value in report.values:
        rows = sections.setdefault(value.section, [])
        alike = [other.value for other in report.values if (other.section, other.title) == (value.section, value.title)]
        again = bool(rows) and rows[-1].value.title == value.title
        rows.append(Row(value, decimals_of(alike), names.get(value.network, value.network), again))
    return sections


def _groups(report: Report, shown: int) -> dict[str, list[tuple[Sample, Pictured, Pictured | None]]]:
    """Return the panoramas to picture, by the title of their group."""
    if report.ranking:
        worst, best = _ends(_best_first(report.samples, report.ranking, report.ranking_better), shown)
        groups = {"Worst": worst, "Best": best}
    else:
        groups = {"First": report.samples[:shown]}
    count = sum(1 + (sample.reference is not None) for samples in groups.values() for sample in samples)
    most = _PICTURE_BYTES / max(count, 1)

    def item(sample: Sample) -> tuple[Sample, Pictured, Pictured | None]:
        return sample, pictured(sample.generated, most), pictured(sample.reference, most) if sample.reference else None

    return {title: [item(sample) for sample in samples] for title, samples in groups.items() if samples}


def _seams(report: Report, scores: list[Score], shown: int) -> dict[str, Any] | None:
    """Make close-ups of the wraps with the worst and the best Discontinuity Score, where that was measured."""
    score = next((score for score in scores if score.key.partition("/")[0] == "discontinuity"), None)
    if score is None or not shown:
        return None
    worst, best = _ends(_best_first(report.samples, score.key, score.better), shown)
    ends = {"Worst": worst, "Best": best}
    groups = {title: [(sample, close_up(sample.generated)) for sample in ends[title]] for title in ends if ends[title]}
    return {"score": score, "groups": groups}


def _table(report: Report) -> list[Sample]:
    """Order the lines of the table of panoramas: the worst first, those without a score last."""
    ordered = _best_first(report.samples, report.ranking, report.ranking_better)[::-1]
    ranked = {id(sample) for sample in ordered}
    return [*ordered, *(sample for sample in report.samples if id(sample) not in ranked)][:MAX_ROWS]


def _provenance(report: Report) -> dict[str, str]:
    def line(value: Any) -> str:
        if isinstance(value, dict):
            return ", ".join(f"{key} {line(item)}" for key, item in value.items() if item is not None)
        if isinstance(value, list | tuple):
            return " ".join(map(line, value))
        return "not known" if value is None else str(value)

    return {key.replace("_", " ").capitalize(): line(value) for key, value in report.provenance.items()}


def _text(value: object) -> str:
    """Clean text from outside: drop control characters and what UTF-8 cannot hold, and cut its length."""
    return clean_text(str(value).encode("utf-8", "replace").decode(), _MAX_TEXT)


def _page(report: Report, shown: int, data: str) -> str:
    template = resources.files("aognet.evaluation").joinpath("report.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": number, "text": _text}
    scores = _scores(report)
    titles = [score.title for score in scores]
    return environment.from_string(template).render(
        policy=content_policy(template),
        report=report,
        name="/".join(Path(report.generated).parts[-2:]),
        data=data,
        sections=_sections(report),
        scores=scores,
        unique={score.key: titles.count(score.title) == 1 for score in scores},
        ranked=next((score for score in scores if score.key == report.ranking), None),
        groups=_groups(report, shown),
        seams=_seams(report, scores, shown),
        table=_table(report) if scores else [],
        provenance=_provenance(report),
        arrows={"lower": "↓", "higher": "↑", "near 1": "→ 1", "": ""},
        better={"lower": "lower is better", "higher": "higher is better", "near 1": "best near 1", "": ""},
        views={"up": "Up", "back": "Back, across the wrap", "down": "Down"},
    )
