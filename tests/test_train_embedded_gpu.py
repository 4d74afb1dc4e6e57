"""The script that trains all small models: every stage with a few steps, and models in half precision that paint."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from aognet.hdr.sritmo import SrItmo
from aognet.io.hdr import write_exr
from aognet.io.images import save_image
from aognet.methods.pretrained import load_method
from aognet.perception.lpips import Lpips
from aognet.scenes import make_scene
from tests.perception.test_efficientnet import random_weights

ROOT = Path(__file__).resolve().parents[1]
HEIGHT = 256
MOST_BYTES = 15 * 2**20
ROWS = ("dunes,train,sand", "beach,train,sea", "hall,test,a hall", "park,test,trees")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the script is told: panoramas, and random weights in place of those that are downloaded."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("ldr", "hdr"):
        (folder / name).mkdir()
    (folder / "index.csv").write_text("\n".join(["slug,split,caption", *ROWS]) + "\n")
    for number, row in enumerate(ROWS):
        image = make_scene(number, HEIGHT).image
        slug = row.split(",")[0]
        save_image(torch.from_numpy(image).permute(2, 0, 1) * 2 - 1, folder / "ldr" / f"{slug}.jpg")
        write_exr({name: image[..., at] * 4 for at, name in enumerate("RGB")}, folder / "hdr" / f"{slug}.exr")
    torch.manual_seed(3)
    lpips = {
        key: value.abs() if key.startswith("lin") else value for key, value in Lpips("vgg", 16).state_dict().items()
    }
    save_file(lpips, folder / "lpips.safetensors")
    save_file(random_weights(), folder / "efficientnet.safetensors")
    weights = {"LPIPS": "lpips.safetensors", "EFFICIENTNET": "efficientnet.safetensors"}
    return {"PANOS": str(folder)} | {key: str(folder / name) for key, name in weights.items()}


def trained(out: Path, stages: str, data: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the script with a few steps."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    asked = {"PATH": path, "FEW": "1", "OUT": str(out), "STAGES": stages, "OMP_NUM_THREADS": "1"}
    script = ROOT / "misc" / "train_embedded_gpu.sh"
    return subprocess.run(
        ["bash", str(script)], env=os.environ | data | asked, capture_output=True, text=True, timeout=3000, check=False
    )


def check_files(folder: Path) -> None:
    files = list(folder.rglob("*.safetensors"))
    assert max(path.stat().st_size for path in files) <= MOST_BYTES
    kinds = {value.dtype for path in files for value in load_file(path).values() if value.is_floating_point()}
    assert kinds == {torch.float16}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_mistakes_are_told_before_anything_is_made(tmp_path: Path) -> None:
    ran = trained(tmp_path / "out", "gan sritmo text2lite", {})
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("STAGES: unknown stage text2lite; known: model seamless")
    assert not (tmp_path / "out").exists()
    (tmp_path / "other" / "model" / "embedded").mkdir(parents=True)
    ran = trained(tmp_path / "other", "model", {})
    assert ran.returncode == 2 and "other were trained with assets/embedded; name another folder" in ran.stderr


@pytest.mark.slow
def test_just_some_stages_with_the_embedded_backbone(tmp_path: Path, data: dict[str, str]) -> None:
    ran = trained(tmp_path, "gan text2light sritmo", data)
    assert ran.returncode == 0, ran.stderr
    model = tmp_path / "model"
    assert {path.name for path in model.iterdir() if path.is_dir()} == {"embedded", "ganorama", "sritmo", "text2light"}
    check_files(model)
    for name in ("ganorama", "text2light"):
        assert load_method(str(model / name)).method == name
    SrItmo.from_pretrained(model / "sritmo")
    # As where it was stopped between its last checkpoint and its end.
    before = contents(model / "ganorama")
    for path in (tmp_path / "gan" / "final").iterdir():
        path.unlink()
    (tmp_path / "gan" / "final").rmdir()
    ran = trained(tmp_path, "gan", data)
    assert ran.returncode == 0, ran.stderr
    assert contents(model / "ganorama") == before


@pytest.mark.slow
def test_the_backbone_and_what_is_added_to_it(tmp_path: Path, data: dict[str, str]) -> None:
    ran = trained(tmp_path, "model seamless cubediff", data)
    assert ran.returncode == 0, ran.stderr
    model = tmp_path / "model"
    check_files(model)
    for name in ("embedded/aognet", "seamless", "cubediff"):
        assert load_method(str(model / name)).method == name.rpartition("/")[2]
    assert load_method(str(model / "embedded/aognet")).backbone.upscaler is not None
    added = load_method(str(model / "seamless")).backbone
    assert len(added.denoiser.controlnets) == 1
    tokens = [added.conditioner.known([text], None).tokens for text in ("a beach", "a beach TOK")]
    assert not torch.allclose(*tokens)
