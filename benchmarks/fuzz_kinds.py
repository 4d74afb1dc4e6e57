"""What ``benchmarks/fuzz.py`` damages: files of every kind that a command reads, and the command that reads them."""

import json
import pickle
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import fault_kinds
from benchmarks.attempts import Command
from benchmarks.mutations import Draw, mutated, packed

XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" '
    'GPano:ProjectionType="equirectangular" GPano:FullPanoWidthPixels="128" GPano:FullPanoHeightPixels="64" '
    'GPano:CroppedAreaImageWidthPixels="64" GPano:CroppedAreaImageHeightPixels="32" GPano:CroppedAreaLeftPixels="32" '
    'GPano:CroppedAreaTopPixels="16" GPano:PoseHeadingDegrees="10"/></rdf:RDF></x:xmpmeta>'
)


@dataclass(frozen=True)
class Target:
    """``files``: names of those in ``folder`` of which one is damaged; ``command(case, out, draw)`` reads them.

    ``made_anew(path, draw)`` changes a file in a way of its own, and says how.
    """

    name: str
    folder: str
    files: Sequence[str]
    command: Callable[[Path, Path, Draw], Command]
    made_anew: Callable[[Path, Draw], str] | None = None


def make_inputs(folder: Path) -> None:
    """A folder for each target, with good files."""
    fault_kinds.make_inputs(folder)
    for make in (_photos, _light, _depths, _texts, _pickle, _shards, _models, _loras):
        make(folder)


def make_runs(folder: Path) -> list[Command]:
    """What leaves a finished run of painting, an experiment and captions, all to be damaged."""
    run = fault_kinds.FINISHED(inputs=folder, out=folder / "run")
    captions = fault_kinds.caption(1, inputs=folder, out=folder / "described")
    return [run, _train(folder, folder / "experiment", "trainer.max_steps=2"), captions]


