"""A second device on any machine: its tensors have numbers, and mixing them with the CPU's fails as on a GPU.

While `elsewhere` lasts, what is made on or moved to `THERE` is a tensor of the CPU in disguise. Its operations are
computed by the CPU, so results can be compared; an operation that is given tensors of both devices raises, but for
those few that a GPU would let pass. Torch calls the device "meta", the one that needs no driver.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

THERE = torch.device("meta")
aten = torch.ops.aten
# Copies go between devices, and indices may lie on the CPU.
MAY_MIX = {aten.copy_.default, aten._to_copy.default, aten.index.Tensor}
MAY_MIX |= {aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default}


class Disguised(Tensor):
    """A tensor that says it lies elsewhere."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: Tensor) -> "Disguised":
        options = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
        outer = Tensor._make_wrapper_subclass(cls, inner.shape, device=THERE, **options)
        outer.inner = inner
        return outer

    def tolist(self) -> Any:
        return self.inner.tolist()

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"there: {self.inner!r}"

    @classmethod
    def __torch_dispatch__(
        cls, function: Callable, types: Sequence, args: Sequence = (), options: Mapping | None = None
    ) -> Any:
        return _run(function, args, options or {})


class _Operations(TorchDispatchMode):
    """Lets tensors be made there, and moved there and back."""

    def __torch_dispatch__(
        self, function: Callable, types: Sequence, args: Sequence = (), options: Mapping | None = None
    ) -> Any:
        return _run(function, args, options or {})


class _FromData(TorchFunctionMode):
    """Data goes to its device past all modes: here ``torch.tensor`` makes a tensor of the CPU, which is moved.

    So do lists as indices, which stay on the CPU.
    """

    def __torch_function__(
        self, function: Callable, types: Sequence, args: Sequence = (), options: Mapping | None = None
    ) -> Any:
        options = dict(options or {})
        if function in (torch.tensor, torch.as_tensor) and options.get("device") is not None:
            device = options.pop("device")
            return function(*args, **options).to(device)
        if function in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[1], list):
            args = (args[0], torch.tensor(args[1]), *args[2:])
        return function(*args, **options)


@contextmanager
def elsewhere() -> Iterator[None]:
    """While it lasts, there is another device: `THERE`."""
    with _FromData(), _Operations():
        yield


def here(value: Tensor) -> Tensor:
    """The numbers of a tensor, wherever it is."""
    value = value.detach()
    return value.inner if isinstance(value, Disguised) else value


def _run(function: Callable, args: Sequence, options: Mapping[str, Any]) -> Any:
    given = [value for value in tree_flatten((args, dict(options)))[0] if isinstance(value, Tensor)]
    disguised = [value for value in given if isinstance(value, Disguised)]
    assert len(disguised) == sum(value.device == THERE for value in given), "a tensor was made there without numbers"
    # A number in a tensor may be anywhere, as on a GPU, where the CPU reads it.
    plain = [value for value in given if not isinstance(value, Disguised) and value.ndim > 0]
    if disguised and plain and function not in MAY_MIX:
        shapes = [tuple(value.shape) for value in plain]
        raise RuntimeError(f"{function}: tensors of shape {shapes} are on the CPU, others are elsewhere")
    if function in MAY_MIX and disguised and isinstance(args[0], Tensor) and not isinstance(args[0], Disguised):
        if function is not aten.copy_.default:
            raise RuntimeError(f"{function}: a tensor on the CPU is indexed by one that is elsewhere")
    device = options.get("device")
    there = bool(disguised) if device is None else torch.device(device) == THERE
    if function is aten.copy_.default:
        there = isinstance(args[0], Disguised)
    inner_args, inner_options = tree_map(_inside, (list(args), dict(options)))
    if device is not None:
        inner_options["device"] = torch.device("cpu")
    found = function(*inner_args, **inner_options)
    if function is aten._to_copy.default and found is inner_args[0]:
        found = found.clone()
    if not there:
        return found
    same = {id(value.inner): value for value in disguised}  # what is changed in place is returned itself

    def outside(value: Any) -> Any:
        return same[id(value)] if id(value) in same else Disguised(value) if isinstance(value, Tensor) else value

    return tree_map(outside, found)


def _inside(value: Any) -> Any:
    return value.inner if isinstance(value, Disguised) else value
