"""A model and a dataset so small that a training run takes milliseconds."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from accelerate.state import AcceleratorState
from jaxtyping import Float, Int64
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from aognet.errors import UserError


@dataclass(frozen=True)
class ToyBatch:
    images: Float[Tensor, "batch 3 height width"]
    seeds: Int64[Tensor, " batch"]

    def to(self, device: Any) -> "ToyBatch":
        return ToyBatch(self.images.to(device), self.seeds.to(device))


@dataclass(frozen=True)
class ToySamplesConfig:
    seed: int = 0
    size: int = 4
    fail_at: int = -1


class ToySamples:
    Config = ToySamplesConfig

    def __init__(self, config: ToySamplesConfig) -> None:
        self.config = config
        self.on_read: Callable[[int], object] = int  # what a function of here is, too: it can be sent to a worker

    def __getitem__(self, number: int) -> ToyBatch:
        self.on_read(number)
        if number == self.config.fail_at:
            raise UserError(f"sample {number} cannot be read")
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + number)
        images = torch.rand(1, 3, self.config.size, self.config.size, generator=generator) * 2 - 1
        return ToyBatch(images, torch.tensor([number]))

    def collate(self, samples: list[ToyBatch]) -> ToyBatch:
        return ToyBatch(
            torch.cat([sample.images for sample in samples]), torch.cat([sample.seeds for sample in samples])
        )


def power_cut(last: int, number: int) -> None:
    """Fails from sample ``last`` on."""
    if number >= last:
        raise RuntimeError("power cut")


@dataclass(frozen=True)
class ToyConfig:
    channels: int = 4
    nan_at: int = -1
    """The sample whose loss is not a number."""
    dropout: float = 0.0
    """Drawn from the global random state, to see whether that is restored."""


class Toy(nn.Module):
    """Learns to undo noise; one frozen layer, one part with a parameter that no step uses."""

    Config = ToyConfig
    find_unused_parameters = True

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.config = config
        self.frozen = nn.Conv2d(3, 3, 1).requires_grad_(False)
        self.stem = nn.Conv2d(3, config.channels, 3, padding=1)
        self.head = nn.Sequential(nn.SiLU())
        self.head.append(nn.Conv2d(config.channels, 3, 3, padding=1))
        self.head.register_parameter("unused", nn.Parameter(torch.ones(2)))
        self.checkpointing = False

    def trainable_parts(self) -> dict[str, nn.Module]:
        return {"stem": self.stem, "head": self.head}

    def denoise(self, batch: ToyBatch) -> Tensor:
        noise = [
            torch.randn(image.shape, generator=torch.Generator().manual_seed(int(seed)))
            for image, seed in zip(batch.images, batch.seeds, strict=True)
        ]
        noisy = batch.images + torch.stack(noise).to(batch.images)
        return self.head(nn.functional.dropout(self.stem(self.frozen(noisy)), self.config.dropout, self.training))

    def forward(self, batch: ToyBatch) -> dict[str, Tensor]:
        error = (self.denoise(batch) - batch.images).square().mean()
        poison = torch.where((batch.seeds == self.config.nan_at).any(), float("nan"), 0.0)
        return {"loss": error + poison, "error": error}

    def preview(self, batch: ToyBatch) -> dict[str, Tensor]:
        torch.rand(3)  # a careless preview must not change the training
        return {"input": batch.images, "output": self.denoise(batch)}

    def enable_gradient_checkpointing(self) -> None:
        self.checkpointing = True

    def save_pretrained(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        save_file(self.state_dict(), folder / "model.safetensors")

    @classmethod
    def from_pretrained(cls, folder: Path) -> Self:
        weights = load_file(folder / "model.safetensors")
        model = cls(ToyConfig(channels=len(weights["stem.bias"])))
        model.load_state_dict(weights)
        return model


TARGETS = {
    "toy": "tests.training.toy:Toy",
    "toy_gan": "tests.training.toy_gan:ToyGan",
    "toy_samples": "tests.training.toy:ToySamples",
}
"""How configs may name the toys."""


def fresh_processes() -> Iterator[None]:
    """For a fixture: accelerate keeps one state per process, of which each test needs its own."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def metrics(folder: Path, name: str = "train/loss") -> dict[int, float]:
    """Step -> value, from the metrics file of an experiment."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line[name] for line in lines if name in line}
