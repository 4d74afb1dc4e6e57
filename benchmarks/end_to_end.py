"""A panorama from end to end: here and by the published recipe, with the same weights, plan, steps and noise.

python benchmarks/end_to_end.py [--height 2048] [--steps 32] [--runs here recipe] [--set generator.plan.size=256 ...]

Seconds without loading the model, results written. *Networks*: seconds inside of UNet, VAE, encoders and streams;
*outside* is the share of the rest. Every run starts with a model and grids that were not used before. The photograph is
the demo's village. Prints Markdown tables, the last of them how far the results lie apart.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import nn  # noqa: E402

from benchmarks.tables import table  # noqa: E402

PHOTO, PROMPT = ROOT / "assets" / "demo" / "village.jpg", "A village in winter with snow on the roofs, in sunlight."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--height", type=int, default=2048, help="rows of the panorama")
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--runs", nargs="+", default=["recipe", "here"], choices=["recipe", "here"])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--set", nargs="+", default=[], metavar="key.sub=value", help="settings of inference.py")
    options = parser.parse_args()
    found = {name: run(name, options) for name in options.runs}
    slowest = max(one["seconds"] for one in found.values())
    rows = [
        (name, one["seconds"], slowest / one["seconds"], one["networks"], 1 - one["networks"] / one["seconds"])
        for name, one in found.items()
    ]
    sys.stdout.write(table(("way", "seconds", "times as fast", "networks, seconds", "outside, share"), rows))
    parts = sorted({part for one in found.values() for part in one["parts"]})
    lines = [(part, *(one["parts"].get(part) for one in found.values())) for part in parts]
    sys.stdout.write("\n" + table(("seconds in", *found), lines))
    if len(found) == 2:
        first, second = (one["result"] for one in found.values())
        gap = (first - second).abs() * 127.5
        sys.stdout.write("\n" + table(("levels apart, of 255", "mean", "most"), [("", gap.mean(), gap.max())]))


def run(name: str, options: argparse.Namespace, count: int = 1) -> dict:
    """``count`` panoramas side by side: seconds, those inside networks, how many views, and the first result."""
    from aognet.config import LoadedConfig, build_config, load_config
    from aognet.engine.inference import InferenceConfig
    from aognet.models.execution import place
    from aognet.models.pretrained import load_method

    settings = [f"generator.height={options.height}", f"generator.sampler.steps={options.steps}", *options.set]
    loaded = load_config([ROOT / "config" / "inference_config.yaml"], settings)
    config = build_config(LoadedConfig(loaded.values, loaded.sources), InferenceConfig)
    model = load_method(str(ROOT / config.checkpoint), config.revision, config.dtype, config.method)
    model = place(model, config.execution, torch.device(options.device))
    with tempfile.TemporaryDirectory() as folder, clocks(model) as spent:
        began = time.perf_counter()
        if name == "recipe":
            result, views = by_recipe(model, config, Path(folder), torch.device(options.device))
        else:
            result, views = here(model, config, Path(folder), torch.device(options.device), count)
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "networks": sum(spent.values()), "parts": spent, "views": views, "result": result}


def here(model: nn.Module, config, folder: Path, device: torch.device, count: int = 1) -> tuple[torch.Tensor, int]:
    """What inference.py does with a photograph, or with several side by side."""
    from aognet.engine.generator import Generator, Listener, Run
    from aognet.engine.journal import Journal
    from aognet.engine.results import write_results

    folders = [folder / str(number) for number in range(count)]
    runs = [Run(Journal.create(one, {}, photograph(config)), PROMPT) for one in folders]
    canvases = Generator(model, config.generator, device).paint(runs, Listener())
    for one, canvas in zip(folders, canvases, strict=True):
        write_results(one, canvas, PROMPT, None)
    return canvases[0].image, sum(len(run.journal.entries) for run in runs)


def by_recipe(model: nn.Module, config, folder: Path, device: torch.device) -> tuple[torch.Tensor, int]:
    """What the published code does with it."""
    from aognet.engine.generator import planned
    from benchmarks.recipe import paint

    generator, start = config.generator, photograph(config)
    entries = planned(generator, start.known[0, 0], PROMPT, ())
    image = paint(model, start, entries, generator.sampler, generator.face_size, generator.feather, folder)
    return torch.from_numpy(image).permute(2, 0, 1)[None], len(entries)


def photograph(config):
    """The canvas that knows the photograph."""
    from aognet.engine.inputs import InputsConfig, list_jobs, read_start

    job = list_jobs(InputsConfig(photos=[str(PHOTO)], prompt=PROMPT))[0]
    return read_start(job, config.generator.height).canvas


@contextmanager
def clocks(model: nn.Module) -> Iterator[dict[str, float]]:
    """Seconds spent inside the networks, part by part; on CUDA the device is waited for."""
    backbone, spent, began = model.backbone, {}, {}
    parts = {"UNet": backbone.unet, "text encoder": backbone.text_encoder, "CLIP": model.clip.tower}
    parts |= {"VAE encoder": backbone.vae.encoder, "VAE decoder": backbone.vae.decoder}
    parts |= {"global stream": model.global_stream, "local stream": model.local_stream}

    def now() -> float:
        if backbone.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def start(part: str) -> None:
        began[part] = now()

    def stop(part: str) -> None:
        spent[part] = spent.get(part, 0.0) + now() - began[part]

    handles = []
    for part, network in parts.items():
        handles.append(network.register_forward_pre_hook(lambda *_, part=part: start(part)))
        handles.append(network.register_forward_hook(lambda *_, part=part: stop(part)))
    yield spent
    for handle in handles:
        handle.remove()


if __name__ == "__main__":
    main()
