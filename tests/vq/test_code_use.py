"""How often codes are used, and that dead ones come to life where the images are."""

import math

import torch
from torch.testing import assert_close

from aognet.vq.code_use import CodeUse
from aognet.vq.quantizer import Codebook, QuantizerConfig

CODES = 6


def codebook() -> Codebook:
    torch.manual_seed(0)
    return Codebook(QuantizerConfig(codes=CODES, dim=3))


def latents(seed: int = 1, columns: int = 4) -> torch.Tensor:
    return torch.randn(2, 3, 2, columns, generator=torch.Generator().manual_seed(seed))


def rows_of(batch: torch.Tensor) -> list[list[float]]:
    return batch.movedim(1, -1).flatten(0, -2).tolist()


def test_shares_follow_the_codes():
    use = CodeUse(CODES, decay=0.0)
    use.count(torch.tensor([[[0, 0], [1, 5]]]))
    assert_close(use.shares, torch.tensor([0.5, 0.25, 0, 0, 0, 0.25]))
    assert use.perplexity() == torch.tensor(0.5 * math.log(2) + 0.5 * math.log(4)).exp() and use.used() == 0.5
    use.count(torch.arange(CODES)[None, None])
    assert_close(use.perplexity(), torch.tensor(6.0))
    slow = CodeUse(CODES, decay=0.9, even=True)
    slow.count(torch.zeros(1, 2, 2, dtype=torch.long))
    assert_close(slow.shares, torch.tensor([0.9 / 6 + 0.1, *[0.9 / 6] * 5]))


def test_the_first_batch_gives_all_vectors_also_where_it_has_few():
    for columns in (4, 1):
        use, book, seen = CodeUse(CODES), codebook(), latents(columns=columns)
        assert use.revive(book, seen, torch.tensor([3, 4]), 0.1, 0) == 1
        found = book.embedding.weight.tolist()
        assert all(row in rows_of(seen) for row in found)
        assert len({tuple(row) for row in found}) == min(CODES, len(rows_of(seen)))
        assert_close(use.shares, torch.full((CODES,), 1 / CODES))


def test_only_dead_codes_change_and_the_seed_says_to_what():
    book, seen = codebook(), latents()
    before = book.embedding.weight.detach().clone()
    found = []
    for seed in (3, 3, 8):
        use = CodeUse(CODES)
        use.shares.copy_(torch.tensor([0.5, 0.45, 0.0, 0.05, 0.001, 0.0]))
        book.embedding.weight.data.copy_(before)
        assert use.revive(book, seen, torch.tensor([seed, 4]), 0.1, 0) == 0.5
        weight = book.embedding.weight.detach().clone()
        assert torch.equal(weight[[0, 1, 3]], before[[0, 1, 3]])
        assert all(row in rows_of(seen) for row in weight[[2, 4, 5]].tolist())
        found.append(weight)
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_a_codebook_that_is_in_use_stays_as_it_is():
    use, book = CodeUse(CODES, even=True), codebook()
    before = book.embedding.weight.detach().clone()
    assert use.revive(book, latents(), torch.tensor([3, 4]), 0.1, 0) == 0
    assert torch.equal(book.embedding.weight, before)
