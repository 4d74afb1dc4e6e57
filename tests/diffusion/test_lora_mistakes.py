"""LoRA files that do not fit: one line that says why not, and nothing is changed."""

import json
import shlex
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from aognet.commands import convert_weights
from aognet.diffusion.additions import LoraFile
from aognet.diffusion.lora.merge import add_loras
from aognet.errors import UserError
from tests.diffusion.lora_files import (
    DOWN,
    FILE,
    GOOD,
    LINE,
    LINEAR,
    UP,
    Tensors,
    matrices,
    parts_of,
    peft,
    weights_of,
    written,
)
from tests.tiny import tiny_components

BAD: dict[str, tuple[Tensors, str]] = {
    "a LoHa": ({"lora_unet_x.hada_w1_a": torch.ones(2)}, "a LoHa"),
    "a LoKr": ({"lora_unet_x.lokr_w1": torch.ones(2)}, "a LoKr"),
    "a DoRA": (GOOD | {"lora_unet_x.dora_scale": torch.ones(2)}, "a DoRA"),
    "a DoRA of PEFT": (GOOD | {f"unet.{LINE}.lora_magnitude_vector": torch.ones(2)}, "a DoRA"),
    "an OFT": ({"lora_unet_x.oft_blocks": torch.ones(2)}, "an OFT"),
    "whole differences": ({"lora_unet_x.diff": torch.ones(2)}, "whole differences"),
    "a layer that is not there": (
        GOOD | {key.replace("unet.mid", "unet.middle"): x for key, x in GOOD.items()},
        "2 of its 4 tensors belong to no layer of this model, among them 'unet.middle_block",
    ),
    "tensors that are no matrices": (GOOD | {"bundle_emb.word.string": torch.ones(2)}, "1 of its 3 tensors"),
    "an alpha alone": (GOOD | {"lora_unet_conv_in.alpha": torch.ones(1)}, "'lora_unet_conv_in.alpha'"),
    "a model, no LoRA": ({"conv_in.weight": torch.ones(2)}, "1 of its 1 tensors"),
    "half a pair": ({DOWN: GOOD[DOWN]}, "has no other matrix beside it"),
    "another shape": (GOOD | {UP: torch.ones(16, 2)}, "make a weight of shape [16, 128], the model's has [32, 128]"),
    "two ranks": (GOOD | {UP: torch.ones(32, 3)}, "do not fit each other"),
    "no rank": ({DOWN: torch.ones(0, 128), UP: torch.ones(32, 0)}, "must be a matrix"),
    "one axis": (GOOD | {UP: torch.ones(32)}, "must be a matrix"),
    "no axes": (GOOD | {DOWN: torch.tensor(1.0)}, "must be a matrix"),
    "NaN": (GOOD | {UP: torch.full((32, 2), torch.nan)}, "must be finite"),
    "infinity": (GOOD | {DOWN: torch.full((2, 128), torch.inf)}, "must be finite"),
    "too large": (GOOD | {UP: torch.full((32, 2), 3e38), DOWN: torch.full((2, 128), 3e38)}, "is too large"),
    "integers": (GOOD | {UP: torch.ones(32, 2, dtype=torch.int8)}, "floating-point"),
    "two names of one layer": (
        GOOD | {key.removeprefix("unet."): x for key, x in GOOD.items()},
        "are two names of one layer",
    ),
    "twice": (GOOD | {f"unet.{LINE}.lora.up.weight": GOOD[UP]}, "are the same matrix of one layer"),
    "alpha 0": (GOOD | {f"unet.{LINE}.alpha": torch.tensor(0.0)}, "alpha' must be a number greater than 0, got 0.0"),
    "two alphas": (
        GOOD | {f"unet.{LINE}.alpha": torch.ones(1), f"unet.{LINE}.lora.alpha": torch.ones(1)},
        "are the alpha of one layer",
    ),
    "alpha NaN": (GOOD | {f"unet.{LINE}.alpha": torch.tensor(torch.nan)}, "must be a number greater than 0, got nan"),
    "a very long name": (GOOD | {"x\n" * 10**5: torch.ones(2)}, "1 of its 3 tensors"),
    "many alphas": (GOOD | {f"unet.{LINE}.alpha": torch.ones(3)}, "alpha' must be a number greater than 0, got [3]"),
    "nothing": ({}, "0 of its 0 tensors"),
    "PEFT's without its config": (
        {key.replace("unet.", "base_model.model."): x for key, x in GOOD.items()},
        "adapter_config.json: no such config of PEFT's LoRA (it says alpha)",
    ),
}


def refused(parts: Mapping[str, Any], lora: LoraFile) -> str:
    """What is said of a file, which is one line; nothing is changed."""
    before = {name: x.clone() for name, x in weights_of(parts).items()}
    with pytest.raises(UserError) as caught:
        add_loras(parts, [lora])
    assert all(torch.equal(x, before[name]) for name, x in weights_of(parts).items())
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("how", list(BAD))
def test_what_does_not_fit_is_told_in_one_line(how: str, kept: dict[str, Any], tmp_path: Path):
    tensors, expected = BAD[how]
    said = refused(kept, written(tensors, tmp_path))
    assert expected in said and str(tmp_path) in said and len(said) < 2000


