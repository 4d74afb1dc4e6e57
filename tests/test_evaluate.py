"""The command line that measures folders of panoramas: as people call it, and what they get wrong."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aognet import cli
from aognet.io.images import save_image
from misc import evaluate
from tests.evaluation.folders import COUNT, SMALL, panoramas, write

ROOT = Path(__file__).parents[1]
# What needs no network is measured in no time; the distances are in the embedded model's features.
PROTOCOL = """
name: tiny
embedded: true
networks: {image: {kind: inception}, clip: {kind: clip}}
pictures: {crops: {kind: random, count: 3, size: 24}, horizon: {kind: horizon, count: 4, size: 24}}
measures:
  - {kind: frechet, pictures: crops, network: image}
  - {kind: kernel, pictures: crops, network: image}
  - {kind: inception_score, pictures: crops, network: image, splits: 2}
  - {kind: image_similarity, pictures: horizon, network: clip}
  - {kind: clip_score, pictures: horizon, network: clip}
  - {kind: discontinuity}
  - {kind: unknown}
  - {kind: psnr}
  - {kind: ssim, region: photo}
"""


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Generated and reference, which a test may spoil."""
    images = panoramas()
    generated = write(tmp_path / "generated", [image + 0.1 * image.roll(7, -1) for image in images])
    return generated, write(tmp_path / "reference", images)


@pytest.fixture
def protocol(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(PROTOCOL)
    return path


Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(tmp_path: Path, folders: tuple[Path, Path], protocol: Path, capsys: pytest.CaptureFixture) -> Call:
    """Exit code and what was said on stderr of the command with more arguments."""

    def called(*more: object) -> tuple[int, str]:
        arguments = ["--generated", folders[0], "--reference", folders[1], "--out", tmp_path / "report"]
        arguments += ["--protocol", protocol, "--threads", 1]
        with pytest.raises(SystemExit) as stop:
            cli.run(evaluate.main, list(map(str, [*arguments, *more])))
        return stop.value.code, capsys.readouterr().err

    return called


@pytest.fixture
def refused(call: Call, tmp_path: Path) -> Callable[..., str]:
    """The one line that says why nothing was measured."""

    def called(*more: object) -> str:
        code, said = call(*more)
        lines = [line for line in said.splitlines() if line.startswith("error: ")]
        assert code == 2 and len(lines) == 1 and "Traceback" not in said, said
        assert not list(tmp_path.glob("report*"))
        return lines[0]

    return called


def report(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))


def captions(path: Path, *names: str) -> Path:
    path.write_text("".join(json.dumps({"file": name, "captions": ["a room"]}) + "\n" for name in names))
    return path


# ------------------------------------------------------------------------------------------------- what it does


