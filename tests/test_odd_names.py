"""Names that people's files have: every command works with them, and what it writes says them whole."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from jaxtyping import Float
from torch import Tensor

from aognet.commands import generate
from aognet.config import build_config
from aognet.data.panoramas import PanoramaConfig, Panoramas
from aognet.data.streams import PanoramaStream, StreamConfig
from aognet.errors import UserError
from aognet.generate.inference import InferenceConfig, read_inference
from aognet.generate.inputs import list_requests
from aognet.io.captions import load_captions, save_captions
from aognet.io.hdr import read_light, write_exr
from aognet.io.images import jpeg_bytes, load_image, png_bytes, to_pil
from aognet.io.store import CacheConfig
from misc import captioning, contact_sheet, evaluate, export, exr2png, take_photo
from tests.generate.painter import smooth_photo
from tests.slow import rest_slow
from tests.tiny_captioners import tiny_captioner

ROOT = Path(__file__).parents[1]
STEMS = (
    *("caf\u00e9", "cafe\u0301 decomposed", "\udce9\udcff latin", "日本 🏞", "\ufeffmark", "a\u200db", "\u202eright"),
    *("line\nfeed", "line\rreturn", "line\u2028separator", "next\x85line", "tab\t", "form\x0cfeed", "\x1b[31m"),
    *("it's", 'say "a"', "a;b,c", "<b>&amp;", "back\\slash", "#hash", "${HOME}", "$(x)", "%41%", "{a}", "[a]", "*"),
    *("-dash", "--image", " lead", "trail ", "a=b", "a.b.c", "con", "CON.x", "~", "!", "null", "n" * 230, "é" * 120),
)


def panorama(number: int) -> Float[Tensor, "3 32 64"]:
    return smooth_photo(32, 64).roll(number * 9, -1)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Panoramas with odd names, in a folder with one. Do not write in it."""
    folder = tmp_path_factory.mktemp("images") / "f\udce9\nolder"
    folder.mkdir()
    for number, stem in enumerate(STEMS):
        (folder / f"{stem}.png").write_bytes(png_bytes(to_pil(panorama(number))))
    return folder


@pytest.mark.slow
def test_captioning_and_training_say_the_same_names(images: Path, tmp_path: Path):
    model, out = tiny_captioner(tmp_path / "model"), tmp_path / "o\udce9ut"
    arguments = ["--image_dir", images, "--out_dir", out, "--name", "b\udce9", "--model", model, "--max_new_tokens", 2]
    arguments += ["--batch_size", len(STEMS)]
    assert captioning.main(list(map(str, arguments))) == 0
    assert set(load_captions(out / "b\udce9.jsonl")) == {f"{stem}.png" for stem in STEMS}
    texts = {f"{stem}.png": [f"caption {number}"] for number, stem in enumerate(STEMS)}
    save_captions(texts, out / "all.jsonl")
    config = PanoramaConfig(
        folders=[str(images)],
        captions=[str(out / "all.jsonl")],
        strict_captions=True,
        height=16,
        cache=CacheConfig(folder=str(tmp_path / "c\udce9ache")),
    )
    panoramas = Panoramas(config)
    assert {entry.name: list(entry.captions) for entry in panoramas.entries} == texts
    for number in range(len(STEMS)):
        panoramas[number]


def test_exr_files_are_converted(tmp_path: Path):
    for number, stem in enumerate(STEMS):
        light = (panorama(number).numpy() + 1) / 2
        (tmp_path / "light").mkdir(exist_ok=True)
        write_exr(dict(zip("RGB", light, strict=True)), tmp_path / "light" / f"{stem}.exr")
    arguments = ["--image_dir", tmp_path / "light", "--out_dir", tmp_path / "o\udce9ut", "--num_workers", 1]
    assert exr2png.main(list(map(str, arguments))) == 0
    assert {path.name for path in (tmp_path / "o\udce9ut").glob("*.png")} == {f"{stem}.png" for stem in STEMS}


@pytest.mark.slow
def test_evaluation_and_contact_sheets(images: Path, tmp_path: Path):
    protocol = tmp_path / "tiny.yaml"
    protocol.write_text("name: tiny\nmeasures: [{kind: psnr}]\n")
    save_captions({f"{stem}.png": ["a room"] for stem in STEMS}, tmp_path / "all.jsonl")
    arguments = [
        "--generated",
        images,
        "--reference",
        images,
        "--out",
        tmp_path / "r\udce9port",
        "--protocol",
        protocol,
    ]
    arguments += ["--captions", tmp_path / "all.jsonl", "--threads", 1, "--cache", tmp_path / "cache"]
    assert evaluate.main(list(map(str, arguments))) == 0
    report = json.loads((tmp_path / "r\udce9port.json").read_text(encoding="utf-8"))
    assert {sample["name"] for sample in report["samples"]} == {f"{stem}.png" for stem in STEMS}
    (tmp_path / "r\udce9port.html").read_text(encoding="utf-8")
    sheet = tmp_path / "sh\udce9et.png"
    contact_sheet.main(["--image_dir", str(images), "--out", str(sheet), "--width", "64"])
    assert load_image(sheet).shape[-1] == 6 * 64


def test_photographs_cut_out_by_name(images: Path, tmp_path: Path):
    for stem in STEMS:
        out = tmp_path / f"{stem}.jpg"
        take_photo.main([f"--panorama={images / stem}.png", f"--out={out}", "--size", "16x16"])
        assert load_image(out).shape == (3, 16, 16)


