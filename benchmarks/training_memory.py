"""How much memory training takes on a GPU, found without a GPU and without the weights.

python benchmarks/training_memory.py -b config/train_config.yaml [key.sub=value ...] [--size 512]

Runs a training step and a preview of AOG-Net, CubeDiff or Seamless in the sizes of Stable Diffusion 2 and CLIP ViT-H/14
on tensors that have a shape and a type but no memory (torch's FakeTensorMode). After every operation it adds up the
storages that are alive. What this cannot see is assumed: the constants below, and what ``cuda_rules`` says.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aognet.system import threads  # noqa: E402

threads.settle()

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from aognet import cli  # noqa: E402
from benchmarks.memory_meter import MemoryMeter, Pretended, cuda_rules, nothing_moves  # noqa: E402
from benchmarks.sd2 import sd2_model  # noqa: E402

if TYPE_CHECKING:
    from aognet.config import LoadedConfig
    from aognet.data.cubes import CubeBatch
    from aognet.data.equirectangular import EquirectangularBatch
    from aognet.data.outpainting import OutpaintingBatch
    from aognet.training.setup import TrainerConfig

CARD_GIGABYTES = 24.0
# Only a GPU could tell these two: the driver's context with the workspaces of cuDNN and cuBLAS, and how much of the
# memory that comes and goes the allocator loses between blocks.
CONTEXT_GIGABYTES = 1.0
FRAGMENTATION = 0.1
LOSS_SCALE = 65536.0  # torch's gradient scaler starts with it
AUTOCAST = {"fp16": torch.float16, "bf16": torch.bfloat16}


def make_batch(rows: int, view: int, face: int, mode: Pretended | None = None) -> "OutpaintingBatch":
    """Black images of the right sizes, fake ones with a ``mode``; the seeds are always numbers."""
    from aognet.data.outpainting import OutpaintingBatch
    from aognet.geometry.camera import Camera

    with mode.everything() if mode else nullcontext():
        images = {
            "view": torch.zeros(rows, 3, view, view),
            "known": torch.zeros(rows, 1, view, view, dtype=torch.bool),
            "faces": torch.zeros(rows, 6, 3, face, face),
            "faces_known": torch.zeros(rows, 6, 1, face, face, dtype=torch.bool),
        }
    cameras = [Camera(width=view, height=view)] * rows
    return OutpaintingBatch(**images, cameras=cameras, prompts=["a room"] * rows, seeds=torch.arange(rows))


def make_cubes(rows: int, size: int, mode: Pretended | None = None) -> "CubeBatch":
    """Black faces, fake ones with a ``mode``; the seeds are always numbers."""
    from aognet.data.cubes import CubeBatch

    with mode.everything() if mode else nullcontext():
        faces = torch.zeros(6 * rows, 3, size, size)
        known = torch.zeros(6 * rows, 1, size, size, dtype=torch.bool)
    return CubeBatch(faces, known, ["a room"] * 6 * rows, torch.arange(rows))


def make_panoramas(rows: int, height: int, mode: Pretended | None = None) -> "EquirectangularBatch":
    """Black panoramas, fake ones with a ``mode``; turns and seeds are always numbers."""
    from aognet.data.equirectangular import EquirectangularBatch

    with mode.everything() if mode else nullcontext():
        images = torch.zeros(rows, 3, height, 2 * height)
        known = torch.zeros(rows, 1, height, 2 * height, dtype=torch.bool)
    turns = torch.zeros(rows, dtype=torch.int64)
    return EquirectangularBatch(images, turns, known, ["a room"] * rows, torch.arange(rows))


@dataclass(frozen=True)
class Account:
    """Bytes of a training run: what is always there, and the most that comes on top in each phase."""

    frozen: dict[str, int]
    trained: dict[str, int]
    optimizer: int
    average: int
    gradients: int
    activations: int
    """Kept at the end of the forward pass, autocast's copies of the trained weights included."""
    phases: dict[str, int]

    @property
    def always(self) -> int:
        return sum(self.frozen.values()) + sum(self.trained.values()) + self.optimizer + self.average


