"""How far the views of a trained generator are from held-out ones, for each class, beside views of other real scenes.

python benchmarks/generated_views.py --model logs/gan/final [--views 64] [--truncation 0.7] [--sheet sheet.png] \\
    [-b config/embedded/ganorama.yaml] [key.sub=value ...]

Prints a Markdown table of Fréchet distances, by the image tower of the embedded CLIP, between equally many views: the
held-out views (data.validation) against generated ones of the same classes and pitches, and against views of the
training's scenes of the same class. Few views raise both alike. The sheet has 48 generated views: classes in turn,
seeds 0 to 47, none chosen.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

from benchmarks.tables import table  # noqa: E402

HEAD = ("class", "generated", "other real scenes")
SHEET, SHEET_COLUMNS = 48, 8
PATIENCE = 20
"""So many times as many views are looked through as are needed, to find enough of each class."""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("-b", "--base", type=Path, default=ROOT / "config" / "embedded" / "ganorama.yaml", metavar="YAML")
    add("--model", type=Path, required=True, help="a trained generator's folder")
    add("--views", type=int, default=64, help="of each class (default: %(default)s)")
    add("--truncation", type=float, default=1.0, help="of z, in [0, 1] (default: %(default)s)")
    add("--sheet", type=Path, metavar="PNG", help="48 generated views to look at")
    add("overrides", nargs="*", metavar="key.sub=value", help="settings that override the config")
    options = parser.parse_intermixed_args(argv)
    from aognet import cli

    with cli.flags(options):
        sys.stdout.write(table(HEAD, compared(options)))


def compared(options: argparse.Namespace) -> list[list[object]]:
    """The rows of the table; the sheet is written on the way."""
    import torch

    from aognet.errors import UserError
    from aognet.methods.ganorama.model import Ganorama
    from aognet.metrics.frechet import Moments, frechet_distance
    from aognet.perception.load_network import load_network
    from aognet.perception.network import EMBEDDED
    from aognet.training.preview import image_grid, write_png

    if options.views < 2:
        raise UserError("must be at least 2", key="views", value=options.views)
    model = Ganorama.from_pretrained(options.model)
    kinds = model.config.generator.class_names[: model.kinds]
    if not kinds:
        raise UserError(f"{options.model}: its classes have no names, which the captions of views could be")
    if options.sheet:
        numbers = [place % len(kinds) for place in range(SHEET)]
        images = generated(model, numbers, torch.zeros(SHEET), range(SHEET), options.truncation)
        write_png(options.sheet, image_grid({str(one): images[one::SHEET_COLUMNS] for one in range(SHEET_COLUMNS)}))
    network = load_network(EMBEDDED, torch.device("cpu"))
    held, others = (views_by_class(options, split, kinds) for split in ("validation", "train"))
    whole, rows = [Moments.empty(network.dim)] * 3, []
    for number, kind in enumerate(kinds):
        if kind not in held or kind not in others:
            continue
        pitches = torch.tensor([view.pitch_degrees for view in held[kind]])
        seeds = range(1000 * (number + 1), 1000 * (number + 1) + len(pitches))
        made = generated(model, [number] * len(pitches), pitches, seeds, options.truncation)
        sets = [torch.stack([view.image for view in found[kind]]) for found in (held, others)]
        moments = [Moments.of(features(network, images)) for images in (sets[0], made, sets[1])]
        whole = [sum_.merged(one) for sum_, one in zip(whole, moments, strict=True)]
        rows.append([kind, *(frechet_distance(moments[0], one) for one in moments[1:])])
    if not rows:
        raise UserError(f"no class has {options.views} views, both held out and of the training")
    return [*rows, ["all", *(frechet_distance(whole[0], one) for one in whole[1:])]]


def views_by_class(options: argparse.Namespace, split: str, kinds: Sequence[str]) -> dict[str, list]:
    """So many views of each class as are wanted, drawn as validation draws; classes with fewer are left out."""
    from aognet.config import load_config
    from aognet.targets import build

    plain = ["data.train.augment.mirror=false", "data.train.seed=8"]
    samples = build(load_config([options.base], [*plain, *options.overrides]).section("data").section(split))
    found: dict[str, list] = {kind: [] for kind in kinds}
    for number in range(PATIENCE * options.views * len(kinds)):
        view = samples[number]
        if len(found.get(view.prompt, ())) < options.views:
            found.setdefault(view.prompt, []).append(view)
        if all(len(views) >= options.views for views in found.values()):
            break
    return {kind: views for kind, views in found.items() if len(views) == options.views}


def generated(model, numbers: Sequence[int], pitch_degrees, seeds: Sequence[int], truncation: float):
    """Views [count, 3, size, size] in [-1, 1] of numbers of classes, seen at pitches."""
    import torch

    from aognet.gan.truncation import truncated_z
    from aognet.gan.view_directions import directed, knows_directions

    config = model.config.generator
    classes = torch.nn.functional.one_hot(torch.tensor(numbers), config.classes).float()
    classes = directed(classes, pitch_degrees) if knows_directions(config.class_names) else classes
    z = truncated_z(list(seeds), config.z_dim, truncation)
    with torch.no_grad():
        parts = [model.network.eval()(*pair, truncation) for pair in zip(z.split(16), classes.split(16), strict=True)]
    return torch.cat(parts)


def features(network, images):
    """The network's features of images, in small batches."""
    import torch

    return torch.cat([network.features(part) for part in images.split(16)])


if __name__ == "__main__":
    main()
