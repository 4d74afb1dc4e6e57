"""Trains the embedded model's streams for a few steps three ways and compares: at once, resumed halfway, two processes.

python benchmarks/parity.py [--steps 6]

Prints a Markdown table: the largest difference of losses and trained weights to the uninterrupted run of one process.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=6, help="optimizer steps, even")
    steps = parser.parse_args().steps
    lines = ["| run | largest loss difference | largest weight difference |", "| --- | ---: | ---: |"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenes = folder / "scenes"
        call("misc/make_scenes.py", "--out_dir", scenes, "--count", 8, "--height", 64, "--num_workers", 1)
        train(folder, "whole", steps)
        train(folder, "resumed", steps // 2)
        train(folder, "resumed", steps, "--resume")
        train(folder, "two", steps, processes=2)
        resumed = f"stopped after {steps // 2} steps and resumed"
        titles = {"resumed": resumed, "two": "two processes, half the batch each"}
        for run, title in titles.items():
            loss, weight = loss_difference(folder, run), weight_difference(folder, run, steps)
            lines.append(f"| {title} | {loss:.1e} | {weight:.1e} |")
    sys.stdout.write("\n".join(lines) + "\n")


def train(folder: Path, name: str, steps: int, *flags: str, processes: int = 1) -> None:
    """``main.py`` on the embedded model, four samples a step."""
    settings = {
        "data.train.folders": [str(folder / "scenes")],
        "data.train.captions": [str(folder / "scenes" / "captions.jsonl")],
        "data.train.height": 64,
        "data.validation": None,
        "trainer.max_steps": steps,
        "trainer.batch_size": 4 // processes,
        "trainer.lr_schedule": "constant",
        "trainer.warmup_steps": 0,
        "trainer.mixed_precision": "no",
        "trainer.log_every": 1,
        "trainer.threads": 1,
        "trainer.device": "cpu",
        "trainer.images_every": 0,
        "trainer.checkpoint_every": 0,
    }
    overrides = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    start = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    config = "config/train_embedded.yaml"
    call(*start, "main.py", "-b", config, "-n", name, "--out_dir", folder / "logs", *flags, *overrides)


def call(*arguments: object) -> None:
    subprocess.run([sys.executable, *map(str, arguments)], cwd=ROOT, check=True)


def losses(folder: Path, name: str) -> list[float]:
    """The loss of every step."""
    lines = (folder / "logs" / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [record["train/loss"] for record in map(json.loads, lines) if "train/loss" in record]


def loss_difference(folder: Path, name: str) -> float:
    pairs = zip(losses(folder, "whole"), losses(folder, name), strict=True)
    return max(abs(one - other) for one, other in pairs)


def weight_difference(folder: Path, name: str, steps: int) -> float:
    from safetensors.torch import load_file

    def weights(run: str):
        return load_file(folder / "logs" / run / "checkpoints" / f"step-{steps:08d}" / "weights.safetensors")

    whole, other = weights("whole"), weights(name)
    return max(float((whole[key] - other[key]).abs().max()) for key in whole)


if __name__ == "__main__":
    main()
