"""From the command line to panoramas of words and their light, with a tiny Text2Light as it is assembled."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from aognet.commands import generate
from aognet.errors import UserError
from aognet.generate.pixels import read_canvas
from aognet.hdr.sritmo import SrItmo, SrItmoConfig
from aognet.io.hdr import read_radiance
from aognet.io.images import load_image
from tests.generate.kills import Killed, Kills
from tests.tiny import tiny_text2light_folder

ROOT = Path(__file__).resolve().parents[1]
BEACH = ROOT / "assets" / "demo" / "beach.jpg"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 32 rows with the network of its light. Do not write in it."""
    folder = tiny_text2light_folder(tmp_path_factory.mktemp("text2light"))
    torch.manual_seed(0)
    SrItmo(SrItmoConfig(features=4, blocks=1, sr_widths=(8,), itmo_widths=(8,))).save_pretrained(folder / "sritmo")
    return folder


def command(model: Path, out: Path, *more: str) -> int:
    base = ["-b", str(ROOT / "config" / "inference_text2light.yaml"), "-m", str(model)]
    return generate.main([*base, "--inference_out_dir", str(out), "generator.height=32", "device=cpu", *more])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_words_give_a_panorama_and_its_light(model: Path, tmp_path: Path) -> None:
    words = ("--prompt", "a snowy field at sunset", "--seed", "3")
    assert command(model, tmp_path, *words, "--upscale", "2") == 0
    folder = tmp_path / "text"
    assert {"result.png", "result.exr", "result.hdr", "upscaled.png", "viewer.html", "run.json"} <= set(
        contents(folder)
    )
    assert read_radiance(folder / "result.exr", 10**6).shape == (64, 128, 3)
    assert b'id="exposure"' in (folder / "viewer.html").read_bytes()
    run = json.loads((folder / "run.json").read_text())
    assert run["finished"] and run["expansion"]["sritmo"] == str(model / "sritmo")
    before = contents(tmp_path)
    assert command(model, tmp_path, *words, "--upscale", "2") == 0 and contents(tmp_path) == before


def test_a_file_of_prompts(model: Path, tmp_path: Path) -> None:
    """One panorama a line, called by its words, which are as long and as odd as people write them."""
    lines = ["a wide beach", "", "  day / night  ", "a wide beach", "so " * 200]
    (tmp_path / "prompts.txt").write_text("\n".join(lines))
    asked = ("--prompts", str(tmp_path / "prompts.txt"), "hdr=false")
    assert command(model, tmp_path / "out", *asked) == 0
    runs = {folder.name: json.loads((folder / "run.json").read_text()) for folder in (tmp_path / "out").iterdir()}
    assert len(runs) == 4 and {"a wide beach", "a wide beach-2", "day _ night"} < set(runs)
    assert runs["day _ night"]["request"]["prompt"] == "day / night"
    shown = [load_image(tmp_path / "out" / name / "result.png") for name in ("a wide beach", "a wide beach-2")]
    assert not torch.equal(*shown), "the same words give another panorama each time"
    assert command(model, tmp_path / "one", *asked, "inputs.limit=1") == 0
    assert torch.equal(load_image(tmp_path / "one" / "a wide beach" / "result.png"), shown[0])


def test_a_photograph_stays_and_is_joined_by_the_embedded_model(model: Path, tmp_path: Path) -> None:
    given = ("--image", str(BEACH), "--fov", "90", "--prompt", "a beach", "--num_inference_step", "2", "hdr=false")
    assert command(model, tmp_path / "views", *given) == 0
    assert command(model, tmp_path / "kept", *given, "generator.join=feather", "generator.feather=0") == 0
    joined, kept = (load_image(tmp_path / name / "beach" / "result.png") for name in ("views", "kept"))
    photo = read_canvas(tmp_path / "views" / "beach" / "input.png", "srgb")
    same = (joined == kept).all(0)
    assert same[photo.known[0, 0]].all() and 0.6 < same.float().mean() < 0.95


def test_a_run_that_was_killed_goes_on(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("--prompt", "a lake")
    kills = Kills(monkeypatch)
    kills.at(None)
    assert command(model, tmp_path / "whole", *words) == 0
    changes = kills.count
    for last in (changes // 3, changes - 12):
        kills.at(last)
        with pytest.raises(Killed):
            command(model, tmp_path / str(last), *words)
        kills.at(None)
        assert command(model, tmp_path / str(last), *words) == 0
        assert contents(tmp_path / str(last)) == contents(tmp_path / "whole")


def test_mistakes_end_in_one_line(model: Path, tmp_path: Path) -> None:
    empty, auto, odd = (tmp_path / name for name in ("empty.txt", "auto.txt", "odd.txt"))
    empty.write_text("\n \n")
    auto.write_text("a lake\nauto\n")
    odd.write_bytes(b"caf\xe9")
    released = tmp_path / "text2light_released_model"
    (released / "global_sampler_clip").mkdir(parents=True)
    shutil.copytree(model, tmp_path / "lightless" / "model", ignore=shutil.ignore_patterns("sritmo"))
    for more, said in (
        (["--prompts", str(empty)], "empty.txt: has no prompt, one a line"),
        (["--prompts", str(auto)], "auto.txt: line 2: auto describes an image"),
        (["--prompts", str(odd)], "odd.txt: a file of prompts must be UTF-8 text, byte 3"),
        (["--prompts", "nowhere.txt"], "nowhere.txt: no such file of prompts"),
        (["--prompts", str(auto), "--prompt", "a lake"], "prompt is not for panoramas of words alone, .*'a lake'"),
        (["--prompts", str(auto), "--image", str(BEACH)], "photos is not for panoramas of words alone"),
        ([], "nothing to paint from"),
        (["--prompt", "a lake", "generator.height=64"], "height must be 32"),
        (["--prompt", "a lake", "--sritmo", "nowhere"], "--sritmo must name the folder"),
        (["--prompt", "a lake", "-m", str(released)], "published checkpoints, .*aognet convert-text2light"),
        (["--prompt", "a lake", "-m", str(tmp_path / "text2light")], "no such folder; it is made of the published"),
    ):
        with pytest.raises(UserError, match=said):
            command(model, tmp_path / "out", *more)
        assert not (tmp_path / "out").exists()
