"""Text2Light's samplers: the published loops beside ours, in one run.

python benchmarks/text2light.py [--threads 2] [--batch 1] [--clock wall] [--size narrow] [--layers 6] [--steps 0]

The published loops are written as they are: a full forward pass for every code, of the whole window, with attention as
matrices and logits of all tokens. Ours let every token pass as seldom as is exact; their codes at temperature 0 must be
the same. Weights are random: what codes mean changes nothing of the work. Grids and windows are the published ones. Of
the size ``narrow`` transformers are 256 wide, so that whole loops run in minutes; ``published`` is 1024, with as many
layers as published. The layout of our own has the same layers, heads and width; its codes are those of another model.

``--steps N`` measures only N steps of each loop of the local sampler, and computes from them what the whole takes. Of
the published loop all steps are equal. Of ours those are taken that lie evenly over the run, with tokens and caches of
their sizes but without content. Of our own layout they begin after 12 rows, from where on windows are whole. Rows that
were computed are marked.

Prints a Markdown table: token passes of an image, sequential steps, floating-point operations in matrix products for
an image, seconds of the whole batch, and how many times as fast ours is. Seconds are those of a clock on the wall, or
(``--clock cpu``) those that processors spent for this process: others on a busy machine change them less.
"""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter, process_time
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from aognet.vq.drawing import Drawing, Work, cell_numbers  # noqa: E402
from aognet.vq.global_sampler import GlobalSampler, GlobalSamplerConfig  # noqa: E402
from aognet.vq.positions import position_map  # noqa: E402
from aognet.vq.sphere_sampler import SphereSampler, SphereSamplerConfig  # noqa: E402
from aognet.vq.transformer import Cache, Gpt, GptBlock, Piece  # noqa: E402
from aognet.vq.window_sampler import WindowSampler, WindowSamplerConfig  # noqa: E402
from benchmarks.tables import table  # noqa: E402

CLOCKS = {"wall": perf_counter, "cpu": process_time}
HEAD = ("sampler", "loop", "token passes", "steps", "TFLOP", "seconds", "times as fast", "codes")
LIKELIEST = Drawing(temperature=0.0)
Sampler = TypeVar("Sampler", bound=nn.Module)
WHOLE_ROWS = 12  # after so many rows windows of our own layout are whole


class Stopped(Exception):
    """A loop has made as many steps as are measured."""


@dataclass
class Run:
    """What one loop did, and what the whole would take."""

    work: Work
    seconds: float
    codes: Tensor | None = None
    extrapolated: str = ""

    def cells(self, sampler: str, loop: str, than: "Run | None" = None, codes: str = "-") -> list[object]:
        faster = None if than is None else than.seconds / self.seconds
        seconds = f"{self.seconds:.3g}{self.extrapolated}"
        work = self.work
        return [sampler, loop, f"{work.tokens:,}", f"{work.steps:,}", work.flops / 1e12, seconds, faster, codes]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=1, help="images at once, as for so many prompts")
    parser.add_argument("--samplers", nargs="+", choices=("global", "local"), default=("global", "local"))
    parser.add_argument("--size", choices=("narrow", "published"), default="narrow")
    parser.add_argument("--layers", type=int, default=6, help="of the narrow local sampler")
    parser.add_argument("--steps", type=int, default=0, metavar="N", help="measure N steps of local loops, not all")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    clock, narrow = CLOCKS[options.clock], options.size == "narrow"
    small = replace(GlobalSamplerConfig(embedding=128, width=256), heads=4)
    local = WindowSamplerConfig(samples=1, layers=options.layers, heads=4) if narrow else WindowSamplerConfig()
    found = []
    if "global" in options.samplers:
        found += compared_globally(small if narrow else GlobalSamplerConfig(), options.batch, clock)
    if "local" in options.samplers:
        name = f"local, {local.layers} layers of {local.gpt().width}"
        found += compared(name, local, options.batch, clock, options.steps)
    where = f"{options.threads} threads, batches of {options.batch}, {options.clock} seconds"
    sys.stdout.write(f"{where}; *: computed from a part\n\n{table(HEAD, found)}")


