"""Adds up the memory of a computation without doing it: tensors with a shape and a type, but no memory behind them."""

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Pretended(FakeTensorMode):
    """Operations on fake tensors are pretended, others are done: seeds, noise schedules and positions need numbers.

    Inside `everything` all are pretended.
    """

    def __init__(self) -> None:
        super().__init__(allow_non_fake_inputs=True)
        self._everything = False

    @contextmanager
    def everything(self) -> Iterator[None]:
        before, self._everything = self._everything, True
        try:
            with self:
                yield
        finally:
            self._everything = before

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not self._everything and not any(isinstance(value, FakeTensor) for value in tree_leaves((args, kwargs))):
            return func(*args, **(kwargs or {}))
        before, self._everything = self._everything, True  # what pretending makes on its way must be fake too
        try:
            return super().__torch_dispatch__(func, types, args, kwargs)
        finally:
            self._everything = before


class MemoryMeter(TorchDispatchMode):
    """Counts the bytes of all storages that operations made and that are still alive; fake or real tensors."""

    def __init__(self, known: Iterable[Any]) -> None:
        """``known`` tensors were there before and are left out."""
        super().__init__()
        self.now = self.peak = self.base = 0
        self.phases: dict[str, int] = {}
        self._seen: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()
        for value in known:
            self._count(value)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Note the most bytes above ``base`` during the body."""
        self.peak = self.now
        yield
        self.phases[name] = self.peak - self.base

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if size := self._count(value):
                self._change(size)
                weakref.finalize(value.untyped_storage(), self._change, -size)
        return result

    def _count(self, value: Any) -> int:
        """The bytes of a tensor's storage when it is seen for the first time, else 0."""
        if not isinstance(value, Tensor) or value.untyped_storage() in self._seen:
            return 0
        self._seen.add(value.untyped_storage())
        return value.untyped_storage().nbytes()

    def _change(self, size: int) -> None:
        self.now += size
        self.peak = max(self.peak, self.now)


def nothing_moves() -> AbstractContextManager:
    """While it lasts, modules stay where they were made: torch cannot move pretended weights."""
    return mock.patch.object(nn.Module, "to", lambda module, *where, **how: module)


@contextmanager
def cuda_rules() -> Iterator[None]:
    """Make autocast on the CPU normalise in float32, as it does on a GPU.

    Attention needs no rule: the fused kernels that both devices choose keep no attention matrix.
    """

    def in_float32(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def run(*args: Any) -> Tensor:
            if not torch.is_autocast_enabled("cpu"):
                return function(*args)
            with torch.autocast("cpu", enabled=False):
                return function(*(value.float() if isinstance(value, Tensor) else value for value in args))

        return run

    with (
        mock.patch.object(functional, "group_norm", in_float32(functional.group_norm)),
        mock.patch.object(functional, "layer_norm", in_float32(functional.layer_norm)),
    ):
        yield
