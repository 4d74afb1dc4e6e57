"""The memory accounting agrees with what real runs of a tiny model allocate, and training in half precision works."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.clip_encoders import ClipConfig, ClipImageEncoder
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.errors import UserError
from aognet.geometry.camera import positions_of
from aognet.geometry.cubemap import face_cameras
from aognet.methods.aognet.global_stream import GlobalStreamConfig
from aognet.methods.aognet.local_stream import LocalStreamConfig
from aognet.methods.aognet.model import AOGNet, face_positions
from aognet.methods.cubediff.model import CubeDiff, cube_positions
from aognet.methods.seamless.model import Seamless
from aognet.training.setup import TrainerConfig
from benchmarks.memory_meter import MemoryMeter, Pretended, cuda_rules
from benchmarks.sd2 import default_type, sd2_backbone
from benchmarks.training_memory import (
    AUTOCAST,
    Account,
    eight_bit,
    main,
    make_batch,
    make_cubes,
    make_panoramas,
    measure,
    show,
)
from tests.slow import rest_slow
from tests.tiny import tiny_components

CONFIG = AOGNet.Config(
    backbone=BackboneConfig("unused"),
    clip=ClipConfig("unused"),
    global_stream=GlobalStreamConfig(tokens=2, depth=1, heads=2),
    local_stream=LocalStreamConfig(residual_blocks=1, depth=1, heads=2),
)
PLAIN = TrainerConfig()


@pytest.fixture(scope="module", autouse=True)
def ready() -> Iterator[None]:
    """Short previews; positions of pixels, which are computed once and kept, are made here."""
    with mock.patch("aognet.methods.aognet.model.SamplerConfig", lambda steps: SamplerConfig(steps=2)):
        model = tiny_model()
        model(make_batch(2, 32, 32))
        model.preview(make_batch(1, 32, 32))
        yield


def tiny_model(dtype: str = "float32") -> AOGNet:
    """The same weights for every ``dtype`` of the frozen parts, but for their rounding."""
    parts = tiny_components()
    tower = parts.pop("image_encoder")
    for part in (tower, *(parts[name] for name in ("vae", "unet", "text_encoder"))):
        if dtype != "float32":  # fake weights cannot be converted
            part.to(getattr(torch, dtype))
    torch.manual_seed(0)
    model = AOGNet(CONFIG, Backbone.of(**parts), ClipImageEncoder(tower))
    for layer in model.local_stream.last:
        torch.nn.init.normal_(layer.weight, std=0.1)
    return model


def account(config: TrainerConfig, mode: Pretended | None, preview: bool) -> Account:
    if mode is None:
        return measure(config, tiny_model(), make_batch(2, 32, 32), make_batch(1, 32, 32) if preview else None)
    with mode.everything():
        model = tiny_model()
    with mode:
        batch, shown = make_batch(2, 32, 32, mode), make_batch(1, 32, 32, mode) if preview else None
        return measure(config, model, batch, shown)


def test_a_storage_counts_once_and_until_its_last_view_is_gone():
    with MemoryMeter(()) as meter:
        whole = torch.zeros(100)
        part = whole[10:20].view(2, 5)
        assert meter.now == 400
        with meter.phase("more"):
            part = part + 1
        del whole
        assert (meter.now, meter.phases["more"]) == (40, 440)
        del part
        assert meter.now == 0


@pytest.mark.parametrize(
    ("precision", "checkpointing", "preview"), rest_slow([("bf16", True, False), ("no", False, True)])
)
def test_pretended_training_needs_what_real_training_needs(precision: str, checkpointing: bool, preview: bool):
    config = TrainerConfig(mixed_precision=precision, gradient_checkpointing=checkpointing, ema_decay=0.9)
    pretended, real = account(config, Pretended(), preview), account(config, None, preview)
    assert pretended.always == real.always
    assert pretended.gradients == real.gradients
    squares = 4 * 2 * 4 * 16 * 16  # on the CPU the loss keeps the storage of those that it is the mean of
    assert pretended.activations == pytest.approx(real.activations, rel=0.001, abs=squares)
    assert pretended.phases == pytest.approx(real.phases, rel=0.001, abs=squares)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "make"), [(CubeDiff, make_cubes), (Seamless, make_panoramas)])
def test_pretended_training_of_a_whole_needs_what_real_training_needs(method: Any, make: Any):
    def whole(mode: Pretended | None) -> Account:
        cube_positions.cache_clear()
        with mode.everything() if mode else nullcontext():
            parts = {name: part for name, part in tiny_components("sd2", 4).items() if name != "image_encoder"}
            config = method.Config(backbone=BackboneConfig("tiny"), train="attention")
            model = method(config, Backbone.of(**parts))
        batch, shown = make(1, 32, mode), make(1, 32, mode)
        with mode or nullcontext():
            return measure(TrainerConfig(gradient_checkpointing=True), model, batch, shown)

    pretended, real = whole(Pretended()), whole(None)
    cube_positions.cache_clear()
    assert pretended.always == real.always
    assert pretended.activations == pytest.approx(real.activations, rel=0.01)
    assert pretended.phases == pytest.approx(real.phases, rel=0.01)


@pytest.mark.slow
def test_checkpointing_and_half_precision_keep_less():
    plain, checkpointed, half = (
        account(TrainerConfig(**options), Pretended(), preview=False).activations
        for options in ({}, {"gradient_checkpointing": True}, {"mixed_precision": "bf16"})
    )
    assert max(checkpointed, half) < plain


def test_activations_are_those_that_autograd_saves():
    model, batch = tiny_model(), make_batch(2, 32, 32)
    there = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    saved: dict[int, Tensor] = {}

    def note(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = model(batch)["loss"]
    assert loss.requires_grad
    sizes = [tensor.untyped_storage().nbytes() for place, tensor in saved.items() if place not in there]
    assert measure(TrainerConfig(), model, batch).activations == pytest.approx(sum(sizes), rel=0.01)


def test_the_peaks_are_those_of_the_allocator():
    model, batch = tiny_model(), make_batch(2, 32, 32)
    forget_positions()
    with torch.profiler.profile(profile_memory=True) as forward:
        loss = model(batch)["loss"]
    with torch.profiler.profile(profile_memory=True) as backward:
        loss.backward()
    kept, most_forward = _sums(forward)
    _, most_backward = _sums(backward)
    forget_positions()
    measured = measure(TrainerConfig(), model, batch)
    assert measured.activations == pytest.approx(kept, rel=0.001)
    assert measured.phases["forward pass"] == pytest.approx(most_forward, rel=0.001)
    assert measured.phases["backward pass"] == pytest.approx(kept + most_backward, rel=0.02)


def forget_positions() -> None:
    """Empty what keeps the positions of pixels, so that each of two that count makes all of them itself."""
    for kept in (face_positions, face_cameras, positions_of):
        kept.cache_clear()


def _sums(profile: torch.profiler.profile) -> tuple[int, int]:
    """Bytes more at the end than at the start, and the most in between."""
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return now, most


def test_the_full_size_backbone_is_stable_diffusion_2():
    with Pretended().everything(), default_type("float16"):
        backbone = sd2_backbone(9)
    assert sum(weight.numel() for weight in backbone.denoiser.unet.parameters()) == 865_925_124
    assert sum(weight.numel() for weight in backbone.latents.vae.parameters()) == 83_653_863
    assert sum(weight.numel() for weight in backbone.conditioner.encoders[0].tower.parameters()) == 340_387_840
    assert backbone.dtype == torch.float16
    assert torch.get_default_dtype() == torch.float32


def test_states_of_eight_bits():
    assert eight_bit([torch.empty(4095)]) == 2 * 4 * 4095
    assert eight_bit([torch.empty(4096)]) == 2 * (4096 + 4 * 16)


@pytest.mark.parametrize(("gigabytes", "verdict"), [(5, "fits"), (22, "does not fit")])
def test_the_table(gigabytes: int, verdict: str, capsys: pytest.CaptureFixture[str]):
    show(Account({"UNet": 10**9}, {"stream": 0}, 0, 0, 0, 0, {"forward pass": gigabytes * 10**9}), "title")
    lines = [line.strip("│ ") for line in capsys.readouterr().out.splitlines()]
    assert any(line.startswith(f"{verdict} a GPU with") for line in lines)
    assert any(line.startswith("total") and line.endswith(f"{1 + gigabytes * 1.1 + 1:.2f}") for line in lines)


def test_other_methods_are_refused(tmp_path: Path):
    (tmp_path / "other.yaml").write_text("model: {target: inpainting}\ndata: {train: {target: views}}")
    with pytest.raises(UserError, match=r"other\.yaml: model\.target must be one of aognet, cubediff, seamless"):
        main(["-b", str(tmp_path / "other.yaml")])


@pytest.mark.parametrize(("dtype", "precision"), [("float16", "fp16"), ("bfloat16", "bf16"), ("float32", "bf16")])
def test_half_precision_trains(dtype: str, precision: str):
    """Frozen parts in half precision, streams in float32, autocast around them as on a GPU."""
    batch = make_batch(2, 32, 32)
    expected = tiny_model()(batch)["loss"].item()
    model = tiny_model(dtype)
    model.enable_gradient_checkpointing()
    with cuda_rules():
        with torch.autocast("cpu", dtype=AUTOCAST[precision]):
            loss = model(batch)["loss"]
        (loss * 1024).backward()
    assert loss.item() == pytest.approx(expected, rel=0.02)
    for name, part in model.trainable_parts().items():
        for key, weight in part.named_parameters():
            assert weight.grad is not None and weight.grad.dtype == torch.float32, f"{name}.{key}"
            assert bool(weight.grad.isfinite().all()), f"{name}.{key}"
    assert all(bool(layer.weight.grad.any()) for layer in model.local_stream.last)
    assert bool(model.global_stream.queries.grad.any())
