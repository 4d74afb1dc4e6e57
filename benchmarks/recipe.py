"""The published way to paint a panorama and to train, with the parts of this repository: a baseline.

Painting: view after view, each alone; grids computed anew, everything encoded anew, the faces one by one, the branches
of guidance one after the other, the view pasted back by projecting every pixel of the panorama, images written in
between. Training: sample after sample in single precision, each panorama decoded and turned as a whole.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aognet.canvas import Canvas, MaskedView, join
from aognet.diffusion.inpaint import TextContext
from aognet.diffusion.sampling.denoise import denoise
from aognet.diffusion.sampling.noise import generators
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.diffusion.sampling.schedulers import make_scheduler
from aognet.generate.entries import JournalEntry
from aognet.geometry.camera import positions_of
from aognet.io.images import from_uint8, save_image, to_uint8
from aognet.methods.aognet.model import AOGNet, StreamInputs
from aognet.system.workers import worker_context
from benchmarks.data_loading import baseline
from benchmarks.geometry import forgetting, paste


class OneByOne(torch.nn.Module):
    """An encoder that is given images one by one."""

    def __init__(self, encoder: torch.nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([self.encoder(image[None]) for image in images])


@torch.no_grad()
def paint(
    model: AOGNet,
    start: Canvas,
    entries: Sequence[JournalEntry],
    sampler: SamplerConfig,
    face_size: int,
    feather: float,
    folder: Path,
) -> np.ndarray:
    """The finished panorama [height, width, 3] in [-1, 1]; views and result are written into ``folder``."""
    device = model.backbone.device
    image = start.image[0].permute(1, 2, 0).contiguous().numpy()
    known = start.known[0, 0].numpy().copy()
    encoder, model.clip = model.clip, OneByOne(model.clip)
    for entry in entries:
        canvas = Canvas.of(torch.from_numpy(image).permute(2, 0, 1)[None], torch.from_numpy(known)[None, None])
        masked_view, faces = forgetting(partial(_seen, canvas, entry, face_size))
        masked_view = MaskedView(masked_view.image.to(device), masked_view.known.to(device))
        view = _paint_view(
            model, masked_view, MaskedView(faces.image.to(device), faces.known.to(device)), entry, sampler
        )
        levels = to_uint8(join(view, masked_view, feather)[0]).cpu()
        save_image(from_uint8(levels), folder / entry.file)
        paste(from_uint8(levels).permute(1, 2, 0).numpy(), entry.camera, image, known)
    model.clip = encoder
    save_image(torch.from_numpy(image).permute(2, 0, 1), folder / "result.png")
    return image


def _seen(canvas: Canvas, entry: JournalEntry, face_size: int) -> tuple[MaskedView, MaskedView]:
    return canvas.look(entry.camera), canvas.faces(face_size)


def _paint_view(
    model: AOGNet, masked_view: MaskedView, faces: MaskedView, entry: JournalEntry, sampler: SamplerConfig
) -> Tensor:
    backbone, source = model.backbone, generators([entry.seed])
    backbone.conditioner.forget()
    positions = positions_of(entry.camera)[None].to(masked_view.image)
    one = torch.zeros(1, dtype=torch.long, device=backbone.device)
    stream_inputs = StreamInputs(masked_view.image, masked_view.known, positions, faces.image, faces.known, one)
    given = model.conditioning(stream_inputs, [entry.prompt], sampler.negative)
    condition = backbone.prepare_condition(masked_view.image, masked_view.known, source)
    scheduler = make_scheduler(sampler.scheduler, backbone.scheduler.config)

    def predict(latents: Tensor, timestep: Tensor) -> Tensor:
        return _guided(model, latents, timestep, given.context, replace(condition), given.residuals, sampler.guidance)

    latents = denoise(predict, scheduler, condition.noise, steps=sampler.steps, generators=source)
    return backbone.latents.decode(latents)


def _guided(model, latents, timestep, context: TextContext, condition, residuals, scale: float) -> Tensor:
    ask = partial(model.backbone.predict, latents, timestep, condition=condition, residuals=residuals)
    without, told = ask(text=context.negative), ask(text=context.positive)
    return without + scale * (told - without)


class PreparedAnew(torch.utils.data.Dataset):
    """Training samples of here, each with the time that the published code takes to prepare one."""

    def __init__(self, samples, size: int):
        self.samples, self.size = samples, size

    @cached_property
    def prepare(self) -> Callable[[int], object]:
        """Made where it is used: a function inside another cannot be sent to a worker."""
        paths = [entry.path for entry in self.samples.panoramas.entries]
        return baseline(paths, self.samples.config.height, self.size, "torch")

    def __getitem__(self, index: int):
        self.prepare(index)
        return self.samples[index]


def train(
    model: AOGNet, samples, size: int, count: int, workers: int, learning_rate: float
) -> Iterator[tuple[float, float]]:
    """Trains on samples one by one; for each gives the seconds, waiting for it included, and the loss."""
    model.clip, device = OneByOne(model.clip), model.backbone.device
    trained = [parameter for part in model.trainable_parts().values() for parameter in part.parameters()]
    optimizer = torch.optim.AdamW(trained, learning_rate, weight_decay=0.0)
    numbers = [[number] for number in range(count)]
    batches = torch.utils.data.DataLoader(
        PreparedAnew(samples, size),
        batch_sampler=numbers,
        num_workers=workers,
        multiprocessing_context=worker_context(__name__) if workers else None,
        collate_fn=samples.collate,
    )
    model.train()
    began = time.perf_counter()
    for batch in batches:
        loss = model(batch.to(device))["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        value = float(loss.detach())
        yield time.perf_counter() - began, value
        began = time.perf_counter()
