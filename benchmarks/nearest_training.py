"""The training panoramas that are nearest to what a method painted: is anything memorised?

python benchmarks/nearest_training.py --results outputs/methods/seamless-words --training data/scenes data/panos/ldr \\
    --captions data/scenes/captions.jsonl data/captions/real_train.jsonl [--held_out data/held_out] [--sheet sheet.png]

Each result is compared with every training panorama that the captions name, in every turn and mirrored: by the cosine
distance of CLIP's image embeddings (turns in steps of 360 / --turns degrees) and by pixels (RMSE of 32x64 pixels in
[-1, 1] by solid angle, every turn by a column). Prints a Markdown table, and a second one of the distances of all
results beside those of panoramas that no training has: memorised results would be nearer. The sheet has a result a
row, then its nearest by CLIP and by pixels, turned and mirrored as they fit it.
"""

import argparse
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

from benchmarks.tables import table  # noqa: E402

if TYPE_CHECKING:
    from torch import Tensor

ROWS = 32
BATCH = 64
SHEET_ROWS = 128
HEAD = ("result", "nearest by CLIP", "seen from", "distance", "nearest by pixels", "seen from", "RMSE")
SETS = ("set", "panoramas", "CLIP, median", "CLIP, least", "pixels, median", "pixels, least")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Match:
    """The training panorama nearest to a result: it looks like it from ``yaw_degrees``, and mirrored after that."""

    path: Path
    distance: float
    yaw_degrees: float
    mirrored: bool

    def cells(self) -> list[object]:
        """Name, view and distance, for the table."""
        return [self.path.stem, f"{self.yaw_degrees:.0f}°{', mirrored' if self.mirrored else ''}", self.distance]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--results", type=Path, required=True, help="folder of panoramas, or an out_dir of inference.py")
    add("--training", type=Path, nargs="+", required=True, help="folders of panoramas")
    add("--captions", type=Path, nargs="*", default=[], help="JSONL; what they name of the training is used")
    add("--held_out", type=Path, help="folder of panoramas that no training has, to compare the distances")
    add("--count", type=int, default=12, help="of results, and of held-out ones, spread evenly (default: %(default)s)")
    add("--turns", type=int, default=16, help="for CLIP (default: %(default)s)")
    add("--clip", type=Path, default=ROOT / "assets" / "embedded", help="in diffusers' layout (default: the embedded)")
    add("--sheet", type=Path, metavar="PNG", help="the results beside their nearest, to look at")
    options = parser.parse_args(argv)
    from aognet import cli

    with cli.flags(options):
        sys.stdout.write(report(options))


def report(options: argparse.Namespace) -> str:
    """Both tables; the sheet is written on the way."""
    import torch

    from aognet.data.sources import SourceConfig, find_entries
    from aognet.errors import UserError
    from aognet.perception.load_network import load_network

    for key in ("count", "turns"):
        if getattr(options, key) < 1:
            raise UserError("must be at least 1", key=key, value=getattr(options, key))
    folders, captions = ([str(path) for path in paths] for paths in (options.training, options.captions))
    training = [entry.path for entry in find_entries(SourceConfig(folders=folders, captions=captions))]
    sets = {"results": spread(options.results, "results", options.count)}
    if options.held_out:
        sets["held out"] = spread(options.held_out, "held_out", options.count)
    paths = [path for items in sets.values() for path in items.values()]
    network = load_network(clip_of(options.clip), torch.device("cpu"))
    by_clip, by_pixels = nearest(paths, training, network, options.turns)
    names = list(sets["results"])
    if options.sheet:
        write_sheet(options.sheet, paths[: len(names)], by_clip, by_pixels)
    rows = [[name, *by_clip[at].cells(), *by_pixels[at].cells()] for at, name in enumerate(names)]
    compared, first = [], 0
    for name, items in sets.items():
        part = slice(first, first := first + len(items))
        compared.append([name, str(len(items)), *spans(by_clip[part]), *spans(by_pixels[part])])
    return table(HEAD, rows) + "\n" + table(SETS, compared)