def measure(
    config: "TrainerConfig",
    model: Any,
    batch: "OutpaintingBatch | CubeBatch | EquirectangularBatch",
    shown: "OutpaintingBatch | CubeBatch | EquirectangularBatch | None" = None,
) -> Account:
    """Does what the trainer does in one step, then a preview of ``shown``; the tensors may be fake or real."""
    from aognet.training.ema import WeightAverage
    from aognet.training.setup import make_optimizer, prepare_parameters

    with nothing_moves():
        parameters = prepare_parameters(config, model, torch.device("cpu"))
    trained = list(parameters.values())
    autocast = torch.autocast("cpu", dtype=AUTOCAST.get(config.mixed_precision), enabled=config.mixed_precision != "no")
    known = [*model.parameters(), *model.buffers(), *vars(batch).values(), *(vars(shown).values() if shown else ())]
    with MemoryMeter(known) as meter, cuda_rules():
        optimizer = make_optimizer(replace(config, optimizer="adamw"), parameters)
        for parameter in trained:
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()  # makes its states
        optimizer.zero_grad()
        average = WeightAverage(parameters, config.ema_decay) if config.ema_decay else None
        meter.base = meter.now
        model.train()
        with meter.phase("forward pass"), autocast:
            loss = model(batch)["loss"]
        activations = meter.now - meter.base
        with meter.phase("backward pass"):
            (loss * (LOSS_SCALE if config.mixed_precision == "fp16" else 1.0)).backward()
        gradients = sum(parameter.grad.nbytes for parameter in trained if parameter.grad is not None)
        with meter.phase("clipping and optimizer step"):
            nn.utils.clip_grad_norm_(trained, config.max_grad_norm or math.inf)
            optimizer.step()
        optimizer.zero_grad()
        del loss
        if shown:
            model.eval()
            with meter.phase("preview"), average.applied() if average else nullcontext(), autocast, torch.no_grad():
                model.preview(shown)
    states = sum(value.nbytes for state in optimizer.state.values() for value in state.values())
    if config.optimizer == "adamw8bit":
        states = eight_bit(trained)
    ours = {name: total_bytes(part.parameters()) for name, part in model.trainable_parts().items()}
    averages = total_bytes(average.average.values()) if average else 0
    return Account(frozen_bytes(model), ours, states, averages, gradients, activations, meter.phases)


def frozen_bytes(model: Any) -> dict[str, int]:
    """Bytes of the frozen parts, by name and type."""
    parts = {
        "UNet": model.backbone.denoiser.unet,
        "VAE": model.backbone.latents.vae,
        "text encoder": model.backbone.conditioner.encoders[0].tower,
    }
    parts |= {"CLIP image tower": getattr(model, "clip", None), "CLIP text tower": getattr(model, "clip_text", None)}
    return {
        f"{name}, {str(next(part.parameters()).dtype).removeprefix('torch.')}": total_bytes(
            weight for weight in part.parameters() if not weight.requires_grad
        )
        for name, part in parts.items()
        if part is not None
    }


