"""CubeDiff: at first the backbone it is made of, face by face; faces that see each other; photos of any pose."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from aognet.canvas import Canvas
from aognet.data.cubes import CubeBatch
from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.condition import InpaintCondition, TextCondition
from aognet.diffusion.execution import ExecutionConfig, place
from aognet.diffusion.inpaint import ViewToPaint, look
from aognet.diffusion.lora.trained import cut_rank
from aognet.diffusion.sampling.noise import uniform
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.geometry.cubemap import blend_faces, crop_faces, face_cameras
from aognet.geometry.plans import PlanConfig, make_plan
from aognet.methods.cubediff.model import HIDE, SILENCE, CubeDiff, cube_positions, face_seeds
from aognet.methods.outpainter import OutpaintSettings
from aognet.methods.pretrained import load_method
from aognet.nn.faces import FacesAttention, FacesConv2d, FacesGroupNorm
from tests.methods.trained import TRAINED
from tests.slow import rest_slow
from tests.smooth import smooth_panorama, smooth_view
from tests.tiny import save, tiny_components

SIZE, FOV, HEIGHT = 32, 95.0, 64
SAMPLER = SamplerConfig(steps=2, guidance=2.5)
Make = Callable[..., CubeDiff]


@pytest.fixture
def make() -> Make:
    """CubeDiff around a fresh tiny backbone, always the same one."""

    def build(channels: int = 9, layout: Any = "sd2", **options: Any) -> CubeDiff:
        torch.manual_seed(0)
        parts = tiny_components(layout, channels)
        parts.pop("image_encoder", None)
        torch.manual_seed(1)
        return CubeDiff(CubeDiff.Config(backbone=BackboneConfig("tiny"), **options), Backbone.of(**parts)).eval()

    return build


def batch_of(count: int = 2) -> CubeBatch:
    faces = torch.cat([smooth_view(camera) for camera in face_cameras(SIZE, FOV)]).repeat(count, 1, 1, 1)
    known = torch.zeros(6 * count, 1, SIZE, SIZE, dtype=torch.bool)
    known[::6] = True
    prompts = [f"room {row // 6}" for row in range(6 * count)]
    return CubeBatch(faces, known, prompts, torch.arange(count) + 5)


def photo_canvas(yaw: float = 0.0, pitch: float = 0.0) -> Canvas:
    camera = Camera(yaw, pitch, fov_degrees=70.0, width=SIZE, height=SIZE)
    return Canvas.empty(HEIGHT).paint(smooth_view(camera), camera)


def paint(model: CubeDiff, canvas: Canvas, **options: Any) -> Tensor:
    plan = make_plan(PlanConfig(kind="cube", fov_degrees=FOV, size=SIZE), canvas.known[0, 0])
    cameras = [step.camera for step in plan.steps]
    prompts, seeds = options.pop("prompts", ["a hall"] * 6), options.pop("seeds", list(range(6)))
    views = [ViewToPaint(canvas, *which) for which in zip(cameras, prompts, seeds, strict=True)]
    return model.outpaint(views, look(views), OutpaintSettings(sampler=SAMPLER), **options)


def told(model: CubeDiff, strength: float = 0.1) -> CubeDiff:
    """What the UNet is told beside its usual input, as if it had been trained."""
    torch.manual_seed(2)
    with torch.no_grad():
        model.backbone.denoiser.unet.conv_in.added.weight.normal_(std=strength)
    return model


def test_with_little_memory_it_paints_alike(make: Make):
    expected = paint(place(told(make()), ExecutionConfig(channels_last=False), torch.device("cpu")), photo_canvas())
    model = place(told(make()), ExecutionConfig(channels_last=False, save_memory=True), torch.device("cpu"))
    assert_close(paint(model, photo_canvas()), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("channels", [9, 4])
def test_untrained_and_with_faces_apart_it_predicts_what_the_backbone_does(make: Make, channels: int):
    model, batch = make(channels, synchronise_norms=False), batch_of(1)
    torch.manual_seed(0)
    plain = Backbone.of(**{k: v for k, v in tiny_components("sd2", channels).items() if k != "image_encoder"})
    for processor in model.backbone.denoiser.unet.attn_processors.values():
        processor.faces = 1
    condition = plain.prepare_condition(
        batch.faces, batch.known & False, [torch.Generator().manual_seed(i) for i in range(6)]
    )
    latents, step = torch.randn_like(condition.noise), torch.full((6,), 300)
    context = plain.conditioner(batch.prompts)
    assert_close(
        model.predict(latents, step, context, condition), plain.predict(latents, step, context, condition),
        atol=1e-5, rtol=1e-5,
    )  # fmt: skip


def test_all_its_layers_see_the_faces(make: Make):
    backbone = make(synchronise_padding=True).backbone
    assert all(type(p) is FacesAttention for p in backbone.denoiser.unet.attn_processors.values())
    for part in (backbone.denoiser.unet, backbone.latents.vae.decoder):
        kinds = [type(module) for module in part.modules()]
        assert torch.nn.GroupNorm not in kinds and FacesGroupNorm in kinds
        assert all(module.padding[0] == 0 for module in part.modules() if type(module) is torch.nn.Conv2d)
        assert FacesConv2d in kinds
    assert FacesGroupNorm not in [type(module) for module in backbone.latents.vae.encoder.modules()]


@pytest.mark.parametrize("channels", rest_slow([4, 9]))
def test_training_lowers_the_loss(make: Make, channels: int):
    model, batch = make(channels, known_weight=0.2), batch_of(2)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 3e-3)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = model(batch)["loss"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize(("train", "layers", "least"), TRAINED)
def test_what_is_trained_is_what_learns_and_is_saved(make: Make, train: Any, layers: Any, least: str):
    model = make(train=train, lora_rank=2, lora_layers=layers)
    parts = model.trainable_parts()
    names = {name for name, _ in parts["unet"].named_parameters()}
    learning = {id(p) for p in model.parameters() if p.requires_grad}
    assert learning == {id(p) for p in parts["unet"].parameters()}
    assert any(least in name for name in names) and "conv_in.added.weight" in names
    assert any("resnets" in name for name in names) == (train == "all" or layers == "all")
    model(batch_of(1))["loss"].backward()
    silent = [n for n, p in parts["unet"].named_parameters() if p.grad is None]
    assert not silent
    assert all(p.grad is None for p in model.backbone.latents.vae.parameters())


@pytest.mark.parametrize(
    ("train", "layers", "padding"),
    rest_slow(
        [("lora", "all", True), ("attention", "attention", False), ("lora", "attention", False), ("all", "all", True)],
        fast=2,
    ),
)
def test_saved_and_loaded_it_paints_the_same(tmp_path: Path, train: Any, layers: Any, padding: bool):
    save(tiny_components("sd2"), tmp_path / "tiny")
    backbone = BackboneConfig(str(tmp_path / "tiny"))
    config = CubeDiff.Config(
        backbone=backbone, train=train, lora_rank=2, lora_layers=layers, synchronise_padding=padding
    )
    model = CubeDiff(config)
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in model.trainable_parts()["unet"].parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    model.save_pretrained(tmp_path / "saved")
    again = load_method(str(tmp_path / "saved"))
    assert isinstance(again, CubeDiff) and asdict(again.config) | {"backbone": 0} == asdict(config) | {"backbone": 0}
    # What is read paints with low-rank additions merged: the same but for rounding.
    tolerance = 1e-4 if train == "lora" else 0
    assert_close(paint(again.eval(), photo_canvas()), paint(model.eval(), photo_canvas()), atol=tolerance, rtol=0)


@pytest.mark.parametrize("channels", rest_slow([9, 4]))
def test_the_loss_drops_texts_and_photographs_of_whole_panoramas(make: Make, channels: int, monkeypatch: Any):
    model, batch = make(channels, drop_text=0.5, drop_known=0.5), batch_of(8)
    seen, predict = [], model.predict
    monkeypatch.setattr(model, "predict", lambda *given: seen.append(given) or predict(*given))
    model(batch)
    _, timesteps, context, condition = seen[0]
    hidden, silent = uniform(batch.seeds, HIDE) < 0.5, uniform(batch.seeds, SILENCE) < 0.5
    assert 0 < hidden.sum() < 8 and 0 < silent.sum() < 8
    assert torch.equal(condition.mask.view(8, 6, -1)[:, 0].amin(-1).bool(), hidden)
    empty = model.backbone.conditioner([""])
    assert torch.equal((context.tokens == empty.tokens).flatten(1).all(1).view(8, 6), silent[:, None].expand(8, 6))
    assert (timesteps.view(8, 6) == timesteps.view(8, 6)[:, :1]).all()
    assert len(timesteps.unique()) > 2


def test_a_text_to_image_unet_sees_clean_latents_where_something_is_known(make: Make, monkeypatch: Any):
    model, seen = make(4), []
    unet = model.backbone.denoiser.unet
    unet.conv_in.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    batch = batch_of(1)
    condition = model.backbone.prepare_condition(
        batch.faces, batch.known, [torch.Generator().manual_seed(i) for i in range(6)]
    )
    model.predict(
        torch.full_like(condition.image, 9.0),
        torch.full((6,), 300),
        model.backbone.conditioner(batch.prompts),
        condition,
    )
    inputs = seen[0]
    assert inputs.shape[1] == 4 + 1 + 3
    assert_close(inputs[0, :4], condition.image[0])
    assert (inputs[1:, :4] == 9).all()
    assert (inputs[0, 4] == 1).all() and (inputs[1:, 4] == 0).all()
    assert_close(inputs[:, 5:], cube_positions(inputs.shape[-1], FOV).float())


def test_without_clean_latents_and_positions_nothing_is_added_and_the_known_is_put_back(make: Make, monkeypatch: Any):
    model, seen = make(4, clean_known=False, positions=False), {}
    assert type(model.backbone.denoiser.unet.conv_in) is torch.nn.Conv2d
    for part, name in ((model.backbone, "prepare_condition"), (model.backbone.latents, "decode")):
        plain = getattr(part, name)
        spy = lambda *given, name=name, plain=plain: seen.setdefault(name, (given, plain(*given)))[1]  # noqa: E731
        monkeypatch.setattr(part, name, spy)
    paint(model, photo_canvas())
    condition, latents = seen["prepare_condition"][1], seen["decode"][0][0]
    known = (condition.mask == 0).expand_as(latents)
    assert 0 < known.float().mean() < 0.2
    assert torch.equal(latents[known], condition.image[known])
    assert not torch.equal(latents[~known], condition.image[~known])


@pytest.mark.parametrize(
    ("channels", "options", "counts"),
    rest_slow(
        [(4, {}, False), (4, {"clean_known": False}, True), (9, {"known_weight": 0.0}, False), (9, {}, True)]
        + [(4, {"known_weight": 0.5}, False)],
        fast=3,
    ),
)
def test_the_loss_asks_nothing_of_cells_that_the_unet_sees_clean(
    make: Make, channels: int, options: dict[str, Any], counts: bool, monkeypatch: pytest.MonkeyPatch
):
    model, batch = make(channels, drop_known=0.0, **options), batch_of(1)
    expected, predict = model(batch)["loss"], model.predict

    def elsewhere(latents: Tensor, timesteps: Tensor, text: TextCondition, condition: InpaintCondition) -> Tensor:
        assert 0 < condition.mask.mean() < 1
        return predict(latents, timesteps, text, condition) + 3 * (1 - condition.mask)

    monkeypatch.setattr(model, "predict", elsewhere)
    assert torch.equal(model(batch)["loss"], expected) is not counts


@pytest.mark.parametrize(
    ("overlap", "joined"), rest_slow([("crop", crop_faces), (None, blend_faces), ("blend", blend_faces)], fast=2)
)
def test_painted_faces_agree_where_two_show_the_same(
    make: Make, overlap: Any, joined: Callable, monkeypatch: pytest.MonkeyPatch
):
    model, decoded = make(overlap=overlap), []
    decode = model.backbone.latents.decode
    monkeypatch.setattr(model.backbone.latents, "decode", lambda latents: decoded.append(decode(latents)) or decoded[0])
    painted = paint(model, photo_canvas())
    assert torch.equal(painted, joined(decoded[0][None], FOV)[0])
    assert not torch.allclose(painted, decoded[0], atol=0.01)


def test_positions_lie_on_the_cube():
    positions = cube_positions(8, 90.0)
    assert_close(positions.abs().amax(1), torch.ones(6, 8, 8, dtype=torch.float64))
    assert_close(
        cube_positions(8, FOV)[4].mean((1, 2)), torch.tensor([0, 1.0, 0], dtype=torch.float64), atol=1e-9, rtol=0
    )


@pytest.mark.parametrize(("yaw", "pitch"), rest_slow([(50.0, 30.0), (0.0, 0.0)]))
def test_it_paints_faces_that_agree_where_they_overlap(make: Make, yaw: float, pitch: float):
    canvas = photo_canvas(yaw, pitch)
    faces = paint(make(), canvas)
    assert faces.shape == (6, 3, SIZE, SIZE) and faces.abs().max() <= 1
    assert torch.equal(faces, paint(make(), canvas))
    assert not torch.equal(faces, paint(make(), canvas, seeds=[9, 1, 2, 3, 4, 5]))
    assert not torch.equal(faces, paint(make(), canvas, prompts=["a hall"] * 5 + ["a carpet"]))


def test_a_direction_is_painted_anew_on_the_cube_that_faces_it(make: Make):
    canvas = Canvas.of(smooth_panorama(HEIGHT))
    camera = Camera(40.0, 20.0, fov_degrees=FOV, width=SIZE, height=SIZE)
    hole = canvas.erase(Camera(40.0, 20.0, fov_degrees=50.0, width=SIZE, height=SIZE))
    views = [ViewToPaint(hole, camera, "a lamp", 4)]
    view = make().outpaint(views, look(views), OutpaintSettings(sampler=SAMPLER))
    assert view.shape == (1, 3, SIZE, SIZE)
    known = hole.look(camera)
    assert_close(view * known.known, known.image, atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fov_degrees": 80.0}, r"fov_degrees must lie in \[90, 120\], got 80"),
        ({"lora_rank": 0}, "lora_rank must be at least 1, got 0"),
        ({"drop_text": 1.0}, r"drop_text must lie in \[0, 1\), got 1"),
        ({"draws": 0}, "draws must be at least 1, got 0"),
    ],
)
def test_what_cannot_be(options: dict, said: str):
    with pytest.raises(UserError, match=said):
        CubeDiff.Config(backbone=BackboneConfig("tiny"), **options)


def test_faces_of_another_width_than_trained_are_refused(make: Make):
    plan = make_plan(PlanConfig(kind="cube", fov_degrees=90.0, size=SIZE), photo_canvas().known[0, 0])
    with pytest.raises(UserError, match="plan.fov_degrees must be 95, what the faces of this checkpoint show; got 90"):
        views = [ViewToPaint(photo_canvas(), step.camera, "a", 0) for step in plan.steps]
        make().outpaint(views, look(views), OutpaintSettings(sampler=SAMPLER))


def test_every_face_of_every_panorama_has_a_seed_of_its_own():
    assert len(set(face_seeds(torch.tensor([5, 2**61, 77])).tolist())) == 18


@pytest.mark.parametrize("shape", [(8, 6, 3, 3), (4, 12, 1, 1), (12, 2, 3, 3)])
def test_cut_additions_are_the_best_of_their_rank(shape: tuple[int, int, int, int]):
    out, channels, *window = shape
    torch.manual_seed(1)
    first, second = torch.randn(6, channels, *window), torch.randn(out, 6, 1, 1)
    weights = {"a.lora_A.default.weight": first, "a.lora_B.default.weight": second, "b": torch.ones(2)}
    cut = cut_rank(weights, 3)
    assert torch.equal(cut["b"], weights["b"])
    rows, columns = cut["a.lora_A.default.weight"], cut["a.lora_B.default.weight"]
    assert rows.shape == (3, channels, *window) and columns.shape == (out, 3, 1, 1)
    whole, product = second.flatten(1) @ first.flatten(1), columns.flatten(1) @ rows.flatten(1)
    left, sizes, right = torch.linalg.svd(whole, full_matrices=False)
    assert_close(product, left[:, :3] * sizes[:3] @ right[:3], atol=1e-4, rtol=1e-4)
