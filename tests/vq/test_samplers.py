"""The samplers of codes write what the published loops write, in the fewest token passes and steps."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from aognet.errors import UserError
from aognet.vq.drawing import Drawing, Work, cell_numbers, drawn
from aognet.vq.global_sampler import GlobalSampler, GlobalSamplerConfig
from aognet.vq.positions import position_map
from aognet.vq.sphere_sampler import SphereSampler, SphereSamplerConfig
from aognet.vq.transformer import PUBLISHED_GLOBAL, PUBLISHED_LOCAL, Gpt, has_decay
from aognet.vq.window_sampler import WindowSampler, WindowSamplerConfig, published_passes
from aognet.vq.windows import WindowConfig
from tests.vq import plain_samplers as plain

LIKELIEST = Drawing(temperature=0.0)
GLOBAL = GlobalSamplerConfig(rows=3, columns=6, tokens=3, embedding=8, vocabulary=20, layers=2, heads=2, width=16)
TEXT = replace(GLOBAL, condition="text", tokens=2, width=24)
WINDOWS = WindowSamplerConfig(
    windows=WindowConfig(rows=8, columns=12, size=4),
    given_rows=2,
    given_columns=3,
    samples=2,
    vocabulary=20,
    layers=2,
    heads=2,
)
WRAPPED = replace(WINDOWS, windows=replace(WINDOWS.windows, wrap=True))
SPHERE = SphereSamplerConfig(
    given_vocabulary=20,
    given_rows=2,
    given_columns=5,
    factor=4,
    above=3,
    beside=5,
    vocabulary=20,
    layers=2,
    heads=2,
    width=16,
)
LOCAL = {"windows": WINDOWS, "wrapped": WRAPPED, "sphere": SPHERE}


def random(network: nn.Module, seed: int = 0) -> nn.Module:
    """With weights so large that every part of the input matters to the code that is likeliest."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            scale = 1.0 if "emb" in name else 0.1 if "head" in name else 0.3 if parameter.ndim > 1 else 0.1
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise * scale + 1.0 * ("ln" in name and name.endswith("weight")))
    return network.eval()


def local(config: WindowSamplerConfig | SphereSamplerConfig) -> WindowSampler | SphereSampler:
    return random(WindowSampler(config) if isinstance(config, WindowSamplerConfig) else SphereSampler(config))


def given_of(sampler: WindowSampler | SphereSampler, batch: int = 3) -> Tensor:
    shape = (batch, sampler.config.given_rows, sampler.config.given_columns)
    return torch.randint(20, shape, generator=torch.Generator().manual_seed(1))


def numbers_of(sampler: WindowSampler | SphereSampler, seeds: tuple[int, ...] = (3, 4, 5)) -> Tensor:
    grid = sampler.config.windows if isinstance(sampler, WindowSampler) else sampler.config
    return cell_numbers(seeds, 0, grid.rows, grid.columns)


def condition_of(config: GlobalSamplerConfig, batch: int = 2) -> Tensor:
    count = config.tokens if config.condition == "neighbours" else 1
    return 4 * torch.randn(batch, count, config.embedding, generator=torch.Generator().manual_seed(2))


# The published layout


@pytest.mark.parametrize(
    ("config", "parameters", "tensors"), [(PUBLISHED_GLOBAL, 153_390_080, 209), (PUBLISHED_LOCAL, 304_820_224, 413)]
)
def test_published_sizes(config, parameters: int, tensors: int) -> None:
    with torch.device("meta"):
        network = Gpt(config)
    weights = network.state_dict()
    assert sum(value.numel() for value in weights.values()) == parameters
    assert len(weights) + config.layers == tensors  # the published attention masks are not weights
    assert weights["pos_emb"].shape == (1, config.length, 1024) and weights["head.weight"].shape == (1024, 1024)
    blocks = {name.split(".", 2)[2] for name in weights if name.startswith("blocks.")}
    linear = ("attn.key", "attn.query", "attn.value", "attn.proj", "mlp.0", "mlp.2")
    assert blocks == {f"{name}.{kind}" for name in (*linear, "ln1", "ln2") for kind in ("weight", "bias")}
    assert weights.keys() - {name for name in weights if name.startswith("blocks.")} == {
        *("tok_emb.weight", "pos_emb", "ln_f.weight", "ln_f.bias", "head.weight")
    }


