"""CubeDiff as in the paper, and guidance by text and by image, each with a scale of its own."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from aognet.canvas import Canvas, MaskedView
from aognet.diffusion.backbone import BackboneConfig
from aognet.diffusion.condition import TextCondition
from aognet.diffusion.execution import ExecutionConfig, place
from aognet.diffusion.inpaint import ViewToPaint, look
from aognet.diffusion.sampling.denoise import guided
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.geometry.cubemap import blend_faces, crop_faces, face_cameras, shown_alone
from aognet.geometry.plans import PlanConfig, make_plan
from aognet.io.store import CacheConfig
from aognet.methods.cubediff.model import CubeDiff, cube_positions, whole_faces
from aognet.methods.outpainter import OutpaintSettings
from aognet.methods.pretrained import load_method
from aognet.nn.faces import FacesGroupNorm
from tests.methods.test_cubediff import FOV, HEIGHT, SIZE, batch_of
from tests.slow import rest_slow
from tests.smooth import smooth_panorama, smooth_view

PUBLISHED = {"variant": "published"}


def made(folder: Path, **options: Any) -> CubeDiff:
    torch.manual_seed(1)
    model = CubeDiff(CubeDiff.Config(backbone=BackboneConfig(str(folder)), **options)).eval()
    torch.manual_seed(2)
    with torch.no_grad():
        if hasattr(model.backbone.denoiser.unet.conv_in, "added"):
            model.backbone.denoiser.unet.conv_in.added.weight.normal_(std=0.1)
    return model


def photographed(fov: float = 110.0, yaw: float = 0.0) -> Canvas:
    camera = Camera(yaw, fov_degrees=fov, width=2 * SIZE, height=2 * SIZE)
    return Canvas.empty(HEIGHT).paint(smooth_view(camera), camera)


def paint(model: CubeDiff, canvas: Canvas, **sampler: Any) -> Tensor:
    steps = make_plan(PlanConfig(kind="cube", fov_degrees=FOV, size=SIZE), canvas.known[0, 0]).steps
    views = [ViewToPaint(canvas, step.camera, "a hall", seed) for seed, step in enumerate(steps)]
    return model.outpaint(views, look(views), OutpaintSettings(sampler=SamplerConfig(steps=1, **sampler)))


def test_positions_are_longitude_and_latitude():
    positions = cube_positions(64, 90.0, as_angles=True)
    assert positions.shape == (6, 2, 64, 64) and positions.abs().max() <= 1
    front, right, back, _, up, down = positions
    assert_close(front.mean((1, 2)), torch.zeros(2, dtype=torch.float64), atol=1e-9, rtol=0)
    assert_close(front[0, 32, -1], torch.tensor(0.25, dtype=torch.float64), atol=0.01, rtol=0)
    assert_close(right[0].mean(), torch.tensor(0.5, dtype=torch.float64), atol=1e-9, rtol=0)
    assert back[0].abs().min() >= 0.75 and up[1].min() > 0.3 and down[1].max() < -0.3
    assert up[1].max() > 0.98


@pytest.mark.parametrize("folder", ["sd2_folder", "plain_folder"])
def test_it_tells_two_numbers_of_a_place_and_the_whole_vae_sees_all_faces(folder: str, request: Any):
    model = made(request.getfixturevalue(folder), **PUBLISHED)
    assert model.backbone.denoiser.unet.conv_in.added.in_channels == 2 + (not model.backbone.is_inpainting)
    kinds = {type(module) for module in model.backbone.latents.vae.modules()}
    assert FacesGroupNorm in kinds and torch.nn.GroupNorm not in kinds
    faces = batch_of(2).faces
    both = model.backbone.latents.encode(faces)
    assert_close(both[:6], model.backbone.latents.encode(faces[:6]), atol=1e-5, rtol=1e-5)
    darker = torch.cat([faces[:5], faces[5:6] * 0.3])
    assert not torch.allclose(model.backbone.latents.encode(darker)[0], both[0], atol=1e-4)


def test_with_little_memory_and_kept_encodings_it_paints_alike(sd2_folder: Path, tmp_path: Path):
    expected = paint(made(sd2_folder, **PUBLISHED), photographed())
    small = place(
        made(sd2_folder, **PUBLISHED), ExecutionConfig(channels_last=False, save_memory=True), torch.device("cpu")
    )
    assert_close(paint(small, photographed()), expected, atol=1e-4, rtol=0)
    kept = CacheConfig(folder=str(tmp_path / "kept"))
    keeping = CubeDiff(CubeDiff.Config(backbone=BackboneConfig(str(sd2_folder), encodings=kept), **PUBLISHED))
    faces = batch_of(2).faces
    expected = small.backbone.latents.encode(faces)
    for _ in range(2):
        assert_close(keeping.backbone.latents.encode(faces), expected, atol=1e-5, rtol=1e-5)
    assert len(list((tmp_path / "kept").glob("*.safetensors"))) == 1  # of two cubes that are the same


def test_cropped_faces_show_each_direction_as_its_own_face_does():
    colours = torch.rand(1, 6, 3, 1, 1).expand(-1, -1, -1, 48, 48)
    cropped = crop_faces(colours, FOV)[0]
    for number, camera in enumerate(face_cameras(48, FOV)):
        axes = torch.stack([other.forward for other in face_cameras(1)])
        nearness = (camera.pixel_directions() @ axes.T).topk(2, -1)
        clear = nearness.values[..., 0] - nearness.values[..., 1] > 0.06  # of bilinear neighbours, too
        owner = nearness.indices[..., 0]
        assert_close(cropped[number][:, clear], colours[0, :, :, 0, 0][owner[clear]].T)
        assert (owner != number)[clear].any()
    assert not torch.allclose(cropped, blend_faces(colours, FOV)[0])
    views = torch.cat([smooth_view(camera) for camera in face_cameras(48, FOV)])[None]
    assert_close(crop_faces(views, FOV), views, atol=0.02, rtol=0)
    assert shown_alone(48, 90.0).all()


@pytest.mark.parametrize(("options", "crops"), [({}, False), (PUBLISHED, True), ({"overlap": "crop"}, True)])
def test_which_way_faces_are_joined(sd2_folder: Path, options: dict[str, Any], crops: bool):
    model = made(sd2_folder, **options)
    assert model._crops is crops
    assert made(sd2_folder, **PUBLISHED, overlap="blend")._crops is False


def test_a_face_is_known_wholly_or_not_at_all(caplog: pytest.LogCaptureFixture):
    def seen(canvas: Canvas) -> MaskedView:
        masked_view = canvas.look_all(list(face_cameras(SIZE, FOV)))
        return MaskedView(masked_view.image[0], masked_view.known[0])

    for fov in (90.0, 95.0, 110.0):
        masked_view = whole_faces(seen(photographed(fov)), FOV)
        assert masked_view.known[0].all() and not masked_view.known[1:].any()
        truth = smooth_view(face_cameras(SIZE, FOV)[0])
        assert_close(masked_view.image[:1], truth, atol=0.1, rtol=0)
        assert not masked_view.image[1:].any()
    whole = Canvas.of(smooth_panorama(HEIGHT))
    assert whole_faces(seen(whole), FOV).known.all()
    assert not whole_faces(seen(Canvas.empty(HEIGHT)), FOV).known.any()
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        little = seen(photographed(50.0))
        both = MaskedView(*(torch.cat([getattr(little, n), getattr(seen(whole), n)]) for n in ("image", "known")))
        found = whole_faces(both, FOV)
    assert torch.equal(found.known[:6], little.known) and found.known[6:].all()
    assert torch.equal(found.image[:6], little.image)
    assert "covers none" in caplog.text


def test_training_and_painting_know_the_same_of_a_whole_face(sd2_folder: Path, monkeypatch: pytest.MonkeyPatch):
    model, conditions = made(sd2_folder, **PUBLISHED, drop_known=0.0), []
    prepare = model.backbone.prepare_condition
    monkeypatch.setattr(model.backbone, "prepare_condition", lambda *given: conditions.append(given) or prepare(*given))
    batch = batch_of(1)
    model(batch)
    views = [
        ViewToPaint(Canvas.empty(HEIGHT), camera, "a hall", seed) for seed, camera in enumerate(face_cameras(SIZE, FOV))
    ]
    model.outpaint(
        views, MaskedView(batch.faces * batch.known, batch.known), OutpaintSettings(sampler=SamplerConfig(steps=1))
    )
    (trained, known, _), (painted, seen, _) = conditions
    assert torch.equal(known, seen) and torch.equal(trained * known, painted)


@pytest.mark.parametrize("folder", rest_slow(["plain_folder", "sd2_folder"]))
def test_training_lowers_the_loss_and_what_is_saved_paints_the_same(folder: str, request: Any, tmp_path: Path):
    model, batch = made(request.getfixturevalue(folder), **PUBLISHED), batch_of(1)
    optimizer, losses = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 5e-3), []
    for _ in range(6):
        optimizer.zero_grad()
        loss = model(batch)["loss"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]
    model.save_pretrained(tmp_path / "saved")
    described = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert described["variant"] == "published"
    again = load_method(str(tmp_path / "saved")).eval()
    assert again.is_published and torch.equal(paint(again, photographed()), paint(model.eval(), photographed()))


def test_text_and_image_have_scales_of_their_own():
    tokens = [TextCondition(torch.full((2, 1, 1), value)) for value in (1.0, 0.0)]

    def predict(latents: Tensor, timestep: Tensor, context: TextCondition, image: float = 10.0) -> Tensor:
        return latents + context.tokens.flatten()[:, None, None, None] * 3 + image

    def blind(latents: Tensor, timestep: Tensor, context: TextCondition) -> Tensor:
        return predict(latents, timestep, context, image=0.5)

    latents, step = torch.randn(2, 1, 2, 2), torch.tensor(500)
    nothing, image, both = (
        blind(latents, step, tokens[1]), predict(latents, step, tokens[1]), predict(latents, step, tokens[0]),
    )  # fmt: skip
    for text_scale, image_scale in ((2.5, 1.7), (2.5, 0.0), (4.0, 1.0)):
        found = guided(predict, *tokens, text_scale, blind=blind, image_scale=image_scale)(latents, step)
        # InstructPix2Pix, eq. 3.
        assert_close(found, nothing + image_scale * (image - nothing) + text_scale * (both - image))
    plain = guided(predict, *tokens, 2.5)(latents, step)
    assert_close(guided(predict, *tokens, 2.5, blind=blind, image_scale=1.0)(latents, step), plain)
    late = guided(predict, *tokens, 2.5, (600.0, 1000.0), blind=blind, image_scale=2.0)(latents, step)
    assert torch.equal(late, both)


@pytest.mark.parametrize(("folder", "options"), [("sd2_folder", {}), ("plain_folder", PUBLISHED)])
def test_the_image_counts_as_much_as_asked(folder: str, options: dict[str, Any], request: Any):
    model = made(request.getfixturevalue(folder), **options)
    plain = paint(model, photographed())
    assert torch.equal(paint(model, photographed(), image_guidance=1.0), plain)
    more, less = (paint(model, photographed(), image_guidance=scale) for scale in (2.0, 0.0))
    assert more.isfinite().all() and not torch.allclose(more, plain, atol=1e-3)
    assert not torch.allclose(more, less, atol=1e-3)
    if not model.backbone.is_inpainting:  # of a canvas of which nothing is known there is nothing to count
        empty = Canvas.empty(HEIGHT)
        assert_close(paint(model, empty, image_guidance=2.0), paint(model, empty), atol=1e-3, rtol=0)


def test_where_the_image_is_put_back_it_cannot_count_more(plain_folder: Path):
    model = made(plain_folder, clean_known=False)
    with pytest.raises(UserError, match="image_guidance needs a UNet that is told what is known.*got 2"):
        paint(model, photographed(), image_guidance=2.0)
    with pytest.raises(UserError, match=r"image_guidance must lie in \[0, 100\], got -1"):
        SamplerConfig(image_guidance=-1.0)
