"""How much memory painting takes on a GPU, found without a GPU and without the weights.

python benchmarks/painting_memory.py [--method cubediff] [--set generator.height=4096 ...]

Paints a batch of views with the method on Stable Diffusion 2, with frozen parts in float16, as its configuration says
and in the small-memory mode, on tensors that have a shape and a type but no memory (`training_memory.py` does the same
for training). After every operation it adds up the storages that are alive; with the weights that are on the GPU in
that phase this is what the phase takes. Prints a Markdown table in gigabytes (1e9 bytes).
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aognet.system import threads  # noqa: E402

threads.settle()

import torch  # noqa: E402
from torch import nn  # noqa: E402

from aognet import cli  # noqa: E402
from benchmarks.memory_meter import MemoryMeter, Pretended, cuda_rules, nothing_moves  # noqa: E402
from benchmarks.models import PAINTING, made, painting_config  # noqa: E402
from benchmarks.patching import watched  # noqa: E402
from benchmarks.sd2 import SD2, Sizes  # noqa: E402
from benchmarks.tables import table  # noqa: E402
from benchmarks.training_memory import CONTEXT_GIGABYTES, FRAGMENTATION, frozen_bytes, total_bytes  # noqa: E402

STEPS = 2  # every step takes the same
WAYS = {
    "as configured": [],
    "small-memory mode": ["execution.save_memory=true", "generator.views_per_batch=1"],
}
ENCODING, ENCODED = ("encoders, streams", "VAE encoder"), ("UNet", "VAE decoder", "joining, painting")
PHASES = (*ENCODING, *ENCODED)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", default="aognet", choices=list(PAINTING))
    parser.add_argument("--set", nargs="+", default=[], metavar="key.sub=value", help="settings of inference.py")
    options = parser.parse_args(argv)
    options.layout, rows = "sd2", []
    for way, given in WAYS.items():
        needed = account(options, [*given, *options.set], SD2, Pretended())
        most = max(there + top for there, top in needed.values())
        lost = FRAGMENTATION * max(top for _, top in needed.values())
        cells = [f"{there / 1e9:.2f} + {top / 1e9:.2f}" for there, top in needed.values()]
        rows.append((way, *cells, (most + lost) / 1e9 + CONTEXT_GIGABYTES))
    sys.stdout.write(table(("weights + what comes on top", *PHASES, "total, with what is assumed"), rows))


def account(
    options: argparse.Namespace, given: Sequence[str], sizes: Sizes, mode: Pretended | None
) -> dict[str, tuple[int, int]]:
    """For each phase the bytes of the weights that are there, and the most on top; tensors fake, with a ``mode``."""
    from aognet.diffusion.execution import save_memory

    config = painting_config(options, [f"generator.sampler.steps={STEPS}", *given])
    with mode.everything() if mode else nullcontext(), nothing_moves():  # peft would
        model = made(options, "float16", sizes).eval()
    if config.execution.save_memory:
        save_memory(list(model.components().values()))
    with mode or nullcontext(), MemoryMeter([*model.parameters(), *model.buffers()]) as meter, cuda_rules():
        with phases(meter, model):
            paint_batch(model, config, mode)
    frozen = frozen_bytes(model)
    streams = sum(total_bytes(part.parameters()) for part in trained_apart(model))
    encoders = [size for name, size in frozen.items() if name.split(",")[0] not in ("UNet", "VAE")]
    everything = sum(frozen.values()) + streams
    staying = everything - sum(encoders)
    there = dict.fromkeys(PHASES, everything)
    if config.execution.save_memory:  # one encoder after the other
        there = dict.fromkeys(ENCODING, staying + max(encoders)) | dict.fromkeys(ENCODED, staying)
    return {phase: (there[phase], meter.phases.get(phase, 0)) for phase in PHASES}


def trained_apart(model: Any) -> list[nn.Module]:
    """What is trained and no part of the backbone."""
    inside = {id(weight) for weight in model.backbone.parameters()}
    parts = model.trainable_parts().values()
    return [part for part in parts if not any(id(weight) in inside for weight in part.parameters())]


@torch.no_grad()
def paint_batch(model: Any, config, mode: Pretended | None) -> None:
    """Does what painting does with views of an empty canvas that fill a batch."""
    from aognet.callbacks import Listener
    from aognet.canvas import Canvas
    from aognet.diffusion.inpaint import ViewToPaint
    from aognet.generate.outpaint import Outpaint
    from aognet.geometry.camera import Camera
    from aognet.geometry.cubemap import face_cameras

    plan = config.settings.plan
    with mode.everything() if mode else nullcontext():
        canvas = Canvas.empty(config.height)
    cameras = face_cameras(plan.size, plan.fov_degrees)
    if not model.joint_waves:
        level = Camera(fov_degrees=plan.fov_degrees, width=plan.size, height=plan.size)
        cameras = [level.turned(90.0 * number) for number in range(config.settings.views_per_batch)]
    views = [ViewToPaint(canvas, camera, "a room", number) for number, camera in enumerate(cameras)]
    painted = Outpaint(model, config.settings, torch.device("cpu"))._views(views, Listener())
    for view, camera in zip(painted, cameras, strict=True):
        canvas.paint_(view[None], camera)


def phases(meter: MemoryMeter, model: Any) -> AbstractContextManager:
    """Notes the most bytes in each of the phases."""
    from aognet.canvas import Canvas
    from aognet.diffusion import inpaint
    from aognet.diffusion.backbone import Backbone
    from aognet.diffusion.conditioner import Conditioner
    from aognet.diffusion.latent_space import LatentSpace
    from aognet.generate import outpaint

    first = (type(model), "conditioning") if hasattr(model, "conditioning") else (Conditioner, "known")
    places = {
        PHASES[0]: [first],
        PHASES[1]: [(Backbone, "prepare_condition")],
        PHASES[2]: [(inpaint, "denoise")],
        PHASES[3]: [(LatentSpace, "decode")],
        PHASES[4]: [(outpaint, "join"), (Canvas, "paint_")],
    }
    return watched(places, partial(noted, meter))


def noted(meter: MemoryMeter, phase: str, function: Callable) -> Callable:
    """The function, of which the most bytes are noted."""

    def run(*args: object, **named: object) -> object:
        before = meter.phases.get(phase, 0)
        with meter.phase(phase):
            found = function(*args, **named)
        meter.phases[phase] = max(before, meter.phases[phase])
        return found

    return run


if __name__ == "__main__":
    cli.run(main)
