"""Held-out panoramas, painted in several ways and each way measured: what ablation.py and few_steps.py share.

Each way is painted into a folder of its own by `inference.py` or `benchmarks/baselines.py` and measured there by
`misc/evaluate.py`; what is there already stays, so a stopped benchmark goes on and ways can be painted side by side.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

FOV = 90
COLUMNS = {
    "frechet/crops/image": "Fréchet, crops",
    "frechet/horizon/image": "Fréchet, horizon",
    "frechet/seam/image": "Fréchet, seam",
    "kernel/crops/image": "kernel, crops",
    "clip_score/horizon/clip": "CLIP score",
    "psnr/outside": "PSNR outside",
    "ssim/outside": "SSIM outside",
    "sharpness/outside": "sharpness",
    "wrap_gradient": "wrap",
    "pole_gradient": "poles",
    "cube_edges": "cube edges",
}
TIMED = ("core seconds each", *COLUMNS.values())


@dataclass(frozen=True)
class Way:
    """A way to paint: its title, its folder, and config, checkpoint and settings of inference.py.

    ``baseline``: a kind of `benchmarks/baselines.py` instead. ``from_words``: no photograph is given, only the caption.
    """

    title: str
    folder: str
    settings: tuple[str, ...] = ()
    baseline: str = ""
    checkpoint: Path | None = None
    config: Path = ROOT / "config" / "inference_config.yaml"
    from_words: bool = False


def add_set_arguments(parser: argparse.ArgumentParser) -> None:
    """The held-out set."""
    parser.add_argument("--panoramas", type=absolute, nargs="+", required=True, help="folders of panoramas")
    parser.add_argument("--captions", type=absolute, nargs="+", required=True, help="JSONL; what they name is used")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The held-out set, where the ways are painted and with which settings."""
    add_set_arguments(parser)
    parser.add_argument("--out_dir", type=absolute, required=True, help="a folder for each way is made here")
    parser.add_argument("--limit", type=int, default=0, help="at most so many of each folder, spread evenly (0: all)")
    parser.add_argument("--set", nargs="+", default=[], metavar="key.sub=value", help="settings of inference.py")


def absolute(text: str) -> Path:
    """A path as the painting processes, which start in the repository's folder, understand it too."""
    return Path(text).absolute()


def chosen(options: argparse.Namespace) -> list[Path]:
    """The held-out panoramas: images of the folders that the captions name."""
    from aognet.data.sources import SourceConfig, find_entries

    folders, captions = ([str(path) for path in paths] for paths in (options.panoramas, options.captions))
    entries = find_entries(SourceConfig(folders=folders, captions=captions))
    files = []
    for folder in options.panoramas:
        found = [entry.path for entry in entries if entry.path.is_relative_to(folder)]
        count = min(options.limit or len(found), len(found))
        files += [found[i * len(found) // count].resolve() for i in range(count)]
    return files


def paint(way: Way, options: argparse.Namespace, files: Sequence[Path], anew: bool = False) -> float:
    """Paints what is missing of a way, or all of it anew; seconds of all cores together, with the process's start.

    They say the same on a machine that does other things beside.
    """
    out = options.out_dir / way.folder
    out.mkdir(parents=True, exist_ok=True)
    if way.baseline:
        command = ["benchmarks/baselines.py", "--kind", way.baseline, "--out_dir", str(out)]
        command += ["--panoramas", *map(str, files), "--captions", *map(str, options.captions)]
        command += ["--set", *options.set] if options.set else []
    elif way.from_words:
        command = ["benchmarks/from_words.py", "--out_dir", str(out), "-b", str(way.config)]
        command += ["--panoramas", *map(str, files), "--captions", *map(str, options.captions)]
        settings = [*([f"checkpoint={way.checkpoint}"] if way.checkpoint else []), *options.set, *way.settings]
        command += ["--set", *settings] if settings else []
    else:
        inputs = {"photos": [], "panoramas": [*map(str, files)], "captions": [*map(str, options.captions)]}
        command = ["inference.py", "-b", str(way.config), f"--inference_out_dir={out}", f"inputs.pose.fov={FOV}"]
        command += [f"inputs.{key}={json.dumps(value)}" for key, value in inputs.items()]
        command += [f"checkpoint={way.checkpoint}"] if way.checkpoint else []
        command += [*options.set, *way.settings, *(["--overwrite"] if anew else [])]
    before = os.times()
    subprocess.run([sys.executable, str(ROOT / command[0]), *command[1:]], check=True, cwd=ROOT)
    after = os.times()
    return sum(getattr(after, part) - getattr(before, part) for part in ("children_user", "children_system"))


def seconds_each(way: Way, options: argparse.Namespace, files: Sequence[Path]) -> float:
    """Paints all of a way in one process and tells what a panorama took, loading included; once, then it is known."""
    taken = options.out_dir / f"{way.folder}.seconds.json"
    if not taken.exists():
        taken.parent.mkdir(parents=True, exist_ok=True)
        taken.write_text(json.dumps(paint(way, options, files, anew=True) / len(files)), encoding="utf-8")
    return json.loads(taken.read_text(encoding="utf-8"))


def measure(way: Way, options: argparse.Namespace, references: Sequence[Path]) -> dict[str, float | None]:
    """The numbers of a way, from the report that `misc/evaluate.py` writes beside its folder."""
    truth = options.out_dir / "references"
    truth.mkdir(exist_ok=True)
    for path in references:
        if not (truth / path.name).exists():
            (truth / path.name).symlink_to(path)
    report = options.out_dir / way.folder
    command = [sys.executable, str(ROOT / "misc" / "evaluate.py"), "--generated", str(report), "--out", str(report)]
    command += ["--reference", str(truth), "--photo_fov", str(FOV), "--captions", *map(str, options.captions)]
    subprocess.run([*command, f"--height={height_of(options)}"], check=True, cwd=ROOT)
    values = json.loads(report.with_suffix(".json").read_text(encoding="utf-8"))["values"]
    return {value["key"]: value["value"] for value in values}


def timed_numbers(way: Way, options: argparse.Namespace, files: Sequence[Path]) -> list[float | None]:
    """A way's cells under ``TIMED``: it is painted if it was not, and measured."""
    seconds, values = seconds_each(way, options, files), measure(way, options, files)
    return [seconds, *(values.get(key) for key in COLUMNS)]


def height_of(options: argparse.Namespace) -> int:
    """Rows of the painted panoramas."""
    from aognet.config import load_config

    config = load_config([ROOT / "config" / "inference_config.yaml"], options.set)
    return config.values["generator"]["height"]
