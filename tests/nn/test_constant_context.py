"""Keys and values of constant tokens: computed once, the same numbers, and nothing stays behind."""

import pytest
import torch

from aognet.nn.constant_context import constant_context
from tests.tiny import tiny_components


@pytest.fixture
def unet():
    return tiny_components("sd2", 4)["unet"].eval()


def test_the_same_numbers_with_each_projection_made_once(unet):
    torch.manual_seed(0)
    tokens = [torch.randn(2, 5, unet.config.cross_attention_dim) for _ in range(2)]
    latents = [torch.randn(2, 4, 8, 8) for _ in range(3)]
    projections = [module for name, module in unet.named_modules() if name.endswith(("attn2.to_k", "attn2.to_v"))]
    with torch.no_grad():
        expected = [unet(each, 3, tokens[0])[0] for each in latents] + [unet(latents[0], 3, tokens[1])[0]]
        made = []
        for module in projections:
            forward = module.forward
            module.forward = lambda given, forward=forward: made.append(1) or forward(given)
        with constant_context(unet):
            found = [unet(each, 3, tokens[0])[0] for each in latents] + [unet(latents[0], 3, tokens[1])[0]]
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    assert len(projections) > 0 and len(made) == 2 * len(projections)
    with torch.no_grad():
        assert torch.equal(unet(latents[0], 3, tokens[0])[0], expected[0])
    assert len(made) == 3 * len(projections)  # what was there before is there again
