"""``misc/exr2png.py`` from end to end: what is made, skipped, made again, refused and reported."""

import importlib.util
import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from aognet import cli
from aognet.data import conversion
from aognet.io.hdr import write_exr
from aognet.system.workers import Done

SCRIPT = Path(__file__).resolve().parents[1] / "misc" / "exr2png.py"


@pytest.fixture(scope="module")
def main() -> cli.Main:
    spec = importlib.util.spec_from_file_location("exr2png", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two good files in nested folders, and an empty place for the images."""
    source = tmp_path / "in dir"
    for number, name in enumerate(("a.exr", "süß/b c.EXR")):
        light = np.random.default_rng(number).random((8, 16, 3)).astype(np.float16)
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        write_exr({letter: light[..., i] for i, letter in enumerate("RGB")}, source / name)
    return source, tmp_path / "out"


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool has its own tests; most of these do not need one."""

    def one_by_one(function, items, workers, isolate=False):
        assert isolate, "a file may crash the decoder"
        for item in items:
            try:
                yield Done(item, function(item), None)
            except conversion.UserError as error:
                yield Done(item, None, str(error))

    monkeypatch.setattr(conversion, "work_through", one_by_one)


def call(main: cli.Main, folders: tuple[Path, Path], *flags: str) -> int:
    with pytest.raises(SystemExit) as stop:
        cli.run(main, ["--image_dir", str(folders[0]), "--out_dir", str(folders[1]), *flags])
    return stop.value.code


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def report(out: Path) -> dict:
    return json.loads((out / "exr2png_report.json").read_text(encoding="utf-8"))


def test_as_people_call_it(folders: tuple[Path, Path]):
    (folders[0] / "bad.exr").write_text("not found")
    (folders[0] / "bad.hdr.txt").write_text("no image")
    command = [sys.executable, SCRIPT, "--image_dir", folders[0], "--out_dir", folders[1], "--num_workers", "60"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1 and "Traceback" not in ran.stderr
    assert "bad.exr" in ran.stderr and "2 made, 0 already there, 1 failed" in ran.stderr
    assert sorted(files(folders[1])) == ["a.png", "exr2png.json", "exr2png_report.json", "süß/b c.png"]
    (failure,) = report(folders[1])["failed"]
    assert failure["file"] == "bad.exr" and failure["reason"] == "is no EXR file, it starts with b'not '"


@pytest.mark.usefixtures("in_this_process")
def test_finished_images_are_skipped_until_they_are_to_be_overwritten(main: cli.Main, folders: tuple[Path, Path]):
    source, out = folders
    assert call(main, folders) == 0 and report(out) == {"made": 2, "skipped": 0, "failed": []}
    made = files(out)
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert call(main, folders) == 0 and report(out) == {"made": 0, "skipped": 2, "failed": []}
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.png")} == times
    (out / "a.png").unlink()
    assert call(main, folders) == 0 and report(out) == {"made": 1, "skipped": 1, "failed": []}
    assert call(main, folders, "--overwrite") == 0 and report(out) == {"made": 2, "skipped": 0, "failed": []}
    assert files(out).keys() == made.keys() and all(files(out)[name] == made[name] for name in ("a.png", "süß/b c.png"))


@pytest.mark.usefixtures("in_this_process")
def test_settings_are_never_mixed(
    main: cli.Main, folders: tuple[Path, Path], capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    source, out = folders
    assert call(main, folders) == 0
    made = files(out)
    for flags in (["--gamma", "2.2"], ["--format", "jpeg"], ["--size", "4x8"], ["--curve", "srgb"]):
        assert call(main, folders, *flags) == 2 and files(out) == made
        line = capsys.readouterr().err
        assert "--overwrite" in line and f"{flags[0][2:]} " in line and "was made with" in line
    assert call(main, folders, "--gamma", "2.4") == 0, "the default, said aloud"

    def stopped(*_: object, **__: object) -> list:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(conversion, "work_through", stopped)
        assert call(main, folders, "--gamma", "2.2", "--overwrite") == 130
    assert call(main, folders) == 2, "now they count as images of gamma 2.2"
    assert call(main, folders, "--gamma", "2.2") == 0 and report(out)["made"] == 2, "what was interrupted goes on"
    assert files(out)["a.png"] != made["a.png"]
    for path in out.rglob("*.png"):
        path.unlink()
    assert call(main, folders) == 0 and files(out)["a.png"] == made["a.png"], "no images, nothing to mix"


@pytest.mark.usefixtures("in_this_process")
def test_images_of_unknown_settings(main: cli.Main, folders: tuple[Path, Path], capsys: pytest.CaptureFixture):
    folders[1].mkdir()
    (folders[1] / "a.png").write_text("precious")
    assert call(main, folders) == 2 and files(folders[1]) == {"a.png": b"precious"}
    assert "a.png" in capsys.readouterr().err
    (folders[1] / "a.png").rename(folders[1] / "other.png")
    (folders[1] / "exr2png.json").write_text("[broken")
    assert call(main, folders) == 0 and (folders[1] / "other.png").read_text() == "precious"


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("flags", "suffix", "size"),
    [
        (["--format", "png16", "--size", "4x8"], ".png", (8, 4)),
        (["--format", "jpeg", "--curve", "filmic"], ".jpg", (16, 8)),
    ],
)
def test_formats_and_sizes(
    main: cli.Main, folders: tuple[Path, Path], flags: list[str], suffix: str, size: tuple[int, int]
):
    assert call(main, folders, *flags) == 0
    with Image.open(folders[1] / f"a{suffix}") as image:
        assert image.size == size


def test_files_that_crash_the_decoder(
    main: cli.Main, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    # A module found first, in the workers too, stands in for a decoder with a fault.
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "OpenEXR.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    (folders[0] / "c.hdr").write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 4 +X 8\n" + bytes([128] * 128))
    assert call(main, folders, "--num_workers", "1") == 1
    found = report(folders[1])
    assert found["made"] == 1 and [failure["file"] for failure in found["failed"]] == ["a.exr", "süß/b c.EXR"]
    assert all("SIGSEGV" in failure["reason"] for failure in found["failed"])


@pytest.mark.usefixtures("in_this_process")
def test_one_line_for_every_mistake(main: cli.Main, folders: tuple[Path, Path], capsys: pytest.CaptureFixture):
    for flags in (
        "--gamma 0",
        "--gamma nan",
        "--percentile 0",
        "--percentile 101",
        "--max_mapping 1.5",
        "--exposure inf",
        "--curve reinhard",
        "--format gif",
        "--size 512",
        "--size 0x0",
        "--size 99999x999999",
        "--size -1x2",
        "--num_workers 0",
    ):
        name, value = flags.split()
        assert call(main, folders, f"{name}={value}") == 2, flags
        error = capsys.readouterr().err
        assert name in error and value in error and error.count("\n") == 1, error
    assert call(main, folders, "--curve", "srgb", "--gamma", "2") == 2
    assert "--gamma belongs to --curve published" in capsys.readouterr().err
    for source in (folders[0] / "missing", folders[0] / "a.exr", folders[0].parent / "empty"):
        (folders[0].parent / "empty").mkdir(exist_ok=True)
        assert call(main, (source, folders[1])) == 2 and str(source) in capsys.readouterr().err
    for out in (folders[0] / "a.exr", folders[0] / "a.exr" / "deeper"):
        assert call(main, (folders[0], out)) == 2 and "a.exr" in capsys.readouterr().err
    (folders[0] / "a.hdr").touch()
    assert call(main, folders) == 2 and "would both become" in capsys.readouterr().err
    assert not folders[1].exists(), "nothing is written before a mistake is found"


def test_stopping_leaves_whole_images_and_a_report(folders: tuple[Path, Path]):
    light = np.random.default_rng(0).random((512, 1024)).astype(np.float32)
    for number in range(40):
        write_exr({"Y": light}, folders[0] / f"{number}.exr", "none")
    run = subprocess.Popen(
        [sys.executable, SCRIPT, "--image_dir", folders[0], "--out_dir", folders[1], "--num_workers", "1"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    begin = time.monotonic()
    while not list(folders[1].glob("*.png")):
        assert run.poll() is None and time.monotonic() - begin < 30
        time.sleep(0.02)
    workers = psutil.Process(run.pid).children(recursive=True)
    os.killpg(run.pid, signal.SIGINT)
    errors = run.communicate(timeout=20)[1]
    assert run.returncode == 130 and "Traceback" not in errors
    assert psutil.wait_procs(workers, timeout=10)[1] == []
    images = list(folders[1].rglob("*.png"))
    assert 0 < len(images) < 42 and report(folders[1])["made"] <= len(images)
    for path in images:
        assert path.read_bytes().endswith(b"IEND" + struct.pack(">I", 0xAE426082))