def total_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of tensors."""
    return sum(tensor.nbytes for tensor in tensors)


def eight_bit(trained: Iterable[Tensor]) -> int:
    """Bytes of bitsandbytes' AdamW8bit: two states of one byte and a float32 scale for each 256 values.

    Tensors with fewer than 4096 values keep float32 states.
    """
    sizes = [tensor.numel() for tensor in trained]
    return sum(8 * size if size < 4096 else 2 * (size + 4 * math.ceil(size / 256)) for size in sizes)


def show(account: Account, title: str) -> None:
    """Print the account as a table in gigabytes (1e9 bytes)."""
    from rich.console import Console
    from rich.table import Table

    table = Table("item", "GB", title=title, caption="accounting on the CPU, not measured on a GPU")
    table.columns[1].justify = "right"

    def rows(values: dict[str, float], end: str = "") -> None:
        for name, value in values.items():
            table.add_row(name, f"{value / 1e9:.2f}", style="bold" if name == end else "", end_section=name == end)

    most = max(account.phases, key=account.phases.__getitem__)
    top = account.phases[most]
    lost = FRAGMENTATION * top
    total = account.always + top + lost + CONTEXT_GIGABYTES * 1e9
    rows({f"frozen weights: {name}": value for name, value in account.frozen.items()})
    rows({f"trained weights: {name}, float32": value for name, value in account.trained.items()})
    rows({"optimizer states": account.optimizer, "moving average (EMA)": account.average})
    rows({"always there": account.always}, end="always there")
    rows({"activations kept for the backward pass": account.activations, "gradients, float32": account.gradients})
    rows({f"most at a time on top: {name}": value for name, value in account.phases.items()})
    rows({f"largest of these: {most}": top}, end=f"largest of these: {most}")
    rows({"assumed: CUDA context and workspaces": CONTEXT_GIGABYTES * 1e9, "assumed: lost between blocks": lost})
    rows({"total": total}, end="total")
    fits = "fits" if total <= CARD_GIGABYTES * 1e9 else "does not fit"
    table.add_row(f"{fits} a GPU with", f"{CARD_GIGABYTES:.2f}")
    Console().print(table)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-b", "--base", nargs="+", required=True, metavar="YAML", help="config files")
    parser.add_argument(
        "--size", type=int, help="pixels of views and faces, rows of panoramas (default: as the config says)"
    )
    parser.add_argument("overrides", nargs="*", metavar="key.sub=value", help="settings that override the config files")
    return cli.parse_with_overrides(parser, arguments)


def pretend(config: "LoadedConfig", size: int | None, mode: Pretended) -> "tuple[Any, Callable[[int], Any], str]":
    """The model that a config names, what makes batches of so many samples for it, and the two in words."""
    from aognet.config import build_config
    from aognet.errors import UserError
    from aognet.targets import target_class

    section, data = config.section("model"), config.section("data").section("train")
    target = section.values.get("target")
    if target not in (known := ("aognet", "cubediff", "seamless")):
        wanted = f"must be one of {', '.join(known)} here, got {target!r}"
        raise UserError(f"{section.source('target')}: model.target {wanted}")
    method, samples = target_class(section), build_config(data, target_class(data).Config)
    with mode.everything(), nothing_moves():  # peft would
        model = sd2_model(method, build_config(section, method.Config))
    if target == "cubediff":
        size = size or samples.size
        return model, partial(make_cubes, size=size, mode=mode), f"CubeDiff on Stable Diffusion 2: faces {size}x{size}"
    if target == "seamless":
        rows = size or samples.height
        title = f"Seamless on Stable Diffusion 2: panoramas {rows}x{2 * rows}"
        return model, partial(make_panoramas, height=rows, mode=mode), title
    view, face = size or samples.plan.size, size or samples.face_size
    title = f"AOG-Net on Stable Diffusion 2: views {view}x{view}"
    return model, partial(make_batch, view=view, face=face, mode=mode), title


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    from aognet.config import build_config, load_config
    from aognet.training.setup import TrainerConfig

    config = load_config(options.base, options.overrides)
    mode = Pretended()
    model, make, title = pretend(config, options.size, mode)
    settings = build_config(config.section("trainer"), TrainerConfig)
    shown = make(settings.image_samples) if settings.images_every else None
    batch = make(settings.batch_size)
    with mode:
        account = measure(settings, model, batch, shown)
    checkpointing = "with" if settings.gradient_checkpointing else "without"
    show(
        account,
        f"{title}, batch {settings.batch_size}, mixed precision {settings.mixed_precision}, {checkpointing} gradient "
        f"checkpointing, {settings.optimizer}",
    )
    return 0


if __name__ == "__main__":
    cli.run(main)
