"""How well light is guessed from a panorama of display values, beside what needs no network.

python benchmarks/hdr.py --truth DIR [DIR ...] [--index FILE] [--height 256] [--sritmo FOLDER] [--expander NAME=COMMAND]

Every EXR or HDR file of a folder is shown as a camera would show it: the mean of its logarithms becomes 0.18, all
above 1 is cut off, 8 bits a colour in the sRGB curve. Each expander makes light of that PNG again, and is
compared with the truth. --index names a CSV file with columns slug and split: of the files it knows, only those of the
split "test" are taken. COMMAND is a command line with {photo} and {light}, the files to read and to write (EXR).

Prints a Markdown table: means over the panoramas of a folder. Held-out scenes come from
python misc/make_scenes.py --out_dir DIR --count 12 --seed 930000 --height 256 --format exr --kinds all
"""

import argparse
import csv
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

from benchmarks.tables import table  # noqa: E402

if TYPE_CHECKING:
    from torch import Tensor

Expander = Callable[[Path, Path], None]
"""Makes a file of light of a file of display values."""
Lit = tuple["Tensor", "Tensor"]
"""A panorama of light [1, 3, height, width] and the spheres under it (`aognet.hdr.three_spheres`)."""
MIDDLE = 0.18
HIGHLIGHTS, MOST = 0.9, 16.0
COLUMNS = {
    "si-RMSE": "si_rmse/whole",
    "angle of colour °": "colour_angle/whole",
    "peak direction °": "peak_angle/whole",
    "log-luminance, stops": "log_luminance/whole",
    "PU21-PSNR dB": "pu21_psnr/whole",
    "diffuse si-RMSE": "diffuse_si_rmse/whole",
    "silver si-RMSE": "silver_si_rmse/whole",
    "mirror si-RMSE": "mirror_si_rmse/whole",
    "diffuse angle °": "diffuse_colour_angle/whole",
}


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--truth", type=Path, nargs="+", required=True, help="folders of EXR or HDR panoramas")
    parser.add_argument("--index", type=Path, help="CSV file that knows which of them are of the split test")
    parser.add_argument("--height", type=int, default=256, help="rows at which all is measured")
    parser.add_argument("--limit", type=int, default=0, help="panoramas of each folder (0: all)")
    parser.add_argument("--sritmo", type=Path, action="append", default=[], help="folder of a trained SR-iTMO")
    parser.add_argument("--expander", action="append", default=[], metavar="NAME=COMMAND")
    return parser.parse_args(argv)


def of_values(change: Callable[["Tensor"], "Tensor"]) -> Expander:
    """Return an expander that makes light [3, height, width] of display values in [0, 1]."""
    from aognet.io.panorama_files import read_panorama, write_panorama

    def expand(photo: Path, light: Path) -> None:
        write_panorama(change(read_panorama(photo)[0]), light, "linear")

    return expand


def inverse_gamma(shown: "Tensor") -> "Tensor":
    """Light as bright as paper, at most: what the sRGB curve says."""
    from aognet.io.panorama_files import encoded

    return encoded(shown, "srgb", "linear")


def highlights(shown: "Tensor") -> "Tensor":
    """The same, and what is nearly white up to four stops brighter; pixels keep their colour."""
    above = ((shown.amax(0) - HIGHLIGHTS) / (1 - HIGHLIGHTS)).clamp(0, 1)
    return inverse_gamma(shown) * MOST ** above.square()


def published_finishing(shown: "Tensor") -> "Tensor":
    """What the published code of Text2Light does to a network's light, done to that of the sRGB curve.

    It depends on the unit of light, and needs a logarithm above zero: the brightest becomes 16, as in `highlights`.
    """
    from aognet.hdr.finishing import published

    light = inverse_gamma(shown).clamp_min(1e-6)
    return published((light * (MOST / light.max())).log()[None])[0]


def of_network(folder: Path, way: str) -> Expander:
    """Return a trained SR-iTMO at factor 1, with its light finished in one of the ways."""
    from aognet.hdr.expanding import expand
    from aognet.hdr.finishing import FinishingConfig, finished
    from aognet.hdr.sritmo import SrItmo

    network = SrItmo.from_pretrained(folder).float().eval()
    finishing = FinishingConfig(way="published", boost=4.0) if way == "published" else FinishingConfig(way=way)

    def change(shown: "Tensor") -> "Tensor":
        return finished(expand(network, shown * 2 - 1, 1.0).log_light, shown, finishing)

    return of_values(change)


