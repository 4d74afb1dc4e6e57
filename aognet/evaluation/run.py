"""An evaluation from two folders to a report: check, measure what is new, gather, write."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from aognet.diffusion.loading import check_dtype
from aognet.errors import UserError
from aognet.evaluation.aggregate import Findings
from aognet.evaluation.images import TRUTH, Item, check_sizes, find_items, pair, photo_camera
from aognet.evaluation.measure import Contents, Measurer, Unit
from aognet.evaluation.players import Cast, load_cast
from aognet.evaluation.protocol import Protocol
from aognet.evaluation.report import report_files, write_report
from aognet.evaluation.results import Report, Sample, Value
from aognet.evaluation.texts import Texts, find_texts
from aognet.home import default_folder, expanded
from aognet.installed import ROOT
from aognet.io.files import clear_unfinished, made_folder
from aognet.io.store import TENSORS, CacheConfig, Store
from aognet.locking import exclusive
from aognet.processes import Processes
from aognet.provenance import provenance
from aognet.workers import in_threads, progress_bar, usable_cores

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationConfig:
    """``generated``, ``reference``: folders of panoramas; ``out``: the report, without suffix.

    ``captions``: of the generated panoramas. ``unpaired``: compare the sets as a whole, whatever the names.
    ``photo_fov``: degrees of the photographs that were continued, where no run says it. ``cache``: where measured
    panoramas are kept. ``limit``: at most so many panoramas of each set (0: all). ``shown``: of the best and worst on
    the page.
    """

    generated: Path
    reference: Path
    out: Path
    captions: list[Path] = field(default_factory=list)
    unpaired: bool = False
    photo_fov: float | None = None
    dtype: str = "float32"
    batch_size: int = 64
    threads: int = 0
    limit: int = 0
    shown: int = 4
    cache: Path | None = None
    cache_gigabytes: float = 20.0

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        for name, least in (("batch_size", 1), ("threads", 0), ("limit", 0), ("shown", 0), ("cache_gigabytes", 0)):
            if getattr(self, name) < least:
                raise UserError(f"--{name} must be at least {least}, got {getattr(self, name)}")
        if self.photo_fov is not None and not 0 < self.photo_fov < 180:
            raise UserError(f"--photo_fov must be more than 0 and less than 180 degrees, got {self.photo_fov:g}")


@dataclass(frozen=True)
class Checked:
    """What is to be measured, once nothing about the files speaks against it."""

    units: list[Unit]
    texts: dict[str, Texts]
    height: int
    warnings: list[str]


def evaluate(config: EvaluationConfig, protocol: Protocol, processes: Processes) -> Report | None:
    """Measures, writes the report and returns it, in the first process; None in the others.

    Everything about the files that headers tell is checked first. Raises UserError naming what is wrong.
    """
    with ExitStack() as stack:
        if processes.first:
            stack.enter_context(_held(config.out))
        checked = check(config, protocol)
        cast = load_cast(protocol, config.dtype, processes.device)
        cache = expanded(config.cache or default_folder("evaluation"))
        stack.enter_context(made_folder(cache, "--cache"))
        store = Store(CacheConfig(str(cache), config.cache_gigabytes), TENSORS)
        stack.enter_context(store.held())
        return _evaluate(config, checked, cast, store, protocol, processes)


@contextmanager
def _held(out: Path) -> Iterator[None]:
    """The report's folder, made if missing, and in it the report, against other evaluations."""
    names = {path.name for path in report_files(out)}
    with made_folder(out.parent, "--out"), exclusive(out.parent, min(names)):
        clear_unfinished(out.parent, names.__contains__)
        yield


