"""One model serves several threads at once: each gets what it would get alone, and nobody changes what all share."""

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from aognet.canvas import Canvas
from aognet.diffusion import texts
from aognet.diffusion.backbone import BackboneConfig
from aognet.diffusion.execution import ExecutionConfig, place, wait_on_cpu
from aognet.diffusion.inpaint import ViewToPaint, look
from aognet.diffusion.loading import quiet
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.geometry.camera import Camera
from aognet.geometry.cubemap import face_cameras
from aognet.methods.aognet.settings import Settings
from aognet.methods.cubediff.model import CubeDiff
from aognet.nn.component import Component
from tests.slow import rest_slow
from tests.tiny import tiny_streams, tiny_tokenizer

CPU, SIZE, STEPS = torch.device("cpu"), 32, 4
LONG = "a red barn under a very wide and cloudy sky with many small birds in it and a long road " * 2
# Those of one kind stand behind the first: how texts reach a network, and what it is told beside them.
WAYS = ("streams", "cube of all texts", "small memory", "streams, SDXL", "streams, 4 channels", "cube")


def made(way: str, request: Any) -> nn.Module:
    def folder(name: str) -> Any:
        return request.getfixturevalue(f"{name}_folder")

    config = ExecutionConfig(save_memory=way == "small memory")
    if way.startswith("cube"):
        backbone = BackboneConfig(str(folder("sd2")))
        return place(CubeDiff(CubeDiff.Config(backbone=backbone, texts="all" if "all" in way else "own")), config, CPU)
    kind = {"streams, 4 channels": "plain", "streams, SDXL": "sdxl"}.get(way, "sd2")
    model = place(tiny_streams(folder(kind)), config, CPU)
    if way == "compiled":
        unet = model.backbone.denoiser.unet
        unet._compiled_call_impl = torch.compile(unet._call_impl, backend="eager")
    return model


def painted(model: nn.Module, number: int, step: Callable[[], object] = lambda: None) -> Tensor:
    """One of two pictures that differ in everything: what is known, words, seeds, views per batch and guidance."""
    source = torch.Generator().manual_seed(number)
    canvas = Canvas.empty(2 * SIZE).paint(
        torch.rand(1, 3, SIZE, SIZE, generator=source) * 2 - 1, Camera(width=SIZE, height=SIZE)
    )
    cameras = [Camera(yaw, width=SIZE, height=SIZE) for yaw in (40.0, 110.0)[: 2 - number]]
    if isinstance(model, CubeDiff):
        cameras = face_cameras(SIZE, model.config.fov_degrees)
    prompt = ("a barn", LONG)[number]
    views = [ViewToPaint(canvas, camera, prompt, 10 * number + seed) for seed, camera in enumerate(cameras)]
    sampler = SamplerConfig("euler-a", STEPS, 2.0 + number, long_prompts="chunks")
    settings = Settings(sampler=sampler, face_size=16)
    return model.outpaint(views, look(views), settings, lambda done, total: step())


@pytest.mark.parametrize("way", rest_slow([*WAYS, "compiled"], fast=3))
def test_two_generations_at_once_paint_what_each_paints_alone(way: str, request: Any):
    model, both = made(way, request), threading.Barrier(2)
    alone = [painted(model, number) for number in range(2)]
    model.backbone.conditioner.forget()

    def at_once(number: int) -> Tensor:
        both.wait(60)
        return painted(model, number, lambda: both.wait(60))  # step by step, the two take turns

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(at_once, range(2)))
    assert all(torch.equal(*pair) for pair in zip(found, alone, strict=True))
    assert alone[0].std() > 0.02 and not torch.equal(alone[0][:1], alone[1][:1])


def shared_state(model: nn.Module) -> dict[str, int]:
    """What all attributes of all modules are, those of schedulers and tokenizers too."""
    found = {}
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            found[f"{name}.{key}"] = id(value)
            inner = value if isinstance(value, dict) else getattr(value, "__dict__", {})
            if key != "_known":  # of the conditioner, which only adds to it, behind a lock
                found |= {f"{name}.{key}.{part}": id(one) for part, one in inner.items()}
    return found


@pytest.mark.parametrize("way", rest_slow(WAYS, fast=2))
def test_generating_sets_nothing_on_what_all_threads_share(way: str, request: Any):
    model = made(way, request)
    painted(model, 0)  # what is made once and kept
    before, steps = shared_state(model), []
    assert len(before) > 1000

    def step() -> None:
        steps.append({key for key, value in shared_state(model).items() if before.get(key) != value})

    painted(model, 1, step)
    assert steps == [set()] * STEPS
    assert shared_state(model) == before


def test_a_tokenizer_reads_for_one_thread_at_a_time():
    """Else it fails ("Already borrowed"), or cuts where another thread asked for the whole text."""
    tokenizer, prompt = tiny_tokenizer(), LONG * 10

    def read(number: int) -> list[Any]:
        if number % 2:
            return texts._starts(tokenizer, prompt)
        return texts.token_rows(tokenizer, 30 + number % 5, [prompt])["input_ids"].tolist()

    numbers, interval = list(range(80)), sys.getswitchinterval()
    alone = [read(number) for number in numbers]
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(read, numbers))
    finally:
        sys.setswitchinterval(interval)
    assert found == alone


def test_with_small_memory_one_component_runs_at_a_time_and_one_that_fails_lets_the_next_run():
    running, together = [], []

    class Network(nn.Linear):
        device = CPU

        def forward(self, given: Tensor) -> Tensor:
            running.append(self)
            together.append(len(running))
            threading.Event().wait(0.01)
            running.pop()
            if given.isnan().any():
                raise FloatingPointError
            return given

    networks = [Network(2, 2) for _ in range(3)]
    wait_on_cpu([Component(one, waits=number < 2) for number, one in enumerate(networks)], CPU)

    def call(number: int) -> str:
        try:
            networks[number % 3](torch.full((1, 2), torch.nan if number % 4 == 0 else 1.0))
        except FloatingPointError:
            return "failed"
        return "done"

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(call, range(24)))
    assert together == [1] * 24 and found.count("failed") == 6


def test_two_loads_at_once_leave_the_libraries_as_talkative_as_they_were():
    from transformers.utils import logging as library

    before, began, other, ended = library.get_verbosity(), *(threading.Event() for _ in range(3))

    def first() -> None:
        with quiet():
            began.set()
            other.wait(0.2)  # comes in vain: the second one waits for its turn
        ended.set()

    def second() -> None:
        began.wait(10)
        with quiet():
            other.set()
            ended.wait(10)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(first), pool.submit(second)]:
            done.result()
    assert library.get_verbosity() == before