def spread(folder: Path, key: str, count: int) -> dict[str, Path]:
    """At most so many panoramas of a folder, by name, spread evenly."""
    from aognet.evaluation.sets import find_panoramas

    items = find_panoramas(folder, key)
    count = min(count, len(items))
    chosen = [items[number * len(items) // count] for number in range(count)]
    return {item.name: item.path for item in chosen}


def clip_of(folder: Path) -> Any:
    """The configuration of the CLIP in a diffusers folder."""
    from dataclasses import replace

    from aognet.perception.network import EMBEDDED

    return replace(EMBEDDED, model=str(folder), text_encoder="", tokenizer="")


def spans(found: Sequence[Match]) -> list[object]:
    """The median and the least distance."""
    from statistics import median

    distances = [one.distance for one in found]
    return [median(distances), min(distances)]


def nearest(
    paths: Sequence[Path], training: Sequence[Path], network: Any, turns: int
) -> tuple[list[Match], list[Match]]:
    """The nearest training panorama of each panorama, by CLIP and by pixels."""
    import torch

    from aognet.io.images import load_image

    images = [load_image(path) for path in paths]
    # Both hands of a panorama; the second is mirrored.
    hands = [hand for image in images for hand in (image, image.flip(-1))]
    embedded = [turned_embeddings(network, hand, turns) for hand in hands]
    wanted, pixels = torch.cat(embedded), torch.stack([small(hand) for hand in hands])
    places = {name: Nearest(len(images)) for name in ("clip", "pixels")}
    for files, batch in loaded(training):
        found = 1 - unit(torch.cat([network.features(image[None]) for image in batch])) @ wanted.T
        places["clip"].look(found.unflatten(1, (len(images), 2, turns)), files)
        found = turned_errors(pixels, torch.stack([small(image) for image in batch]))
        places["pixels"].look(found.unflatten(1, (len(images), 2)), files)
    return places["clip"].matches(), places["pixels"].matches()


class Nearest:
    """The least distance of each panorama to all that were seen, and where it was."""

    def __init__(self, count: int):
        import torch

        self.distances = torch.full((count,), torch.inf)
        self.found: list[Match | None] = [None] * count

    def look(self, distances: "Tensor", files: Sequence[Path]) -> None:
        """See files, whose distances are [file, panorama, hand, turn]."""
        import torch

        _, _, hands, turns = distances.shape
        least, place = distances.transpose(0, 1).flatten(1).min(dim=1)
        for at in torch.nonzero(least < self.distances)[:, 0].tolist():
            file, hand, turn = (int(one) for one in torch.unravel_index(place[at], (len(files), hands, turns)))
            self.distances[at] = least[at]
            self.found[at] = Match(files[file], float(least[at]), turn * 360 / turns, bool(hand))

    def matches(self) -> list[Match]:
        """Of every panorama."""
        from aognet.errors import UserError

        if None in self.found:
            raise UserError("none of its panoramas can be read", key="training")
        return [one for one in self.found if one is not None]


def loaded(paths: Sequence[Path]) -> Iterator[tuple[list[Path], list["Tensor"]]]:
    """Panoramas in batches; those that cannot be read are named and left out."""
    from aognet.errors import UserError
    from aognet.io.images import load_image

    for first in range(0, len(paths), BATCH):
        files, images = [], []
        for path in paths[first : first + BATCH]:
            try:
                images.append(load_image(path))
                files.append(path)
            except UserError as error:
                log.warning("%s; it is left out", error)
        if files:
            yield files, images


def unit(vectors: "Tensor") -> "Tensor":
    """Vectors of length 1."""
    from torch.nn import functional

    return functional.normalize(vectors, dim=-1)


def turned_embeddings(network: Any, image: "Tensor", turns: int) -> "Tensor":
    """Embeddings [turns, dim] of a panorama that is rolled to the right, again and again by 1 / turns of its width."""
    import torch

    width = image.shape[-1]
    rolled = torch.stack([image.roll(round(turn * width / turns), -1) for turn in range(turns)])
    return unit(network.features(rolled))


def small(image: "Tensor") -> "Tensor":
    """A panorama [3, ROWS, 2 ROWS], whose squares count by solid angle and sum up to their mean."""
    import torch
    from torch.nn import functional

    shrunk = functional.interpolate(image[None], size=(ROWS, 2 * ROWS), mode="area")[0]
    latitudes = (0.5 - (torch.arange(ROWS) + 0.5) / ROWS) * torch.pi
    return shrunk * (latitudes.cos() / latitudes.cos().sum() / (3 * 2 * ROWS)).sqrt()[:, None]


def turned_errors(images: "Tensor", others: "Tensor") -> "Tensor":
    """RMSE [other, image, turn] of others and images [count, 3, ROWS, 2 ROWS], rolled to the right by each column.

    The square of a difference is two squares and a product, and products of all turns are one correlation.
    """
    import torch

    first, second = (torch.fft.rfft(part.double(), dim=-1) for part in (images, others))
    products = torch.fft.irfft(torch.einsum("ichw,ochw->oiw", first.conj(), second), n=2 * ROWS)
    squares = [part.double().square().sum(dim=(1, 2, 3)) for part in (images, others)]
    return (squares[1][:, None, None] + squares[0][:, None] - 2 * products).clamp(min=0).sqrt().float()


def seen(match: Match, rows: int) -> "Tensor":
    """The training panorama [3, rows, 2 rows] as it fits its result."""
    from torch.nn import functional

    from aognet.io.images import load_image

    image = functional.interpolate(load_image(match.path)[None], size=(rows, 2 * rows), mode="area")[0]
    image = image.roll(-round(match.yaw_degrees / 360 * 2 * rows), -1)
    return image.flip(-1) if match.mirrored else image


def write_sheet(path: Path, results: Iterable[Path], by_clip: Sequence[Match], by_pixels: Sequence[Match]) -> None:
    """Write results, each beside its nearest."""
    import torch
    from torch.nn import functional

    from aognet.io.images import load_image
    from aognet.training.preview import image_grid, write_png

    size = (SHEET_ROWS, 2 * SHEET_ROWS)
    shown = [functional.interpolate(load_image(one)[None], size=size, mode="area")[0] for one in results]
    columns = {"results": torch.stack(shown)}
    for name, found in (("CLIP", by_clip), ("pixels", by_pixels)):
        columns[name] = torch.stack([seen(one, SHEET_ROWS) for one in found[: len(shown)]])
    write_png(path, image_grid(columns))


if __name__ == "__main__":
    main()
