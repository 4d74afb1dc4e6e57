"""The local sampler of Text2Light (arXiv 2209.09898, section 4.2): codes of a large panorama, window by window.

Published code lets a whole window pass for every code. Here a code costs what is new: tokens after it do not pass,
codes with equal windows share what has passed, and rows are written beside each other. What is written stays the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from aognet.diffusion.sampling.noise import uniform
from aognet.errors import UserError
from aognet.vq.code_sampler import CodeSampler, Writing
from aognet.vq.positions import CHANNELS, positions_around
from aognet.vq.transformer import Cache, Gpt, GptConfig, Piece
from aognet.vq.windows import Window, WindowConfig

TOP, LEFT = 0, 1  # streams of a sample's seed


@dataclass(frozen=True, kw_only=True)
class WindowSamplerConfig:
    """The transformer, its windows and the codes that it is given; the defaults are the published ones.

    ``given_rows`` and ``given_columns``: of the global codes. ``samples``: how many positions a side of each code the
    position tokens have; each token is all positions of a window, so the width is ``(samples * windows.size) ** 2``.
    """

    windows: WindowConfig = field(default_factory=WindowConfig)
    given_rows: int = 8
    given_columns: int = 16
    samples: int = 2
    vocabulary: int = 1024
    layers: int = 24
    heads: int = 16

    def __post_init__(self) -> None:
        for name in ("given_rows", "given_columns"):
            if not 1 <= getattr(self, name) <= 4096:
                raise UserError("must lie in [1, 4096]", key=name, value=getattr(self, name))
        if not 1 <= self.samples <= 8:
            raise UserError("must lie in [1, 8]", key="samples", value=self.samples)
        self.gpt()

    @property
    def before(self) -> int:
        """The number of tokens before the codes of a window."""
        return CHANNELS + self.given_rows * self.given_columns

    def gpt(self) -> GptConfig:
        """Return the transformer's sizes."""
        size = self.windows.size
        return GptConfig(
            length=self.before + size**2,
            vocabulary=self.vocabulary,
            layers=self.layers,
            heads=self.heads,
            width=(self.samples * size) ** 2,
        )


class WindowSampler(CodeSampler):
    """A transformer over the positions of a window, the global codes and the window's codes in raster order.

    One embedding serves both kinds of codes, as published.
    """

    kind = "vq_window_sampler"
    Config = WindowSamplerConfig

    def __init__(self, config: WindowSamplerConfig):
        super().__init__()
        self.config = config
        self.gpt = Gpt(config.gpt())

    def loss(
        self,
        given: Int64[Tensor, "batch given_rows given_columns"],
        codes: Int64[Tensor, "batch rows columns"],
        seeds: Int64[Tensor, "batch"],
    ) -> Float[Tensor, ""]:
        """Return the cross-entropy of the codes of a window of each panorama, which its seed chooses."""
        windows = self.drawn_windows(seeds)
        inside = torch.stack([self._inside(codes[number], window) for number, window in enumerate(windows)])
        prefix = torch.stack([self.position_tokens(window) for window in windows])
        logits = self.gpt(prefix, torch.cat([given.flatten(1), inside[:, :-1]], dim=1))[:, self.config.before - 1 :]
        return functional.cross_entropy(logits.flatten(0, 1).float(), inside.flatten())

    def drawn_windows(self, seeds: Int64[Tensor, "batch"]) -> list[Window]:
        """Return a random window of each seed, of those that codes are written in."""
        windows, half = self.config.windows, self.config.windows.size // 2
        tops = windows.rows - windows.size + 1
        lefts = windows.columns - (half if windows.wrap else windows.size - 1)
        rows, columns = uniform(seeds, TOP), uniform(seeds, LEFT)
        drawn_rows = (rows * tops).long().clamp(max=tops - 1).tolist()
        return [
            Window(row, column)
            for row, column in zip(drawn_rows, (columns * lefts).long().clamp(max=lefts - 1).tolist(), strict=True)
        ]

    def position_tokens(self, window: Window) -> Float[Tensor, "18 width"]:
        """Return one token for each channel of the map of positions, which is all its values in a window."""
        scale, size = self.config.samples, self.config.samples * self.config.windows.size
        top, left = scale * window.top, scale * window.left
        return self._positions()[:, top : top + size, left : left + size].flatten(1)

    def write(self, given: Int64[Tensor, "batch given_rows given_columns"], writing: Writing) -> None:
        """Write in waves of codes that do not see each other."""
        open_windows = OpenWindows(self, given, writing)
        for wave in self.config.windows.waves(writing.first):
            pieces = [open_windows.piece(row, column) for row, column in wave]
            writing.work.add(self.gpt.flops(pieces))
            rows, columns = zip(*wave, strict=True)
            writing.draw(rows, columns, self.gpt.extend(pieces))

    def _positions(self) -> Float[Tensor, "18 height width"]:
        windows, scale = self.config.windows, self.config.samples
        return positions_around(windows.rows, windows.columns, scale, windows.size, self.gpt.head.weight.device)

    def _inside(self, codes: Int64[Tensor, "rows columns"], window: Window) -> Int64[Tensor, "codes"]:
        rows, columns = self.config.windows.cells(window, 0, self.config.windows.size**2)
        return codes[rows, columns]