def compared(
    name: str, config: WindowSamplerConfig, batch: int, clock: Callable[[], float], steps: int = 0
) -> list[list[object]]:
    """Return the rows of a local sampler: the published loop, ours, and the layout of our own of the same size."""
    sampler, gpt = random(WindowSampler(config)), config.gpt()
    numbers = cell_numbers(range(batch), 0, config.windows.rows, config.windows.columns)
    given = torch.randint(gpt.vocabulary, (batch, config.given_rows, config.given_columns))
    theirs = published_local(sampler, given, clock, steps)
    ours = (sampled_local if steps else exact_local)(sampler, given, numbers, clock, steps)
    said = same(ours, theirs)
    found = [theirs.cells(name, "published"), ours.cells(name, "exact", theirs, said)]
    factor = config.windows.rows // config.given_rows
    sphere = SphereSamplerConfig(
        given_rows=config.given_rows,
        given_columns=config.windows.columns // factor,
        factor=factor,
        layers=gpt.layers,
        heads=gpt.heads,
        width=gpt.width,
        above=min(12, config.windows.rows),
    )
    del sampler
    own = random(SphereSampler(sphere))
    alone = on_the_sphere(own, numbers, clock, steps)
    return [*found, alone.cells(name, "our own layout", theirs, "of another model")]


def compared_globally(config: GlobalSamplerConfig, batch: int, clock: Callable[[], float]) -> list[list[object]]:
    """Return the rows of a global sampler, whose loops run whole."""
    sampler = random(GlobalSampler(config))
    condition, numbers = (
        torch.randn(batch, config.tokens, config.embedding),
        cell_numbers(range(batch), 0, config.rows, config.columns),
    )
    theirs, work, started = published_global(sampler, condition, clock), Work(), clock()
    codes = sampler.sample(condition, numbers, LIKELIEST, work=work)
    ours = Run(work, clock() - started, codes.flatten(1))
    said = same(ours, theirs)
    name = f"global, {config.layers} layers of {config.width}"
    return [theirs.cells(name, "published"), ours.cells(name, "exact", theirs, said)]


def same(ours: Run, theirs: Run) -> str:
    """Say whether all codes are the same, or which share is; ``-`` where a loop was not run whole."""
    if ours.codes is None or theirs.codes is None:
        return "-"
    equal = ours.codes == theirs.codes
    return "the same" if bool(equal.all()) else f"{equal.double().mean():.2%} the same"


@torch.no_grad()
def published_global(sampler: GlobalSampler, condition: Tensor, clock: Callable[[], float]) -> Run:
    """Write all codes of the global sampler, each by a full pass of the prefix and the codes before it."""
    config, work, started = sampler.config, Work(), clock()
    prefix = torch.cat([condition, condition], dim=-1)
    codes = torch.zeros(len(condition), 0, dtype=torch.long)
    for _ in range(config.rows * config.columns):
        logits = published_pass(sampler.gpt, prefix, codes, work)[:, -1]
        codes = torch.cat([codes, logits.argmax(-1, keepdim=True)], dim=1)
    return Run(work, clock() - started, codes)


@torch.no_grad()
def published_local(sampler: WindowSampler, given: Tensor, clock: Callable[[], float], steps: int) -> Run:
    """Write codes of the local sampler, each by a full pass of its whole window."""
    config, gpt, work = sampler.config, sampler.gpt, Work()
    rows, columns, size = config.windows.rows, config.windows.columns, config.windows.size
    half, scale, started = size // 2, config.samples, clock()
    places = position_map(rows, columns, scale)[None].expand(len(given), -1, -1, -1)
    codes = torch.randint(gpt.config.vocabulary, (len(given), rows, columns))
    cells = [(i, j) for i in range(rows) for j in range(columns)][: steps or None]
    for i, j in cells:
        li = i if i <= half else size - (rows - i) if rows - i < half else half
        lj = j if j <= half else size - (columns - j) if columns - j < half else half
        top, left = i - li, j - lj
        patch = codes[:, top : top + size, left : left + size].flatten(1)
        prefix = places[:, :, scale * top : scale * (top + size), scale * left : scale * (left + size)].flatten(2)
        logits = published_pass(gpt, prefix, torch.cat([given.flatten(1), patch], dim=1)[:, :-1], work)
        logits = logits[:, -size * size :].unflatten(1, (size, size))[:, li, lj]
        codes[:, i, j] = logits.argmax(-1)
    seconds = clock() - started
    if not steps:
        return Run(work, seconds, codes)
    whole = rows * columns / len(cells)
    scaled = Work(round(work.tokens * whole), rows * columns, work.flops * whole)
    return Run(scaled, seconds * whole, extrapolated=f"* ({len(cells)} of {rows * columns} steps)")


@torch.no_grad()
def exact_local(sampler: WindowSampler, given: Tensor, numbers: Tensor, clock: Callable[[], float], _: int) -> Run:
    """Write all codes of the local sampler as we do."""
    work, started = Work(), clock()
    codes = sampler.sample(given, numbers, LIKELIEST, work=work)
    return Run(work, clock() - started, codes)


