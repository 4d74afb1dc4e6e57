"""However the networks are run, they paint the same."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from aognet.canvas import Canvas
from aognet.diffusion.execution import KERNELS, ExecutionConfig, keep_kernels, place, wait_on_cpu
from aognet.diffusion.inpaint import ViewToPaint, look
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.geometry.camera import Camera
from aognet.methods.aognet.model import AOGNet
from aognet.methods.aognet.settings import Settings
from aognet.nn.component import Component
from tests.tiny import tiny_streams

CPU = torch.device("cpu")
PLAIN = ExecutionConfig(channels_last=False)


def painted(model: AOGNet) -> Tensor:
    torch.manual_seed(0)
    canvas = Canvas.empty(32).paint(torch.rand(1, 3, 32, 32) * 2 - 1, Camera(width=32, height=32))
    views = [ViewToPaint(canvas, Camera(yaw, width=32, height=32), "a barn", 3) for yaw in (50.0, 160.0)]
    return model.outpaint(views, look(views), Settings(sampler=SamplerConfig(steps=3), face_size=16))


@pytest.mark.parametrize("option", ["channels_last", "save_memory"])
def test_painted_alike(sd2_folder: Any, option: str):
    expected = painted(place(tiny_streams(sd2_folder), PLAIN, CPU))
    found = painted(place(tiny_streams(sd2_folder), replace(PLAIN, **{option: True}), CPU))
    assert expected.std() > 0.05
    assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_painted_alike_with_a_compiled_unet(sd2_folder: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    expected = painted(place(tiny_streams(sd2_folder), PLAIN, CPU))
    # Traced as ever, but without making kernels, which takes a minute.
    monkeypatch.setattr(nn.Module, "compile", lambda self, mode: compile_eagerly(self))
    compiled = place(tiny_streams(sd2_folder), replace(PLAIN, compile=True), CPU)
    assert_close(painted(compiled), expected, atol=1e-4, rtol=0)
    assert compiled.backbone.denoiser.unet._compiled_call_impl is not None


@pytest.mark.parametrize(
    ("before", "kept"),
    [(None, "cache/kernels"), ("/tmp/torchinductor_me", "cache/kernels"), ("/fast/kernels", "/fast/kernels")],
)
def test_kernels_are_kept_where_the_user_keeps_things(
    before: str | None, kept: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("AOGNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(KERNELS, before or "")
    if before is None:
        monkeypatch.delenv(KERNELS)
    keep_kernels()
    assert os.environ[KERNELS] == str(tmp_path / kept)  # an absolute path stays as it is


def compile_eagerly(module: nn.Module) -> None:
    module._compiled_call_impl = torch.compile(module._call_impl, backend="eager")


def test_encoders_are_on_the_device_only_while_they_work():
    class Encoder(nn.Linear):
        device = CPU

        def to(self, device: Any) -> nn.Module:
            moves.append(str(device))
            self.device = torch.device(device)
            return self

    moves: list[str] = []
    encoder, other, unet = Encoder(2, 2), Encoder(2, 2), nn.Linear(2, 2)
    components = [Component(encoder, waits=True), Component(other, waits=True), Component(unet)]
    wait_on_cpu(components, torch.device("meta"))
    assert moves == ["cpu", "cpu"]
    for one in (encoder, other):  # the second sends the first away
        with pytest.raises((RuntimeError, NotImplementedError)):
            one(torch.zeros(1, 2))  # its input came to the device, its weights only say so
    unet(torch.zeros(1, 2))
    unet(torch.zeros(1, 2))
    assert moves == ["cpu", "cpu", "meta", "cpu", "meta", "cpu"]