def test_default_samplers_are_the_published_ones() -> None:
    assert GlobalSamplerConfig().gpt() == PUBLISHED_GLOBAL and WindowSamplerConfig().gpt() == PUBLISHED_LOCAL


def test_only_weights_of_linear_layers_decay() -> None:
    sampler = GlobalSampler(TEXT)
    others = {name for name, _ in sampler.named_parameters()} - has_decay(sampler)
    assert all(name.endswith("bias") or "emb" in name or ".ln" in name for name in others), others
    assert {"gpt.head.weight", "project.weight", "gpt.blocks.0.attn.key.weight"} <= has_decay(sampler)
    assert "gpt.tok_emb.weight" in others and "gpt.blocks.0.ln1.weight" in others


def test_the_map_of_positions_is_the_published_one() -> None:
    found = position_map(32, 64)
    assert_close(found, plain.spherical_positions(32, 64, 2), rtol=0, atol=1e-6)
    assert found.shape == (18, 64, 128) and found[0, 0, 0] == pytest.approx(-torch.pi, abs=1e-3)


def test_global_codes_and_logits_are_those_of_a_pass_for_every_code() -> None:
    sampler, condition = random(GlobalSampler(GLOBAL)), condition_of(GLOBAL)
    codes = sampler.sample(condition, cell_numbers([0, 1], 0, 3, 6), LIKELIEST)
    assert len(codes.unique()) > 5 and not torch.equal(codes[0], codes[1])
    for row, neighbours in enumerate(condition):
        expected, logits = plain.global_codes(sampler.gpt.state_dict(), 2, neighbours, 18)
        assert torch.equal(codes[row].flatten(), expected)
        with torch.no_grad():
            found = sampler.gpt(sampler.prefix(condition[row : row + 1]), expected[None, :-1])[0, GLOBAL.tokens - 1 :]
        assert_close(found, logits, rtol=1e-5, atol=1e-5)


def test_local_codes_and_logits_are_those_of_a_pass_for_every_code() -> None:
    sampler = local(WINDOWS)
    given, seen = given_of(sampler, 2), []
    original = sampler.gpt.extend
    sampler.gpt.extend = lambda pieces: seen.append(original(pieces)) or seen[-1]
    codes = sampler.sample(given, numbers_of(sampler, (0, 1)), LIKELIEST)
    assert len(codes.unique()) > 10
    cells = [cell for wave in WINDOWS.windows.waves() for cell in wave]
    for image in range(2):
        expected, logits = plain.local_codes(sampler.gpt.state_dict(), 2, given[image].flatten(), 8, 12, 4)
        assert torch.equal(codes[image], expected)
        rows, columns = zip(*cells, strict=True)
        assert_close(torch.cat(seen, 1)[image], logits[list(rows), list(columns)], rtol=1e-5, atol=1e-5)


def test_the_fewest_passes_of_published_samplers() -> None:
    """Counted in sampling with the published grids; the layers are as small as can be."""
    config = WindowSamplerConfig()
    assert published_passes(config) == (821_248, 2048) and published_passes(config, whole=False) == (569_088, 2048)
    assert len(config.windows.last_places()) == 833
    waves = list(config.windows.waves())
    assert len(waves) == 560 and max(map(len, waves)) == 4
    work = Work()
    GlobalSampler(replace(GlobalSamplerConfig(embedding=4, width=8), layers=1, heads=1)).sample(
        torch.randn(1, 5, 4), cell_numbers([0], 0, 8, 16), work=work
    )
    assert (work.tokens, work.steps) == (132, 128)


