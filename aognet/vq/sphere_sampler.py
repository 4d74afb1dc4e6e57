"""A local sampler of our own: the codes of a large panorama as one sequence, without an edge.

The panorama has as many groups of columns as there are global codes in a row. All groups advance together, one code a
step: row by row, and within a row the columns of a group from far apart to close. What a code sees lies around it on
the sphere, in a window that moves with it and crosses the edge of the image. Positions count as angles on the sphere,
so keys and values of a token serve all later windows, each token passes once, and turning the panorama by a group turns
what is written.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from aognet.errors import UserError
from aognet.nn.blocks import Blocks
from aognet.vq.code_sampler import CodeSampler, Writing
from aognet.vq.drawing import Work
from aognet.vq.positions import rotations, turned
from aognet.vq.transformer import DEVIATION, MOST, Cache, check_sizes, start

ORDERS = {1: (0,), 2: (0, 1), 4: (0, 2, 1, 3), 8: (0, 4, 2, 6, 1, 5, 3, 7)}
"""In which order the columns of a group are written, by their number."""


@dataclass(frozen=True, kw_only=True)
class SphereSamplerConfig:
    """The transformer and its grids of codes.

    ``given_rows`` and ``given_columns``: of the global codes, of which there are ``given_vocabulary`` kinds. A global
    code lies over ``factor`` x ``factor`` codes.
    ``above`` and ``beside``: how many rows up (its own is the first) and how many columns to each side a code sees.
    ``wrap``: whether it sees over the edges of the image, without which panoramas have a seam.
    """

    given_rows: int = 8
    given_columns: int = 16
    factor: int = 4
    above: int = 12
    beside: int = 12
    wrap: bool = True
    given_vocabulary: int = 1024
    vocabulary: int = 1024
    layers: int = 12
    heads: int = 8
    width: int = 512

    def __post_init__(self) -> None:
        most = {name: MOST[name] for name in ("vocabulary", "layers", "heads", "width")}
        check_sizes(self, most | {"given_vocabulary": MOST["vocabulary"]})
        for name in ("given_rows", "given_columns", "above"):
            if not 1 <= getattr(self, name) <= 1024:
                raise UserError("must lie in [1, 1024]", key=name, value=getattr(self, name))
        if self.factor not in ORDERS:
            raise UserError(f"must be one of {', '.join(map(str, ORDERS))}", key="factor", value=self.factor)
        if not self.factor <= self.beside <= 1024:
            raise UserError(
                f"must lie in [{self.factor}, 1024], factor being the least", key="beside", value=self.beside
            )
        if self.width // self.heads % 4:
            raise UserError(f"must be a multiple of 4 heads ({4 * self.heads})", key="width", value=self.width)

    @property
    def rows(self) -> int:
        """The rows of the codes."""
        return self.given_rows * self.factor

    @property
    def columns(self) -> int:
        """The columns of the codes."""
        return self.given_columns * self.factor

    @property
    def given(self) -> int:
        """The number of global codes."""
        return self.given_rows * self.given_columns

    @property
    def steps(self) -> int:
        """How many times one code is written in every group."""
        return self.rows * self.factor


class SphereBlock(nn.Module):
    """Attention whose queries and keys are turned by the places of their tokens, and a feed-forward layer."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens width"],
        rotation: Float[Tensor, "2 tokens pairs"],
        sees: Bool[Tensor, "tokens seen"],
        layer: int = 0,
        cache: Cache | None = None,
        seen: slice = slice(None),
        given: int = 0,
    ) -> Float[Tensor, "batch tokens width"]:
        """``sees``: which tokens see which. With a cache, they see its first ``given`` tokens and those of ``seen``."""
        parts = self.qkv(self.ln1(tokens)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = turned(parts[0], rotation), turned(parts[1], rotation), parts[2]
        if cache is not None:
            kept = cache.extended(layer, key, value)
            key, value = (torch.cat([part[:, :, :given], part[:, :, seen]], dim=2) for part in kept)
        mixed = functional.scaled_dot_product_attention(query, key, value, sees)
        tokens = tokens + self.proj(mixed.transpose(1, 2).flatten(2))
        return tokens + self.mlp(self.ln2(tokens))


class SphereSampler(CodeSampler):
    """Global codes, then codes step by step; the token of a step has the code of its group's step before."""

    kind = "vq_sphere_sampler"
    Config = SphereSamplerConfig

    def __init__(self, config: SphereSamplerConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.tok_emb = nn.Embedding(config.vocabulary + 1, width)  # the last one is before a group's first code
        self.given_emb = nn.Embedding(config.given_vocabulary, width)
        self.step_emb = nn.Parameter(DEVIATION * torch.randn(config.steps, 1, width))
        self.row_emb = nn.Parameter(DEVIATION * torch.randn(config.given_rows, 1, width))
        self.blocks = Blocks([SphereBlock(width, config.heads) for _ in range(config.layers)])
        self.ln_f = nn.LayerNorm(width)
        self.head = nn.Linear(width, config.vocabulary, bias=False)
        self.apply(start)

    @property
    def tables(self) -> "Tables":
        """What follows from the sizes alone, on the device of the weights."""
        return _tables(self.config, self.head.weight.device)

    def forward(
        self,
        given: Int64[Tensor, "batch given_rows given_columns"],
        codes: Int64[Tensor, "batch rows columns"],
    ) -> Float[Tensor, "batch rows columns vocabulary"]:
        """Return the logits of every code, each from the global codes and the codes of earlier steps around it."""
        carried, tables = self._started(self._in_order(codes)[:, :-1]), self.tables
        tokens = torch.cat([self._given_tokens(given), self._tokens(given, carried, 0)], dim=1)
        tokens = self.blocks(tokens, tables.rotation, tables.sees)
        logits = self.head(self.ln_f(tokens[:, self.config.given :]))
        return logits[:, tables.order].unflatten(1, (self.config.rows, self.config.columns))

    def loss(
        self,
        given: Int64[Tensor, "batch given_rows given_columns"],
        codes: Int64[Tensor, "batch rows columns"],
        seeds: Int64[Tensor, "batch"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return the cross-entropy of all codes of the panoramas, which takes one pass."""
        return functional.cross_entropy(self(given, codes).flatten(0, 2).float(), codes.flatten())

    def write(self, given: Int64[Tensor, "batch given_rows given_columns"], writing: Writing) -> None:
        """Write step by step, in all groups at once."""
        config = self.config
        cache = Cache(config.given + config.steps * config.given_columns)
        rows, columns = (places.unflatten(0, (config.steps, -1)).tolist() for places in _places(config))
        first = writing.first * config.factor
        before = self._started(self._in_order(writing.codes)[:, :first])
        for step in range(first, config.steps):
            tokens = self._tokens(given, before, step + 1 - before.shape[1])
            if not cache.length:
                tokens = torch.cat([self._given_tokens(given), tokens], dim=1)
            logits = self._extended(tokens, step, cache, writing.work)
            before = writing.draw(rows[step], columns[step], logits)[:, None]

    def _extended(
        self, tokens: Tensor, step: int, cache: Cache, work: Work
    ) -> Float[Tensor, "batch groups vocabulary"]:
        """Let tokens pass after those of earlier steps; return the logits of the last step."""
        config, tables = self.config, self.tables
        groups, end = config.given_columns, cache.length + tokens.shape[1]
        oldest = 0 if not cache.length else max(0, step // config.factor - config.above + 1) * config.factor
        seen = slice(config.given + oldest * groups, end)
        places = slice(cache.length, end)
        sees = torch.cat([tables.sees[places, : config.given], tables.sees[places, seen]], dim=1)
        for layer, block in enumerate(self.blocks):
            tokens = block(tokens, tables.rotation[:, places], sees, layer, cache, seen, config.given)
        flops = config.layers * tokens.shape[1] * (24.0 * config.width**2 + 4 * config.width * sees.shape[1])
        work.add([(tokens.shape[1], flops + 2 * config.width * config.vocabulary * groups)])
        cache.length = end
        return self.head(self.ln_f(tokens[:, -groups:]))

    def _given_tokens(self, given: Tensor) -> Float[Tensor, "batch given width"]:
        return (self.given_emb(given) + self.row_emb).flatten(1, 2)

    def _tokens(self, given: Tensor, carried: Tensor, first: int) -> Float[Tensor, "batch tokens width"]:
        """Return the tokens of steps from ``first`` on, which carry codes [batch, steps, groups]."""
        steps = torch.arange(first, first + carried.shape[1], device=given.device)
        over = given[:, steps // self.config.factor**2]
        return (self.tok_emb(carried) + self.given_emb(over) + self.step_emb[steps]).flatten(1, 2)

    def _started(self, inside: Tensor) -> Tensor:
        """Return codes [batch, steps, groups] after what is before the first one of each group."""
        begin = inside.new_full((len(inside), 1, self.config.given_columns), self.config.vocabulary)
        return torch.cat([begin, inside], dim=1)

    def _in_order(self, grid: Tensor) -> Tensor:
        """Return what belongs to the cells [batch, rows, columns] as [batch, steps, groups]."""
        return grid.flatten(1)[:, self.tables.cells].unflatten(1, (self.config.steps, -1))


@dataclass(frozen=True)
class Tables:
    """What follows from a sampler's sizes.

    ``cells``: the place in raster order of each code in the order of steps; ``order``: the reverse. ``rotation`` of all
    tokens, the global ones first; ``sees``: which of them see which.
    """

    cells: Int64[Tensor, "codes"]
    order: Int64[Tensor, "codes"]
    rotation: Float[Tensor, "2 tokens pairs"]
    sees: Bool[Tensor, "tokens tokens"]


@lru_cache(maxsize=4)
def _tables(config: SphereSamplerConfig, device: torch.device) -> Tables:
    rows, columns = _places(config)
    cells = rows * config.columns + columns
    made = (cells, cells.argsort(), _rotation(config, rows, columns), _sees(config, rows, columns))
    return Tables(*(table.to(device) for table in made))


def _places(config: SphereSamplerConfig) -> tuple[Int64[Tensor, "codes"], Int64[Tensor, "codes"]]:
    """Return rows and columns of all codes in the order of steps, and in a step from group to group."""
    steps, groups = torch.arange(config.steps)[:, None], torch.arange(config.given_columns)
    within = torch.tensor(ORDERS[config.factor])[steps % config.factor]
    rows = (steps // config.factor).expand(-1, config.given_columns)
    return rows.flatten(), (groups * config.factor + within).flatten()


def _rotation(config: SphereSamplerConfig, rows: Tensor, columns: Tensor) -> Float[Tensor, "2 tokens pairs"]:
    given = torch.arange(config.given)
    longitude = [
        (given % config.given_columns + 0.5) / config.given_columns,
        (columns + 0.5) / config.columns,
    ]
    latitude = [(given // config.given_columns + 0.5) / config.given_rows, (rows + 0.5) / config.rows]
    return rotations(
        2 * math.pi * torch.cat(longitude),
        math.pi * torch.cat(latitude),
        config.width // config.heads,
        config.columns // 2,
    )


def _sees(config: SphereSamplerConfig, rows: Tensor, columns: Tensor) -> Bool[Tensor, "tokens tokens"]:
    """Return which tokens see which: all the global codes, and codes those of their windows that are not later."""
    steps = torch.arange(config.steps).repeat_interleave(config.given_columns)
    apart = (columns[:, None] - columns).abs()
    apart = torch.minimum(apart, config.columns - apart) if config.wrap else apart
    near = (rows[:, None] - rows < config.above) & (apart <= config.beside) & (steps[:, None] >= steps)
    total = config.given + len(rows)
    sees = torch.zeros(total, total, dtype=torch.bool)
    sees[:, : config.given] = True
    sees[config.given :, config.given :] = near
    return sees
