"""One rule for what is found below a folder, the same for every command."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from aognet.captioning.folder_captions import image_names
from aognet.data.conversion import find_jobs
from aognet.data.shards import tar_files
from aognet.data.sources import SourceConfig, find_entries
from aognet.errors import UserError
from aognet.evaluation.sets import find_panoramas
from aognet.generate.inputs import InputsConfig, list_requests
from aognet.io.formats import HEIF_SUFFIXES, LIGHT_SUFFIXES, SUFFIXES, decoders, has_heif
from aognet.io.images import load_image
from aognet.io.listing import files_below, find_images
from aognet.request import Request

TRASH = (".ipynb_checkpoints", ".thumbnails", ".Trash-1000", "__MACOSX", "$RECYCLE.BIN", "lost+found", "@eaDir", ".git")


def trained(folder: Path) -> list[str]:
    return [entry.name for entry in find_entries(SourceConfig(folders=[str(folder)]))]


def painted(folder: Path) -> list[str]:
    jobs = list_requests(InputsConfig(photos=[str(folder)]), Request())
    return [Path(job.photos[0].image).relative_to(folder).as_posix() for job in jobs]


def completed(folder: Path) -> list[str]:
    jobs = list_requests(InputsConfig(panoramas=[str(folder)]), Request())
    return [Path(job.truth).relative_to(folder).as_posix() for job in jobs]


def measured(folder: Path) -> list[str]:
    return [item.path.relative_to(folder).as_posix() for item in find_panoramas(folder, "generated")]


def converted(folder: Path) -> list[str]:
    return [job.source.relative_to(folder).as_posix() for job in find_jobs(folder, folder / "out", ".png")]


def streamed(folder: Path) -> list[str]:
    return [Path(name).relative_to(folder).as_posix() for name in tar_files([str(folder)])]


LISTINGS = {
    "training": (trained, ".png"),
    "photographs": (painted, ".jpg"),
    "panoramas": (completed, ".webp"),
    "evaluation": (measured, ".tif"),
    "captioning": (image_names, ".png"),
    "exr2png": (converted, ".exr"),
    "streams": (streamed, ".tar"),
}


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


@pytest.mark.parametrize(("listed", "suffix"), LISTINGS.values(), ids=LISTINGS.keys())
def test_every_command_finds_the_same(listed: Callable[[Path], list[str]], suffix: str, tmp_path: Path):
    folder, other = tmp_path / ".kept" / "photos", tmp_path / "other"
    for name in ("b", "deep/er/a", "z"):
        touch(folder / f"{name}{suffix}")
    touch(folder / f"deep/CAPITALS{suffix.upper()}")
    touch(other / f"linked{suffix}")
    for trash in TRASH:
        touch(folder / trash / f"trash{suffix}")
        touch(folder / "deep" / trash / f"below/trash{suffix}")
    for name in (f".hidden{suffix}", f"._fork{suffix}", "notes.txt", f"{suffix[1:]}"):
        touch(folder / name)
    os.mkfifo(folder / f"pipe{suffix}")
    (folder / f"folder{suffix}").mkdir()
    (folder / f"broken{suffix}").symlink_to("nowhere")
    (folder / "again").symlink_to("deep")  # by its own path it is there already
    (folder / "deep" / "above").symlink_to("..")
    (folder / "deep" / "elsewhere").symlink_to(other)
    (folder / "more").symlink_to(other)  # the same folder by a second way, nearer to the top
    (other / "round").symlink_to(folder)
    (folder / f"file-link{suffix}").symlink_to(other / f"linked{suffix}")
    expected = [f"b{suffix}", f"deep/CAPITALS{suffix.upper()}", f"deep/er/a{suffix}", f"file-link{suffix}"]
    assert listed(folder) == [*expected, f"more/linked{suffix}", f"z{suffix}"]


def test_what_is_not_taken_is_counted_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    for number in range(10):
        touch(tmp_path / f"{number}.txt")
    for name in ("a.psd", "b.PSD", "README", "c.png", ".d.gif"):
        touch(tmp_path / name)
    with caplog.at_level(logging.INFO):
        assert [path.name for path in find_images(tmp_path, "folders")] == ["c.png"]
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: skipped 13 file(s): 10 .txt, 2 .psd, 1 without suffix"
    ]


def test_nothing_is_said_where_all_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    touch(tmp_path / "c.png")
    with caplog.at_level(logging.INFO):
        find_images(tmp_path, "folders")
    assert not caplog.records


def test_files_of_runs_are_not_called_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    for name in ("run/run.json", "run/result.png", "run/viewer.html", "run/steps/001.png"):
        touch(tmp_path / name)
    with caplog.at_level(logging.INFO):
        assert [item.name for item in find_panoramas(tmp_path, "generated")] == ["run"]
    assert not caplog.records


@pytest.mark.parametrize("name", ["missing", "n" * 300, "nul\0", "file.png"])
def test_what_is_no_folder_is_named(name: str, tmp_path: Path):
    touch(tmp_path / "file.png")
    with pytest.raises(UserError, match="image_dir .*: no such folder"):
        files_below(tmp_path / name, "image_dir")


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Root may read everything, so that the system's answer is put in its place."""
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refusing(path: Path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("aognet.io.listing.os.scandir", refusing)
    with pytest.raises(UserError, match="folders .*closed: cannot read this folder .Permission denied"):
        files_below(tmp_path, "folders")


SAVED = {
    **{".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".mpo": "MPO", ".png": "PNG"},
    **{".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP", ".jp2": "JPEG2000", ".avif": "AVIF"},
    **dict.fromkeys(HEIF_SUFFIXES, "HEIF"),
}


@pytest.mark.parametrize("suffix", sorted({*SUFFIXES} - {*LIGHT_SUFFIXES}))
def test_every_kind_of_image_is_read(suffix: str, tmp_path: Path):
    path = tmp_path / f"image{suffix}"
    if suffix in HEIF_SUFFIXES:
        pytest.importorskip("pillow_heif")
    decoders()
    Image.new("RGB", (64, 32), (200, 60, 60)).save(path, SAVED[suffix])
    image = load_image(path)
    assert image.shape == (3, 32, 64)
    levels = (image + 1).mean((1, 2)) * 127.5
    assert all(abs(level - wanted) < 6 for level, wanted in zip(levels.tolist(), (200, 60, 60), strict=True))


def test_without_pillow_heif_its_files_are_counted_and_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("aognet.io.formats.find_spec", lambda name: None)
    decoders.cache_clear()
    assert not has_heif()
    for name in ("a.png", "b.heic", "c.HEIF"):
        touch(tmp_path / name)
    assert [path.name for path in find_images(tmp_path, "folders")] == ["a.png"]
    assert "skipped 2 file(s): 1 .heic (pip install pillow-heif), 1 .heif (pip install pillow-heif)" in caplog.text
    with pytest.raises(UserError, match="b.heic: .*pip install pillow-heif"):
        load_image(tmp_path / "b.heic")
    Image.new("RGB", (64, 32)).save(tmp_path / "d.png")
    assert load_image(tmp_path / "d.png").shape == (3, 32, 64)
    decoders.cache_clear()