def test_a_good_file_before_a_bad_one_changes_nothing(parts: dict[str, Any], tmp_path: Path):
    good, bad = written(GOOD, tmp_path, "good.safetensors"), written(BAD["NaN"][0], tmp_path)
    before = parts["unet"].get_submodule(LINE).weight.clone()
    with pytest.raises(UserError, match="must be finite"):
        add_loras(parts, [good, bad])
    assert torch.equal(parts["unet"].get_submodule(LINE).weight, before)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"unet.lora_alpha": "8"}, "lora_alpha must be a number greater than 0, got '8'"),
        ({"unet.r": 2}, "lora_alpha must be a number greater than 0, got None"),
        ({"unet.lora_alpha": -1}, "lora_alpha must be"),
        ({"unet.lora_alpha": 1, "unet.use_dora": True}, "a DoRA (unet.use_dora)"),
        ({"unet.lora_alpha": 1, "unet.peft_type": "LOHA"}, "must be 'LORA', got 'LOHA'"),
        ({"unet.lora_alpha": 1, "unet.init_lora_weights": "pissa_niter_4"}, "changes the model's own weights"),
        ({"unet.lora_alpha": 1, "unet.alpha_pattern": {"(.*)*": 1}}, "alpha_pattern must name layers"),
        ({"unet.lora_alpha": 1, "unet.alpha_pattern": [1]}, "alpha_pattern must name layers"),
        ([1], "must be an object"),
    ],
)
def test_bad_metadata_is_told_in_one_line(config: Any, expected: str, kept: dict[str, Any], tmp_path: Path):
    assert expected in refused(kept, written(GOOD, tmp_path, metadata={"lora_adapter_metadata": json.dumps(config)}))


def test_metadata_that_is_no_json_is_told(kept: dict[str, Any], tmp_path: Path):
    for text in ("{", "[" * 10**5):
        assert "is not JSON" in refused(kept, written(GOOD, tmp_path, metadata={"lora_adapter_metadata": text}))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_told_how_to_convert(zipped: bool, kept: dict[str, Any], tmp_path: Path):
    """The command that the message gives makes a file that is taken."""
    torch.save(GOOD, tmp_path / "x.bin", _use_new_zipfile_serialization=zipped)
    said = refused(kept, LoraFile(str(tmp_path / "x.bin")))
    assert convert_weights.main(shlex.split(said.rpartition("aognet convert-weights ")[2])) is None
    changed = deepcopy(kept)
    add_loras(changed, [LoraFile(str(tmp_path / "x.safetensors"))])
    assert not torch.equal(changed["unet"].get_submodule(LINE).weight, kept["unet"].get_submodule(LINE).weight)


def test_a_file_larger_than_the_model_is_not_read(kept: dict[str, Any], tmp_path: Path):
    lora = written(GOOD, tmp_path)
    with Path(lora.file).open("r+b") as file:
        file.truncate(2**40)
    assert "has 1099511627776 bytes, but a LoRA of this model at most" in refused(kept, lora)


def test_files_that_cannot_be_read(kept: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "load", pytest.fail)
    for suffix in (".ckpt", ".pt", ".bin"):
        path = tmp_path / f"x{suffix}"
        path.write_bytes(b"?")
        said = refused(kept, LoraFile(str(path)))
        assert "a pickle" in said and "convert-weights" in said
    (tmp_path / "x.txt").write_text("?")
    assert "not a .safetensors file" in refused(kept, LoraFile(str(tmp_path / "x.txt")))
    for content in (b"", b"\xff" * 8, (2**40).to_bytes(8, "little"), (4).to_bytes(8, "little") + b"[1] "):
        (tmp_path / FILE).write_bytes(content)
        assert "not a readable safetensors file" in refused(kept, LoraFile(str(tmp_path / FILE)))
    assert "no such file" in refused(kept, LoraFile(str(tmp_path / "none.safetensors")))
    assert "no such file" in refused(kept, LoraFile("./none/x"))
    (tmp_path / "folder").mkdir()
    assert "name one of its .safetensors files; 0 are" in refused(kept, LoraFile(str(tmp_path / "folder")))
    for name in ("a", "b"):
        written(GOOD, tmp_path / "folder", f"{name}.safetensors")
    assert "name one of its .safetensors files; 2 are" in refused(kept, LoraFile(str(tmp_path / "folder")))


@pytest.mark.parametrize("scale", [11.0, -10.5, float("nan"), float("inf")])
def test_scales_are_bounded(scale: float):
    with pytest.raises(UserError, match=r"scale must lie in \[-10, 10\]"):
        LoraFile(FILE, scale)


def test_a_lora_of_sdxl_fits_no_sd_15(kept: dict[str, Any], tmp_path: Path):
    other = parts_of(tiny_components("sdxl", 4))
    lora = written(peft(matrices(other, LINEAR), other), tmp_path)
    assert "is it a LoRA for this kind of model?" in refused(kept, lora)
