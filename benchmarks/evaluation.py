"""Times `misc/evaluate.py` on two folders of panoramas, beside a plain recipe of the same measurements.

python benchmarks/evaluation.py --generated DIR --reference DIR [--captions FILE] [--counts 100 1000] [--baseline 8]

The recipe does what published evaluation code does, one panorama after the other: decode with Pillow, every view with
py360convert (the cameras of the protocol `ours`), the same network one view at a time, SSIM of the pair with
torchmetrics; its time is that of --baseline pairs, given per panorama. Rows of the command are whole processes, with
imports, model loading, comparison and report: first with an empty cache, then again with everything measured, then in
two processes. Prints a Markdown table.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generated", type=Path, required=True)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--captions", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000], help="pairs of each run")
    parser.add_argument("--baseline", type=int, default=8, help="pairs that the recipe measures")
    return parser.parse_args(argv)


def recipe(generated: Sequence[Path], reference: Sequence[Path]) -> float:
    """Seconds for the features of all views of both, and the SSIM of the pairs."""
    import numpy as np
    import torch
    from PIL import Image
    from py360convert import e2p
    from torchmetrics.functional.image import structural_similarity_index_measure

    from aognet.evaluation.networks import load_networks
    from aognet.evaluation.protocol import cameras_of, load_protocol

    protocol = load_protocol("ours")
    network = load_networks(protocol, "float32", torch.device("cpu")).features["image"]
    cameras = [camera for one in protocol.pictures.values() if one.kind != "panorama" for camera in cameras_of(one)]

    def tensor(pixels: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1

    started = time.perf_counter()
    for pair in zip(generated, reference, strict=True):
        images = [np.array(Image.open(path).convert("RGB")) for path in pair]
        for image in images:
            network.features(tensor(image))
            for camera in cameras:
                fov, size = camera.fov_degrees, (camera.height, camera.width)
                network.features(tensor(e2p(image, fov, camera.yaw_degrees, camera.pitch_degrees, size)))
        one, other = ((tensor(image) + 1) / 2 for image in images)
        structural_similarity_index_measure(one, other, data_range=1.0)
    return time.perf_counter() - started


def measure(options: argparse.Namespace, count: int, cache: Path, out: Path, processes: int) -> tuple[float, float]:
    """Seconds and peak gigabytes (of all processes together) of the command."""
    script = [str(ROOT / "misc" / "evaluate.py")]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), *script]
    command += ["--generated", str(options.generated), "--reference", str(options.reference), "--limit", str(count)]
    command += ["--out", str(out), "--cache", str(cache)]
    command += ["--captions", str(options.captions)] if options.captions else []
    environment = os.environ | ({"ACCELERATE_USE_CPU": "true"} if processes > 1 else {})
    started, peak = time.perf_counter(), 0
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            peak = max(peak, sum(one.memory_info().rss for one in [watched, *watched.children(recursive=True)]))
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.1)
    if process.returncode:
        raise RuntimeError(process.stderr.read() if process.stderr else "")
    return time.perf_counter() - started, peak / 1e9


def main(argv: Sequence[str] | None = None) -> None:
    options = parse(argv)
    from aognet.evaluation.sets import find_panoramas

    rows: list[tuple[str, int, float, float | None]] = []
    sets = [
        find_panoramas(folder, "benchmark")[: options.baseline] for folder in (options.generated, options.reference)
    ]
    seconds = recipe(*([item.path for item in items] for items in sets))
    rows.append(("recipe", options.baseline, seconds, None))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for count in options.counts:
            for name, processes in (("evaluate.py", 1), ("the same again", 1), ("two processes", 2)):
                cache = folder / f"{count}-{processes}"
                rows.append((name, count, *measure(options, count, cache, folder / "report", processes)))
    base = seconds / (2 * options.baseline)
    lines = ["| run | pairs | seconds | panoramas a second | times the recipe | peak GB |", "| --- |" + " ---: |" * 5]
    for name, count, took, peak in rows:
        each = took / (2 * count)
        memory = "-" if peak is None else f"{peak:.2f}"
        lines.append(f"| {name} | {count:,} | {took:.1f} | {1 / each:.1f} | {base / each:.1f} | {memory} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
