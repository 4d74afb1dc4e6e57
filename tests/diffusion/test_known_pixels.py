"""What is not known of an image is the target alone: training shows a model what painting will show it."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from aognet.canvas import Canvas, MaskedView
from aognet.data.cubes import CubeBatch
from aognet.data.outpainting import OutpaintingBatch
from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.clip_encoders import ClipConfig, ClipImageEncoder
from aognet.diffusion.inpaint import ViewToPaint
from aognet.diffusion.sampling.noise import generators
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.geometry.camera import Camera
from aognet.geometry.cubemap import face_cameras
from aognet.methods.aognet.global_stream import GlobalStreamConfig
from aognet.methods.aognet.local_stream import LocalStreamConfig
from aognet.methods.aognet.model import AOGNet
from aognet.methods.aognet.settings import Settings
from aognet.methods.cubediff.model import CubeDiff
from tests.tiny import tiny_components

SIZE, FACE, FOV = 32, 16, 95.0
CAMERA = Camera(30.0, width=SIZE, height=SIZE)
WAYS = {
    "aognet, inpainting": (AOGNet, 9, {}),
    "aognet, text to image": (AOGNet, 4, {}),
    "cubediff, inpainting": (CubeDiff, 9, {}),
    "cubediff, text to image": (CubeDiff, 4, {}),
    "cubediff, known put back": (CubeDiff, 4, {"clean_known": False}),
}


def made(method: type, channels: int, options: dict[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    parts = tiny_components("sd2", channels)
    tower, backbone = parts.pop("image_encoder"), BackboneConfig("tiny")
    if method is CubeDiff:
        return CubeDiff(CubeDiff.Config(backbone=backbone, drop_known=0.0, **options), Backbone.of(**parts)).eval()
    streams = {
        "global_stream": GlobalStreamConfig(tokens=3, depth=1, heads=2),
        "local_stream": LocalStreamConfig(residual_blocks=1, depth=1, heads=2),
    }
    config = AOGNet.Config(backbone=backbone, clip=ClipConfig("tiny"), drop_condition=0.0, **streams, **options)
    model = AOGNet(config, Backbone.of(**parts), ClipImageEncoder(tower)).eval()
    for layer in model.local_stream.last:
        nn.init.normal_(layer.weight, std=0.3)
    return model


def ragged(*shape: int) -> Tensor:
    """Known pixels whose border runs through latent pixels."""
    known = torch.rand(*shape, generator=torch.Generator().manual_seed(1)) > 0.1
    known[..., : shape[-1] // 3] = False
    return known


def batch_for(method: type) -> OutpaintingBatch | CubeBatch:
    random = torch.Generator().manual_seed(2)
    if method is CubeDiff:
        faces = torch.rand(6, 3, SIZE, SIZE, generator=random) * 2 - 1
        return CubeBatch(faces, ragged(6, 1, SIZE, SIZE), ["a room"] * 6, torch.tensor([5]))
    faces_known = ragged(1, 6, 1, FACE, FACE)
    faces = (torch.rand(1, 6, 3, FACE, FACE, generator=random) * 2 - 1) * faces_known
    view = torch.rand(1, 3, SIZE, SIZE, generator=random) * 2 - 1
    return OutpaintingBatch(view, ragged(1, 1, SIZE, SIZE), [CAMERA], faces, faces_known, ["a room"], torch.tensor([9]))


def with_other_truth(batch: OutpaintingBatch | CubeBatch) -> OutpaintingBatch | CubeBatch:
    name = "faces" if isinstance(batch, CubeBatch) else "view"
    truth = getattr(batch, name)
    return replace(batch, **{name: torch.where(batch.known, truth, -truth)})


def spied(owner: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple, dict, Any]]:
    """What a method is given from now on, and what it returns."""
    calls, function = [], getattr(owner, name)

    def spy(*given: Any, **named: Any) -> Any:
        calls.append((given, named, function(*given, **named)))
        return calls[-1][2]

    monkeypatch.setattr(owner, name, spy)
    return calls


@pytest.mark.parametrize("way", WAYS)
def test_other_unknown_pixels_change_the_target_alone(way: str, monkeypatch: pytest.MonkeyPatch):
    method, *rest = WAYS[way]
    model = made(method, *rest)
    batch = batch_for(method)
    conditions = spied(model.backbone, "prepare_condition", monkeypatch)
    asked, targets = spied(model.backbone, "run_unet", monkeypatch), spied(model.backbone, "target", monkeypatch)
    model(batch)
    model(with_other_truth(batch))
    condition, other = (call[2] for call in conditions)
    assert torch.equal(condition.mask, other.mask) and torch.equal(condition.image, other.image)
    (inputs, timesteps, context, *residuals), (inputs_2, timesteps_2, context_2, *residuals_2) = (
        call[0] for call in asked
    )
    assert torch.equal(timesteps, timesteps_2) and torch.equal(context.tokens, context_2.tokens)
    for one, two in zip(*(each[0] if each and each[0] else [] for each in (residuals, residuals_2)), strict=True):
        assert torch.equal(one, two)
    # Of the UNet's input the noised latents differ, and those only where they are to be painted.
    unknown = (condition.mask > 0.5).expand(-1, 4, -1, -1)
    assert torch.equal(inputs[:, 4:], inputs_2[:, 4:])
    assert not torch.equal(inputs[:, :4][unknown], inputs_2[:, :4][unknown])
    if not model.backbone.is_inpainting:
        assert (~unknown).any()
        assert torch.equal(inputs[:, :4][~unknown], inputs_2[:, :4][~unknown])
    assert not torch.equal(targets[0][0][0], targets[1][0][0])


@pytest.mark.parametrize("way", WAYS)
def test_training_encodes_what_painting_encodes(way: str, monkeypatch: pytest.MonkeyPatch):
    method, *rest = WAYS[way]
    model = made(method, *rest)
    batch = batch_for(method)
    conditions = spied(model.backbone, "prepare_condition", monkeypatch)
    encoded = spied(model.backbone.latents, "encode", monkeypatch)
    model(batch)
    monkeypatch.setattr(Canvas, "faces", lambda canvas, *size: MaskedView(batch.faces, batch.faces_known))
    views, sampler = views_of(method), SamplerConfig(steps=1, guidance=1.0)
    truth = batch.faces if method is CubeDiff else batch.view
    model.outpaint(views, MaskedView(truth * batch.known, batch.known), Settings(sampler=sampler, face_size=FACE))
    assert torch.equal(conditions[0][2].mask, conditions[1][2].mask)
    # Latents of what is known are drawn; the target's are not.
    shown = [given[0] for given, _, _ in encoded if len(given) > 1 and given[1] is not None]
    assert len(shown) == 2 and torch.equal(*shown)


def views_of(method: type) -> list[ViewToPaint]:
    canvas = Canvas.empty(32)
    cameras = face_cameras(SIZE, FOV) if method is CubeDiff else [CAMERA]
    return [ViewToPaint(canvas, camera, "a room", seed) for seed, camera in enumerate(cameras)]


@pytest.mark.parametrize("blocks", [2, 4])
def test_clean_latents_take_the_place_of_wholly_known_cells_alone(blocks: int):
    parts = tiny_components("sd15", 4, blocks=blocks)
    parts.pop("image_encoder")
    backbone = Backbone.of(**parts)
    scale = backbone.latents.scale
    known = torch.ones(1, 1, 4 * scale, 4 * scale, dtype=torch.bool)
    known[..., scale - 1, scale - 1] = False  # the last pixel of the first cell
    known[..., 2 * scale :, 2 * scale :] = False
    known[..., 2 * scale, 2 * scale] = True  # the first pixel of a cell
    mask = backbone.prepare_condition(torch.zeros(1, 3, *known.shape[-2:]), known, generators([0])).mask[0, 0]
    expected = torch.zeros(4, 4)
    expected[0, 0], expected[2:, 2:] = 1, 1
    assert torch.equal(mask, expected)