def of_command(command: str) -> Expander:
    """Return a command line as an expander."""
    words = shlex.split(command)

    def expand(photo: Path, light: Path) -> None:
        filled = [word.replace("{photo}", str(photo)).replace("{light}", str(light)) for word in words]
        subprocess.run(filled, check=True, cwd=ROOT)

    return expand


def expanders(options: argparse.Namespace) -> dict[str, Expander]:
    """Return all expanders by the name of their row."""
    found = {
        "inverse gamma": of_values(inverse_gamma),
        "fixed highlights": of_values(highlights),
        "published finishing of inverse gamma": of_values(published_finishing),
    }
    for folder in options.sritmo:
        found[f"SR-iTMO {folder.name}"] = of_network(folder, "photo")
        found[f"SR-iTMO {folder.name}, published finishing"] = of_network(folder, "published")
    named = [text.partition("=") for text in options.expander]
    return found | {name: of_command(command) for name, _, command in named}


def truths(folder: Path, index: Path | None, limit: int) -> list[Path]:
    """Return the files of light of a folder that are not of a split for training."""
    from aognet.io.formats import LIGHT_SUFFIXES
    from aognet.io.listing import files_below

    splits: dict[str, str] = {}
    if index:
        with index.open(encoding="utf-8", newline="") as file:
            splits = {row["slug"]: row["split"] for row in csv.DictReader(file)}
    files = [path for path in files_below(folder, "truth") if path.suffix.lower() in LIGHT_SUFFIXES]
    return [path for path in files if splits.get(path.stem, "test") == "test"][: limit or None]


def exposed(path: Path, height: int) -> "Tensor":
    """Return the light of a file [3, height, 2 height] in the unit in which its photograph's white is 1."""
    from aognet.io.panorama_files import read_panorama
    from aognet.metrics.averaging import pixel_mean
    from aognet.metrics.luminance import luminance

    light = read_panorama(path, height)[0]
    logs = luminance(light[None]).clamp_min(1e-9).log()
    return light * (MIDDLE / float(pixel_mean(logs, by_solid_angle=True).exp()))


def measured(truth: Lit, expand: Expander, photo: Path, light: Path) -> tuple[dict[str, float], float]:
    """Return the errors of what an expander makes of a photograph, and its seconds."""
    from aognet.evaluation.light import light_pair_scores
    from aognet.hdr.three_spheres import three_spheres
    from aognet.io.panorama_files import read_panorama

    begin = time.perf_counter()
    expand(photo, light)
    seconds = time.perf_counter() - begin
    found = read_panorama(light, truth[0].shape[-2])[0][None]
    scores = light_pair_scores((found, three_spheres(found)), truth)
    return {key: float(value) for key, value in scores.items()}, seconds


def main(argv: Sequence[str] | None = None) -> None:
    options = parse(argv)
    from aognet.hdr.three_spheres import three_spheres
    from aognet.io.panorama_files import write_panorama

    rows: list[list[object]] = []
    every = expanders(options)
    with tempfile.TemporaryDirectory() as temporary:
        photo, light = Path(temporary, "photo.png"), Path(temporary, "light.exr")
        for folder in options.truth:
            found: dict[str, list[tuple[dict[str, float], float]]] = {name: [] for name in every}
            files = truths(folder, options.index, options.limit)
            for path in files:
                truth = exposed(path, options.height)
                write_panorama(inverse_of_gamma(truth), photo, "srgb")
                lit = truth[None], three_spheres(truth[None])
                for name, expand in every.items():
                    light.unlink(missing_ok=True)
                    found[name].append(measured(lit, expand, photo, light))
            rows += [[name, f"{folder.name} ({len(files)})", *means(each)] for name, each in found.items() if each]
    sys.stdout.write(table(["expander", "panoramas", *COLUMNS, "seconds"], rows))


def inverse_of_gamma(light: "Tensor") -> "Tensor":
    """Return display values in [0, 1]: what is brighter than white is cut off."""
    import torch

    from aognet.io.srgb import encode_srgb

    return torch.from_numpy(encode_srgb(light.clamp(0, 1).numpy()))


def means(found: Sequence[tuple[dict[str, float], float]]) -> list[float | None]:
    """Return the mean of each column, of the panoramas that have a number there, and of the seconds."""
    columns = [[scores[key] for scores, _ in found if scores[key] == scores[key]] for key in COLUMNS.values()]
    return [*(fmean(column) if column else None for column in columns), fmean(seconds for _, seconds in found)]


if __name__ == "__main__":
    main()