def _photos(folder: Path) -> None:
    from PIL import Image, ImageCms

    from aognet.io.gpano import save_panorama

    photo = Image.open(folder / "panoramas" / "0.png").convert("RGB")
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 3, "a camera"
    exif.get_ifd(0x8769)[0xA405] = 28
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    about: dict[str, Any] = {"exif": exif, "icc_profile": profile}
    for name in ("formats", "metadata", "masks", "captions", "poses"):
        (folder / name).mkdir()
    kinds: dict[str, dict[str, Any]] = {kind: {} for kind in ("png", "jpg", "webp", "tif", "bmp", "jp2", "avif")}
    kinds |= {"webp": {"lossless": True}, "tif": {"compression": "tiff_lzw"}} | (
        {"heic": {}} if _registered_heif() else {}
    )
    for suffix, options in kinds.items():
        told: dict[str, Any] = about if suffix in ("png", "jpg", "webp", "tif") else {}
        photo.save(folder / "formats" / f"a.{suffix}", **options, **told)
    photo.save(folder / "metadata" / "a.jpg")
    save_panorama(Image.open(folder / "panoramas" / "0.png"), folder / "masks" / "panorama.png", description="a place")
    Image.radial_gradient("L").resize((64, 32)).point(lambda value: 255 * (value > 128)).save(
        folder / "masks" / "mask.png"
    )
    photo.convert("RGBA").save(folder / "masks" / "cut.png")
    photo.save(folder / "captions" / "a.png")
    line = {"captions": ["a yard", "a garden"], "model": "m", "revision": None, "yaws": [[0.0, 30.0], [90.0]]}
    lines = [{"file": name} | line for name in ("a.png", "b/c.jpg")]
    (folder / "captions" / "words.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    for name in ("a.png", "b.png"):
        photo.save(folder / "poses" / name)
    poses = {"a.png": {"yaw": 0, "fov": 70}, "b.png": {"yaw": 90.5, "pitch": -5, "roll": 1, "fov": 60}}
    (folder / "poses" / "poses.yaml").write_text(json.dumps(poses, indent=1))


def _registered_heif() -> bool:
    from aognet.io.formats import decoders, has_heif

    decoders()
    return has_heif()


def _light(folder: Path) -> None:
    import cv2
    import numpy as np

    (folder / "hdr").mkdir()
    shutil.copy(folder / "light" / "a.exr", folder / "hdr" / "a.exr")
    light = np.random.default_rng(0).random((16, 32, 3)).astype(np.float32)
    (folder / "hdr" / "b.hdr").write_bytes(cv2.imencode(".hdr", light)[1].tobytes())


def _depths(folder: Path) -> None:
    import cv2
    import numpy as np

    from aognet.io.hdr import write_exr
    from tests.tiny import tiny_controlnet, tiny_unet

    (folder / "depths").mkdir()
    distances = np.random.default_rng(0).uniform(1, 9, (16, 32)).astype(np.float32)
    np.save(folder / "depths" / "a.npy", distances)
    write_exr({"Z": distances}, folder / "depths" / "a.exr")
    (folder / "depths" / "a.png").write_bytes(cv2.imencode(".png", (distances * 7000).astype(np.uint16))[1].tobytes())
    tiny_controlnet(tiny_unet("sd2", channels=4)).save_pretrained(folder / "controlnet")


def _texts(folder: Path) -> None:
    rows = [("file", "caption", "split")]
    rows += [(f"{number}.png", f"a place, {number}".replace(",", ""), "train") for number in range(4)]
    for name in ("csv", "prompts", "configs"):
        (folder / name).mkdir()
    for name in ("csv", "prompts"):
        shutil.copytree(folder / "panoramas", folder / name, dirs_exist_ok=True)
    (folder / "csv" / "list.csv").write_text("".join(f"{','.join(row)}\n" for row in rows))
    index = ["slug,split,caption", "one,train,a hall", "two,test,a yard"]
    (folder / "csv" / "index.csv").write_text("\n".join(index) + "\n")
    (folder / "prompts" / "prompts.txt").write_text("".join(f"a place with {number} things\n" for number in range(4)))
    for name in ("paint", "train"):
        shutil.copy(folder / f"{name}.yaml", folder / "configs")


def _pickle(folder: Path) -> None:
    (folder / "pickle").mkdir()
    captions = {Path(f"/data/{number}.png"): {f"a place {number}", "a view"} for number in range(4)}
    for protocol in (0, 2, 4):
        texts = captions if protocol else {str(path): list(texts) for path, texts in captions.items()}
        (folder / "pickle" / f"{protocol}.pkl").write_bytes(pickle.dumps(texts, protocol))


def _shards(folder: Path) -> None:
    (folder / "shards").mkdir()
    for shard in range(2):
        members: dict[str, bytes] = {}
        for number in range(2):
            image = (folder / "panoramas" / f"{2 * shard + number}.png").read_bytes()
            words = {"captions": ["a place"]}
            members |= {
                f"{number}.png": image,
                f"{number}.txt": b"a place",
                f"{number}.json": json.dumps(words).encode(),
            }
        (folder / "shards" / f"{shard}.tar").write_bytes(packed(members))


def _models(folder: Path) -> None:
    (folder / "models").mkdir()
    for name in ("backbone", "streams"):
        shutil.copytree(folder / name, folder / "models" / name)


def _loras(folder: Path) -> None:
    """The same additions as of kohya, and as of PEFT with its config."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "backbone" / "unet" / "diffusion_pytorch_model.safetensors")
    kohya, peft = dict[str, Any](), dict[str, Any]()
    for name in [name.removesuffix(".weight") for name in weights if name.endswith("to_q.weight")]:
        weight, key = weights[f"{name}.weight"], f"lora_unet_{name.replace('.', '_')}"
        down, up = weight[:2].clone(), weight[:, :2].clone()
        kohya |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.alpha": weight[0, 0].abs()}
        peft |= {f"base_model.model.{name}.lora_A.weight": down, f"base_model.model.{name}.lora_B.weight": up}
    (folder / "loras").mkdir()
    save_file(kohya, folder / "loras" / "kohya.safetensors")
    save_file(peft, folder / "loras" / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "alpha_pattern": {"to_q": 1}, "use_rslora": True}
    (folder / "loras" / "adapter_config.json").write_text(json.dumps(config, indent=1))


def _paint(inputs: Path, out: Path, *arguments: object) -> Command:
    given = [str(argument) for argument in arguments]
    return Command("inference", ["-b", str(inputs / "paint.yaml"), *given, "--inference_out_dir", str(out)])


def _train(inputs: Path, out: Path, *settings: str) -> Command:
    shown = ["data.validation=null", "trainer.validate_every=0", "trainer.images_every=0", "trainer.max_steps=1"]
    arguments = ["-b", str(inputs / "train.yaml"), "-n", "run", "--out_dir", str(out), *shown, *settings]
    return Command("main", arguments, environment={"AOGNET_CACHE": str(inputs / "cache")})


def _photo(name: str, case: Path, out: Path, draw: Draw) -> Command:
    return _paint(case.parent, out, "--image", case / name, "--prompt", "a yard")


def _controlled(case: Path, out: Path, draw: Draw) -> Command:
    inputs, good = case.parent, case.parent / "depths"
    damaged = (path for path in sorted(case.iterdir()) if path.read_bytes() != (good / path.name).read_bytes())
    model = ("--checkpoint", inputs / "backbone", "method=seamless", "--controlnet", inputs / "controlnet")
    kind = draw.choice(("auto", "inverse", "distance"))
    depth = ("--depth", next(damaged, case / "a.png"), "--depth_kind", kind)
    return _paint(inputs, out, *model, *depth, "--prompt", "a yard")


def _photo_or_panorama(name: str, case: Path, out: Path, draw: Draw) -> Command:
    """A photograph, or a panorama to complete with a good mask."""
    if draw.random() < 0.5:
        return _photo(name, case, out, draw)
    mask = case.parent / "masks" / "mask.png"
    return _paint(case.parent, out, "--panorama", case / name, "--mask", mask, "--prompt", "a yard")


def _metadata(path: Path, draw: Draw) -> str:
    """Damaged EXIF, ICC profile or XMP in a file that is whole."""
    from PIL import Image

    good = path.parents[1] / "formats" / "a.jpg"
    with Image.open(good) as image:
        told = {key: image.info[key] for key in ("exif", "icc_profile")} | {"xmp": XMP.encode()}
        key = draw.choice(list(told))
        told = {name: value for name, value in told.items() if name == key or name != "xmp"}
        told[key], how = mutated(told[key], ".txt" if key == "xmp" else "", draw)
        try:
            image.save(path, format=draw.choice(("JPEG", "PNG", "WEBP")), **told)
        except (ValueError, OSError, TypeError, SyntaxError):  # too large for its segment
            shorter: dict[str, Any] = {key: told[key][:60000]}
            image.save(path, **shorter)
    return f"{key}: {how}"


def _masked(case: Path, out: Path, draw: Draw) -> Command:
    image, mask = case / "panorama.png", case / "mask.png"
    if draw.random() < 0.3:
        return _photo("cut.png", case, out, draw)
    return _paint(case.parent, out, "--panorama", image, "--mask", mask, "--prompt", "a yard")


def _captions(case: Path, out: Path, draw: Draw) -> Command:
    words = case / "words.jsonl"
    if draw.random() < 0.5:
        return _paint(case.parent, out, f"inputs.photos=[{case}/a.png]", f"inputs.captions=[{words}]")
    folder = case.parent / "panoramas"
    return _train(case.parent, out, f"data.train.augmented_captions=[{words}]", f"data.train.folders=[{folder}]")


def _manifest(name: str, case: Path, out: Path, draw: Draw) -> Command:
    return _train(
        case.parent, out, f"data.train.manifests=[{case / name}]", "data.train.captions=[]", "data.train.folders=[]"
    )


def _csv(case: Path, out: Path, draw: Draw) -> Command:
    if draw.random() < 0.5:
        return Command("misc.index_captions", ["--index", str(case / "index.csv"), "--out_dir", str(out)])
    return _manifest("list.csv", case, out, draw)


def _convert(case: Path, out: Path, draw: Draw) -> Command:
    if draw.random() < 0.5:
        return _paint(case.parent, out, "--image", case / draw.choice(("a.exr", "b.hdr")), "--prompt", "a yard")
    return Command("misc.exr2png", ["--image_dir", str(case), "--out_dir", str(out), "--num_workers", "1"])


def _posed(case: Path, out: Path, draw: Draw) -> Command:
    images = ["--image", case / "a.png", "--image", case / "b.png"]
    return _paint(case.parent, out, *images, "--poses", case / "poses.yaml", "--prompt", "a yard")


def _configured(case: Path, out: Path, draw: Draw) -> Command:
    photo = case.parent / "photos" / "yard.png"
    if draw.random() < 0.5:
        # Over a whole one: what the damage took away would else be a panorama of full size, for minutes.
        files = ["-b", case.parent / "paint.yaml", case / "paint.yaml"]
        given = [*files, "--image", photo, "--prompt", "a yard", "--inference_out_dir", out]
        return Command("inference", list(map(str, given)))
    command = _train(case.parent, out)
    return Command("main", ["-b", str(case / "train.yaml"), *command.arguments[2:]], environment=command.environment)


def _run(case: Path, out: Path, draw: Draw) -> Command:
    folder = case / "yard"
    edit = draw.choice((["--undo", "1"], ["--repaint", "90,0: a barn"], []))
    if edit:
        return Command("inference", [*edit, "--inference_out_dir", str(folder)])
    return fault_kinds.FINISHED(inputs=case.parent, out=case)


def _resumed(case: Path, out: Path, draw: Draw) -> Command:
    return _train(case.parent, case, "trainer.max_steps=3", "--resume")


def _model(case: Path, out: Path, draw: Draw) -> Command:
    place = case / draw.choice(("streams", "streams", "backbone"))
    photo = case.parent / "photos" / "yard.png"
    return _paint(case.parent, out, "--checkpoint", place, "--image", photo, "--prompt", "a yard")


def _added(case: Path, out: Path, draw: Draw) -> Command:
    loras = ["--lora", case / "kohya.safetensors", "--lora", f"{case / 'adapter_model.safetensors'}=0.5"]
    photo = case.parent / "photos" / "yard.png"
    return _paint(case.parent, out, *loras, "--image", photo, "--prompt", "a yard")


def _imported(case: Path, out: Path, draw: Draw) -> Command:
    good = case.parent / "pickle"
    damaged = (path for path in sorted(case.glob("*.pkl")) if path.read_bytes() != (good / path.name).read_bytes())
    given = next(damaged, case / "4.pkl")
    return Command("misc.import_captions", ["--captions", str(given), "--out", str(case / "captions.jsonl")])


def _streamed(case: Path, out: Path, draw: Draw) -> Command:
    nothing = ["data.train.folders=[]", "data.train.captions=[]", "trainer.max_steps=3"]
    return _train(case.parent, out, f"data.train.stream={{shards: [{case}]}}", *nothing)


def _captioned(case: Path, out: Path, draw: Draw) -> Command:
    return fault_kinds.caption(1, inputs=case.parent, out=case)


MODEL_FILES = (
    *("streams/config.json", "streams/model.safetensors", "backbone/model_index.json", "backbone/unet/config.json"),
    *("backbone/unet/diffusion_pytorch_model.safetensors", "backbone/vae/config.json"),
    *("backbone/vae/diffusion_pytorch_model.safetensors", "backbone/text_encoder/config.json"),
    *("backbone/text_encoder/model.safetensors", "backbone/tokenizer/tokenizer.json"),
    *("backbone/tokenizer/tokenizer_config.json", "backbone/image_encoder/config.json"),
    *("backbone/image_encoder/model.safetensors", "backbone/scheduler/scheduler_config.json"),
)
LORAS = ("kohya.safetensors", "adapter_model.safetensors", "adapter_config.json")
STATE = "run/checkpoints/step-00000002"
EXPERIMENT = (
    *(f"{STATE}/{name}" for name in ("state.json", "manifest.json", "weights.safetensors", "optimizer.safetensors")),
    *(f"{STATE}/random.safetensors", "run/metrics.jsonl", "run/provenance.json", "run/config.yaml"),
)
RUN = ("yard/run.json", "yard/run.json", "yard/run.json", "yard/input.png", "yard/steps/000.png", "yard/steps/003.png")
FORMATS = ("png", "jpg", "webp", "tif", "bmp", "jp2", "avif", "heic")


def targets(inputs: Path) -> list[Target]:
    """All that is damaged; without HEIC where it cannot be read."""
    photos = [
        Target(suffix.upper(), "formats", [f"a.{suffix}"], partial(_photo_or_panorama, f"a.{suffix}"))
        for suffix in FORMATS
        if (inputs / "formats" / f"a.{suffix}").is_file()
    ]
    return [
        *photos,
        Target("EXIF, ICC, XMP", "metadata", ["a.jpg"], partial(_photo_or_panorama, "a.jpg"), _metadata),
        Target("EXR, HDR", "hdr", ["a.exr", "b.hdr"], _convert),
        Target("depth maps", "depths", ["a.npy", "a.exr", "a.png"], _controlled),
        Target("mask, cut-out", "masks", ["mask.png", "panorama.png", "cut.png"], _masked),
        Target("captions (JSONL)", "captions", ["words.jsonl"], _captions),
        Target("tables (CSV)", "csv", ["list.csv", "index.csv"], _csv),
        Target("prompts.txt", "prompts", ["prompts.txt"], partial(_manifest, "prompts.txt")),
        Target("poses (YAML)", "poses", ["poses.yaml"], _posed),
        Target("configurations (YAML)", "configs", ["paint.yaml", "train.yaml"], _configured),
        Target("run.json, input, steps", "run", RUN, _run),
        Target("models", "models", MODEL_FILES, _model),
        Target("LoRA files", "loras", LORAS, _added),
        Target("training checkpoints", "experiment", EXPERIMENT, _resumed),
        Target("caption pickles", "pickle", ["0.pkl", "2.pkl", "4.pkl"], _imported),
        Target("tar shards", "shards", ["0.tar", "1.tar"], _streamed),
        Target("captions so far", "described", ["caption.jsonl", "caption_aug.jsonl"], _captioned),
    ]
