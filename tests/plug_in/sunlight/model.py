"""The network and how it generates."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from aognet.callbacks import Listener
from aognet.diffusion.sampling.noise import generators, normal
from aognet.errors import UserError
from aognet.methods.generative import Steps
from aognet.methods.trained_method import TrainedMethod
from aognet.nn.component import Component, Components
from aognet.request import Request
from aognet.result import Result
from sunlight.samples import SunlightBatch


@dataclass(frozen=True)
class Settings:
    """``steps``: in how many the noise becomes light. ``exposure``: what the light is multiplied with."""

    steps: int = 4
    exposure: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 1000:
            raise UserError("must lie in [1, 1000]", key="steps", value=self.steps)


@dataclass(frozen=True)
class SunlightConfig:
    height: int = 16


class Mean(nn.Module):
    def __init__(self, height: int) -> None:
        super().__init__()
        self.log_light = nn.Parameter(torch.zeros(1, 3, height, 2 * height))


class Sunlight(TrainedMethod):
    method = "sunlight"
    Config = SunlightConfig

    def __init__(self, config: SunlightConfig) -> None:
        super().__init__()
        self.config, self.mean = config, Mean(config.height)

    def trainable_parts(self) -> dict[str, nn.Module]:
        return {"mean": self.mean}

    def components(self) -> Components:
        return {"mean": Component(self.mean)}

    def forward(self, batch: SunlightBatch) -> dict[str, Tensor]:
        noise = normal(batch.light.shape, generators(batch.seeds), batch.light.device)
        return {"loss": (self.mean.log_light + 0.01 * noise - batch.light.log1p()).square().mean()}

    def preview(self, batch: SunlightBatch) -> dict[str, Tensor]:
        return {"light": self.mean.log_light.expm1().clamp(0, 1) * 2 - 1}

    def check(self, request: Request, settings: Settings) -> None:
        if request.height % self.config.height:
            raise UserError(f"must be a multiple of {self.config.height}", key="height", value=request.height)

    @torch.no_grad()
    def generate(self, request: Request, settings: Settings, steps: Steps, listener: Listener) -> Result:
        done, start = len(steps.recorded()), steps.start()
        if done:
            light = steps.step(done - 1)["light"]
        else:
            seed = sum(map(ord, request.name)) + 1000 * request.seed
            light = normal((1, 3, request.height, 2 * request.height), generators([seed]), start.pixels.device).abs()
        size = (request.height, 2 * request.height)
        wanted = functional.interpolate(self.mean.log_light, size, mode="bilinear").expm1().clamp_min(0).cpu()
        listener.tell("steps", done, settings.steps)
        for number in range(done, settings.steps):
            share = 1 / (settings.steps - number)
            light = light + share * (wanted * settings.exposure - light)
            steps.record({"light": light}, {"share": share})
            listener.tell("steps", number + 1, settings.steps)
        light = torch.where(start.known, start.image, light)
        return Result(light[0], "linear", depth=torch.ones(1, *size))
