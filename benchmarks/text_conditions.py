"""What Text2Light's global sampler is told of a text, measured: images near to it (`neighbours`) or the text itself.

python benchmarks/text_conditions.py --samplers logs/neighbours/final logs/global_sampler/final \\
    --autoencoder logs/text2light_global_small/final --panoramas data/held_out --captions data/held_out/captions.jsonl

Each sampler writes the small panorama of every caption of the held-out panoramas, twice, with two seeds. Prints a
Markdown table: the CLIP score with the caption and, to compare, with another panorama's, the Fréchet distance to the
held-out panoramas in CLIP's image features, and what another seed changes: the share of codes, the mean difference of
pixels (of [-1, 1]), and how many captions have one panorama with both seeds. "Another text" is the difference of two
captions' panoramas. The first row is the held-out panoramas themselves, as their codes show them. The CLIP is the one
that the samplers are told with, so scores rank samplers; they say little of one alone.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

from benchmarks.held_out import add_set_arguments  # noqa: E402
from benchmarks.tables import table  # noqa: E402

if TYPE_CHECKING:
    from torch import Tensor

    from aognet.methods.text2light.frozen_codes import FrozenCodes
    from aognet.perception.network import FeatureNetwork
    from aognet.vq.drawing import Drawing
    from aognet.vq.global_sampler import GlobalSampler

BATCH = 16
STREAM = 1
HEAD = ("panoramas", "condition", "CLIP score", "with another caption", "Fréchet distance")
SEEDS = ("another seed: codes", "pixels", "the same panorama", "another text: pixels")


@dataclass(frozen=True)
class Written:
    """Codes [texts, rows, columns] that a sampler writes, and their images [texts, 3, height, width] in [-1, 1]."""

    codes: "Tensor"
    images: "Tensor"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add_set_arguments(parser)
    add("--limit", type=int, default=0, help="at most so many of each folder, spread evenly (0: all)")
    add("--samplers", type=Path, nargs="+", required=True, help="final/ folders of trainings of global samplers")
    add("--autoencoder", type=Path, required=True, help="the global autoencoder, whose codes they write")
    add("--clip", type=Path, default=ROOT / "assets" / "embedded", help="what they are told with (default: embedded)")
    add("--top_k", type=int, default=100, help="codes are drawn of so many likeliest (default: %(default)s)")
    add("--temperature", type=float, default=1.0)
    add("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    from aognet import cli

    with cli.flags(options):
        sys.stdout.write(table([*HEAD, *SEEDS], compared(options)))


def compared(options: argparse.Namespace) -> list[list[object]]:
    """The rows of the table."""
    import torch
    from torch.nn import functional

    from aognet.data.sources import SourceConfig, find_entries
    from aognet.errors import UserError
    from aognet.io.images import load_image
    from aognet.metrics.frechet import Moments, frechet_distance
    from aognet.perception.load_network import load_network
    from aognet.perception.network import EMBEDDED
    from aognet.vq.drawing import Drawing
    from benchmarks.held_out import chosen

    drawing, samplers = Drawing(options.top_k, options.temperature), [opened(path) for path in options.samplers]
    network = load_network(replace(EMBEDDED, model=str(options.clip)), torch.device("cpu"))
    folders, captions = ([str(path) for path in paths] for paths in (options.panoramas, options.captions))
    entries = find_entries(SourceConfig(folders=folders, captions=captions))
    told = {entry.path.resolve(): entry.captions[0] for entry in entries if entry.captions}
    files = [path for path in chosen(options) if path in told]
    if len(files) < 2:
        raise UserError("must name captions of at least 2 panoramas", key="captions")
    texts = [told[path] for path in files]
    codes = codes_for(options.autoencoder, options.samplers, samplers)
    held = of_panoramas(codes, [load_image(path) for path in files])
    embedded, seen = functional.normalize(network.texts(texts), dim=-1), features(network, held.images)
    rows: list[list[object]] = [["held out, decoded", "-", *scores(seen, embedded), None, *[None] * len(SEEDS)]]
    for path, (sampler, index) in zip(options.samplers, samplers, strict=True):
        given = embedded[:, None] if index is None else index.nearest(embedded, sampler.config.tokens)
        found = [write(sampler, codes, given, drawing, options.seed + number) for number in range(2)]
        name = path.parent.name if path.name == "final" else path.name
        images = features(network, found[0].images)
        distance = frechet_distance(Moments.of(images), Moments.of(seen))
        rows.append([name, sampler.config.condition, *scores(images, embedded), distance, *changes(*found)])
    return rows


def opened(folder: Path) -> tuple["GlobalSampler", Any]:
    """A sampler and its index, if neighbours are its condition."""
    from aognet.methods.text2light.conditioning import INDEX, ImageIndex
    from aognet.vq.global_sampler import GlobalSampler

    sampler = GlobalSampler.from_pretrained(folder)
    return sampler, ImageIndex.load(folder / INDEX) if sampler.config.condition == "neighbours" else None


def codes_for(autoencoder: Path, folders: Sequence[Path], samplers: Sequence[tuple["GlobalSampler", Any]]) -> Any:
    """The autoencoder at the size of the samplers' codes, which is one.

    :raises UserError: naming the folders that do not fit.
    """
    from aognet.errors import UserError
    from aognet.io.store import CacheConfig
    from aognet.methods.text2light.frozen_codes import FrozenCodes

    rows, columns = ((sizes := samplers[0][0].config).rows, sizes.columns)
    codes = FrozenCodes(str(autoencoder), rows, columns, CacheConfig(folder=None))
    for folder, (sampler, _) in zip(folders, samplers, strict=True):
        sizes = sampler.config
        if (sizes.rows, sizes.columns, sizes.vocabulary) != (rows, columns, codes.kinds):
            said = f"writes {sizes.rows}x{sizes.columns} codes of {sizes.vocabulary}"
            others = f"{folders[0]} writes {rows}x{columns}, {autoencoder} has {codes.kinds}"
            raise UserError(f"{folder} {said}; {others}", key="samplers")
    return codes


def of_panoramas(codes: "FrozenCodes", panoramas: Sequence["Tensor"]) -> Written:
    """The codes of panoramas, and these decoded."""
    import torch

    found = torch.cat([codes.encode(image[None]) for image in panoramas])
    return Written(found, decoded(codes, found))


def decoded(codes: "FrozenCodes", found: "Tensor") -> "Tensor":
    """Images of codes, in small batches."""
    import torch

    return torch.cat([codes.decode(part) for part in found.split(BATCH)])


def write(sampler: "GlobalSampler", codes: "FrozenCodes", given: "Tensor", drawing: "Drawing", seed: int) -> Written:
    """What a sampler writes under conditions [texts, given, embedding]; each text has random numbers of its own."""
    import torch

    from aognet.diffusion.sampling.noise import named_seed
    from aognet.vq.drawing import cell_numbers

    sizes = sampler.config
    seeds = [named_seed(seed, str(number)) for number in range(len(given))]
    numbers = cell_numbers(seeds, STREAM, sizes.rows, sizes.columns)
    pairs = zip(given.split(BATCH), numbers.split(BATCH), strict=True)
    with torch.no_grad():
        found = torch.cat([sampler.sample(*pair, drawing) for pair in pairs])
    return Written(found, decoded(codes, found))


def features(network: "FeatureNetwork", images: "Tensor") -> "Tensor":
    """Embeddings of images, in small batches."""
    import torch

    return torch.cat([network.features(part) for part in images.split(BATCH)])


def scores(images: "Tensor", texts: "Tensor") -> list[object]:
    """The mean CLIP score of images with their texts, and with those of others."""
    from aognet.metrics.clip_score import clip_score

    return [float(clip_score(images, words).mean()) for words in (texts, texts.roll(1, 0))]


def changes(one: Written, other: Written) -> list[object]:
    """What another seed changes: codes, pixels, and how many panoramas stay the same; and what another text does."""
    same = (one.codes == other.codes).flatten(1).all(dim=1)
    pixels = [float((one.images - images).abs().mean()) for images in (other.images, one.images.roll(1, 0))]
    return [float((one.codes != other.codes).float().mean()), pixels[0], str(int(same.sum())), pixels[1]]


if __name__ == "__main__":
    main()
