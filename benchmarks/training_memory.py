"""How much memory training takes on a GPU, without a GPU and without the weights.

    python benchmarks/training_memory.py -b config/train_config.yaml

Runs real training steps of AOG-Net in the sizes of Stable Diffusion 2 inpainting and CLIP ViT-H on tensors that have a
shape and a type but no memory (torch's FakeTensorMode), and adds up the storages that are alive after every operation.
What that cannot see is assumed: see ``ASSUMED`` and ``cuda_rules``.
"""

import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


if TYPE_CHECKING:
    pass

CARD_GIGABYTES = 24.0
# Neither can be had without a GPU: driver context with the workspaces of cuDNN and cuBLAS; what the allocator rounds up.
ASSUMED_CONTEXT_GIGABYTES = 1.0
ASSUMED_FRAGMENTATION = 0.1
AUTOCAST = {"fp16": torch.float16, "bf16": torch.bfloat16}


class Pretended(FakeTensorMode):
    """Operations on fake tensors are pretended, others are done: seeds, noise schedules and positions need numbers.

    Inside `building` everything is pretended.
    """

    def __init__(self) -> None:
        super().__init__(allow_non_fake_inputs=True)
        self.everything = False

    @contextmanager
    def building(self) -> Iterator[None]:
        self.everything = True
        try:
            with self:
                yield
        finally:
            self.everything = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.everything or any(isinstance(value, FakeTensor) for value in tree_leaves((args, kwargs))):
            return super().__torch_dispatch__(func, types, args, kwargs)
        return func(*args, **kwargs)


class MemoryMeter(TorchDispatchMode):
    """Counts the bytes of all storages that operations made and that are still alive; fake or real tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def know(self, tensors: Iterator[Tensor]) -> int:
        """Leave these out of the count, since they were there before; returns their bytes."""
        return sum(self._new_bytes(tensor) for tensor in tensors)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor) and (size := self._new_bytes(value)):
                self._change(size)
                weakref.finalize(value.untyped_storage(), self._change, -size)
        return result

    def _new_bytes(self, tensor: Tensor) -> int:
        storage = tensor.untyped_storage()
        if storage in self._seen:
            return 0
        self._seen.add(storage)
        return storage.nbytes()

    def _change(self, size: int) -> None:
        self.now += size
        self.peak = max(self.peak, self.now)
