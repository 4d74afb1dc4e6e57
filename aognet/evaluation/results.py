"""What an evaluation found, as the report shows it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Value:
    """One number of the table. ``value`` is None where it was not measured; ``note`` then says why.

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
class Sample:
    """One generated panorama, its reference where there is one, and its own scores by key."""

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
