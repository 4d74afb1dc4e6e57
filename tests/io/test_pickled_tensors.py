"""What torch pickled is read as it was written; whatever else a pickle holds is refused, unexecuted."""

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from aognet.errors import UserError
from aognet.io import pickled_tensors
from aognet.io.pickled_tensors import read_pickled_tensors

CONTENT = {
    "<cat>": torch.arange(12.0).reshape(3, 4),
    "half": torch.randn(2, 3).half(),
    "bfloat": torch.randn(2, 3).bfloat16(),
    "turned": torch.arange(6.0).reshape(2, 3).T,
    "part": torch.arange(20.0)[5:9],
    "empty": torch.zeros(0, 4),
    "parameter": nn.Parameter(torch.ones(2)),
    "steps": [1, 2.5, None, True, 2**40, "x"],
}


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_come_back(tmp_path: Path, zipped: bool) -> None:
    torch.save(CONTENT, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    found = read_pickled_tensors(tmp_path / "a.pt")
    assert found.keys() == CONTENT.keys() and found["steps"] == CONTENT["steps"]
    for name, value in CONTENT.items():
        if isinstance(value, torch.Tensor):
            assert_close(found[name], value.detach(), atol=0, rtol=0)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_dictionary_of_parameters_is_one_of_tensors(tmp_path: Path, zipped: bool) -> None:
    held = nn.ParameterDict({"*": nn.Parameter(torch.ones(2, 3))})
    torch.save({"string_to_param": held}, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    found = read_pickled_tensors(tmp_path / "a.pt")["string_to_param"]
    assert isinstance(found, dict) and torch.equal(found["*"], torch.ones(2, 3))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_state_dict_is_a_dictionary_of_tensors(tmp_path: Path, zipped: bool) -> None:
    """What it knows beside them, the versions of the modules, is left out."""
    state = nn.utils.spectral_norm(nn.Linear(2, 3)).state_dict()
    assert state._metadata
    torch.save(state, tmp_path / "a.bin", _use_new_zipfile_serialization=zipped)
    found = read_pickled_tensors(tmp_path / "a.bin")
    assert vars(found) == {} and list(found) == list(state)
    assert all(torch.equal(found[name], state[name]) for name in state)


class Call:
    """Pickles as a call of anything."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.told = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.told


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("function", [os.mkdir, eval, torch.load, torch.zeros, getattr, nn.Linear, dict])
def test_nothing_is_called(tmp_path: Path, function: Any, zipped: bool) -> None:
    witness = tmp_path / "witness"
    call = Call(function, f"open({str(witness)!r}, 'w')" if function is eval else str(witness))
    torch.save({"<a>": call}, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match=r"a.pt: wants to call .*, which is not read"):
        read_pickled_tensors(tmp_path / "a.pt")
    assert not witness.exists()


def archive(path: Path, pickled: bytes, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in {"data.pkl": pickled, "byteorder": b"little", **members}.items():
            file.writestr(f"archive/{name}", content)
    return path


STORAGE = b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
TENSOR = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((" + STORAGE
DEEP = b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"Ns."
FORGED = {
    "a tensor larger than its storage": (
        TENSOR + b"K\x04tQK\x00J\xff\xff\xff\x7f\x85K\x00\x85\x89NtR.",
        "larger than its storage",
    ),
    "a tensor behind its storage": (
        TENSOR + b"K\x04tQK\x03K\x04\x85K\x01\x85\x89NtR.",
        "no whole file of torch's",
    ),
    "a storage without end": (b"\x80\x02(" + STORAGE + b"J\xff\xff\xff\x7ftQ.", "more than 67108864 bytes"),
    "a negative storage": (b"\x80\x02(" + STORAGE + b"J\xff\xff\xff\xfftQ.", "more than"),
    "a key of tuples of tuples": (DEEP, "keys that are tuple"),
    "a memo without end": (b"\x80\x02}r\xff\xff\xff\xff.", "more than 2000000 values"),
    "a change of a tensor": (
        TENSOR + b"K\x04tQK\x00K\x04\x85K\x01\x85\x89NtR}b.",
        "changes a Tensor",
    ),
    "a change of a function": (b"\x80\x02c__builtin__\nset\n}b.", "changes a function"),
    "an instruction of another kind": (b"\x80\x02i__builtin__\neval\n.", "other than containers and tensors"),
    "an end too early": (b"\x80\x02}", "no whole file of torch's"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_forged_pickles_are_refused(tmp_path: Path, name: str) -> None:
    pickled, said = FORGED[name]
    path = archive(tmp_path / "a.pt", pickled, **{"data/0": bytes(16)})
    with pytest.raises(UserError, match=said) as raised:
        read_pickled_tensors(path)
    assert str(raised.value).startswith(f"{path}: ") and "\n" not in str(raised.value)


def test_no_more_is_unpacked_than_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickled_tensors, "MAX_BYTES", 2**20)
    pickled = b"\x80\x02(" + STORAGE + b"K\x04tQ."
    for members in ({"data/0": bytes(2**24)}, {"data.pkl": bytes(2**24)}, {"data/0": b"", "byteorder": bytes(2**24)}):
        path = archive(tmp_path / "a.pt", members.pop("data.pkl", pickled), **members)
        with pytest.raises(UserError, match="is larger than it should be"):
            read_pickled_tensors(path)
    path.write_bytes(bytes(2**20 + 1))
    with pytest.raises(UserError, match="larger than 1048576 bytes"):
        read_pickled_tensors(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_torn_file_is_one_line(tmp_path: Path, zipped: bool) -> None:
    written = io.BytesIO()
    torch.save({"<a>": torch.ones(40, 3)}, written, _use_new_zipfile_serialization=zipped)
    for length in range(0, len(written.getvalue()) - 1, 37):
        (tmp_path / "a.pt").write_bytes(written.getvalue()[:length])
        with pytest.raises(UserError, match="a.pt: ") as raised:
            read_pickled_tensors(tmp_path / "a.pt")
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps({"a": 1}), pickle.dumps(3, 2)])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(UserError, match="a.pt: "):
        read_pickled_tensors(tmp_path / "a.pt")