@pytest.mark.parametrize(
    ("first", "gigabytes", "tokens", "steps"),
    [(0, 16.0, 240_513, 560), (0, 0.0, 569_088, 560), (31, 16.0, 49 * 146 + 399 + 49 * 240, 64)],
)
def test_the_fewest_passes_of_published_windows(first: int, gigabytes: float, tokens: int, steps: int) -> None:
    work, numbers = Work(), cell_numbers([0], 0, 32, 64)
    known = torch.zeros(1, first, 64, dtype=torch.long)
    Narrow().sample(torch.zeros(1, 8, 16).long(), numbers, known=known, work=work, cache_gigabytes=gigabytes)
    assert (work.tokens, work.steps) == (tokens, steps)


class Narrow(WindowSampler):
    """The published windows, with position tokens that are cut to a narrow transformer's width."""

    def __init__(self) -> None:
        super().__init__(WindowSamplerConfig(samples=1, layers=1, heads=1))
        self.gpt = Gpt(replace(self.gpt.config, width=8, layers=1, heads=1))

    def position_tokens(self, window):
        return super().position_tokens(window)[:, :8]


@pytest.mark.parametrize("config", [WINDOWS, WRAPPED])
def test_waves_keep_the_order_of_what_each_code_sees(config: WindowSamplerConfig) -> None:
    windows, written = config.windows, set()
    for wave in windows.waves():
        assert len({windows.window(*cell) for cell in wave}) == len(wave)
        for cell in wave:
            rows, columns = windows.cells(windows.window(*cell), 0, windows.place(*cell))
            assert set(zip(rows, columns, strict=True)) <= written
        written |= set(wave)
    assert written == set(windows.all_cells())


@pytest.mark.parametrize(("config", "crosses"), [(WINDOWS, False), (WRAPPED, True)])
def test_wrapped_windows_cross_the_edge(config: WindowSamplerConfig, crosses: bool) -> None:
    """A code at the right edge sees codes at the left one in the rows above, with their positions."""
    windows, sampler = config.windows, local(config)
    window = windows.window(5, 11)
    seen = set(zip(*windows.cells(window, 0, windows.place(5, 11)), strict=True))
    assert ((4, 0) in seen) == crosses and (4, 11) in seen and (5, 10) in seen and (5, 0) not in seen
    longitudes = sampler.position_tokens(window)[0].unflatten(0, (8, 8))[0]
    assert bool((longitudes.diff() < -3).any()) == crosses


@pytest.mark.parametrize("config", [WINDOWS, WRAPPED])
def test_windows_to_learn_from_are_those_that_are_written_in(config: WindowSamplerConfig) -> None:
    drawn_windows = WindowSampler(config).drawn_windows(torch.arange(600))
    assert set(drawn_windows) == set(config.windows.last_places())
    assert drawn_windows[7:9] == WindowSampler(config).drawn_windows(torch.tensor([7, 8]))


# All samplers


@pytest.mark.parametrize("name", LOCAL)
def test_what_is_drawn_depends_on_an_images_seed_alone(name: str) -> None:
    sampler = local(LOCAL[name])
    given, numbers = given_of(sampler), numbers_of(sampler)
    together = sampler.sample(given, numbers, Drawing(top_k=5, temperature=1.3))
    assert not torch.equal(together[0], together[1]) and len(together.unique()) > 10
    for row in range(3):
        alone = sampler.sample(given[row : row + 1], numbers[row : row + 1], Drawing(top_k=5, temperature=1.3))
        assert torch.equal(alone[0], together[row])


@pytest.mark.parametrize("name", LOCAL)
@pytest.mark.parametrize("count", [0, 1, 3, 8])
def test_known_rows_are_gone_on_from(name: str, count: int) -> None:
    sampler = local(LOCAL[name])
    given, numbers, rows = given_of(sampler), numbers_of(sampler), []
    whole = sampler.sample(given, numbers, on_row=lambda row, codes: rows.append((row, codes.clone())))
    assert [row for row, _ in rows] == list(range(8)) and torch.equal(torch.stack([row for _, row in rows], 1), whole)
    counted: list[tuple[int, int]] = []
    again = sampler.sample(given, numbers, known=whole[:, :count], progress=lambda *done: counted.append(done))
    assert torch.equal(again, whole)
    if count < 8:
        assert counted[-1] == (whole[0].numel(),) * 2 and len(set(counted)) == len(counted)


