"""Vectors as codes: the nearest is the nearest, gradients go through, and scalars are as the paper counts them."""

import itertools
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from aognet.errors import UserError
from aognet.vq.quantizer import Codebook, FiniteScalars, QuantizerConfig, make_quantizer

BOOK = QuantizerConfig(codes=12, dim=5)
SCALARS = QuantizerConfig(kind="finite_scalars", levels=(4, 3, 3))


def codebook(**changes: Any) -> Codebook:
    torch.manual_seed(0)
    book = Codebook(QuantizerConfig(**{"codes": 12, "dim": 5, **changes}))
    torch.nn.init.normal_(book.embedding.weight)
    return book


def latents(channels: int = 5) -> torch.Tensor:
    return torch.randn(2, channels, 3, 4, generator=torch.Generator().manual_seed(1))


def test_codes_are_those_of_the_nearest_vectors():
    book, seen = codebook(), latents()
    weight = book.embedding.weight
    expected = torch.cdist(seen.movedim(1, -1).flatten(0, 2), weight, compute_mode="donot_use_mm_for_euclid_dist")
    found = book(seen)
    assert torch.equal(found.codes.flatten(), expected.argmin(1)) and len(found.codes.unique()) > 3
    assert torch.equal(book.vectors(found.codes), weight[found.codes].movedim(-1, 1))
    assert_close(found.latents, book.vectors(found.codes))
    assert torch.equal(book.nearest(seen), found.codes) and torch.equal(
        book.nearest(book.vectors(found.codes)), found.codes
    )


def test_directions_alone_are_compared_where_the_codebook_is_normalized():
    book, seen = codebook(normalized=True), latents()
    vectors = torch.nn.functional.normalize(book.embedding.weight, dim=1)
    expected = torch.einsum("bcij,kc->bkij", seen, vectors).argmax(1)
    found = book(seen)
    assert torch.equal(found.codes, expected) and torch.equal(book.nearest(7 * seen), expected)
    assert_close(found.latents.norm(dim=1), torch.ones(2, 3, 4))


def test_the_gradient_goes_straight_through_and_the_loss_pulls_both_sides():
    book, seen = codebook(), latents().requires_grad_(True)
    found = book(seen)
    pull = torch.randn(found.latents.shape)
    (found.latents * pull).sum().backward()
    assert_close(seen.grad, pull)
    assert book.embedding.weight.grad is None
    seen.grad = None
    book(seen).loss.backward()
    gap = seen.detach() - book.vectors(found.codes).detach()
    assert_close(seen.grad, 0.25 * 2 * gap / gap.numel())
    moved = torch.zeros_like(book.embedding.weight)
    moved.index_add_(0, found.codes.flatten(), -2 * gap.movedim(1, -1).flatten(0, 2) / gap.numel())
    assert_close(book.embedding.weight.grad, moved)


def test_finite_scalars_have_every_code_once():
    scalars = FiniteScalars(SCALARS)
    assert SCALARS.size == 36 and SCALARS.channels == 3
    vectors = scalars.vectors(torch.arange(36)[None, None])[0, :, 0].T
    values = ([-1, -0.5, 0, 0.5], [-1, 0, 1], [-1, 0, 1])  # the first changes fastest
    assert vectors.tolist() == [list(row)[::-1] for row in itertools.product(*reversed(values))]
    # What rounds to a value has its code, however far outside it lies.
    far = torch.tensor([[-9.0, 0.0, 9.0], [9.0, 9.0, -9.0]])[:, :, None, None]
    assert scalars(far).codes.flatten().tolist() == [0 + 1 * 4 + 2 * 12, 3 + 2 * 4]
    assert scalars(torch.zeros(1, 3, 1, 1)).latents.flatten().tolist() == [0, 0, 0]


def test_finite_scalars_round_and_their_gradient_is_that_of_the_bound():
    scalars, seen = FiniteScalars(SCALARS), latents(3).requires_grad_(True)
    found = scalars(seen)
    assert_close(found.latents, scalars.vectors(found.codes))
    assert torch.equal(found.codes, scalars.nearest(seen)) and found.loss == 0
    found.latents.sum().backward()
    assert (seen.grad > 0).all() and len(found.codes.unique()) > 5
    assert not list(scalars.state_dict())


@pytest.mark.parametrize("config", [BOOK, SCALARS])
def test_codes_are_found_in_float32_whatever_the_rest_computes_in(config: QuantizerConfig):
    torch.manual_seed(0)
    quantizer, seen = make_quantizer(config), latents(config.channels)
    with torch.autocast("cpu", torch.bfloat16):
        found = quantizer(seen.bfloat16())
        assert torch.equal(quantizer.nearest(seen), quantizer(seen).codes)
    assert found.latents.dtype == torch.float32
    assert torch.equal(found.codes, quantizer.nearest(seen.bfloat16().float()))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"codes": 1}, r"codes must lie in \[2"),
        ({"dim": 0}, "dim must lie in"),
        ({"commitment": -1.0}, "commitment must be at least 0"),
        ({"levels": ()}, "levels must be 1 to 16 numbers"),
        ({"levels": (5, 2)}, "levels must be"),
        ({"levels": (1000, 1000)}, "levels must be"),
    ],
)
def test_quantizers_that_cannot_be(changes: dict[str, Any], said: str):
    with pytest.raises(UserError, match=said):
        QuantizerConfig(**changes)