@pytest.mark.parametrize("suffix", rest_slow(["png", "jpg", "exr", "hdr", "html"]))
def test_panoramas_exported_by_name(suffix: str, images: Path, tmp_path: Path):
    for stem in STEMS:
        out = tmp_path / f"{stem}.{suffix}"
        export.main([f"{images / stem}.png", f"--out={out}", f"--faces={tmp_path / stem}", "--face_size=4"])
        if suffix != "html":
            export.main([str(out), f"--out={tmp_path / 'again' / stem}.exr"])
            assert read_light(tmp_path / "again" / f"{stem}.exr", 10**5).shape == (32, 64, 3)
        assert out.is_file() and len(list((tmp_path / stem).iterdir())) == 6


def test_streams_with_odd_names(tmp_path: Path):
    with tarfile.open(tmp_path / "sh\udce9ard.tar", "w") as archive:
        for number, stem in enumerate(stem for stem in STEMS if "." not in stem and "\\" not in stem):
            content = jpeg_bytes(to_pil(panorama(number)))
            member = tarfile.TarInfo(f"{stem}.jpg")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    stream = PanoramaStream(StreamConfig(shards=[str(tmp_path)]), 16, 0)
    reading = stream.read(0, 1)
    for _ in range(len(STEMS)):
        next(reading)


def test_photographs_are_painted_by_flags_and_folders(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As far as the models: every name arrives as it is, and its folder has a name that can be made and written."""
    monkeypatch.chdir(images)
    texts = {f"{stem}.png": [f"caption {number}"] for number, stem in enumerate(STEMS)}
    save_captions(texts, tmp_path / "all.jsonl")
    (tmp_path / "own.yaml").write_text(
        json.dumps({"inputs": {"photos": ["."], "captions": [str(tmp_path / "all.jsonl")]}})
    )
    base = ["-b", str(ROOT / "config" / "inference_config.yaml"), str(tmp_path / "own.yaml")]
    config, _, common = read_inference(generate.read_config(generate.parse(base)))
    jobs = list_requests(config.inputs, common)
    assert {Path(job.photos[0].image).name: [job.prompt] for job in jobs} == texts
    assert len({job.name for job in jobs}) == len(STEMS)
    for stem in STEMS:
        options = generate.parse([f"--image={stem}.png", "--prompt=a\u2028hall", f"--inference_out_dir={stem}"])
        config = build_config(generate.read_config(options), InferenceConfig)
        (job,) = list_requests(config.inputs, common)
        assert (job.photos[0].image, job.prompt, config.out_dir) == (f"{stem}.png", "a\u2028hall", stem)
        (tmp_path / "out" / job.name / "steps").mkdir(parents=True)


def test_poses_by_odd_names(images: Path, tmp_path: Path):
    poses = tmp_path / "poses.yaml"
    stems = [stem for stem in STEMS if "\udce9" not in stem]
    poses.write_text(json.dumps({f"{stem}.png": {"yaw": number} for number, stem in enumerate(stems)}))
    found = generate.posed_images([str(images / f"{stem}.png") for stem in stems], str(poses))
    assert [pose["yaw"] for pose in found] == list(range(len(stems)))


@pytest.mark.parametrize("settings", [{"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_a_locale_without_accents_changes_nothing(settings: dict[str, str], tmp_path: Path):
    for number, stem in enumerate(("caf\u00e9", "\udce9 latin", "日本")):
        light = (panorama(number).numpy() + 1) / 2
        (tmp_path / "é").mkdir(exist_ok=True)
        write_exr(dict(zip("RGB", light, strict=True)), tmp_path / "é" / f"{stem}.exr")
    ran = subprocess.run(
        [sys.executable, ROOT / "misc" / "exr2png.py", "--image_dir", tmp_path / "é", "--out_dir", tmp_path / "öut"],
        env={**os.environ, **settings},
        capture_output=True,
        timeout=60,
    )
    assert ran.returncode == 0 and b"Traceback" not in ran.stderr, ran.stderr
    made = {path.name for path in (tmp_path / "öut").glob("*.png")}
    assert made == {"caf\u00e9.png", "\udce9 latin.png", "日本.png"}


@pytest.mark.parametrize(
    "arguments",
    [["--prompt", "a caf\udce9"], ["--prompt-at", "90,0: a caf\udce9"], ["generator.sampler.negative=\\udce9"]],
)
def test_words_that_are_no_text_are_refused(arguments: list[str], images: Path):
    """Names of files may be any bytes, but no encoder reads such words."""
    arguments = [argument.replace("\\udce9", '"\\udce9"') for argument in arguments]
    options = generate.parse(["--image", str(images / f"{STEMS[0]}.png"), *arguments])
    with pytest.raises(UserError, match="must be a text in UTF-8, got .*udce9"):
        read_inference(generate.read_config(options))


def test_half_characters_in_shards_leave_their_sample_out(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, text in (("a", '"half \\ud800"'), ("b", '"a hall"')):
            for suffix, content in (("png", png_bytes(to_pil(panorama(0)))), ("json", text.encode())):
                member = tarfile.TarInfo(f"{name}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    reading = PanoramaStream(StreamConfig(shards=[str(tmp_path)]), 16, 0).read(0, 1)
    assert [next(reading).panorama.captions for _ in range(2)] == [("a hall",)] * 2
    assert "a: 'utf-8' codec can't encode" in caplog.text
