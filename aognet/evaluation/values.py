"""The numbers of a report."""

from dataclasses import dataclass

Scores = dict[str, dict[str, float]]
"""Key of a measure -> name of a panorama -> its own value."""


@dataclass(frozen=True)
class Value:
    """One number of the report's table. ``value`` is None where it was not measured; ``note`` then says why.

    ``better``: lower, higher, near 1, or empty. ``counts``: pictures of the generated and of the reference set.
    """

    key: str
    title: str
    pictures: str
    section: str
    value: float | None
    deviation: float | None = None
    better: str = ""
    network: str = ""
    counts: str = ""
    note: str = ""


@dataclass(frozen=True)
class Aggregate:
    """The numbers of both sets.

    ``scores``: the own values of panoramas. ``ranking``: the score that orders panoramas (empty: none);
    ``ranking_better``: lower or higher. ``warnings``: what limits these numbers.
    """

    values: list[Value]
    scores: Scores
    ranking: str
    ranking_better: str
    warnings: list[str]

    def scores_of(self, name: str) -> dict[str, float]:
        """Return the own values of one panorama, by the key of a measure."""
        return {key: scores[name] for key, scores in self.scores.items() if name in scores}