@torch.no_grad()
def sampled_local(
    sampler: WindowSampler, given: Tensor, numbers: Tensor, clock: Callable[[], float], steps: int
) -> Run:
    """Let tokens of some of our steps pass, spread evenly over a run."""
    gpt, work, waves = sampler.gpt, Work(), []

    def noted(pieces: Sequence[Piece]) -> Tensor:
        waves.append([(embedded.shape[1], cache.length) for embedded, cache in pieces])
        for embedded, cache in pieces:
            cache.length += embedded.shape[1]
        return torch.zeros(len(given), len(pieces), gpt.config.vocabulary)

    gpt.extend = noted  # a run that only notes what would pass
    sampler.sample(given, numbers, LIKELIEST, work=work)
    del gpt.extend
    chosen = [waves[(2 * number + 1) * len(waves) // (2 * steps)] for number in range(steps)]
    seconds = []
    for wave in [chosen[-1], *chosen]:  # the first pass warms up
        shapes = [(torch.randn(len(given), new, gpt.config.width), new, old) for new, old in wave]
        pieces = [(embedded, filled(gpt, len(given), new, old)) for embedded, new, old in shapes]
        started = clock()
        gpt.extend(pieces)
        seconds.append(clock() - started)
    passed = sum(new for wave in chosen for new, _ in wave)
    said = f"* ({steps} of {len(waves)} steps, {passed:,} of {work.tokens:,} tokens)"
    return Run(work, sum(seconds[1:]) * len(waves) / steps, extrapolated=said)


def filled(gpt: Gpt, batch: int, new: int, old: int) -> Cache:
    """Return a cache in which tokens without content have passed, with room for new ones."""
    cache, config = Cache(new + old), gpt.config
    for layer in range(config.layers):
        cache.extended(layer, *torch.zeros(2, batch, config.heads, old, config.width // config.heads))
    cache.length = old
    return cache


def on_the_sphere(sampler: SphereSampler, numbers: Tensor, clock: Callable[[], float], steps: int) -> Run:
    """Write codes in the layout of our own: all, or some steps of those after the first rows."""
    config, work, marks = sampler.config, Work(), []
    given = torch.randint(config.given_vocabulary, (len(numbers), config.given_rows, config.given_columns))
    if not steps:
        started = clock()
        codes = sampler.sample(given, numbers, LIKELIEST, work=work)
        return Run(work, clock() - started, codes)

    def progress(*_: int) -> None:
        marks.append((clock(), work.flops))
        if len(marks) > steps:
            raise Stopped

    known = torch.randint(config.vocabulary, (len(numbers), min(WHOLE_ROWS, config.rows // 2), config.columns))
    with suppress(Stopped):
        sampler.sample(given, numbers, LIKELIEST, known=known, progress=progress, work=work)
    seconds, flops = (marks[-1][part] - marks[0][part] for part in (0, 1))
    share = config.steps / steps
    whole = Work(config.given + config.rows * config.columns, config.steps, flops * share)
    return Run(whole, seconds * share, extrapolated=f"* ({steps} of {config.steps} steps)")


def published_pass(gpt: Gpt, prefix: Tensor, codes: Tensor, work: Work) -> Tensor:
    """Return the logits [batch, tokens, codes] of all tokens as minGPT computes them, with attention as products."""
    config = gpt.config
    x = torch.cat([prefix, gpt.tok_emb(codes)], dim=1)
    tokens = x.shape[1]
    x = x + gpt.pos_emb[:, :tokens]
    mask = torch.tril(torch.ones(config.length, config.length)).view(1, 1, config.length, config.length)
    for block in gpt.blocks:
        assert isinstance(block, GptBlock)
        normed, attention = block.ln1(x), block.attn
        q, k, v = (
            part(normed).view(len(x), tokens, config.heads, -1).transpose(1, 2)
            for part in (attention.query, attention.key, attention.value)
        )
        scores = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.shape[-1]))
        scores = scores.masked_fill(mask[:, :, :tokens, :tokens] == 0, -math.inf).softmax(dim=-1)
        x = x + attention.proj((scores @ v).transpose(1, 2).contiguous().view(len(x), tokens, config.width))
        x = x + block.mlp(block.ln2(x))
    each = config.layers * (24.0 * config.width**2 + 4.0 * config.width * tokens)
    work.add([(tokens, tokens * (each + 2.0 * config.width * config.vocabulary))])
    return gpt.head(gpt.ln_f(x))


def random(sampler: Sampler) -> Sampler:
    """Give a sampler weights whose codes differ from place to place."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in sampler.named_parameters():
            if "emb" in name:
                value.normal_(0.0, 1.0, generator=generator)
    return sampler.eval().requires_grad_(False)


if __name__ == "__main__":
    main()
