"""What each part of AOG-Net is worth in the loss that it is trained for, on held-out painting steps.

python benchmarks/stream_losses.py --panoramas DIR ... --captions FILE ... [--trained logs] [--steps 128]

The same steps, noise and timesteps for every way: differences are paired, and far surer than those of painted
panoramas. Prints a Markdown table with the mean loss, its difference to the backbone alone, and the standard error of
that difference.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

from benchmarks.ablation import add_models, ways  # noqa: E402
from benchmarks.held_out import add_set_arguments  # noqa: E402
from benchmarks.tables import table  # noqa: E402

CONFIG = ROOT / "config" / "train_embedded.yaml"
DRAWS = 4  # noise and timesteps of each painting step
BATCH = 4


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_set_arguments(parser)
    add_models(parser)
    parser.add_argument("--steps", type=int, default=128, help="painting steps")
    parser.add_argument("--set", nargs="+", default=[], metavar="key.sub=value", help="settings of train_embedded.yaml")
    options = parser.parse_args(argv)
    rows = [way for way in ways(options.backbone, options.trained) if not way.baseline]
    batches = painting_steps(options)
    found = {way.folder: losses(str(way.checkpoint), batches) for way in rows}
    alone, lines = found["backbone"], []
    for way in rows:
        gaps = found[way.folder] - alone
        error = gaps.std() / len(gaps) ** 0.5
        lines.append([way.title, f"{found[way.folder].mean():.5f}", f"{gaps.mean():+.5f}", f"{error:.5f}"])
    sys.stdout.write(table(["way", "loss", "difference to the backbone alone", "standard error"], lines))


def painting_steps(options: argparse.Namespace) -> list:
    """Batches of held-out painting steps, as the streams' validation draws them."""
    from aognet.config import load_config
    from aognet.targets import build

    named = {"folders": options.panoramas, "captions": options.captions}
    overrides = [f"data.validation.{key}=[{','.join(map(str, paths))}]" for key, paths in named.items()]
    samples = build(load_config([CONFIG], [*options.set, *overrides]).section("data").section("validation"))
    starts = range(0, options.steps, BATCH)
    return [samples.collate([samples[number] for number in range(first, first + BATCH)]) for first in starts]


def losses(checkpoint: str, batches: list):
    """The mean loss of each batch of painting steps."""
    import torch

    from aognet.methods.pretrained import load_method

    model = load_method(checkpoint).eval()
    model.config = replace(model.config, drop_condition=0.0, draws=DRAWS)
    with torch.no_grad():
        return torch.stack([model(batch)["loss"] for batch in batches])


if __name__ == "__main__":
    main()
