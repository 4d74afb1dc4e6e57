"""A panorama from end to end: here and by the published recipe, with the same weights, plan, steps and noise.

python benchmarks/end_to_end.py [--height 2048] [--steps 32] [--runs here recipe] [--set generator.plan.size=256 ...]
python benchmarks/end_to_end.py --layout sd2 --device cuda --steps 50 [--method cubediff --runs here]

Seconds without loading the model, results written. *Networks*: seconds inside of UNet, VAE, encoders and streams;
*outside* is the share of the rest. *Of the matmul rate*: the UNet's operations (counted, multiplications and additions)
in its seconds, as a share of what large matrix products reach on this machine in the same type. Every run starts with
a model and grids that were not used before, but for --again, which is what compiled networks need. The photograph is
the demo's village. Prints Markdown tables, the last of them how far the results lie apart.

--layout sd2: the method on Stable Diffusion 2 in full size with random weights, with the settings of its configuration;
the recipe (of AOG-Net) in single precision, as published, here in --dtype. --layout tiny: the same with tiny networks.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from aognet import cli  # noqa: E402
from benchmarks.models import add_model_arguments, painting_config, untrained  # noqa: E402
from benchmarks.patching import Places, watched  # noqa: E402
from benchmarks.tables import measured, table  # noqa: E402

HEAD = ("way", "seconds", "times as fast", "networks, seconds", "outside, share", "UNet, of the matmul rate", "peak GB")
Asked = dict[int, tuple[int, tuple]]  # by rows of a batch: how many calls, and the first one's arguments
PHOTO, PROMPT = ROOT / "assets" / "demo" / "village.jpg", "A village in winter with snow on the roofs, in sunlight."
# What the embedded model prefers, the recipe knows nothing of: both paint the same views with the same sampler.
ALIKE = ("generator.enlarge_views=false", "generator.sampler.scheduler=euler-a", "generator.sampler.guidance=1.5")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--height", type=int, default=2048, help="rows of the panorama")
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--runs", nargs="+", default=["here", "recipe"], choices=["recipe", "here"])
    add_model_arguments(parser)
    add_again(parser)
    options = parser.parse_args(argv)
    if options.method != "aognet" and "recipe" in options.runs:
        parser.error("the recipe paints with AOG-Net; add --runs here")
    found = {name: run(name, options) for name in options.runs}
    slowest = max(one["seconds"] for one in found.values())
    rows = [
        (name, one["seconds"], slowest / one["seconds"], one["networks"], 1 - one["networks"] / one["seconds"])
        + (one["rate"], one["gigabytes"])
        for name, one in found.items()
    ]
    sys.stdout.write(table(HEAD, rows))
    parts = dict.fromkeys(part for one in found.values() for part in one["parts"])
    lines = [(part, *(one["parts"].get(part) for one in found.values())) for part in parts]
    sys.stdout.write("\n" + table(("seconds in", *found), lines))
    if len(found) == 2:
        first, second = (one["result"] for one in found.values())
        gap = (first - second).abs() * 127.5
        sys.stdout.write("\n" + table(("levels apart, of 255", "mean", "most"), [("", gap.mean(), gap.max())]))


def add_again(parser: argparse.ArgumentParser) -> None:
    """Whether the first panorama counts."""
    parser.add_argument("--again", action="store_true", help="measure the second panorama of the process, here")


def run(name: str, options: argparse.Namespace, count: int = 1) -> dict:
    """``count`` panoramas side by side: seconds, those inside networks, how many views, and the first result."""
    from aognet.diffusion.execution import place

    device = torch.device(options.device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    model, config = model_and_settings(name, options)
    plain = replace(config.execution, compile=False, save_memory=False)
    model = place(model, config.execution if name == "here" else plain, device)
    if options.again and name == "here":
        with tempfile.TemporaryDirectory() as folder:
            here(model, config, Path(folder), device, count)
    with tempfile.TemporaryDirectory() as folder, clocks(model, name) as (spent, outside, asked):
        began = time.perf_counter()
        if name == "recipe":
            result, views = by_recipe(model, config, Path(folder), device)
        else:
            result, views = here(model, config, Path(folder), device, count)
        seconds = time.perf_counter() - began
    networks = sum(spent.values())
    parts = spent | outside | {"the rest": seconds - networks - sum(outside.values())}
    found = {"seconds": seconds, "networks": networks, "parts": parts, "views": views, "result": result}
    rate = operations(model.backbone, asked) / spent["UNet"] / matmul_rate(model.backbone.dtype, device)
    return found | {"rate": rate, "gigabytes": peak_gigabytes(device)}


def model_and_settings(name: str, options: argparse.Namespace):
    """What paints, and the settings of inference.py for it."""
    from aognet.methods.pretrained import load_method

    alike = ALIKE if options.layout == "embedded" else ()
    settings = [f"generator.height={options.height}", f"generator.sampler.steps={options.steps}", *alike, *options.set]
    config = painting_config(options, settings)
    if options.layout != "embedded":
        return untrained(options, options.dtype if name == "here" else "float32"), config
    return load_method(str(ROOT / config.checkpoint), config.revision, config.dtype, config.method), config


def operations(backbone: Any, asked: Asked) -> float:
    """Floating-point operations of all calls of the UNet: counted once for each size of a batch."""
    from torch.utils._pytree import tree_map_only
    from torch.utils.flop_counter import FlopCounterMode

    total, backbone.denoiser.unet._compiled_call_impl = 0.0, None  # the counter sees nothing of what is compiled
    for calls, given in asked.values():
        # The counter follows what wants gradients, which there are none of.
        args = tree_map_only(Tensor, Tensor.detach, given)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            backbone.run_unet(*args)
        total += counter.get_total_flops() * calls
    return total


def matmul_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Operations a second of large matrix products."""
    size = 8192 if device.type == "cuda" else 2048
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / measured(lambda: left @ right)[0]