def _evaluate(
    config: EvaluationConfig, checked: Checked, cast: Cast, store: Store, protocol: Protocol, processes: Processes
) -> Report | None:
    players = {role: player.network for role, player in cast.players.items()}
    measurer = Measurer(protocol, checked.height, players, cast.perceptual, store, config.batch_size, processes.device)
    contents = measure(measurer, checked.units, config.threads, processes)
    if not processes.first:
        processes.wait()
        return None
    findings = Findings(protocol, measurer, cast, checked.units, contents, checked.texts)
    with progress_bar("Comparing", len(protocol.measures)) as done:
        values = findings.values(done)
    report = _report(config, checked, findings, values, cast, processes)
    write_report(report, config.out, config.shown)
    for warning in report.warnings:
        log.warning("%s", warning)
    log.info("wrote %s", " and ".join(str(path) for path in report_files(config.out)))
    processes.wait()
    return report


def check(config: EvaluationConfig, protocol: Protocol) -> Checked:
    """Finds the panoramas, their references, captions and sizes."""
    generated = find_items(config.generated, "--generated")[: config.limit or None]
    reference = find_items(config.reference, "--reference", TRUTH)
    pairs = {} if config.unpaired else pair(generated, reference)
    reference = [pairs[item.name] for item in generated] if pairs and config.limit else reference
    reference = reference[: config.limit or None]
    sets = {"--generated": generated, "--reference": reference}
    height, warnings = check_sizes(sets, protocol.height)
    if not pairs and not config.unpaired:
        warnings.append("no name is in both sets: the sets are compared as a whole, without pairs")
    if len(generated) != len(reference):
        warnings.append(
            f"{len(generated)} generated panoramas against {len(reference)} references: Fréchet distances are biased "
            "by the number of pictures, compare them only between runs of these numbers"
        )
    units = _units(generated, reference, pairs, config.photo_fov)
    return Checked(units, find_texts(generated, config.captions), height, warnings)


def _units(
    generated: Sequence[Item], reference: Sequence[Item], pairs: dict[str, Item], photo_fov: float | None
) -> list[Unit]:
    """Every panorama once: a pair is decoded together."""
    units = [Unit(item, pairs.get(item.name), photo_camera(item, photo_fov)) for item in generated]
    paired = {item.path for item in pairs.values()}
    return units + [Unit(None, item) for item in reference if item.path not in paired]


def measure(measurer: Measurer, units: Sequence[Unit], threads: int, processes: Processes) -> list[Contents]:
    """Measures what is new, each process its share; the contents of all units, in every process."""
    ours = range(processes.number, len(units), processes.count)
    mine = [units[number] for number in ours]
    found: list[tuple[int, Contents]] = []
    with progress_bar("Measuring", len(mine)) as done:
        prepared = in_threads(measurer.prepare, mine, threads or max(usable_cores() // processes.count, 1))
        for number, unit in zip(ours, prepared, strict=True):
            found.append((number, measurer.finish(unit)))
            done(0)
    processes.wait()
    return [contents for _, contents in sorted(processes.gathered(found), key=lambda pair: pair[0])]


def _report(
    config: EvaluationConfig,
    checked: Checked,
    findings: Findings,
    values: list[Value],
    cast: Cast,
    processes: Processes,
) -> Report:
    ranking, better = findings.rank()
    samples = [
        Sample(
            name=unit.generated.name,
            generated=unit.generated.path,
            reference=unit.reference.path if unit.reference else None,
            caption=next(iter(checked.texts.get(unit.generated.name, Texts()).whole), ""),
            scores={
                key: found[unit.generated.name]
                for key, found in findings.scores.items()
                if unit.generated.name in found
            },
        )
        for unit, _ in findings.generated
    ]
    networks = {}
    for role, player in cast.players.items():
        described = player.network.name.replace(f"{ROOT}/", "")
        known = networks.setdefault(player.short, described)
        if known != described:
            networks[f"{player.short} ({role})"] = described
    networks |= {f"LPIPS ({role})": network.name for role, network in cast.perceptual.items()}
    return Report(
        protocol=findings.protocol.name,
        notes=findings.protocol.notes,
        warnings=[*checked.warnings, *findings.warnings],
        generated=str(config.generated),
        reference=str(config.reference),
        values=values,
        samples=samples,
        ranking=ranking,
        ranking_better=better,
        networks=networks,
        provenance=provenance(processes.device.type, processes.count) | {"height": checked.height},
        settings=asdict(findings.protocol),
    )
