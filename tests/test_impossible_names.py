"""Names that no file can have, wherever a command takes a name: one line, exit code 2, and no file is left behind."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from aognet import cli
from aognet.commands import generate, train
from aognet.errors import UserError
from aognet.io.captions import save_captions
from aognet.io.hdr import write_exr
from aognet.io.images import save_image
from misc import (
    captioning,
    contact_sheet,
    evaluate,
    export,
    exr2png,
    import_captions,
    index_captions,
    make_scenes,
    take_photo,
    train_tokenizer,
)
from tests.generate.painter import smooth_photo

ROOT = Path(__file__).parents[1]
NAMES = {"too long": "n" * 300, "long path": "/".join(["p" * 200] * 30)}
LAVAL = b"\x80\x04}\x94\x8c\x05a.png\x94\x8c\x06a hall\x94s."

# In place of {bad} stands the name; all else is there and right.
COMMANDS: dict[str, tuple[Callable, list[str]]] = {
    "photo": (generate.main, ["--image", "{bad}", "--prompt", "x"]),
    "photo in a place": (generate.main, ["--image", "{tmp}/{bad}.png", "--prompt", "x"]),
    "panorama": (generate.main, ["--panorama", "{bad}", "--mask", "{tmp}/a.png"]),
    "mask": (generate.main, ["--panorama", "{tmp}/a.png", "--mask", "{bad}"]),
    "poses": (generate.main, ["--image", "{tmp}/a.png", "--image", "{tmp}/b.png", "--poses", "{bad}"]),
    "checkpoint": (generate.main, ["--image", "{tmp}/a.png", "--checkpoint", "{bad}"]),
    "lora": (generate.main, ["--image", "{tmp}/a.png", "--lora", "{bad}"]),
    "lora with a scale": (generate.main, ["--image", "{tmp}/a.png", "--lora", "{bad}.safetensors=0.5"]),
    "painted": (generate.main, ["--image", "{tmp}/a.png", "--inference_out_dir", "{bad}"]),
    "undo": (generate.main, ["--undo", "1", "--inference_out_dir", "{bad}"]),
    "config": (generate.main, ["-b", "{bad}", "--prompt", "x"]),
    "captions": (generate.main, ["inputs.photos=[{tmp}/a.png]", "inputs.captions=['{bad}']"]),
    "experiment": (train.main, ["-b", str(ROOT / "config" / "train_config.yaml"), "-n", "{bad}", "--dry-run"]),
    "trained config": (train.main, ["-b", "{bad}"]),
    "captioned": (captioning.main, ["--image_dir", "{bad}", "--out_dir", "{tmp}/out"]),
    "captioner": (captioning.main, ["--image_dir", "{tmp}", "--out_dir", "{tmp}/out", "--model", "./{bad}"]),
    "captions out": (captioning.main, ["--image_dir", "{tmp}", "--out_dir", "{bad}"]),
    "captions name": (captioning.main, ["--image_dir", "{tmp}", "--out_dir", "{tmp}/out", "--name", "{bad}"]),
    "generated": (evaluate.main, ["--generated", "{bad}", "--reference", "{tmp}", "--out", "{tmp}/r"]),
    "reference": (evaluate.main, ["--generated", "{tmp}", "--reference", "{bad}", "--out", "{tmp}/r"]),
    "report": (evaluate.main, ["--generated", "{tmp}", "--reference", "{tmp}", "--out", "{bad}/r"]),
    "protocol": (
        evaluate.main,
        ["--generated", "{tmp}", "--reference", "{tmp}", "--out", "{tmp}/r", "--protocol", "{bad}"],
    ),
    "evaluated captions": (
        evaluate.main,
        ["--generated", "{tmp}", "--reference", "{tmp}", "--out", "{tmp}/r", "--captions", "{bad}"],
    ),
    "clip": (
        evaluate.main,
        ["--generated", "{tmp}", "--reference", "{tmp}", "--out", "{tmp}/r", "--embedded", "--clip", "{bad}"],
    ),
    "light": (exr2png.main, ["--image_dir", "{bad}", "--out_dir", "{tmp}/out"]),
    "images": (exr2png.main, ["--image_dir", "{tmp}", "--out_dir", "{bad}", "--num_workers", "1"]),
    "sheet of": (contact_sheet.main, ["--image_dir", "{bad}", "--out", "{tmp}/s.png"]),
    "sheet": (contact_sheet.main, ["--image_dir", "{tmp}", "--out", "{bad}"]),
    "view of": (take_photo.main, ["--panorama", "{bad}", "--out", "{tmp}/v.png", "--size", "8x8"]),
    "view": (take_photo.main, ["--panorama", "{tmp}/a.png", "--out", "{bad}", "--size", "8x8"]),
    "exported": (export.main, ["{bad}", "--out", "{tmp}/v.exr"]),
    "export": (export.main, ["{tmp}/a.png", "--out", "{bad}.exr"]),
    "faces": (export.main, ["{tmp}/a.png", "--faces", "{bad}"]),
    "pickle": (import_captions.main, ["--captions", "{bad}"]),
    "pickle's images": (import_captions.main, ["--captions", "{tmp}/a.pkl", "--image_dir", "{bad}"]),
    "pickle's captions": (import_captions.main, ["--captions", "{tmp}/a.pkl", "--out", "{bad}"]),
    "index": (index_captions.main, ["--index", "{bad}", "--out_dir", "{tmp}/out"]),
    "index out": (index_captions.main, ["--index", "{tmp}/i.csv", "--out_dir", "{bad}"]),
    "index prefix": (index_captions.main, ["--index", "{tmp}/i.csv", "--out_dir", "{tmp}/out", "--prefix", "{bad}"]),
    "tokenizer of": (train_tokenizer.main, ["--captions", "{bad}", "--out_dir", "{tmp}/out"]),
    "tokenizer": (train_tokenizer.main, ["--captions", "{tmp}/c.jsonl", "--out_dir", "{bad}", "--vocabulary", "520"]),
    "scenes": (make_scenes.main, ["--out_dir", "{bad}", "--count", "1", "--height", "16", "--num_workers", "1"]),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate("ab"):
        save_image(smooth_photo(32, 64).roll(number * 9, -1), tmp_path / f"{name}.png")
    write_exr(dict.fromkeys("RGB", smooth_photo(8, 16)[0].numpy()), tmp_path / "a.exr")
    save_captions({"a.png": ["a hall"], "b.png": ["a room"]}, tmp_path / "c.jsonl")
    (tmp_path / "i.csv").write_text("slug,split,caption\na,train,a hall\n")
    (tmp_path / "a.pkl").write_bytes(LAVAL)
    return tmp_path


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
@pytest.mark.parametrize(("command", "arguments"), COMMANDS.values(), ids=COMMANDS.keys())
def test_one_line_and_no_file_left(
    command: Callable,
    arguments: list[str],
    name: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
):
    monkeypatch.chdir(folder)
    before = files(folder)
    given = [argument.replace("{tmp}", str(folder)).replace("{bad}", name) for argument in arguments]
    with pytest.raises(SystemExit) as stop:
        cli.run(command, given)
    said = capsys.readouterr().err
    assert stop.value.code == 2 and "Traceback" not in said, said
    assert len([line for line in said.splitlines() if line.startswith("error: ")]) == 1
    assert files(folder) == before


@pytest.mark.parametrize("name", ["nul\0name", "half \ud800"])
@pytest.mark.parametrize(
    "key", ["checkpoint", "out_dir", "inputs.name", "inputs.prompt", "inputs.photos.0", "inputs.captions.0"]
)
def test_what_no_argument_can_hold_is_refused_in_files(key: str, name: str, tmp_path: Path):
    value, keys = name, key.split(".")
    for part in reversed(keys):
        value = [value] if part == "0" else {part: value}
    (tmp_path / "a.yaml").write_text(json.dumps(value))
    with pytest.raises(UserError, match="a.yaml: line 1: holds .* which no name and no text can"):
        generate.main(["-b", str(tmp_path / "a.yaml")])
