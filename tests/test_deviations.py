"""The benchmark of what differs from the papers: its rows paint what they say."""

from pathlib import Path

import torch

from aognet.config import load_config
from aognet.generate.inference import read_inference
from aognet.methods.pretrained import load_method
from benchmarks import deviations
from benchmarks.models import ROOT


def test_every_row_is_a_setting_of_its_own(tmp_path: Path):
    rows = deviations.ways(deviations.cropped(deviations.CUBEDIFF, tmp_path / "cropping"))
    assert len({row.folder for row in rows}) == len({row.title for row in rows}) == len(rows)
    base = ROOT / "config" / "inference_config.yaml"
    configs = [load_config([base], [*row.settings, f"checkpoint={row.checkpoint}"]) for row in rows]
    found = [read_inference(config) for config in configs]
    assert len({str((config, common)) for config, _, common in found}) == len(rows)


def test_the_copy_crops_and_is_the_checkpoint_otherwise(tmp_path: Path):
    copy = load_method(str(deviations.cropped(deviations.CUBEDIFF, tmp_path / "cropping")))
    shipped = load_method(str(deviations.CUBEDIFF))
    assert copy._crops and not shipped._crops
    for one, other in zip(copy.parameters(), shipped.parameters(), strict=True):
        assert torch.equal(one, other)
