"""``aognet export`` (misc/export.py): what it writes of runs and of files, and that it takes nothing from anybody."""

import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from aognet.errors import UserError
from aognet.generate.entries import Edit
from aognet.generate.run_files import OUTPUTS
from aognet.generate.view_journal import ViewJournal, open_views
from aognet.geometry.cubemap import FACES, faces_of
from aognet.io.depth_maps import DepthMap, write_depth
from aognet.io.gpano import read_gpano
from aognet.io.hdr import read_light
from aognet.io.images import load_image
from aognet.io.panorama_files import encoded, read_panorama, write_panorama
from aognet.io.tonemap import ToneMap
from misc import export
from tests import stub_model
from tests.smooth import smooth_panorama
from tests.stub_model import HEIGHT, contents, run


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of a photograph. Do not write in it."""
    place = stub_model.make_inputs(tmp_path_factory.mktemp("painted"))
    with pytest.MonkeyPatch.context() as patch:
        stub_model.install(patch)
        run("-b", place / "tiny.yaml", "--image", place / "yard.png", "--prompt", "a yard", f"out_dir={place / 'out'}")
    return place / "out" / "yard"


@pytest.fixture
def light(tmp_path: Path) -> Path:
    """A panorama of light from 0 to 40."""
    path = tmp_path / "light.exr"
    write_panorama(smooth_panorama(HEIGHT)[0].add(1) ** 2 * 10, path, "linear")
    return path


def exported(*arguments: Any) -> None:
    assert export.main([*map(str, arguments)]) is None


def refused(*arguments: Any, said: str, folder: Path) -> None:
    """The command is refused in one line, and nothing is another than before."""
    before = contents(folder)
    with pytest.raises(UserError) as caught:
        exported(*arguments)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert contents(folder) == before


def test_a_run_in_every_format_at_once(painted: Path, tmp_path: Path):
    before = contents(painted)
    names = ["a.png", "a.jpg", "b.jpeg", "a.exr", "new/a.hdr", "a.html"]
    files = [word for name in names for word in ("--out", tmp_path / name)]
    exported(painted, *files, "--faces", tmp_path / "new" / "cube")
    faces = {f"new/cube/{name}.png" for name in FACES}
    assert {name for name, held in contents(tmp_path).items() if held is not None} == {*names, *faces}
    assert contents(painted) == before
    assert (tmp_path / "a.png").read_bytes() == (painted / "result.png").read_bytes()
    assert read_gpano(tmp_path / "a.jpg")["description"] == "a yard"
    # The page knows the words and the photograph, as the run's own does.
    assert (tmp_path / "a.html").read_bytes() == (painted / "viewer.html").read_bytes()
    shown = load_image(painted / "result.png")
    light = encoded(shown.add(1).div(2), "srgb", "linear")
    np.testing.assert_allclose(read_light(tmp_path / "a.exr", 10**5), light.permute(1, 2, 0), atol=1e-6)
    assert float((read_panorama(tmp_path / "new" / "a.hdr")[0] - light).abs().max()) < 1 / 100
    for name, face in zip(FACES, faces_of(shown[None], HEIGHT // 2)[0], strict=True):
        assert float((load_image(tmp_path / "new" / "cube" / f"{name}.png") - face).abs().max()) < 1.1 / 255


def test_a_file_that_no_run_wrote_is_not_its_result(painted: Path, light: Path, tmp_path: Path):
    folder = shutil.copytree(painted, tmp_path / "yard")
    (folder / "result.exr").write_bytes(light.read_bytes())
    exported(folder, "--out", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == (painted / "result.png").read_bytes()


def test_the_faces_are_those_of_a_run(painted: Path, tmp_path: Path):
    place = stub_model.make_inputs(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        stub_model.install(patch)
        run("-b", place / "tiny.yaml", "--image", place / "yard.png", "--save_faces", f"out_dir={place / 'out'}")
    exported(place / "out" / "yard", "--faces", tmp_path / "cube")
    for name in FACES:
        mine, theirs = (folder / f"{name}.png" for folder in (tmp_path / "cube", place / "out" / "yard" / "faces"))
        difference = np.asarray(Image.open(mine)).astype(int) - np.asarray(Image.open(theirs))
        assert np.abs(difference).max() <= 1  # theirs are of what was painted, before it had 256 levels


@pytest.mark.parametrize("suffix", ["exr", "hdr", "png", "JPG"])
def test_light_in_another_size_stays_light(suffix: str, light: Path, tmp_path: Path):
    out = tmp_path / f"small.{suffix}"
    size = ["--size", f"{HEIGHT // 2}x{HEIGHT}", "--face_size", "8", "--face_format", suffix]
    exported(light, "--out", out, "--faces", tmp_path / "cube", *size)
    averaged = torch.nn.functional.avg_pool2d(read_panorama(light)[0], 2)
    found, encoding = read_panorama(out)
    step = {"exr": 1e-5, "hdr": 1 / 100, "png": 0.6 / 255, "JPG": 0.1}[suffix]
    wanted = averaged if encoding == "linear" else encoded(averaged, "linear", "srgb")
    assert found.shape == wanted.shape and float((found - wanted).abs().max()) <= step * max(1.0, float(wanted.max()))
    faces = sorted((tmp_path / "cube").iterdir())
    assert [path.name for path in faces] == sorted(f"{name}.{suffix.lower()}" for name in FACES)
    if encoding == "linear":
        assert read_light(faces[0], 10**4).shape == (8, 8, 3)


def test_meshes_of_a_run_show_its_result(painted: Path, tmp_path: Path):
    exported(painted, "--out", tmp_path / "a.ply", "--out", tmp_path / "a.glb")
    mesh = trimesh.load(tmp_path / "a.ply", process=False)
    shown = np.asarray(Image.open(painted / "result.png")).reshape(-1, 3)
    np.testing.assert_array_equal(mesh.visual.vertex_colors[:-2, :3], shown)
    (sphere,) = trimesh.load(tmp_path / "a.glb").geometry.values()
    assert sphere.visual.material.baseColorTexture.size == (2 * HEIGHT, HEIGHT)
    depth, nearness = tmp_path / "depth.png", torch.linspace(0, 1, 32).view(1, 4, 8)
    write_depth(DepthMap(nearness, nearness > 0.2), depth)
    before = contents(tmp_path)
    flags = ["--out", tmp_path / "b.ply", "--displace", depth, "--overwrite"]
    refused(painted, "--out", depth, *flags, said="depth.png: is the panorama itself or its depth", folder=tmp_path)
    exported(painted, *flags, "--mesh_rows", 4, "--near", 2, "--far", 6)
    assert before.items() <= contents(tmp_path).items()
    lengths = np.linalg.norm(trimesh.load(tmp_path / "b.ply", process=False).vertices, axis=1)
    assert lengths.min() >= 2 - 1e-4 and lengths.max() <= 6 + 1e-4


def test_a_preset_fills_a_folder(painted: Path, light: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = contents(painted)
    exported(painted, "--preset", "photosphere", "--folder", tmp_path / "a" / "sphere")
    assert {path.name for path in (tmp_path / "a" / "sphere").iterdir()} == {"panorama.jpg", "README.txt"}
    assert read_gpano(tmp_path / "a" / "sphere" / "panorama.jpg")["description"] == "a yard"
    exported(painted, "--preset", "web", "--folder", tmp_path / "web", "--size", "16x32")
    assert "a yard" in (tmp_path / "web" / "viewer.html").read_text(encoding="utf-8")
    assert contents(painted) == before
    monkeypatch.chdir(tmp_path)
    exported(light, "--preset", "unity", "--layout", "strip", "--face_size", "8")
    assert read_light(tmp_path / "unity" / "strip.exr", 10**4).shape == (8, 48, 3)
    flags = ["--format", "png", "--curve", "filmic", "--exposure", "-3", "--overwrite"]
    exported("test-card", "--preset", "godot", "--size", "32")
    exported(light, "--preset", "godot", *flags)
    wanted = encoded(read_panorama(light)[0], "linear", "srgb", ToneMap("filmic", exposure=-3.0)).roll(HEIGHT, -1)
    assert float((read_panorama(tmp_path / "godot" / "panorama.png")[0] - wanted).abs().max()) < 0.6 / 255


def test_a_preset_takes_nothing_from_anybody(painted: Path, light: Path, tmp_path: Path):
    for folder in (painted, painted / "steps", painted / "faces"):
        refused(light, "--preset", "web", "--folder", folder, "--overwrite", said="is a run's own", folder=painted)
    refused(light, "--preset", "web", "--folder", tmp_path, "--overwrite", said="the panorama itself", folder=tmp_path)
    refused(light, "--preset", "web", "--folder", tmp_path, said="has files in it", folder=tmp_path)


def test_curve_and_exposure_are_those_of_the_shown_light(light: Path, tmp_path: Path):
    exported(light, "--out", tmp_path / "a.png", "--curve", "filmic", "--exposure", "-3")
    wanted = encoded(read_panorama(light)[0], "linear", "srgb", ToneMap("filmic", exposure=-3.0))
    assert float((read_panorama(tmp_path / "a.png")[0] - wanted).abs().max()) < 0.6 / 255


def test_words_of_a_file_go_with_it(tmp_path: Path):
    image = smooth_panorama(8)[0].add(1).div(2)
    write_panorama(image, tmp_path / "a.jpg", "srgb", description="a <lake>")
    exported(tmp_path / "a.jpg", "--out", tmp_path / "b.png")
    assert read_gpano(tmp_path / "b.png")["description"] == "a <lake>"
    exported(tmp_path / "a.jpg", "--out", tmp_path / "c.png", "--description", "another")
    assert read_gpano(tmp_path / "c.png")["description"] == "another"


def test_odd_metadata_and_large_panoramas_are_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    image = smooth_panorama(16)[0].add(1).div(2)
    write_panorama(image, tmp_path / "a.png", "srgb", description="a lake")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content.replace(b"a lake", b"a cake"))  # its check sum is wrong now
    exported(tmp_path / "a.png", "--out", tmp_path / "b.png")
    np.testing.assert_array_equal(load_image(tmp_path / "a.png"), load_image(tmp_path / "b.png"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 16 * 32 - 1)  # Pillow warns of more
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exported(tmp_path / "b.png", "--out", tmp_path / "c.jpg", "--out", tmp_path / "c.html")


def test_what_is_there_is_replaced_when_that_is_asked_for(light: Path, tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"mine")
    (tmp_path / "cube").mkdir()
    (tmp_path / "cube" / "up.png").write_bytes(b"mine")
    # Nothing is written where one of several is there.
    refused(light, "--out", tmp_path / "new.png", "--out", tmp_path / "a.png", said="a.png: is there", folder=tmp_path)
    refused(light, "--out", tmp_path / "b.png", "--faces", tmp_path / "cube", said="up.png: is there", folder=tmp_path)
    exported(light, "--out", tmp_path / "a.png", "--faces", tmp_path / "cube", "--overwrite")
    assert read_panorama(tmp_path / "a.png")[0].shape == (3, HEIGHT, 2 * HEIGHT)
    assert Image.open(tmp_path / "cube" / "up.png").size == (HEIGHT // 2, HEIGHT // 2)


@pytest.mark.parametrize("through", ["itself", "link", "hard link", "dots"])
def test_a_panorama_is_never_written_over_by_itself(through: str, light: Path, tmp_path: Path):
    target = tmp_path / "other.exr"
    if through == "link":
        target.symlink_to(light)
    elif through == "hard link":
        os.link(light, target)
    else:
        target = light if through == "itself" else tmp_path / "." / ".." / tmp_path.name / light.name
    refused(light, "--out", target, "--overwrite", said="is the panorama itself", folder=tmp_path)


@pytest.mark.parametrize("name", [name for name in OUTPUTS if name.endswith((".png", ".html"))])
def test_a_runs_own_files_are_not_written(name: str, painted: Path, light: Path):
    for flags in ([], ["--overwrite"]):
        for source in (painted, light):
            refused(source, "--out", painted / name, *flags, said=f"{painted / name}: ", folder=painted)
    refused(light, "--faces", painted / "faces", said="faces/front.png: ", folder=painted)


def test_a_run_that_is_not_finished_is_refused(painted: Path, tmp_path: Path):
    for number, change in enumerate((lambda run: setattr(run, "finished", False), interrupt, lose)):
        folder = shutil.copytree(painted, tmp_path / str(number))
        journal = open_views(folder)
        change(journal)
        journal.write()
        refused(folder, "--out", tmp_path / "a.jpg", said=f"{folder}: this run is not finished", folder=tmp_path)


def interrupt(journal: ViewJournal) -> None:
    """As a change that was killed leaves it."""
    journal.edit = Edit("undo 1", (journal.entries[-1].file,))


def lose(journal: ViewJournal) -> None:
    (journal.folder / "result.png").unlink()


MISTAKES = [
    ([], "--out FILE, --faces DIR or --preset NAME"),
    (["--out", "{}/a.gif"], "/a.gif"),
    (["--out", "{}/a"], "--out must end in .png, .jpg, .jpeg, .exr, .hdr, .html, .ply, .glb, got /"),
    (["--out", "{}/a.png", "--out", "{}/b/../a.png"], "a.png: would be written twice"),
    (["--out", "{}/up.png", "--faces", "{}"], "up.png: would be written twice"),
    (["--out", "{}"], "--out must end in"),
    (["--out", "{}/folder.png"], "folder.png: is a folder"),
    (["--out", "{}/" + "a" * 300 + ".png"], "File name too long"),
    (["--out", "{}/a\0.png"], "a\0.png"),
    (["--out", "{}/light.exr/a.png"], "light.exr: cannot make this folder"),
    (["--out", "{}/a.png", "--size", "20x30"], "--size must be HxW"),
    (["--out", "{}/a.png", "--size", "0"], "--size 0"),
    (["--out", "{}/a.png", "--size", "9000"], "--size 9000"),
    (["--faces", "{}/cube", "--face_size", "0"], "--face_size must be"),
    (["--faces", "{}/cube", "--face_size", "5000"], "--face_size must be"),
    (["--faces", "{}/cube", "--face_format", "html"], "--face_format must be"),
    (["--faces", "{}/light.exr"], "light.exr"),
    (["--out", "{}/a.png", "--curve", "log"], "--curve must be"),
    (["--out", "{}/a.png", "--exposure", "99"], "--exposure must be"),
    (["--out", "{}/a.hdr", "--exposure", "1"], "--curve and --exposure"),
    (["--out", "{}/a.png", "--mesh_rows", "9"], "--mesh_rows changes nothing without a file .ply or .glb"),
    (["--out", "{}/a.glb", "--points"], "--points changes nothing without a file .ply"),
    (["--out", "{}/a.ply", "--cut", "2"], "--cut changes nothing without --displace"),
    (["--out", "{}/a.ply", "--mesh_rows", "3"], "--mesh_rows must be from 4 to 2048"),
    (["--out", "{}/a.ply", "--displace", "{}/light.exr", "--cut", "1"], "--cut must be more than 1"),
    (["--out", "{}/a.ply", "--displace", "{}/light.exr", "--near", "30"], "--near must be less than --far, 20"),
    (["--out", "{}/a.png", "--out", "{}/a.glb", "--displace", "{}/no.exr"], "no.exr: no such file"),
    (["--out", "{}/a.png", "--out", "{}/a.ply", "--displace", "{}/a\0.png"], "a\0.png: no such file"),
    (["--preset", "goddot"], "did you mean 'godot'?, got 'goddot'"),
    (["--preset", "unity", "--out", "{}/a.png"], "--out cannot be given with --preset"),
    (["--preset", "glb", "--cut", "2"], "--cut cannot be given with --preset"),
    (["--preset", "unity", "--layout", "cross"], "--layout must be one of panorama, strip, faces, got 'cross'"),
    (["--preset", "unity", "--folder", "{}/new", "--tile_size", "64"], "--tile_size changes nothing in this export"),
    (["--preset", "unity", "--folder", "{}/new", "--exposure", "1"], "--curve and --exposure"),
    (["--preset", "unity", "--folder", "{}/light.exr"], "--folder {}/light.exr: is a file"),
    (["--preset", "unity", "--folder", "{}/light.exr/a"], "{}/light.exr/a: is a file or lies in one"),
    (["--preset", "unity", "--folder", "{}/a\0b"], "cannot fill this folder"),
    (["--preset", "unity", "--folder", "{}/" + "a" * 300], "File name too long"),
    (["--out", "{}/a.png", "--layout", "strip"], "--layout changes nothing without --preset"),
]


@pytest.mark.parametrize(("flags", "said"), MISTAKES, ids=[said for _, said in MISTAKES])
def test_a_mistake_is_one_line_and_nothing_is_written(flags: list[str], said: str, light: Path, tmp_path: Path):
    (tmp_path / "folder.png").mkdir()
    refused(light, *(flag.format(tmp_path) for flag in flags), said=said.format(tmp_path), folder=tmp_path)


def test_what_is_no_panorama_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    Image.new("RGB", (30, 20)).save(tmp_path / "photo.png")
    (tmp_path / "damaged.exr").write_bytes(b"v/1\x01damaged")
    (tmp_path / "empty").mkdir()
    for name in ("photo.png", "damaged.exr", "empty", "missing.jpg", "a" * 300, "missing"):
        refused(tmp_path / name, "--out", tmp_path / "a.jpg", said=name, folder=tmp_path)
    holes = Image.new("RGBA", (16, 8), (200, 0, 0, 255))
    holes.putpixel((3, 3), (0, 200, 0, 0))
    holes.save(tmp_path / "holes.png")
    exported(tmp_path / "holes.png", "--out", tmp_path / "a.png")
    assert "holes.png: is transparent in places" in caplog.text