@pytest.mark.parametrize("config", [GLOBAL, TEXT])
def test_known_global_codes_are_gone_on_from(config: GlobalSamplerConfig) -> None:
    sampler, condition = random(GlobalSampler(config)), condition_of(config)
    numbers = cell_numbers([7, 8], 0, 3, 6)
    whole = sampler.sample(condition, numbers)
    for count in range(4):
        assert torch.equal(sampler.sample(condition, numbers, known=whole[:, :count]), whole)
    alone = sampler.sample(condition[1:], numbers[1:])
    assert torch.equal(alone, whole[1:]) and not torch.equal(whole[0], whole[1])


def test_windows_that_are_not_kept_are_written_alike() -> None:
    sampler = local(WINDOWS)
    given, numbers, work = given_of(sampler), numbers_of(sampler), [Work(), Work(), Work()]
    found = [
        sampler.sample(given, numbers, work=one, cache_gigabytes=gigabytes)
        for one, gigabytes in zip(work, (1.0, 2e-4, 0.0), strict=True)
    ]
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    assert work[0].tokens < work[1].tokens < work[2].tokens


LOGITS = torch.tensor([0.0, 1.0, 2.0, -3.0, 1.5])


@pytest.mark.parametrize(("top_k", "temperature"), [(0, 1.0), (3, 1.0), (2, 0.5)])
def test_each_code_is_drawn_as_often_as_it_is_likely(top_k: int, temperature: float) -> None:
    numbers = cell_numbers([0], 0, 1, 20_000)[0]
    codes = drawn(LOGITS.expand(1, 20_000, -1), numbers, Drawing(top_k, temperature))[0]
    kept = LOGITS / temperature
    if top_k:
        kept = kept.where(kept >= kept.topk(top_k).values[-1], torch.tensor(float("-inf")))
    assert_close(torch.bincount(codes, minlength=5) / 20_000, kept.softmax(0), rtol=0, atol=0.01)


def test_the_ends_of_what_is_drawn() -> None:
    """At temperature 0 it is the likeliest code; else the least and the largest number give the outer codes."""
    numbers = cell_numbers([0], 0, 1, 100)[0]
    assert drawn(LOGITS.expand(1, 100, -1), numbers, Drawing(0, 0.0)).unique().tolist() == [2]
    ends = torch.tensor([[0.0, 1 - 2**-53]], dtype=torch.float64)
    assert drawn(LOGITS.expand(1, 2, -1), ends, Drawing(top_k=2)).tolist() == [[2, 4]]


# The layout of our own


@pytest.mark.parametrize(("groups", "wrap"), [(1, True), (3, True), (1, False)])
def test_a_turn_of_the_given_codes_turns_what_is_written(groups: int, wrap: bool) -> None:
    """An edge stays where it is."""
    sampler = local(replace(SPHERE, wrap=wrap))
    given, numbers = given_of(sampler), numbers_of(sampler)
    turned = sampler.sample(given.roll(groups, -1), numbers.roll(4 * groups, -1))
    assert torch.equal(turned, sampler.sample(given, numbers).roll(4 * groups, -1)) == wrap


def test_every_token_passes_once_whatever_the_window() -> None:
    sampler, work = local(SPHERE), Work()
    codes = sampler.sample(given_of(sampler), numbers_of(sampler), LIKELIEST, work=work)
    assert (work.tokens, work.steps) == (10 + 8 * 20, 8 * 4)
    with torch.no_grad():
        logits = sampler(given_of(sampler), codes)
    assert torch.equal(logits.argmax(-1), codes)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(("row", "column", "crosses"), [(2, 0, True), (3, 7, False), (4, 18, True)])