@pytest.mark.slow
def test_processes_together_find_what_one_finds(tmp_path: Path, call: Call, folders: tuple[Path, Path]) -> None:
    said = captions(tmp_path / "captions.jsonl", *(f"p{number}.png" for number in range(COUNT)))
    more = ["--photo_fov", "80", "--captions", str(said)]
    assert call(*more, "--cache", tmp_path / "alone")[0] == 0
    alone = report(tmp_path)
    assert len(alone["values"]) == 9 and None not in {value["value"] for value in alone["values"]}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    arguments = ["--generated", folders[0], "--reference", folders[1], "--protocol", tmp_path / "tiny.yaml"]
    arguments += ["--out", tmp_path / "together" / "report", "--cache", tmp_path / "both", *more]
    ran = subprocess.run(
        [*launcher, str(ROOT / "misc" / "evaluate.py"), *map(str, arguments)],
        env={**os.environ, "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    both = report(tmp_path / "together")
    assert both["provenance"]["processes"] == 2
    for key in ("values", "samples", "warnings", "ranking", "networks", "settings"):
        assert both[key] == alone[key], key


def test_the_page_and_the_file_are_there_and_open_on_their_own(tmp_path: Path, call: Call) -> None:
    code, _ = call("--shown", 1)
    assert code == 0 and {path.name for path in tmp_path.glob("report*")} == {"report.html", "report.json"}
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "http://" not in page and 'src="http' not in page and "Fréchet distance" in page


def test_odd_files_are_measured_and_warned_of(tmp_path: Path, call: Call, folders: tuple[Path, Path]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 64, 4), dtype=np.uint8)
    noise[:16, :, 3], noise[16:, :, 3] = 0, 255
    Image.fromarray(noise).save(folders[0] / "p0.png")
    Image.fromarray(noise[..., 0]).save(folders[0] / "p1.png")
    Image.fromarray(noise[..., 0].astype(np.uint16) * 257).save(folders[1] / "p2.png")
    assert call()[0] == 0
    written = report(tmp_path)
    for words in ("generated: 1 file(s) are grey", "reference: 1 file(s) hold 16-bit grey", "have unknown pixels"):
        assert [line for line in written["warnings"] if words in line], words
    unknown = {sample["name"]: sample["scores"]["unknown"] for sample in written["samples"]}
    assert unknown == {"p0.png": pytest.approx(0.5), **{f"p{number}.png": 0 for number in range(1, COUNT)}}


def test_mixed_sizes_come_to_the_height_that_is_given(
    tmp_path: Path, call: Call, refused, folders: tuple[Path, Path]
) -> None:
    save_image(panoramas(1, 64)[0].clamp(-1, 1), folders[0] / "p0.png")
    assert "p0.png" in (line := refused()) and "128x64" in line and "64x32" in line and "--height" in line
    assert call("--height", 32)[0] == 0 and report(tmp_path)["provenance"]["height"] == 32


def test_names_that_differ_are_a_mistake_unless_they_all_do_or_it_is_meant(
    tmp_path: Path, call: Call, refused, folders: tuple[Path, Path]
) -> None:
    (folders[1] / "p0.png").rename(folders[1] / "q0.png")
    assert "--reference lacks 1 of 5 generated panoramas: p0.png; name them alike, or --unpaired" in refused()
    assert call("--unpaired")[0] == 0
    shutil.rmtree(folders[1])
    (folders[1]).mkdir()
    for number, image in enumerate(panoramas()):
        save_image(image.clamp(-1, 1), folders[1] / f"q{number}.png")
    assert call()[0] == 0
    assert [line for line in report(tmp_path)["warnings"] if "no name is in both sets" in line]


def test_the_published_protocols_run_in_other_features_only_when_told_to(call: Call, refused, tmp_path: Path) -> None:
    line = refused("--protocol", "panfusion", "--height", 64)
    assert "--inception" in line and "'panfusion'" in line and "--embedded" in line
    small = [f"pictures.{name}.{key}" for name in ("crops", "seam", "horizon") for key in ("size=24", "count=2")]
    assert call(*small, "--protocol", "panfusion", "--embedded", "--height", 64)[0] == 0
    written = report(tmp_path)
    titles = {value["title"] for value in written["values"]}
    assert not [title for title in titles if "FID" in title or "Inception" in title]
    assert "published 'crop_FID'" in next(v["note"] for v in written["values"] if v["key"] == "frechet/crops/inception")


def test_the_default_protocol_needs_nothing_but_two_folders(call: Call, tmp_path: Path) -> None:
    assert call("--protocol", "ours", *SMALL)[0] == 0
    assert report(tmp_path)["protocol"] == "ours"


# ------------------------------------------------------------------------------------------------- what goes wrong


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-600])


def headless(path: Path) -> None:
    path.write_bytes(b"\x89PNG" + path.read_bytes()[9:])


def square(path: Path) -> None:
    save_image(torch.zeros(3, 32, 32), path)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (cut, "p3.png: not a readable image"),
        (headless, "p3.png: not a readable image"),
        (square, "p3.png: a panorama is twice as wide as high, this image is 32x32"),
        (lambda path: shutil.copy(path, path.with_suffix(".jpg")), "several images of one name: p3"),
    ],
)
def test_an_image_that_is_no_panorama_is_named(refused, folders: tuple[Path, Path], spoil, words: str, side: int):
    spoil(folders[side] / "p3.png")
    assert words in refused()


@pytest.mark.parametrize("option", ["--generated", "--reference"])
def test_folders_that_hold_nothing_are_named(refused, folders: tuple[Path, Path], tmp_path: Path, option: str) -> None:
    assert f"error: {option} {tmp_path / 'none'}: no such folder" in refused(option, tmp_path / "none")
    assert f"error: {option} {folders[0] / 'p0.png'}: no such folder" in refused(option, folders[0] / "p0.png")
    (tmp_path / "empty").mkdir()
    assert f"error: {option} {tmp_path / 'empty'}: no panorama" in refused(option, tmp_path / "empty")


