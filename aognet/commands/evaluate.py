"""Measure a folder of generated panoramas against a folder of real ones: OUT.json and OUT.html, a page to read.

aognet evaluate --generated outputs --reference data/test --captions captions.jsonl --out report

What is measured, how, and how to get the networks of published numbers: docs/evaluation.md. Stop it and start it again:
what is measured already stays. Several processes: `accelerate launch -m aognet evaluate ...`, without a GPU
`ACCELERATE_USE_CPU=true torchrun --standalone --nproc_per_node 2 -m aognet evaluate ...`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from aognet import cli


def parse(argv: Sequence[str] | None, program: str | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program, description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--generated", type=Path, required=True, help="folder of panoramas, or an out_dir of inference.py")
    add("--reference", type=Path, required=True, help="folder of real panoramas; pairs have the same name")
    add("--out", type=Path, required=True, help="the report: OUT.json and OUT.html")
    add("--captions", type=Path, nargs="+", default=[], metavar="FILE", help="JSONL; records with yaws are of views")
    add(
        "--protocol",
        default="ours",
        help="ours, aognet, cubediff, panfusion, imagenet or a YAML (default: %(default)s)",
    )
    add("--inception", metavar="FILE", help="Inception weights of FID: a safetensors file, folder or hub id")
    add("--clip", metavar="MODEL", help="CLIP: a folder or hub id")
    add("--faed", metavar="FOLDER", help="autoencoder of FAED: what config/train_faed.yaml trained")
    add("--lpips", metavar="FILE", help="LPIPS weights: a safetensors file")
    add("--efficientnet", metavar="FILE", help="EfficientNet-Lite0 weights: a safetensors file (protocol imagenet)")
    add("--embedded", action="store_true", help="the embedded model plays all networks that are not named")
    add("--height", type=int, help="bring all panoramas to this many rows first")
    add("--unpaired", action="store_true", help="compare the sets as a whole, whatever the names")
    add("--photo_fov", type=float, metavar="DEGREES", help="of the photographs in the middle of the panoramas")
    add("--limit", type=int, default=0, help="at most so many panoramas of each set (0: all)")
    add("--shown", type=int, default=4, help="of the best and of the worst on the page (default: %(default)s)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--dtype", default="float32", help="of the networks: float32, float16 or bfloat16 (default: %(default)s)")
    add("--batch_size", type=int, default=64, help="pictures a network sees together (default: %(default)s)")
    add("--threads", type=int, default=0, help="that decode images (0: as many as cores)")
    add("--cache", type=Path, help="folder of what was measured already (default: in the user's cache folder)")
    add("--cache_gigabytes", type=float, default=20.0, help="how much it may hold (default: %(default)g)")
    add("overrides", nargs="*", metavar="key=value", help="settings of the protocol")
    options = parser.parse_intermixed_args(argv)
    swallowed = [path for path in options.captions if "=" in str(path) and not path.exists()]
    options.captions = [path for path in options.captions if path not in swallowed]
    options.overrides = [*map(str, swallowed), *options.overrides]
    return options


def main(argv: Sequence[str] | None = None, program: str | None = None) -> int:
    options = parse(argv, program)
    with cli.flags(options):
        return evaluate_folders(options)


def evaluate_folders(options: argparse.Namespace) -> int:
    """Measure and write the report; returns the exit code."""
    from dataclasses import fields

    from aognet.evaluation.pipeline import EvaluationConfig, evaluate
    from aognet.evaluation.protocol import NETWORK_KINDS, load_protocol
    from aognet.system.processes import Processes

    flags = vars(options)
    overrides = [*options.overrides, *([f"height={options.height}"] if options.height is not None else [])]
    models = {kind: flags[kind] for kind in NETWORK_KINDS}
    protocol = load_protocol(options.protocol, overrides, models, options.embedded)
    config = EvaluationConfig(**{one.name: flags[one.name] for one in fields(EvaluationConfig)})
    with Processes.start(options.device) as processes, cli.progress_bars("Evaluating") as listener:
        evaluate(config, protocol, processes, listener)
    return 0