@torch.no_grad()
def test_a_code_depends_on_earlier_ones_of_its_window_alone(layers: int, row: int, column: int, crosses: bool) -> None:
    """One layer sees as far as the window says; no layer sees a later code, or the code itself."""
    sampler = local(replace(SPHERE, layers=layers))
    given = given_of(sampler, 1)
    codes = torch.randint(20, (1, 8, 20), generator=torch.Generator().manual_seed(3))
    order = {column: (0, 2, 1, 3).index(column % 4) for column in range(20)}
    changed = codes.clone()
    changed[0, row, column] = (changed[0, row, column] + 5) % 20
    touched = (sampler(given, changed) - sampler(given, codes)).abs().amax(-1)[0] > 1e-7
    assert touched.any()
    for i, j in touched.nonzero().tolist():
        assert (i, order[j]) > (row, order[column])
        # A token carries the code before it in its group: at most a row and a group's width off.
        apart = min(abs(j - column), 20 - abs(j - column))
        assert layers > 1 or (i - row <= 3 and apart <= 5 + 3)
    assert touched[:, [19, 18, 17]].any() or not crosses


# Mistakes


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: replace(GLOBAL, width=24), r"width must be twice embedding \(8\)"),
        (lambda: replace(GLOBAL, heads=3), r"width must be a multiple of heads \(3\)"),
        (lambda: replace(GLOBAL, tokens=0), r"tokens must lie in \[1, 256\]"),
        (lambda: replace(GLOBAL, rows=0), "rows must lie in"),
        (lambda: WindowConfig(size=17), r"size must be even and lie in \[2, 32\]"),
        (lambda: WindowConfig(size=34), r"size must be even and lie in \[2, 32\]"),
        (lambda: WindowConfig(rows=0), "rows must lie in"),
        (lambda: replace(WINDOWS, samples=9), r"samples must lie in \[1, 8\]"),
        (lambda: replace(SPHERE, factor=3), "factor must be one of 1, 2, 4, 8"),
        (lambda: replace(SPHERE, beside=3), "beside must lie in"),
        (lambda: replace(SPHERE, width=36, heads=6), "width must be a multiple of 4 heads"),
        (lambda: replace(SPHERE, layers=0), "layers must lie in"),
        (lambda: Drawing(top_k=-1), "top_k must not be negative"),
        (lambda: Drawing(temperature=float("nan")), "temperature must be a finite number"),
    ],
)
def test_sizes_that_cannot_be(make, said: str) -> None:
    with pytest.raises(UserError, match=said):
        make()


@pytest.mark.parametrize(
    ("batch", "rows", "wider", "code", "said"),
    [
        (3, 9, 0, 0, "known codes have the shape"),
        (3, 2, 1, 0, "known codes have the shape"),
        (2, 2, 0, 0, "known codes have the shape"),
        (3, 1, 0, 20, r"known codes must lie in \[0, 20\)"),
    ],
)
@pytest.mark.parametrize("name", LOCAL)
def test_codes_of_another_panorama_are_refused(
    name: str, batch: int, rows: int, wider: int, code: int, said: str
) -> None:
    sampler = local(LOCAL[name])
    given, numbers = given_of(sampler), numbers_of(sampler)
    with pytest.raises(UserError, match=said):
        sampler.sample(given, numbers, known=torch.full((batch, rows, numbers.shape[2] + wider), code))


@pytest.mark.parametrize("name", LOCAL)
def test_local_samplers_learn(name: str) -> None:
    sampler, seeds = (WindowSampler if name != "sphere" else SphereSampler)(LOCAL[name]).train(), torch.arange(3)
    given = given_of(sampler)
    codes = torch.randint(20, numbers_of(sampler).shape, generator=torch.Generator().manual_seed(6))
    optimizer, losses = torch.optim.AdamW(sampler.parameters(), 1e-2), []
    for _ in range(20):
        losses.append(sampler.loss(given, codes, seeds))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[0].item() == pytest.approx(torch.tensor(20.0).log().item(), abs=0.1)
    assert losses[-1] < 0.9 * losses[0] and all(p.grad is not None for p in sampler.parameters())