def test_protocols_and_settings_that_are_misspelt_are_named(refused, protocol: Path, tmp_path: Path) -> None:
    assert "--protocol must be one of aognet, cubediff, hdr, imagenet, ours, panfusion, or the path" in refused(
        "--protocol", "our"
    )
    assert "nowhere.yaml" in refused("--protocol", tmp_path / "nowhere.yaml")
    assert "pictures.crops.cuont is an unknown key; did you mean 'count'" in refused("pictures.crops.cuont=2")
    assert "must look like key.sub=value, got 'crops'" in refused("crops")
    assert "height must lie in" in refused("--height", 0)
    protocol.write_text(PROTOCOL.replace("measures:", "mesures:"))
    assert "tiny.yaml: mesures is an unknown key; did you mean 'measures'" in refused()
    protocol.write_text("{")
    assert "tiny.yaml" in refused()


def test_weights_that_are_not_there_are_named(refused, protocol: Path, tmp_path: Path) -> None:
    assert f"{tmp_path}/w.safetensors: no such file" in refused("--inception", tmp_path / "w.safetensors")
    assert "tiny.yaml: not a .safetensors file" in refused("--inception", protocol)
    assert f"{tmp_path}/clip: no such folder" in refused("--clip", tmp_path / "clip")
    assert "--lpips is not used: no network of the protocol 'tiny' is of this kind" in refused(
        "--lpips", tmp_path / "w.safetensors"
    )
    protocol.write_text(PROTOCOL.replace("embedded: true", "embedded: false"))
    line = refused()
    assert "--inception must name its weights" in line and "protocol 'tiny'" in line and "--embedded" in line


def test_captions_that_are_missing_or_unreadable_are_named(refused, tmp_path: Path) -> None:
    some = captions(tmp_path / "captions.jsonl", "p0.png", "p1.png", "p2.png")
    line = refused("--captions", some)
    assert "--captions /" in line and "captions.jsonl: 2 of 5 panoramas have none: p3.png, p4.png" in line
    some.write_text("a room\n")
    assert "captions.jsonl, line 1: not JSON" in refused("--captions", some)
    assert "none.jsonl: no such captions file" in refused("--captions", tmp_path / "none.jsonl")


def test_options_out_of_range_are_named(refused, tmp_path: Path) -> None:
    assert "--batch_size must be at least 1" in refused("--batch_size", 0)
    assert "--photo_fov must be" in refused("--photo_fov", 200)
    assert "dtype must be one of" in refused("--dtype", "int8")
    (tmp_path / "file").write_text("")
    assert "cannot make this folder" in refused("--cache", tmp_path / "file")
    if not torch.cuda.is_available():
        assert "device: cuda was asked for" in refused("--device", "cuda")


def test_what_is_not_asked_for_is_not_imported() -> None:
    flags = ["--generated", "a", "--reference", "b", "--out", "c"]
    code = f"import sys; from aognet.commands import evaluate; evaluate.parse({flags})"
    ran = subprocess.run(
        [sys.executable, "-c", f"{code}; print('torch' in sys.modules, 'torchvision' in sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout.split() == ["False", "False"], ran.stderr


NAMES = [f"p{number}.png" for number in range(COUNT)]


def test_networks_of_one_kind_are_told_apart(call: Call, tmp_path: Path) -> None:
    path = captions(tmp_path / "captions.jsonl", *NAMES)
    code, said = call("--protocol", "aognet", "--embedded", "--captions", path, "pictures.lateral.size=24")
    assert code == 0, said
    networks = json.loads((tmp_path / "report.json").read_text())["networks"]
    assert sorted(networks) == ["embedded CLIP", "embedded CLIP (clip_score)"]
    assert len(set(networks.values())) == 2 and not any(str(ROOT) in network for network in networks.values())


def test_settings_may_follow_captions(call: Call, tmp_path: Path) -> None:
    code, said = call("--captions", captions(tmp_path / "captions.jsonl", *NAMES), "measures=[{kind: unknown}]")
    assert code == 0 and "report.html and " in said, said
    assert len(json.loads((tmp_path / "report.json").read_text())["values"]) == 1


def test_a_protocol_without_measures_is_refused(refused) -> None:
    assert "measures must not be empty" in refused("measures=[]")
