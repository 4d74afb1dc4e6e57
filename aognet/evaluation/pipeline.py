"""Runs an evaluation from two folders to a report: check, measure what is new, aggregate, write."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from aognet.callbacks import UNHEARD, Listener
from aognet.diffusion.loading import check_dtype
from aognet.errors import UserError
from aognet.evaluation.aggregate import Aggregator
from aognet.evaluation.measure import Measurer, measure_units
from aognet.evaluation.networks import LoadedNetworks, load_networks
from aognet.evaluation.protocol import Protocol
from aognet.evaluation.report import Report, Sample, report_files, write_report
from aognet.evaluation.sets import PanoramaCaptions, Sets, find_sets
from aognet.evaluation.values import Aggregate
from aognet.installed import ROOT
from aognet.io.files import clear_unfinished, made_folder
from aognet.io.store import TENSORS, CacheConfig, Store
from aognet.provenance import provenance
from aognet.system.home import default_folder, expanded
from aognet.system.locking import exclusive
from aognet.system.processes import Processes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationConfig:
    """``generated``, ``reference``: folders of panoramas; ``out``: the report, without suffix.

    ``captions``: files of captions of the generated panoramas. ``unpaired``: the sets are compared as a whole, whatever
    the names. ``photo_fov``: field of view (degrees) of the photographs that were continued, where no run says it.
    ``threads``: decode files; 0: as many as there are cores. ``limit``: at most so many panoramas of each set; 0: all.
    ``shown``: panoramas among the best and among the worst that the page shows. ``cache``: the folder that keeps what
    was measured, at most ``cache_gigabytes``.
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
                raise UserError(f"must be at least {least}", key=name, value=getattr(self, name))
        if self.photo_fov is not None and not 0 < self.photo_fov < 180:
            raise UserError("must be more than 0 and less than 180 degrees", key="photo_fov", value=self.photo_fov)


def evaluate(
    config: EvaluationConfig, protocol: Protocol, processes: Processes, listener: Listener = UNHEARD
) -> Report | None:
    """Measure, write the report and return it in the first process; return None in the others.

    All that the files' headers tell is checked before a network is loaded.

    :raises UserError: naming what is wrong.
    """
    with ExitStack() as stack:
        if processes.first:
            stack.enter_context(_held(config.out))
        sets = find_sets(
            config.generated,
            config.reference,
            captions=config.captions,
            height=protocol.height,
            unpaired=config.unpaired,
            photo_fov=config.photo_fov,
            limit=config.limit,
        )
        networks = load_networks(protocol, config.dtype, processes.device)
        cache = expanded(config.cache or default_folder("evaluation"))
        stack.enter_context(made_folder(cache, "cache"))
        store = Store(CacheConfig(str(cache), config.cache_gigabytes), TENSORS)
        stack.enter_context(store.held())
        report = _measured_report(config, protocol, sets, networks, store, processes, listener)
        if report:
            _write(report, config)
        processes.wait()
        return report


@contextmanager
def _held(out: Path) -> Iterator[None]:
    """Make the report's folder if it is missing, and keep other evaluations from writing this report."""
    names = {path.name for path in report_files(out)}
    with made_folder(out.parent, "out"), exclusive(out.parent, min(names)):
        clear_unfinished(out.parent, names.__contains__)
        yield


def _measured_report(
    config: EvaluationConfig,
    protocol: Protocol,
    sets: Sets,
    networks: LoadedNetworks,
    store: Store,
    processes: Processes,
    listener: Listener,
) -> Report | None:
    """Measure with all processes; the first makes the report."""
    measurer = Measurer(
        protocol, sets.height, networks.features, networks.perceptual, store, config.batch_size, processes.device
    )
    digests = measure_units(measurer, sets.units, config.threads, processes, listener)
    if not processes.first:
        return None
    aggregate = Aggregator(measurer, networks, sets.units, digests, sets.captions).aggregate(listener)
    return Report(
        protocol=protocol.name,
        notes=protocol.notes,
        warnings=[*sets.warnings, *aggregate.warnings],
        generated=str(config.generated),
        reference=str(config.reference),
        values=aggregate.values,
        samples=_samples(sets, aggregate),
        ranking=aggregate.ranking,
        ranking_better=aggregate.ranking_better,
        networks=_described(networks),
        provenance=provenance(processes.device.type, processes.count) | {"height": sets.height},
        settings=asdict(protocol),
    )


def _samples(sets: Sets, aggregate: Aggregate) -> list[Sample]:
    return [
        Sample(
            name=unit.generated.name,
            generated=unit.generated.path,
            reference=unit.reference.path if unit.reference else None,
            caption=next(iter(sets.captions.get(unit.generated.name, PanoramaCaptions()).whole), ""),
            scores=aggregate.scores_of(unit.generated.name),
        )
        for unit in sets.units
        if unit.generated
    ]


def _described(networks: LoadedNetworks) -> dict[str, str]:
    """Describe each network once; several networks of one label are told apart by their role."""
    described: dict[str, str] = {}
    for role, named in networks.named.items():
        text = named.network.name.replace(f"{ROOT}/", "")
        if described.setdefault(named.short, text) != text:
            described[f"{named.short} ({role})"] = text
    return described | {f"LPIPS ({role})": network.name for role, network in networks.perceptual.items()}


def _write(report: Report, config: EvaluationConfig) -> None:
    write_report(report, config.out, config.shown)
    for warning in report.warnings:
        log.warning("%s", warning)
    log.info("wrote %s", " and ".join(str(path) for path in report_files(config.out)))
