"""Whether what is painted has the depth that was given, on scenes that no training used.

python benchmarks/depth_adherence.py --out_dir outputs/depth_adherence [--scenes 24] [key.sub=value ...]

Every scene's own caption is painted twice with the same seed: with its depth and without. A small network, which is
trained here on other scenes, reads the inverse distances of the results. They are compared with those of the scene,
within 45 degrees of the horizon and after the best scale and shift. *Error* is the root mean squared error as a share
of the deviation of the true inverse distances: 0 is perfect, 1 says nothing. *Ranks* is the rank correlation. The
first row is the network's own error, on the scenes as they were drawn; the last what the latitude alone says, by the
mean of the scenes that it learned from. Prints a Markdown table.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

from benchmarks.tables import table  # noqa: E402

CONFIG = ROOT / "config" / "inference_seamless.yaml"
HELD_OUT, OTHERS = 940_000, 960_000  # seeds: of the scenes that are painted, and of those that the network learns from
PAINTED, SMALL = 256, 64  # rows of the former and of the latter
ROOMS = (
    *("living room", "bedroom", "kitchen", "bathroom", "dining room", "office"),
    *("library", "corridor", "art gallery", "cafe", "church", "hotel lobby"),
)
OUTDOORS = (
    *("hills", "rocky desert", "mountains", "beach", "lake", "river"),
    *("forest", "village", "city street", "city square", "park", "harbour"),
)
NUMBERS = ("error", "ranks")
SETS = {"all": slice(None), "rooms": slice(0, None, 2), "landscapes": slice(1, None, 2)}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out_dir", type=Path, required=True, help="what is there already stays")
    parser.add_argument("--scenes", type=int, default=24, help="that are painted: rooms and landscapes in turn")
    parser.add_argument("--learn_from", type=int, default=600, help="other scenes, for the network")
    parser.add_argument("--steps", type=int, default=1000, help="of the network's training")
    parser.add_argument("--config", type=Path, default=CONFIG, help="how it is painted")
    parser.add_argument("overrides", nargs="*", metavar="key.sub=value", help="changes of that")
    options = parser.parse_args(argv)
    sys.stdout.write(table(["what is read", *(f"{set_}, {name}" for set_ in SETS for name in NUMBERS)], rows(options)))


def rows(options: argparse.Namespace) -> list[list[object]]:
    """The table's rows; what they need is made first, where it is missing."""
    import torch

    from benchmarks.depth_estimator import learned, load_scenes

    kinds = [kind for pair in zip(ROOMS, OUTDOORS, strict=True) for kind in pair]
    held_out = make_scenes(options.out_dir / "held_out", options.scenes, HELD_OUT, PAINTED, kinds)
    others = make_scenes(options.out_dir / "others", options.learn_from, OTHERS, SMALL, ["all"])
    learned_from = load_scenes(*others)
    network = learned(options.out_dir / "estimator.safetensors", learned_from, options.steps)
    truth = load_scenes(*held_out)
    pictures = {"the scenes themselves": truth.images}
    for given, title in ((True, "painted with the depth"), (False, "painted without it")):
        pictures[title] = load_scenes(paint(*held_out, given, options), held_out[1]).images
    with torch.no_grad():
        read = {title: network(images) for title, images in pictures.items()}
    read["nothing, the latitude alone"] = learned_from.nearness.mean((0, 3), keepdim=True).expand_as(truth.nearness)
    return [[title, *numbers(values, truth.nearness)] for title, values in read.items()]


def make_scenes(folder: Path, count: int, seed: int, height: int, kinds: Sequence[str]) -> tuple[Path, Path]:
    """Returns the folders of scenes and of their distances."""
    depth = folder.with_name(f"{folder.name}_depth")
    command = [sys.executable, str(ROOT / "misc" / "make_scenes.py"), "--out_dir", str(folder), "--format", "png"]
    command += ["--count", str(count), "--seed", str(seed), "--height", str(height), "--depth_dir", str(depth)]
    subprocess.run([*command, "--kinds", *kinds], check=True, cwd=ROOT)
    return folder, depth


def paint(scenes: Path, depth: Path, given: bool, options: argparse.Namespace) -> Path:
    """Returns a folder with a painted picture for each scene, of its name."""
    from aognet import Request, load
    from aognet.io.captions import load_captions
    from aognet.io.images import save_image

    folder = options.out_dir / ("with_depth" if given else "without_depth")
    folder.mkdir(exist_ok=True)
    captions, model = load_captions(scenes / "captions.jsonl"), load(config=options.config, settings=options.overrides)
    for path in sorted(scenes.glob("scene_*.png")):
        if not (folder / path.name).exists():
            file = str(depth / f"{path.stem}.exr") if given else None
            asked = Request(captions[path.name][0], depth=file, name=path.stem, height=PAINTED)
            save_image(model.generate(asked).panorama * 2 - 1, folder / path.name)
    return folder


def numbers(read: Any, truth: Any) -> list[float]:
    """The means over all scenes, over rooms and over landscapes."""
    from benchmarks.depth_estimator import ranks, unexplained

    error = unexplained(read, truth).sqrt()
    alike = (1 - unexplained(ranks(read), ranks(truth))).sqrt()
    return [float(values[chosen].mean()) for chosen in SETS.values() for values in (error, alike)]


if __name__ == "__main__":
    main()
