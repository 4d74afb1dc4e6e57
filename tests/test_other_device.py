"""Networks and canvases may be elsewhere than on the CPU: nothing that is there meets anything that is not.

The device is torch's "meta", which every machine has: its tensors have no numbers, but mixing them with the CPU's fails
as it would with a GPU's.
"""

from argparse import Namespace
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import fields

import pytest
import torch
from torch import nn

from aognet.callbacks import Listener
from aognet.canvas import Canvas
from aognet.diffusion.execution import ExecutionConfig, place
from aognet.diffusion.inpaint import ViewToPaint
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.generate.outpaint import Outpaint
from aognet.geometry import perspective
from aognet.geometry.camera import Camera
from aognet.geometry.cubemap import face_cameras
from aognet.geometry.plans import PlanConfig
from aognet.geometry.sphere import Grid
from aognet.methods.aognet.settings import Settings
from aognet.methods.outpainter import OutpaintSettings
from benchmarks.models import untrained
from benchmarks.training_memory import make_batch, make_cubes

THERE, SIZE = torch.device("meta"), 64


@pytest.fixture(autouse=True)
def without_numbers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Grids are made on the CPU, and nothing is cast: both would need what only real devices have."""
    make = perspective.view_grid

    def made_here(camera: Camera, height: int, width: int, points: int, device: torch.device) -> Grid:
        grid = make(camera, height, width, points, torch.device("cpu"))
        return Grid(*(getattr(grid, field.name).to(device) for field in fields(grid)))

    monkeypatch.setattr(perspective, "view_grid", made_here)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    yield
    perspective.footprint.cache_clear()


def model_there(method: str) -> nn.Module:
    model = untrained(Namespace(layout="tiny", method=method, device="meta"), "float32")
    assert {tensor.device for tensor in (*model.parameters(), *model.buffers())} == {THERE}
    return model


@pytest.mark.parametrize(("method", "scheduler"), [("aognet", "pndm"), ("aognet", "euler-a"), ("cubediff", "unipc")])
def test_painting(method: str, scheduler: str):
    model = place(model_there(method), ExecutionConfig(), THERE)
    canvas = Canvas.empty(4 * SIZE).to(THERE)
    square = Camera(width=SIZE, height=SIZE)
    fov = 95.0 if method == "cubediff" else 90.0
    cameras = face_cameras(SIZE, fov) if method == "cubediff" else [square, square.turned(90.0)]
    views = [ViewToPaint(canvas, camera, "a room", number) for number, camera in enumerate(cameras)]
    sampler = SamplerConfig(scheduler=scheduler, steps=2, guidance=2.5)
    plan = PlanConfig(fov_degrees=fov, size=SIZE)
    options = {"plan": plan, "sampler": sampler}
    settings = OutpaintSettings(**options) if method == "cubediff" else Settings(face_size=32, **options)
    painted = Outpaint(model, settings, THERE)._views(views, Listener())
    assert painted.device == THERE and painted.shape == (len(views), 3, SIZE, SIZE)
    assert canvas.paint_(painted[:1], cameras[0]).pixels.device == THERE


@pytest.mark.parametrize("method", ["aognet", "cubediff"])
def test_training(method: str):
    model = model_there(method).train()
    batch = make_batch(2, SIZE, 32) if method == "aognet" else make_cubes(1, SIZE)
    model(batch.to(THERE))["loss"].backward()
    trained = [weight for part in model.trainable_parts().values() for weight in part.parameters()]
    assert any(weight.grad is not None for weight in trained)
    assert all(weight.grad is None or weight.grad.device == THERE for weight in trained)
