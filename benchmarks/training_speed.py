"""Training samples a second, loading included: here and by the published recipe, with the same weights and samples.

python benchmarks/training_speed.py [--size 512] [--height 2048] [--batches 1 4] [--steps 12] [--num_workers 2]
python benchmarks/training_speed.py --layout sd2 --device cuda --dtype bfloat16 --batches 1 16 --num_workers 12

The recipe trains AOG-Net on one sample after the other in single precision; every panorama is decoded, turned as a
whole and seen by pyequilib (`data_loading.py`), faces are encoded one by one. Here: `main.py` on the training
configuration of --layout, in --dtype, without the work that is not training (validation, images, checkpoints). Means
over all but the first quarter of the steps, in which workers fill their queues and kernels are chosen. Learning rates
are next to nothing, so that all ways see the same weights; the last column is how far the mean loss over the same
samples lies from the first row's. Prints a Markdown table.
"""

import argparse
import gc
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

import torch  # noqa: E402

from aognet import cli  # noqa: E402
from benchmarks.data_loading import make_panoramas  # noqa: E402
from benchmarks.end_to_end import peak_gigabytes  # noqa: E402
from benchmarks.models import PAINTING, TRAINING, add_model_arguments, load, untrained  # noqa: E402
from benchmarks.tables import table  # noqa: E402

HEAD = ("way", "samples a second", "times the recipe", "peak GB", "mean loss", "loss, from the first row's")
PRECISION = {"float32": "no", "float16": "fp16", "bfloat16": "bf16"}
RATE = 1e-12
Found = tuple[float, list[float], float]  # samples a second, the loss of every sample (of a step: their mean), peak GB


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="pixels of views and faces")
    parser.add_argument("--height", type=int, default=2048, help="rows of the panoramas")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4], help="samples of a step, here")
    parser.add_argument("--steps", type=int, default=12, help="steps of the largest batch; of smaller ones more")
    parser.add_argument("--recipe_samples", type=int, default=8, help="0: without the recipe")
    parser.add_argument("--num_workers", type=int, default=2, help="processes that load samples")
    add_model_arguments(parser, "main.py")
    options = parser.parse_args(argv)
    if options.method != "aognet" and options.recipe_samples:
        parser.error("the recipe trains AOG-Net; add --recipe_samples 0")
    found = {}
    with tempfile.TemporaryDirectory() as name:
        make_panoramas(Path(name) / "panoramas", options.height)
        for batch in options.batches:
            found[f"here, {batch} at a time, {options.dtype}"] = here(Path(name), batch, options)
        if options.recipe_samples:
            found["recipe"] = by_recipe(Path(name), options)
    first, slowest = next(iter(found.values())), min(speed for speed, _, _ in found.values())
    rows = [
        (way, speed, speed / slowest, gigabytes, statistics.fmean(losses), loss_gap(losses, first[1]))
        for way, (speed, losses, gigabytes) in found.items()
    ]
    sys.stdout.write(table(HEAD, rows))


def loss_gap(losses: list[float], others: list[float]) -> float:
    """How far the means lie apart over the samples that both have seen."""
    count = min(len(losses), len(others))
    return abs(statistics.fmean(losses[:count]) - statistics.fmean(others[:count]))


def here(folder: Path, batch: int, options: argparse.Namespace) -> Found:
    """What main.py does."""
    from aognet.config import build_config
    from aognet.targets import build
    from aognet.training.trainer import Trainer

    config = settings(folder, options, batch, steps=options.steps * max(options.batches) // batch)
    trained, samples = config.section("trainer"), build(config.section("data").section("train"))
    model = model_of(options.dtype, options)
    forget_peak(options.device)
    logs = folder / f"logs-{batch}"
    logs.mkdir()
    Trainer(build_config(trained, Trainer.Config), model, samples, None, logs).fit()
    lines = [json.loads(line) for line in (logs / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    steps_seen = [line for line in lines if "train/loss" in line]
    speeds = [line["train/samples_per_second"] for line in steps_seen]
    losses = [line["train/loss"] for line in steps_seen for _ in range(batch)]
    gigabytes = peak_gigabytes(torch.device(options.device))
    return statistics.harmonic_mean(speeds[len(speeds) // 4 :]), losses, gigabytes


def by_recipe(folder: Path, options: argparse.Namespace) -> Found:
    """What the published code does."""
    from aognet.targets import build
    from benchmarks import recipe

    samples = build(settings(folder, options, 1, 1).section("data").section("train"))
    model = model_of("float32", options)
    forget_peak(options.device)
    steps = list(recipe.train(model, samples, options.size, options.recipe_samples, options.num_workers, RATE))
    seconds = [taken for taken, _ in steps[len(steps) // 4 :]]
    gigabytes = peak_gigabytes(torch.device(options.device))
    return 1 / statistics.fmean(seconds), [loss for _, loss in steps], gigabytes


def settings(folder: Path, options: argparse.Namespace, batch: int, steps: int):
    """The training configuration, on panoramas that were made for this."""
    size = {"plan.size": options.size, "face_size": options.size}
    data = size if options.method == "aognet" else {"size": options.size}
    data = {f"data.train.{key}": value for key, value in data.items()} | {
        "data.train.folders": [str(folder / "panoramas")],
        "data.train.captions": [],
        "data.train.augmented_captions": [],
        "data.train.directed": 0.0,
        "data.train.height": options.height,
        "data.train.cache.folder": str(folder / "cache"),
    }
    trainer = {
        "max_steps": steps,
        "batch_size": batch,
        "learning_rate": RATE,
        "lr_schedule": "constant",
        "warmup_steps": 0,
        "weight_decay": 0.0,
        "mixed_precision": PRECISION[options.dtype],
        "gradient_checkpointing": False,
        "device": options.device,
        "num_workers": options.num_workers,
        "log_every": 1,
    }
    trainer |= dict.fromkeys(("checkpoint_every", "validate_every", "images_every", "ema_decay"), 0)
    given = data | {f"trainer.{key}": value for key, value in trainer.items()}
    lines = [f"{key}={json.dumps(value)}" for key, value in given.items()]
    return load(TRAINING, options, [*lines, *options.set])


def model_of(dtype: str, options: argparse.Namespace) -> Any:
    """The model, its frozen parts of this type, on the device."""
    from aognet.methods.pretrained import load_method

    if options.layout != "embedded":
        # What is trained stays in single precision, and of CubeDiff that lies in the backbone.
        return untrained(options, dtype if options.method == "aognet" else "float32")
    model = load_method(str(ROOT / load(PAINTING, options, []).values["checkpoint"])).to(options.device)
    for part in model.trainable_parts().values():
        part.requires_grad_(True)
    model.config = replace(model.config, draws=1)  # each sample is learned from once, as in the recipe
    return model


def forget_peak(device: str) -> None:
    """Most memory is counted anew, where that can be."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


if __name__ == "__main__":
    cli.run(main)
