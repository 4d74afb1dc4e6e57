"""What is killed by ``benchmarks/faults.py``: commands on tiny models, and which of their files have to be the same."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from benchmarks.attempts import Command

HEIGHT = 32
# What takes long to import.
MODULES = (
    "aognet.generate.inference",
    "aognet.training.trainer",
    "aognet.methods.aognet.model",
    "aognet.captioning.folder_captions",
)
OF_THE_RUN = ("samples_per_second", "memory_gigabytes")  # what metrics say of the computer
PHOTO = ("--prompt", "a yard in the sun", "--fov", "80", "--seed", "3", "--save_faces", "--name", "yard")


@dataclass(frozen=True)
class Kind:
    """``command(inputs, out)``: what is called until it ends by itself; ``begin(inputs, out)``: what is there before.

    ``calls``: whether it dies at its calls, too: not where its work is done by processes that are started anew.
    ``once``: given again after it is whole, it is done again.
    """

    name: str
    command: Callable[..., Command]
    begin: Callable[[Path, Path], None] = lambda inputs, out: None
    calls: bool = True
    once: bool = False


def make_inputs(folder: Path) -> None:
    """Photographs, panoramas, light, and tiny models in the layout of the real ones."""
    import numpy as np

    from aognet.io.captions import save_captions
    from aognet.io.hdr import write_exr
    from aognet.io.images import save_image
    from tests.generate.painter import smooth_photo
    from tests.tiny import tiny_backbone_folder, tiny_streams
    from tests.tiny_captioners import tiny_captioner

    for name in ("photos", "panoramas", "light/deep"):
        (folder / name).mkdir(parents=True)
    for number, name in enumerate(("yard", "hall")):
        save_image(smooth_photo(30, 40).roll(5 * number, -1), folder / "photos" / f"{name}.png")
    names = [f"{number}.png" for number in range(4)]
    for number, name in enumerate(names):
        save_image(smooth_photo(HEIGHT, 2 * HEIGHT).roll(9 * number, -1), folder / "panoramas" / name)
    save_captions(
        {name: [f"a place with {number} things"] for number, name in enumerate(names)}, folder / "words.jsonl"
    )
    for number, name in enumerate(("a.exr", "b.exr", "deep/c.exr", "deep/d.exr", "e.exr")):
        light = np.random.default_rng(number).random((16, 32, 3)).astype(np.float16)
        write_exr({letter: light[..., i] for i, letter in enumerate("RGB")}, folder / "light" / name)
    backbone = tiny_backbone_folder(folder / "backbone")
    model = tiny_streams(backbone)
    model.save_pretrained(folder / "streams")
    tiny_captioner(folder / "captioner", "blip2-opt")
    (folder / "paint.yaml").write_text(json.dumps(painting(folder)))
    (folder / "train.yaml").write_text(json.dumps(training(folder, asdict(model.config))))


def painting(folder: Path) -> dict:
    """Settings of ``inference.py``: six views of 16 pixels or so."""
    sizes = {"height": HEIGHT, "plan": {"size": 16, "fov_degrees": 110, "overlap": 0.2}, "face_size": 16}
    sampler = {"sampler": {"steps": 2, "guidance": 2.5}, "views_per_batch": 2}
    return {"checkpoint": str(folder / "streams"), "device": "cpu", "generator": sizes | sampler}


def training(folder: Path, model: dict) -> dict:
    """Settings of ``main.py``: four steps with validation, images and checkpoints in between."""
    data = {
        "target": "outpainting", "folders": [str(folder / "panoramas")], "captions": [str(folder / "words.jsonl")],
        "height": HEIGHT, "face_size": 16, "plan": {"kind": "cover", "size": 16},
    }  # fmt: skip
    trainer = {
        "max_steps": 4, "batch_size": 1, "learning_rate": 1e-3, "ema_decay": 0.5, "log_every": 1, "validate_every": 2,
        "validation_samples": 2, "images_every": 3, "image_samples": 1, "checkpoint_every": 1, "keep_checkpoints": 2,
        "num_workers": 0, "device": "cpu", "threads": 1,
    }  # fmt: skip
    return {"model": {"target": "aognet"} | model, "data": {"train": data, "validation": data}, "trainer": trainer}


def paint(*arguments: str, inputs: Path, out: Path) -> Command:
    given = [argument.format(inputs=inputs) for argument in arguments]
    return Command("inference", ["-b", str(inputs / "paint.yaml"), *given, "--inference_out_dir", str(out)])


def finished(inputs: Path, out: Path) -> None:
    """A run that is there already."""
    shutil.copytree(inputs / "finished" / "yard", out / "yard")


def edit(*arguments: str, inputs: Path, out: Path) -> Command:
    return Command("inference", [*arguments, "--inference_out_dir", str(out / "yard")])


def train(*settings: str, ranks: int = 1, inputs: Path, out: Path) -> Command:
    """As its user goes on: with ``--resume`` once there is an experiment."""
    resumed = ["--resume"] if (out / "run").is_dir() else []
    arguments = ["-b", str(inputs / "train.yaml"), "-n", "run", "--out_dir", str(out), *resumed, *settings]
    return Command("main", arguments, ranks, {"AOGNET_CACHE": str(out.parent / "cache")})


def convert(workers: int, inputs: Path, out: Path) -> Command:
    arguments = ["--image_dir", str(inputs / "light"), "--out_dir", str(out), "--num_workers", str(workers)]
    return Command("misc.exr2png", arguments)


def caption(ranks: int, inputs: Path, out: Path) -> Command:
    arguments = ["--image_dir", inputs / "panoramas", "--out_dir", out, "--model", inputs / "captioner"]
    options = ["--augment", "--stride", 120, "--view_size", 16, "--batch_size", 2, "--max_new_tokens", 6]
    return Command("misc.captioning", list(map(str, [*arguments, *options, "--device", "cpu"])), ranks)


FINISHED = partial(paint, "--image", "{inputs}/photos/yard.png", *PHOTO)
SEVERAL = ("inputs.photos=[{inputs}/photos]", "panoramas_per_batch=2", "inputs.prompt=a place")
TRUTH = ("inputs.panoramas=[{inputs}/panoramas/0.png]", "inputs.prompt=a place", "inputs.name=yard")
KINDS: Sequence[Kind] = (
    Kind("painting-photo", FINISHED),
    Kind("painting-truth", partial(paint, *TRUTH)),
    Kind("painting-several", partial(paint, *SEVERAL)),
    Kind("repaint", partial(edit, "--repaint", "90,0: a red barn"), finished, once=True),
    Kind("undo", partial(edit, "--undo", "2"), finished, once=True),
    Kind("training", train),
    Kind("training-workers", partial(train, "trainer.num_workers=2")),
    Kind("training-ranks", partial(train, ranks=2)),
    Kind("exr2png", partial(convert, 1), calls=False),
    Kind("exr2png-workers", partial(convert, 2), calls=False),
    Kind("captioning", partial(caption, 1)),
    Kind("captioning-ranks", partial(caption, 2)),
)


def results(out: Path) -> dict[str, bytes]:
    """All files of a folder by name, hidden ones too, without what is documented to tell of the run and not of it."""
    found = {}
    for path in sorted(out.rglob("*")):
        if path.is_file():
            found[path.relative_to(out).as_posix()] = _lasting(path)
    return found


def _lasting(path: Path) -> bytes:
    content = path.read_bytes()
    if path.name == "metrics.jsonl":
        rows = [json.loads(line) for line in content.splitlines()]
        rows = [{key: value for key, value in row.items() if key.split("/")[-1] not in OF_THE_RUN} for row in rows]
        return json.dumps(rows).encode()
    if path.name == "provenance.json":  # an entry for each start
        return b"a list" if isinstance(json.loads(content), list) else content
    if path.name == "exr2png.json":
        return json.dumps(json.loads(content)["settings"]).encode()
    if path.name == "exr2png_report.json":
        return json.dumps(json.loads(content)["failed"]).encode()
    return content
