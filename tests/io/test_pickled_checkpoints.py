"""Of a checkpoint of somebody's training its weights are read, and nothing else in it is looked at, let alone run."""

import collections
import enum
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from aognet.errors import UserError
from aognet.io.pickled_checkpoints import read_checkpoint
from tests.io.test_pickled_tensors import STORAGE, TENSOR, Call, archive


class Callback:
    """What a training keeps of itself, of a class that readers do not have."""

    def __init__(self) -> None:
        self.best, self.inner = torch.ones(3), {"loss": 0.1, "of": collections.defaultdict(list, a=[1])}


class Settings(dict):
    """Hyperparameters, which have a state besides their entries."""


class Mode(enum.Enum):
    MIN = 1


def checkpoint(witness: Path) -> dict[Any, Any]:
    """As Lightning 1.0 writes it: keys are classes, and there are objects of all kinds."""
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.randn(4, 2)).sum().backward()
    optimizer.step()
    settings = Settings(lr=1e-3, mode=Mode.MIN, path=Path("x"), many={1, 2})
    settings.extra = Callback()
    return {
        "epoch": 3,
        "callbacks": {Callback: {"best": torch.tensor(2.0), "monitor": None}},
        "hyper_parameters": settings,
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [Callback()],
        "evil": Call(os.mkdir, str(witness)),
        "rng": torch.get_rng_state(),
        "state_dict": network.state_dict() | {"shared": network[0].weight.data.T, "loss.x": torch.ones(2)},
    }


def skipped(name: str) -> bool:
    return name.startswith("loss.")


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_come_back_and_nothing_else_is_run(tmp_path: Path, zipped: bool) -> None:
    written = checkpoint(tmp_path / "witness")
    torch.save(written, tmp_path / "a.ckpt", _use_new_zipfile_serialization=zipped)
    found = read_checkpoint(tmp_path / "a.ckpt", "state_dict", 2**20, skipped)
    assert found.keys() == written["state_dict"].keys() - {"loss.x"}
    for name, value in found.items():
        assert torch.equal(value, written["state_dict"][name]), name
    assert not (tmp_path / "witness").exists()


def test_only_what_is_wanted_is_read_of_the_file(tmp_path: Path) -> None:
    """Storages that nobody wants may even be broken: the optimizer's are twice as large as the weights."""
    torch.save({"other": torch.zeros(1000), "net": {"a": torch.arange(6.0)}}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as whole, zipfile.ZipFile(tmp_path / "b.pth", "w") as half:
        for name in whole.namelist():
            content = whole.read(name)
            half.writestr(name, content if len(content) < 4000 else b"")
    found = read_checkpoint(tmp_path / "b.pth", "net", 24, skipped)
    assert torch.equal(found["a"], torch.arange(6.0))
    for name in ("a.pth", "b.pth"):
        with pytest.raises(UserError, match=f"{name}: holds tensors of more than 23 bytes"):
            read_checkpoint(tmp_path / name, "net", 23, skipped)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"model": {}}, "has no tensors as its entry 'net'"),
        ([1], "has no tensors as its entry 'net'"),
        ({"net": [1]}, "has no tensors as its entry 'net'"),
        ({"net": {"a": 3}}, "net: 'a' is no tensor"),
        ({"net": {"a": Callback()}}, "net: 'a' is no tensor"),
        ({"net": Call(os.mkdir, "made")}, "has no tensors as its entry 'net'"),
        ({"net": {(1, 2): 3}}, "keys that are tuple"),
    ],
)
def test_what_has_no_weights_is_told(tmp_path: Path, content: Any, said: str, zipped: bool) -> None:
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match=said) as raised:
        read_checkpoint(tmp_path / "a.pth", "net", 2**20, skipped)
    assert str(raised.value).startswith(f"{tmp_path / 'a.pth'}: ") and not (Path.cwd() / "made").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_files_cut_short_anywhere_are_told(tmp_path: Path, zipped: bool) -> None:
    torch.save(
        {"net": {"a": torch.arange(50.0)}, "b": Callback()}, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped
    )
    whole = (tmp_path / "a.pth").read_bytes()
    for length in (0, 1, 20, len(whole) // 3, len(whole) - 150, len(whole) - 1):
        (tmp_path / "b.pth").write_bytes(whole[:length])
        with pytest.raises(UserError, match="b.pth: "):
            read_checkpoint(tmp_path / "b.pth", "net", 2**20, skipped)
    with pytest.raises(UserError, match="c.pth: no such file"):
        read_checkpoint(tmp_path / "c.pth", "net", 2**20, skipped)


FORGED = {
    "a tensor behind its storage": (TENSOR + b"K\x04tQK\x03K\x04\x85K\x01\x85\x89NtR", "no whole file of torch's"),
    "a tensor before its storage": (TENSOR + b"K\x04tQJ\xff\xff\xff\xffK\x04\x85K\x01\x85\x89NtR", "without a size"),
    "a negative storage": (b"(" + STORAGE + b"J\xff\xff\xff\xfftQ", "a storage without a size"),
    "a storage without end": (TENSOR + b"J\xff\xff\xff\x7ftQK\x00K\x04\x85K\x01\x85\x89NtR", "more than 1048576 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_forged_tensors_are_refused(tmp_path: Path, name: str) -> None:
    pickled, said = FORGED[name]
    value = pickled.removeprefix(b"\x80\x02")
    whole = b"\x80\x02}X\x03\x00\x00\x00net}X\x01\x00\x00\x00a" + value + b"ss."
    path = archive(tmp_path / "a.pth", whole, **{"data/0": bytes(16)})
    with pytest.raises(UserError, match=said):
        read_checkpoint(path, "net", 2**20, skipped)
