"""Whether panoramas show what was asked for: CLIP picks the words again from what was painted.

python benchmarks/obedience.py --out_dir outputs/obedience [-b config/inference_config.yaml] [--set key.sub=value ...]

Each of 12 short prompts is painted from words alone. The mean of CLIP's embeddings of eight level views of it is
compared with all 12: the nearest should be the prompt. Then eight other words are asked for in one direction each,
beside a common prompt, and compared with the view in that direction. By chance one in 12 and one in 8 are right. Prints
two Markdown tables, and how many were right. The CLIP is the embedded one, which also reads the prompts for the
embedded model. What is painted already stays.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

from benchmarks.tables import table  # noqa: E402

if TYPE_CHECKING:
    from torch import Tensor

    from aognet.generate.generator import Generator

PROMPTS = (
    "a snow field", "a desert", "a beach", "a forest", "a lake between mountains", "a city street", "a city at night",
    "a village", "a bedroom", "a kitchen", "a library", "a church",
)  # fmt: skip
COMMON = "a meadow under a blue sky"
DIRECTED = (
    "a snowy mountain", "the sea", "a desert with dunes", "a dark forest", "a city with tall buildings", "a lake",
    "a village with houses", "red rocks",
)  # fmt: skip
YAW = 120.0
VIEWS, SIZE = 8, 224
HEAD = ("asked for", "picked", "similarity", "best of the others")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("-b", "--base", type=Path, nargs="+", default=[ROOT / "config" / "inference_config.yaml"], metavar="YAML")
    add("--out_dir", type=Path, required=True, help="a folder for each panorama is made here")
    add("--seed", type=int, default=0, help="of all panoramas (default: %(default)s)")
    add("--set", nargs="+", default=[], metavar="key.sub=value", help="settings of inference.py")
    options = parser.parse_args(argv)
    from aognet import cli

    with cli.flags(options):
        sys.stdout.write(report(options))


def report(options: argparse.Namespace) -> str:
    """Both tables and their counts."""
    import torch

    from aognet.config import load_config
    from aognet.generate.inference import read_inference
    from aognet.geometry.camera import Camera
    from aognet.perception.load_network import load_network
    from aognet.perception.network import EMBEDDED
    from aognet.request import DirectedPrompt, Request

    _, generator, _ = read_inference(load_config(options.base, options.set))
    network = load_network(EMBEDDED, torch.device("cpu"))
    requests = {words: Request(words, seed=options.seed, name=words) for words in PROMPTS}
    level = [Camera(360 * number / VIEWS, 0.0, 0.0, 90.0, SIZE, SIZE) for number in range(VIEWS)]
    said = counted("words", seen(generator, network, requests, level, options.out_dir))
    there = [DirectedPrompt(YAW, 0.0, words) for words in DIRECTED]
    requests = {at.text: Request(COMMON, prompts_at=[at], seed=options.seed, name=f"{at.text} there") for at in there}
    ahead = [Camera(YAW, 0.0, 0.0, 90.0, SIZE, SIZE)]
    return said + "\n" + counted("words for a direction", seen(generator, network, requests, ahead, options.out_dir))


def seen(
    generator: "Generator", network: Any, requests: dict[str, Any], cameras: Sequence[Any], out_dir: Path
) -> "dict[str, Tensor]":
    """How similar the views of each request's panorama are to all requests' words, by the request's words."""
    import torch
    from torch.nn import functional

    from aognet.geometry.perspective import look_all

    embeddings = []
    for request in requests.values():
        painted = generator.generate(request, out_dir / request.name.replace(" ", "_")).panorama
        views = network.features(look_all(painted[None].cpu(), cameras)[0] * 2 - 1)
        embeddings.append(functional.normalize(functional.normalize(views, dim=-1).mean(0), dim=-1))
    words = functional.normalize(network.texts(list(requests)), dim=-1)
    return dict(zip(requests, torch.stack(embeddings) @ words.T, strict=True))


def counted(title: str, found: "dict[str, Tensor]") -> str:
    """The table of what was picked, and how many were right."""
    names, rows, right = list(found), [], 0
    for number, (name, similarities) in enumerate(found.items()):
        best = int(similarities.argmax())
        others = [*similarities[:number], *similarities[number + 1 :]]
        right += best == number
        rows.append([name, names[best], float(similarities[number]), float(max(others))])
    return f"{title}: {right} of {len(names)} are picked\n\n" + table(HEAD, rows)


if __name__ == "__main__":
    main()