def peak_gigabytes(device: torch.device) -> float:
    """Most memory of the device so far; of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def here(model: Any, config, folder: Path, device: torch.device, count: int = 1) -> tuple[torch.Tensor, int]:
    """What inference.py does with a photograph, or with several side by side."""
    from aognet.callbacks import Listener
    from aognet.generate.outpaint import Outpaint
    from aognet.generate.run import Run
    from aognet.generate.showing import show_canvas

    folders = [folder / str(number) for number in range(count)]
    starts = [photograph(config) for _ in folders]
    runs = [Run(begun(one, start, config), start) for one, start in zip(folders, starts, strict=True)]
    canvases = Outpaint(model, config.settings, device).paint(runs, Listener())
    image = canvases[0].image.clone()
    for run, canvas in zip(runs, canvases, strict=True):
        show_canvas(run.journal, canvas)
    return image, sum(len(run.journal.entries) for run in runs)


def begun(folder: Path, start, config):
    """The journal of a new run."""
    from aognet.generate.asked import Asked, ModelConfig
    from aognet.generate.view_journal import ViewJournal
    from aognet.request import Request

    request = Request(prompt=PROMPT, height=config.height, seed=config.seed, name="")
    journal = ViewJournal(folder, Asked(request, ModelConfig(""), None, {}))
    journal.begin(start, None)
    return journal


def by_recipe(model: Any, config, folder: Path, device: torch.device) -> tuple[torch.Tensor, int]:
    """What the published code does with it."""
    from aognet.generate.outpaint import planned
    from aognet.request import Request
    from benchmarks.recipe import paint

    settings, start = config.settings, photograph(config)
    request = Request(prompt=PROMPT, seed=config.seed, name="")
    entries = planned(settings.plan, request, start.known[0, 0])
    image = paint(model, start, entries, settings.sampler, settings.face_size, settings.feather, folder)
    return torch.from_numpy(image).permute(2, 0, 1)[None], len(entries)


def photograph(config):
    """The canvas that knows the photograph."""
    from aognet.generate import start
    from aognet.request import Photo, Request

    return start.read_start(Request(photos=[Photo(image=str(PHOTO))]), config.height).canvas


@contextmanager
def clocks(model: Any, name: str) -> Iterator[tuple[dict[str, float], dict[str, float], Asked]]:
    """Seconds in the networks and in what lies between them, part by part, and what the UNet is asked.

    On CUDA the device is waited for.
    """
    backbone, asked = model.backbone, {}
    clock, outside = Clock(backbone.device), Clock(backbone.device)
    handles = [handle for part, network in networks_of(model).items() for handle in clock.watch(part, network)]
    run_unet = clock.timed("UNet", backbone.run_unet)

    def remember(*args: Tensor) -> Tensor:
        calls, first = asked.get(len(args[0]), (0, args))
        asked[len(args[0])] = (calls + 1, first)
        return run_unet(*args)

    # Not as a hook of the UNet: a hook would be compiled with it.
    with mock.patch.object(backbone, "run_unet", remember), watched(between_networks(name), outside.timed):
        yield clock.spent, outside.spent, asked
    for handle in handles:
        handle.remove()


def networks_of(model: Any) -> dict[str, nn.Module]:
    """The networks of a method beside the UNet."""
    backbone = model.backbone
    parts = {"text encoder": backbone.conditioner.encoders[0].tower}
    parts |= {"VAE encoder": backbone.latents.vae.encoder, "VAE decoder": backbone.latents.vae.decoder}
    if hasattr(model, "clip"):
        parts |= {"CLIP": model.clip.tower, "global stream": model.global_stream, "local stream": model.local_stream}
    return parts


def between_networks(name: str) -> Places:
    """The functions that do what is done between networks."""
    from aognet.canvas import Canvas
    from aognet.generate import outpaint, showing, start
    from aognet.generate.recorder import Recorder
    from aognet.generate.view_journal import ViewJournal
    from benchmarks import recipe

    shared = {"reading the photograph": [(start, "read_start")], "planning": [(outpaint, "planned")]}
    if name == "recipe":
        steps = {"looking": (recipe, "_seen"), "painting": (recipe, "paste"), "joining": (recipe, "join")}
        return shared | {part: [place] for part, place in steps.items()} | {"writing": [(recipe, "save_image")]}
    return shared | {
        "looking": [(outpaint, "look"), (Canvas, "faces")],
        "painting": [(Recorder, "paint")],
        "joining": [(outpaint, "join")],
        "writing": [(ViewJournal, "begin"), (Recorder, "add"), (showing, "write_results")],
    }


class Clock:
    """Adds up seconds, part by part."""

    def __init__(self, device: torch.device):
        self.device, self.spent = device, {}

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def timed(self, part: str, function: Callable) -> Callable:
        """The function, whose time counts."""

        def run(*args: object, **named: object) -> object:
            began = self.now()
            found = function(*args, **named)
            self.spent[part] = self.spent.get(part, 0.0) + self.now() - began
            return found

        return run

    def watch(self, part: str, network: nn.Module) -> list:
        """Lets the time of a network count, until the handles are removed."""
        began: list[float] = []

        def stop(*_: object) -> None:
            self.spent[part] = self.spent.get(part, 0.0) + self.now() - began.pop()

        start = network.register_forward_pre_hook(lambda *_: began.append(self.now()))
        return [start, network.register_forward_hook(stop)]


if __name__ == "__main__":
    cli.run(main)