class OpenWindows:
    """Windows in which codes are being written, with what has passed of each that further codes have too."""

    def __init__(self, sampler: WindowSampler, given: Tensor, writing: Writing):
        self.sampler, self.codes = sampler, writing.codes
        self.windows, self.before = sampler.config.windows, sampler.config.before
        self.given = sampler.gpt.embedded(given.flatten(1), CHANNELS)
        self.last = self.windows.last_places(writing.first)
        self.kept: dict[Window, Cache] = {}
        sizes = sampler.gpt.config
        token_bytes = 2 * sizes.layers * sizes.width * len(self.codes) * self.given.element_size()
        self.room = int(writing.cache_gigabytes * 2**30 / token_bytes)  # in tokens

    def piece(self, row: int, column: int) -> Piece:
        """Return the tokens that have to pass before a code can be drawn, and the cache that they belong to."""
        window, place = self.windows.window(row, column), self.windows.place(row, column)
        cache = self.kept.get(window)
        if cache is None:
            cache = self._opened(window, place)
            embedded = torch.cat([self._prefix(window), self._embedded(window, 0, place)], dim=1)
        else:
            embedded = self._embedded(window, cache.length - self.before, place)
        if window in self.kept and place == self.last[window]:
            self.room += self.kept.pop(window).capacity
        return embedded, cache

    def _opened(self, window: Window, place: int) -> Cache:
        capacity = self.before + self.last[window]
        if place == self.last[window] or capacity > self.room:
            return Cache(self.before + place)
        self.room -= capacity
        self.kept[window] = Cache(capacity)
        return self.kept[window]

    def _prefix(self, window: Window) -> Tensor:
        own = self.sampler.position_tokens(window).to(self.given) + self.sampler.gpt.pos_emb[0, :CHANNELS]
        return torch.cat([own.expand(len(self.codes), -1, -1), self.given], dim=1)

    def _embedded(self, window: Window, first: int, end: int) -> Tensor:
        rows, columns = self.windows.cells(window, first, end)
        return self.sampler.gpt.embedded(self.codes[:, rows, columns], self.before + first)


def published_passes(config: WindowSamplerConfig, whole: bool = True) -> tuple[int, int]:
    """Return how many tokens pass, and in how many steps, where each code's window passes anew: whole, or up to it."""
    windows = config.windows
    cells: Sequence[tuple[int, int]] = list(windows.all_cells())
    tokens = [windows.size**2 - 1 if whole else windows.place(*cell) for cell in cells]
    return sum(tokens) + config.before * len(cells), len(cells)
