"""Keys and values of constant tokens: computed once, the same numbers, and kept with the tokens."""

import torch

from aognet.nn.constant_context import ContextLinear, constant, keep_projections
from tests.tiny import tiny_components


def test_the_same_numbers_with_each_projection_made_once():
    unet = tiny_components("sd2", 4)["unet"].eval()
    torch.manual_seed(0)
    tokens = [torch.randn(2, 5, unet.config.cross_attention_dim) for _ in range(2)]
    latents = [torch.randn(2, 4, 8, 8) for _ in range(3)]
    asked = [(each, tokens[0]) for each in latents] + [(latents[0], tokens[1])]
    with torch.no_grad():
        expected = [unet(each, 3, text)[0] for each, text in asked]
        names = unet.state_dict().keys()
        keep_projections(unet)
        made = []
        projections = [module for module in unet.modules() if isinstance(module, ContextLinear)]
        for module in projections:
            module.weight = CountedWeight(module.weight.data, made)
        kept = {id(text): constant(text) for text in tokens}
        found = [unet(each, 3, kept[id(text)])[0] for each, text in asked]
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    assert len(projections) > 0 and len(made) == 2 * len(projections)
    with torch.no_grad():
        assert torch.equal(unet(latents[0], 3, tokens[0])[0], expected[0])
    assert len(made) == 3 * len(projections)  # tokens that are not constant are projected each time
    assert unet.state_dict().keys() == names


class CountedWeight(torch.nn.Parameter):
    """Notes each product with it."""

    def __new__(cls, data: torch.Tensor, made: list):
        weight = super().__new__(cls, data, requires_grad=False)
        weight.made = made
        return weight

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is torch.nn.functional.linear:
            args[1].made.append(1)
        with torch._C.DisableTorchFunctionSubclass():
            return function(*args, **(kwargs or {}))
