"""A training that is stopped and resumed, beside one that is not."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

WEIGHTS, AVERAGE = (f"checkpoints/step-00000005/{name}.safetensors" for name in ("weights", "ema"))
FINAL = "final/model.safetensors"


def check_resuming_changes_nothing(train: Callable[..., int], folder: Path, *more: str) -> dict[str, dict[str, Tensor]]:
    """A training of 5 steps that ends after 2 and goes on has the same tensors in all its files.

    ``train`` is the command, whose runs lie in ``folder``. Returned are the tensors of `WEIGHTS`, `AVERAGE`, `FINAL`.
    """
    assert train("-n", "whole", "-s", "1", *more) == 0
    assert train("-n", "parts", "-s", "1", "trainer.max_steps=2", "trainer.images_every=0", *more) == 0
    assert train("-n", "parts", "-s", "1", "--resume", "trainer.images_every=0", *more) == 0
    found = {name: load_file(folder / "whole" / name) for name in (WEIGHTS, AVERAGE, FINAL)}
    for name, whole in found.items():
        parts = load_file(folder / "parts" / name)
        assert whole.keys() == parts.keys(), name
        for key, value in whole.items():
            assert torch.equal(value, parts[key]), (name, key)
    return found
