"""Small folders of panoramas and what an evaluation of them finds."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from aognet.evaluation.pipeline import EvaluationConfig, evaluate
from aognet.evaluation.protocol import Protocol, load_protocol
from aognet.evaluation.report import Report
from aognet.evaluation.values import Value
from aognet.geometry.perspective import rotate
from aognet.io.images import save_image
from aognet.system.processes import Processes
from tests.smooth import smooth_panorama

COUNT = 5
KINDS = ("crops", "horizon", "seam", "equator", "poles")
# The default protocol on pictures that cost next to nothing.
SMALL = [f"pictures.{kind}.size=24" for kind in KINDS] + ["pictures.crops.count=3", "pictures.seam.count=2"]
ALONE = Processes(0, 1, torch.device("cpu"))


def panoramas(count: int = COUNT, height: int = 32) -> list[Tensor]:
    """Smooth panoramas [3, height, 2 height] that differ in colour, direction and tilt."""
    whole = smooth_panorama(height)
    turned = (rotate(whole, 50.0 * number, 17.0 * number, 5.0) for number in range(count))
    return [(image[0].roll(number, 0) * (1 - 0.08 * number)) for number, image in enumerate(turned)]


def write(folder: Path, images: Sequence[Tensor], suffix: str = ".png") -> Path:
    """Files p0, p1, ... in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        save_image(image.clamp(-1, 1), folder / f"p{number}{suffix}")
    return folder


def small(*keys: str, overrides: Sequence[str] = ()) -> Protocol:
    """The default protocol on small pictures; only the measures with these keys, if any are named."""
    protocol = _loaded(tuple(overrides))
    kept = [measure for measure in protocol.measures if measure.key in keys or not keys]
    assert len(kept) == (len(keys) or len(protocol.measures))
    return replace(protocol, measures=kept)


@lru_cache
def _loaded(overrides: tuple[str, ...]) -> Protocol:
    return load_protocol("ours", [*SMALL, *overrides])


def run(generated: Path, reference: Path, protocol: Protocol, **options) -> Report:
    """The report on two folders; it is written beside the first."""
    out = options.pop("out", generated.parent / "report")
    report = evaluate(EvaluationConfig(generated, reference, out, threads=1, **options), protocol, ALONE)
    assert report is not None
    return report


def values(report: Report) -> dict[str, Value]:
    """By key."""
    return {value.key: value for value in report.values}


def numbers(report: Report) -> dict[str, float | None]:
    """What was measured, by key."""
    return {value.key: value.value for value in report.values}
