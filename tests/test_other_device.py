"""Networks and canvases may be elsewhere than on the CPU: nothing that is there meets anything that is not.

The other device is one that computes and compares like the CPU and fails like a GPU (tests/elsewhere.py).
"""

import gc
import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from aognet.callbacks import Listener
from aognet.canvas import Canvas
from aognet.diffusion.execution import ExecutionConfig, place
from aognet.diffusion.inpaint import ViewToPaint
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.generate.outpaint import Outpaint
from aognet.geometry.camera import Camera
from aognet.geometry.cubemap import face_cameras
from aognet.geometry.plans import PlanConfig
from aognet.methods.aognet.settings import Settings
from aognet.methods.outpainter import OutpaintSettings
from benchmarks.models import untrained
from benchmarks.training_memory import make_batch, make_cubes
from tests.elsewhere import THERE, Disguised, elsewhere, here
from tests.slow import rest_slow

SIZE, CPU = 64, torch.device("cpu")


@pytest.fixture
def other_device() -> Iterator[None]:
    """The other device; what functions keep of it is forgotten."""
    with elsewhere():
        yield
    for name, module in list(sys.modules.items()):
        if name.startswith("aognet."):
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
    gc.collect()


@pytest.fixture
def numbers() -> Iterator[Tensor]:
    yield torch.arange(6.0).view(2, 3)


def test_the_other_device_computes_and_refuses_to_mix(other_device: None, numbers: Tensor):
    there = numbers.to(THERE)
    assert there.device == THERE and isinstance(there, Disguised)
    assert torch.equal((there @ there.T + 1).to("cpu"), numbers @ numbers.T + 1)
    there += torch.tensor(2.0)  # a number alone may be anywhere
    assert torch.equal(there.to("cpu"), numbers + 2) and there[0, 1].item() == 3
    assert there.tolist() == (numbers + 2).tolist() and here(torch.tensor([7], device=THERE)).item() == 7
    layer = nn.Linear(3, 2)
    moved = nn.Linear(3, 2).to(THERE)
    with torch.no_grad():
        for weight, value in zip(moved.parameters(), layer.parameters(), strict=True):
            weight.copy_(value)
    moved(there).square().sum().backward()
    layer(numbers + 2).square().sum().backward()
    assert moved.weight.grad.device == THERE and torch.equal(here(moved.weight.grad), layer.weight.grad)
    assert torch.equal(here(there[torch.tensor([1])]), numbers[1:] + 2)  # by an index on the CPU
    for mixed in (
        lambda: there + numbers,
        lambda: moved(numbers),
        lambda: torch.cat([there, numbers]),
        lambda: torch.where(there > 1, numbers, 0.0),
        lambda: numbers[torch.tensor([1], device=THERE)],
        lambda: numbers.add_(there),
    ):
        with pytest.raises(RuntimeError, match="elsewhere"):
            mixed()
    with pytest.raises((RuntimeError, TypeError)):
        there.numpy()


def made(method: str, device: torch.device) -> nn.Module:
    """The same weights on any device."""
    places = (str(device), "cpu")
    model, known = (untrained(Namespace(layout="tiny", method=method, device=place), "float32") for place in places)
    with torch.no_grad():
        for one, other in zip(tensors(model), tensors(known), strict=True):
            one.copy_(other)
    assert {tensor.device for tensor in tensors(model)} == {device}
    return model


def tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]


def painted(method: str, scheduler: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """Views, and a canvas with the first of them."""
    model = place(made(method, device), ExecutionConfig(), device)
    square = Camera(width=SIZE, height=SIZE)
    photo = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    canvas = Canvas.empty(4 * SIZE).paint(photo, square).to(device)
    fov = 95.0 if method == "cubediff" else 90.0
    cameras = face_cameras(SIZE, fov) if method == "cubediff" else [square.turned(50.0), square.turned(-40.0)]
    views = [ViewToPaint(canvas, camera, "a room", number) for number, camera in enumerate(cameras)]
    sampler = SamplerConfig(scheduler=scheduler, steps=2, guidance=2.5)
    options: dict[str, Any] = {"plan": PlanConfig(fov_degrees=fov, size=SIZE), "sampler": sampler}
    settings = OutpaintSettings(**options) if method == "cubediff" else Settings(face_size=32, **options)
    found = Outpaint(model, settings, device)._views(views, Listener())
    assert found.device == device and found.shape == (len(views), 3, SIZE, SIZE)
    canvas.paint_(found[:1], cameras[0])
    assert canvas.pixels.device == device
    return here(found), here(canvas.image)


@pytest.mark.parametrize(
    ("method", "scheduler"), rest_slow([("aognet", "euler-a"), ("aognet", "pndm"), ("cubediff", "unipc")])
)
def test_painting(method: str, scheduler: str, other_device: None):
    expected, found = (painted(method, scheduler, device) for device in (CPU, THERE))
    assert expected[0].std() > 0.05
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, atol=1e-4, rtol=0)


def learned(method: str, device: torch.device) -> dict[str, Tensor]:
    """Loss and gradients of a batch."""
    model = made(method, device).train()
    batch = make_batch(2, SIZE, 32) if method == "aognet" else make_cubes(1, SIZE)
    loss = model(batch.to(device))["loss"]
    loss.backward()
    trained = {
        f"{part}.{name}": weight
        for part, module in model.trainable_parts().items()
        for name, weight in module.named_parameters()
        if weight.grad is not None
    }
    assert loss.device == device and trained and all(weight.grad.device == device for weight in trained.values())
    return {"loss": here(loss)} | {name: here(weight.grad) for name, weight in trained.items()}


@pytest.mark.parametrize("method", rest_slow(["cubediff", "aognet"]))
def test_training(method: str, other_device: None):
    expected, found = (learned(method, device) for device in (CPU, THERE))
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert_close(found[name], value, atol=1e-4, rtol=1e-3, msg=name)
