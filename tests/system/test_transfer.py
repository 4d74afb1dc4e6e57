"""A copy that is called non-blocking is one: it comes from pinned memory."""

from pathlib import Path

import torch

from aognet.system.transfer import to_device

ROOT = Path(__file__).parents[2]


class Watched(torch.Tensor):
    """Notes what is asked of it, instead of needing a GPU."""

    calls: list[str]

    def pin_memory(self) -> "Watched":
        self.calls.append("pinned")
        return self

    def to(self, device: torch.device, non_blocking: bool = False) -> "Watched":
        self.calls.append(f"to {device}, non_blocking {non_blocking}")
        return self


def calls_of(device: str) -> list[str]:
    tensor = torch.zeros(2).as_subclass(Watched)
    tensor.calls = []
    to_device(tensor, torch.device(device))
    return tensor.calls


def test_a_copy_to_a_gpu_comes_from_pinned_memory() -> None:
    assert calls_of("cuda:1") == ["pinned", "to cuda:1, non_blocking True"]
    assert calls_of("cpu") == ["to cpu, non_blocking False"]


def test_no_other_copy_is_called_non_blocking() -> None:
    places = [path.name for path in (ROOT / "aognet").rglob("*.py") if "non_blocking" in path.read_text()]
    assert places == ["transfer.py"]
