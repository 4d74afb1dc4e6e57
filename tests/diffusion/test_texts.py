"""Prompts that are longer than a text tower reads: what is lost is said, or all of it is read, in every method."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from aognet.canvas import Canvas
from aognet.diffusion import texts
from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.inpaint import ViewToPaint, look
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.geometry.camera import Camera
from aognet.methods.aognet.settings import Settings
from aognet.methods.cubediff.model import CubeDiff
from aognet.methods.view_prompts import prompt_for
from aognet.request import DirectedPrompt
from tests.methods.test_cubediff import FOV, batch_of
from tests.methods.test_cubediff import SIZE as FACE
from tests.slow import rest_slow
from tests.tiny import tiny_components, tiny_streams, tiny_tokenizer

LENGTH = 77
WORDS = " ".join(f"word{number}" for number in range(12))  # of six tokens or seven: no longer than the tower reads
LONG = f"{WORDS}, {WORDS}, {WORDS} and a red barn"
SAMPLER = SamplerConfig(steps=1, guidance=2.5)


@pytest.fixture(autouse=True)
def nothing_said_before() -> None:
    texts._say_cut.cache_clear()


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    parts = tiny_components()
    parts.pop("image_encoder")
    return Backbone.of(**parts)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_what_is_cut_is_said_once(backbone: Backbone, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            backbone.conditioner([LONG, "a room"])
            backbone.conditioner.known([LONG])
    assert len(said(caplog)) == 1 and "77 tokens" in said(caplog)[0] and "a red barn" in said(caplog)[0]
    caplog.clear()
    backbone.conditioner([WORDS, "", "a room"])
    assert said(caplog) == []


def test_a_whole_set_of_long_captions_does_not_fill_the_log(backbone: Backbone, caplog: pytest.LogCaptureFixture):
    backbone.conditioner([f"{LONG} {number}" for number in range(texts.MAX_WARNINGS + 10)])
    assert len(said(caplog)) == texts.MAX_WARNINGS and "not named" in said(caplog)[-1]


@pytest.mark.parametrize("prompt", ["", "a room", WORDS, LONG, "é日本" * 30, "x" * 200, f"  {LONG}", "日 " * 70])
def test_chunks_are_the_prompt_and_each_is_read_whole(prompt: str, caplog: pytest.LogCaptureFixture):
    tokenizer = tiny_tokenizer()
    parts = texts.chunks(tokenizer, LENGTH, prompt, "chunks")
    assert "".join(parts) == prompt and texts.chunks(tokenizer, LENGTH, prompt, "cut") == [prompt]
    counts = [len(tokenizer(part, add_special_tokens=False)["input_ids"]) for part in parts]
    assert all(0 < count <= LENGTH - 2 for count in counts) or prompt == ""
    words = [word for part in parts for word in part.split()]
    assert words == prompt.split() or len(prompt.split()) == 1
    texts.token_rows(tokenizer, LENGTH, parts)
    assert said(caplog) == []


def test_there_are_only_so_many_chunks(caplog: pytest.LogCaptureFixture):
    parts = texts.chunks(tiny_tokenizer(), LENGTH, " ".join([LONG] * 3), "chunks")
    assert len(parts) == texts.MAX_CHUNKS
    texts.token_rows(tiny_tokenizer(), LENGTH, parts)
    assert len(said(caplog)) == 1


def test_cut_is_the_same_as_ever(backbone: Backbone):
    options = {"padding": "max_length", "max_length": LENGTH, "truncation": True, "return_tensors": "pt"}
    encoder = backbone.conditioner.encoders[0]
    ids = encoder.tokenizer([LONG], **options)["input_ids"]
    assert torch.equal(backbone.conditioner([LONG]).tokens, encoder.tower(ids).last_hidden_state)


def views_of(prompts: list[str], cameras: list[Camera], size: int = 32) -> list[ViewToPaint]:
    image = torch.rand(1, 3, size, 2 * size, generator=torch.Generator().manual_seed(4)) * 2 - 1
    canvas = Canvas.empty(size).paint(image[..., :size], Camera(fov_degrees=100.0, width=size, height=size))
    return [
        ViewToPaint(canvas, camera, prompt, number)
        for number, (camera, prompt) in enumerate(zip(cameras, prompts, strict=True))
    ]


def paint(model: Any, prompts: list[str], **options: Any) -> Tensor:
    if isinstance(model, CubeDiff):
        cameras = [
            Camera(c.yaw_degrees, c.pitch_degrees, 0.0, FOV, FACE, FACE) for c in model._cube(Camera(width=FACE))
        ]
        prompts = [prompt for prompt in prompts for _ in cameras]
        cameras = cameras * (len(prompts) // 6)
    else:
        cameras = [Camera(40.0 * number, width=32, height=32) for number in range(len(prompts))]
    views = views_of(prompts, cameras)
    painted = model.outpaint(views, look(views), Settings(sampler=replace(SAMPLER, **options), face_size=16))
    return painted.unflatten(0, (-1, 6)) if isinstance(model, CubeDiff) else painted


@pytest.fixture(params=rest_slow(["aognet", "cubediff", "without streams", "4 channels"], fast=2))
def model(request: pytest.FixtureRequest, sd2_folder: Path, plain_folder: Path) -> Any:
    torch.manual_seed(1)
    if request.param == "cubediff":
        model = CubeDiff(CubeDiff.Config(backbone=BackboneConfig(str(sd2_folder))))
    else:
        model = tiny_streams(plain_folder if request.param == "4 channels" else sd2_folder)
    if request.param in ("without streams", "4 channels"):
        model.global_stream = None
    for module in model.backbone.denoiser.unet.modules():
        if getattr(module, "is_cross_attention", False):  # untrained, words hardly matter
            module.to_k.weight.data.mul_(10)
            module.to_out[0].weight.data.mul_(100)
    return model.eval()


def test_chunks_reach_the_picture_and_leave_others_of_the_batch_alone(model: Any):
    other = LONG.replace("red", "green")
    prompts = [LONG, "a room", f"{WORDS}, {WORDS}"]  # three chunks, one, two
    together = paint(model, prompts, long_prompts="chunks")
    changed = paint(model, [other, *prompts[1:]], long_prompts="chunks")
    cut = paint(model, prompts)
    rounding = 2e-5
    assert_close(together[1:], changed[1:], atol=rounding, rtol=0)
    assert_close(together[1], cut[1], atol=rounding, rtol=0)
    for one, another in ((together[0], changed[0]), (together[0], cut[0]), (together[2], cut[2])):
        assert (one - another).abs().max() > 2 * rounding
    assert torch.equal(cut, paint(model, [other, *prompts[1:]]))


def test_a_negative_prompt_may_be_the_longer_one(sd2_folder: Path):
    model = tiny_streams(sd2_folder)
    model.global_stream = None
    painted = paint(model, ["a room", WORDS], long_prompts="chunks", negative=LONG)
    assert not torch.equal(painted, paint(model, ["a room", WORDS], negative=LONG))


def test_training_reads_chunks_by_the_same_rule(sd2_folder: Path):
    losses = {}
    for how in ("cut", "chunks"):
        torch.manual_seed(1)
        config = CubeDiff.Config(backbone=BackboneConfig(str(sd2_folder), long_prompts=how), drop_text=0.0)
        model = CubeDiff(config)
        for prompt in (LONG, LONG.replace("red", "green")):
            batch = replace(batch_of(), prompts=[prompt] * 6 + ["a room"] * 6)
            losses[how, "red" in prompt] = model(batch)["loss"].item()
    assert losses["cut", True] == losses["cut", False]
    assert losses["chunks", True] != losses["chunks", False]


@pytest.mark.parametrize(
    ("words", "prompt"),
    [("a red barn", "a lake"), ("a red barn", LONG), (LONG, "a lake"), (LONG, LONG), ("barn", "x" * 200)],
)
def test_a_direction_and_the_common_prompt_both_survive(words: str, prompt: str, backbone: Backbone):
    both = backbone.conditioner.joined(words, prompt)
    read = backbone.conditioner.encoders[0].tokenizer.decode(
        backbone.conditioner.encoders[0].tokenizer(both, truncation=True, max_length=LENGTH)["input_ids"][1:-1]
    )
    assert read.replace(" ", "") == both.replace(" ", ""), "the tower reads all of it"
    for text in (words, prompt):
        beginning = text if len(text) < 20 else text[:20]
        assert beginning in both
    if len(words) + len(prompt) < 40:
        assert both == f"{words}, {prompt}"
    assert backbone.conditioner.joined(words, prompt, "chunks") == f"{words}, {prompt}"


def test_a_view_gets_its_prompt_through_the_model(backbone: Backbone):
    at = [DirectedPrompt(0.0, 0.0, LONG)]
    assert prompt_for(Camera(), "a lake", at, backbone.conditioner.joined).endswith(", a lake")
    assert prompt_for(Camera(180.0), "a lake", at, backbone.conditioner.joined) == "a lake"
