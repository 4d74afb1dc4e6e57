"""Pickled words are converted without being run, and then read as their authors' programs read them."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.testing import assert_close

from aognet import cli
from aognet.commands import convert_weights
from aognet.diffusion.word_files import read_words
from aognet.errors import UserError
from tests.io.test_pickled_tensors import Call

ROWS = torch.randn(3, 8)
PICKLED = {
    "learned_embeds.bin": ({"<cat>": ROWS[0]}, "<cat>", 1),
    "zwx.pt": ({"string_to_token": {"*": 265}, "string_to_param": {"*": ROWS}, "name": "n", "step": 99}, "zwx", 3),
    "old.pt": ({"string_to_param": nn.ParameterDict({"*": nn.Parameter(ROWS)}), "string_to_token": {}}, "old", 3),
    "pair.bin": ({"clip_l": ROWS, "clip_g": ROWS.half()}, "pair", 3),
    "cog.pt": ({"text_encoders_0": ROWS[:2], "text_encoders_1": ROWS[:2, :4]}, "<s1>", 1),
}


def convert(*arguments: Any) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        cli.run(convert_weights.main, [str(argument) for argument in arguments])
    return ended.value.code


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", PICKLED)
def test_every_kind_is_converted(name: str, zipped: bool, tmp_path: Path) -> None:
    content, word, count = PICKLED[name]
    torch.save(content, tmp_path / name, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match="a pickle.*aognet convert-weights") as refused:
        read_words(tmp_path / name)
    command = str(refused.value).rpartition("aognet convert-weights ")[2]
    assert convert(*shlex.split(command)) == 0
    found = read_words((tmp_path / name).with_suffix(".safetensors")).words[word]
    assert len(found[0].rows) == count
    expected = ROWS[1:2] if word == "<s1>" else ROWS[:count]
    assert_close(found[0].rows, expected, atol=0, rtol=0)


def test_no_file_of_safetensors_is_taken_for_a_pickle(tmp_path: Path) -> None:
    """Its first byte is the length of its header, which may be the first of a pickle."""
    first = set()
    for length in range(1, 90):
        save_file({"x" * length: ROWS}, tmp_path / "a.safetensors")
        first.add((tmp_path / "a.safetensors").read_bytes()[0])
        assert len(read_words(tmp_path / "a.safetensors").words) == 1
    assert b"\x80"[0] in first


def test_mistakes_are_one_line_and_nothing_is_written(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    torch.save({"<a>": Call(Path.mkdir, tmp_path / "bang")}, tmp_path / "evil.pt")
    torch.save({"a": 1}, tmp_path / "numbers.pt")
    torch.save([ROWS], tmp_path / "list.pt")
    torch.save({"string_to_param": {"*": ROWS, "+": ROWS}}, tmp_path / "several.pt")
    torch.save({"<a>": ROWS}, tmp_path / "there.bin")
    (tmp_path / "there.safetensors").write_text("mine")
    before = sorted(tmp_path.iterdir())
    for arguments, said in (
        ([tmp_path / "evil.pt"], "wants to call"),
        ([tmp_path / "numbers.pt"], "holds no learned words"),
        ([tmp_path / "list.pt"], "holds no learned words"),
        ([tmp_path / "several.pt"], "holds no learned words"),
        ([tmp_path / "there.bin"], "is there already"),
        ([tmp_path / "gone.bin"], "no such file"),
        ([tmp_path / "there.bin", "--out", tmp_path / "no" / "x.safetensors"], "cannot write"),
        ([tmp_path / "there.bin", "--weights", "lpips-vgg"], "exclude each other"),
        ([], "give a pickled FILE"),
        (["--weights", "lpips-vgg"], "give a pickled FILE"),
    ):
        assert convert(*arguments) == 2
        (line,) = capfd.readouterr().err.strip().split("\n")
        assert line.startswith("error: ") and said in line
    assert sorted(tmp_path.iterdir()) == before and (tmp_path / "there.safetensors").read_text() == "mine"
