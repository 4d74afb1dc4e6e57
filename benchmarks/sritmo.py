"""SR-iTMO in the published size: the published loop and ours, in seconds of processor time, FLOPs and bytes.

python benchmarks/sritmo.py [--height 512] [--factor 4] [--parts 3] [--threads 2]

The published loop unfolds the features anew for each 30,000 queries and multiplies them for each of four cells. Ours
multiplies once for each cell and adds what the position changes. Weights are random. A few chunks, strips and blocks
are timed and added up to the whole image, since the published loop takes many minutes. Prints a Markdown table: the
seconds are those of all threads together, which other processes do not change much.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

import torch  # noqa: E402

from aognet.hdr import expanding  # noqa: E402
from aognet.hdr.expanding import expand, scaled  # noqa: E402
from aognet.hdr.sritmo import PUBLISHED, SrItmo  # noqa: E402
from benchmarks.tables import table  # noqa: E402
from tests.hdr.plain_sritmo import plain_answer, plain_encoder, plain_queries  # noqa: E402

CHUNK = 30_000
ENCODER = 33 * 64 * 64 * 9 + 64 * 3 * 9
FIRST, DEEP, LIGHT = 580 * 256, 3 * 256 * 256 + 256 * 3, 258 * 256 + 256 * 256 + 256 * 3
"""Multiplications of the encoder a pixel, of f_sr's first layer and its others a query and cell, of f_itmo a query."""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--factor", type=float, default=4.0)
    parser.add_argument("--parts", type=int, default=3, help="chunks and blocks that are timed")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    network = SrItmo(PUBLISHED).eval()
    image = torch.rand(3, options.height, 2 * options.height) * 2 - 1
    rows = [
        published(network, image, options),
        *(ours(network, image, options, inner) for inner in (None, torch.bfloat16)),
    ]
    least = rows[0][1]
    rows = [(*row, least / row[1]) for row in rows]
    head = ("way", "seconds, whole image", "TFLOP", "GB of features written", "times as fast")
    sys.stdout.write(table(head, rows))


def seconds(run: Callable[[], object]) -> float:
    """The processor time of all threads."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


def sizes(options: argparse.Namespace) -> tuple[int, int]:
    """Pixels of the image and of the result."""
    return 2 * options.height**2, 2 * scaled(options.height, options.factor) ** 2


@torch.no_grad()
def published(network: SrItmo, image: torch.Tensor, options: argparse.Namespace) -> tuple[str, float, float, float]:
    """One row: the published loop, of which ``parts`` chunks are timed."""
    tensors, (pixels, asked) = dict(network.state_dict()), sizes(options)
    found: list[torch.Tensor] = []
    encoding = seconds(lambda: found.append(plain_encoder(tensors, image[None])))
    queries = plain_queries(scaled(options.height, options.factor), scaled(2 * options.height, options.factor))
    chunks = -(-asked // CHUNK)

    def chunk(number: int) -> None:
        plain_answer(tensors, found[0], *(part[number * CHUNK : (number + 1) * CHUNK] for part in queries))

    chunk(0)
    some = [number * chunks // options.parts for number in range(options.parts)]
    each = seconds(lambda: [chunk(number) for number in some]) / options.parts
    flops = 2 * (pixels * ENCODER + asked * (4 * (FIRST + DEEP) + LIGHT))
    return "published loop", encoding + chunks * each, flops / 1e12, chunks * pixels * 576 * 4 / 1e9


def ours(
    network: SrItmo, image: torch.Tensor, options: argparse.Namespace, inner: torch.dtype | None
) -> tuple[str, float, float, float]:
    """One row: ours, of which some rows of the result are timed beside the features of a strip."""
    pixels, asked = sizes(options)
    strips, plans, counts = [0.0, 0], [0.0, 0], []
    whole_strip, whole_answer = expanding._strip, expanding._Plan.answer

    class Enough(Exception):
        """All that is timed is done."""

    def timed_strip(network: SrItmo, image: torch.Tensor, top: int, bottom: int, whole: bool) -> expanding._Strip:
        begin = time.process_time()
        made = whole_strip(network, image, top, bottom, whole)
        strips[0] += time.process_time() - begin
        strips[1] += bottom - top
        return made

    def timed_answer(
        self: expanding._Plan, image: torch.Tensor, strip: expanding._Strip, top: int, bottom: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        begin = time.process_time()
        made = whole_answer(self, image, strip, top, bottom)
        counts.append(bottom - top)
        if len(counts) > 2:  # after warming up
            plans[0] += time.process_time() - begin
            plans[1] += bottom - top
        if len(counts) >= 8 * options.parts + 2:
            raise Enough
        return made

    expanding._strip, expanding._Plan.answer = timed_strip, timed_answer
    try:
        expand(network, image, options.factor, inner=inner)
    except Enough:
        pass
    finally:
        expanding._strip, expanding._Plan.answer = whole_strip, whole_answer
    rows = scaled(options.height, options.factor)
    total = strips[0] * options.height / strips[1] + plans[0] * rows / plans[1]
    flops = 2 * (pixels * (ENCODER + 9 * 64 * 256) + asked * (4 * DEEP + LIGHT))
    name = "ours" if inner is None else f"ours, hidden layers in {str(inner).removeprefix('torch.')}"
    return name, total, flops / 1e12, (pixels * 256 * 4 + asked * 4 * 256 * 4) / 1e9


if __name__ == "__main__":
    main()
