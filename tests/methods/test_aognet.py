"""AOG-Net: equal to the plain pipeline where its streams are off or untrained, and every stream does what it should."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from aognet.canvas import Canvas, filled
from aognet.data.outpainting import OutpaintingBatch
from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.clip_encoders import ClipConfig, ClipImageEncoder
from aognet.diffusion.condition import TextCondition
from aognet.diffusion.inpaint import ViewToPaint, look
from aognet.diffusion.sampling.noise import generators, uniform
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.diffusion.sampling.schedulers import make_scheduler
from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.methods.aognet.global_stream import GlobalStreamConfig
from aognet.methods.aognet.local_stream import LocalStreamConfig
from aognet.methods.aognet.model import DROP, AOGNet, stream_inputs_of
from aognet.methods.aognet.settings import Settings
from tests.slow import rest_slow
from tests.tiny import tiny_components, tiny_pipeline, whole_cells

GLOBAL = GlobalStreamConfig(tokens=3, depth=1, heads=2)
LOCAL = LocalStreamConfig(residual_blocks=1, depth=1, heads=2)
OFF = {"global_stream": replace(GLOBAL, enabled=False), "local_stream": replace(LOCAL, enabled=False)}
SIZE, FACE = 32, 16
SAMPLER = SamplerConfig(steps=2, guidance=2.5)
Make = Callable[..., AOGNet]


@pytest.fixture(scope="module")
def parts() -> dict[str, Any]:
    return tiny_components("sd2")


@pytest.fixture(scope="module")
def make(parts: dict[str, Any]) -> Make:
    """AOG-Net with small streams, always the same ones, around the tiny backbone (or another)."""
    default = backbone_of(parts)
    clip = ClipImageEncoder(parts["image_encoder"])

    def build(backbone: Backbone = default, **options: Any) -> AOGNet:
        options = {"global_stream": GLOBAL, "local_stream": LOCAL, **options}
        torch.manual_seed(1)
        return AOGNet(
            AOGNet.Config(backbone=BackboneConfig("tiny"), clip=ClipConfig("tiny"), **options), backbone, clip
        )

    return build


def backbone_of(components: dict[str, Any]) -> Backbone:
    return Backbone.of(**{name: part for name, part in components.items() if name != "image_encoder"})


def wake(model: AOGNet, strength: float = 0.3) -> AOGNet:
    """The local stream as if it were trained: its last layers are no longer zero."""
    torch.manual_seed(2)
    with torch.no_grad():
        for layer in model.local_stream.last:
            layer.weight.normal_(std=strength)
    return model


def batch_of(count: int = 2, seed: int = 0) -> OutpaintingBatch:
    random = torch.Generator().manual_seed(seed)
    faces_known = torch.rand(count, 6, 1, FACE, FACE, generator=random) > 0.3
    known = torch.zeros(count, 1, SIZE, SIZE, dtype=torch.bool)
    known[..., : SIZE // 2] = True
    return OutpaintingBatch(
        torch.rand(count, 3, SIZE, SIZE, generator=random) * 2 - 1,
        known,
        [Camera(30.0 * i, width=SIZE, height=SIZE) for i in range(count)],
        (torch.rand(count, 6, 3, FACE, FACE, generator=random) * 2 - 1) * faces_known,
        faces_known,
        [f"room {i}" for i in range(count)],
        torch.arange(count) + 8 + 100 * seed,  # the condition of 8, 12 and 15 is dropped
    )


def row(batch: OutpaintingBatch, i: int) -> OutpaintingBatch:
    tensors = {name: value[i : i + 1] for name, value in vars(batch).items()}
    return OutpaintingBatch(**tensors)


def half_known_canvas(height: int = 32) -> Canvas:
    image = torch.rand(1, 3, height, 2 * height, generator=torch.Generator().manual_seed(4)) * 2 - 1
    return Canvas.empty(height).paint(image[..., :height], Camera(fov_degrees=100.0, width=height, height=height))


CAMERAS = [Camera(yaw, pitch, width=SIZE, height=SIZE) for yaw, pitch in ((45.0, 0.0), (-30.0, 40.0))]
PROMPTS = ["a red barn", "the sky"]


def outpaint(model: AOGNet, canvas: Canvas | None = None, rows: slice = slice(None), **options: Any) -> Tensor:
    views = views_of(canvas, options.pop("prompts", PROMPTS), options.pop("seeds", [7, 8]))[rows]
    return model.outpaint(views, look(views), Settings(sampler=replace(SAMPLER, **options), face_size=FACE))


def views_of(
    canvas: Canvas | None = None, prompts: Sequence[str] = PROMPTS, seeds: Sequence[int] = (7, 8)
) -> list[ViewToPaint]:
    canvas = canvas or half_known_canvas()
    return [ViewToPaint(canvas, *which) for which in zip(CAMERAS, prompts, seeds, strict=True)]


def pipeline_result(components: dict[str, Any], sampler: SamplerConfig, images: Tensor, known: Tensor) -> Tensor:
    scheduler = make_scheduler(sampler.scheduler, components["scheduler"].config)
    result = tiny_pipeline({**components, "scheduler": scheduler})(
        PROMPTS[:1], image=(images + 1) / 2, mask_image=(~known).float(), height=SIZE, width=SIZE, output_type="pt",
        generator=generators([7])[0], num_inference_steps=sampler.steps, guidance_scale=sampler.guidance,
        negative_prompt=[sampler.negative],
    )  # fmt: skip
    return result.images * 2 - 1


@pytest.mark.parametrize(
    ("layout", "channels", "name"),
    rest_slow(
        [
            ("sd2", 9, "euler-a"),
            ("sd15", 4, "ddim"),
            ("sd15", 9, "pndm"),
            ("sd2", 9, "ddim"),
            ("sd2", 4, "dpm-solver++"),
        ],
        fast=2,
    ),
)
def test_with_both_streams_off_it_is_the_diffusers_pipeline(make: Make, layout: Any, channels: int, name: str) -> None:
    components = tiny_components(layout, channels)
    model = make(backbone_of(components), **OFF)
    assert model.trainable_parts() == {}
    sampler = SamplerConfig(name, steps=3, guidance=3.0, negative="blurry")
    masked_view = half_known_canvas().look(CAMERAS[0])
    assert 0 < int(masked_view.known.sum()) < SIZE * SIZE
    images, known = masked_view.image, masked_view.known
    if channels == 4:
        images, known = filled(masked_view), whole_cells(known, components["vae"])
    expected = pipeline_result(components, sampler, images, known)
    assert expected.std() > 0.05
    views = views_of()[:1]
    found = model.outpaint(views, look(views), Settings(sampler=sampler, face_size=FACE))
    assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("blocks", [2, 4])
def test_an_untrained_local_stream_changes_nothing_and_a_trained_one_does(make: Make, blocks: int) -> None:
    backbone = backbone_of(tiny_components("sd2", blocks=blocks))
    with_stream, without = (make(backbone, local_stream=replace(LOCAL, enabled=on)) for on in (True, False))
    with_stream.global_stream.load_state_dict(without.global_stream.state_dict())
    batch = batch_of()
    residuals = with_stream.conditioning(stream_inputs_of(batch), batch.prompts).residuals
    assert len(residuals) == blocks
    assert all(not residual.any() for residual in residuals)
    assert torch.equal(with_stream(batch)["loss"], without(batch)["loss"])
    assert torch.equal(outpaint(with_stream), outpaint(without))
    optimizer = torch.optim.AdamW(with_stream.local_stream.parameters(), lr=0.01)
    with_stream(batch)["loss"].backward()
    optimizer.step()
    residuals = with_stream.conditioning(stream_inputs_of(batch), batch.prompts).residuals
    assert all(residual.any() for residual in residuals)
    assert not torch.equal(outpaint(with_stream), outpaint(without))


def test_gradients_reach_exactly_the_streams(make: Make) -> None:
    model = wake(make()).train()
    assert not model.backbone.training and not model.clip.training and model.local_stream.training
    model.enable_gradient_checkpointing()
    batch = batch_of(8)
    assert 0 < dropped(model, batch).sum() < 8
    model(batch)["loss"].backward()
    trained = {
        f"{name}.{key}": p for name, part in model.trainable_parts().items() for key, p in part.named_parameters()
    }
    assert {key.partition(".")[0] for key in trained} == {"global_stream", "unconditional", "local_stream"}
    silent = [key for key, parameter in trained.items() if parameter.grad is None or not parameter.grad.any()]
    assert silent == []
    others = [p for name, p in model.named_parameters() if name not in trained]
    assert others and all(p.grad is None and not p.requires_grad for p in others)


def dropped(model: AOGNet, batch: OutpaintingBatch) -> Tensor:
    return uniform(batch.seeds, DROP) < model.config.drop_condition


def seen_contexts(model: AOGNet, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The cross-attention inputs of every call of the UNet from now on."""
    contexts, predict = [], model.backbone.predict

    def spy(latents: Tensor, timesteps: Tensor, context: TextCondition, *others: Any, **rest: Any) -> Tensor:
        contexts.append(context.tokens.detach())
        return predict(latents, timesteps, context, *others, **rest)

    monkeypatch.setattr(model.backbone, "predict", spy)
    return contexts


def test_dropped_rows_get_the_learned_unconditional_embedding(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = make(), batch_of(12)
    with torch.no_grad():
        model.unconditional.embedding.add_(1)
    contexts = seen_contexts(model, monkeypatch)
    model(batch)
    given = model.conditioning(stream_inputs_of(batch), batch.prompts).context.positive.tokens
    rows = dropped(model, batch)
    assert 0 < rows.sum() < 12
    expected = torch.where(rows[:, None, None], model.unconditional.embedding, given)
    assert_close(contexts[0], expected)


def test_conditions_are_dropped_as_often_as_asked() -> None:
    rate = (uniform(torch.arange(4000), DROP) < 0.2).float().mean()
    assert abs(rate - 0.2) < 0.02


def test_the_negative_branch_of_guidance_is_the_learned_embedding(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make()
    contexts = seen_contexts(model, monkeypatch)
    before = outpaint(model)
    assert contexts[0].shape == (4, GLOBAL.tokens + 77, 32)
    assert torch.equal(contexts[0][:2], model.unconditional.embedding.expand(2, -1, -1))
    assert torch.equal(model.unconditional.embedding[GLOBAL.tokens :], model.backbone.conditioner([""]).tokens[0])
    assert torch.equal(outpaint(model, negative="blurry"), before)  # the words count only without this stream
    with torch.no_grad():
        model.unconditional.embedding.add_(1)
    assert not torch.equal(outpaint(model), before)
    assert not torch.equal(outpaint(make(**OFF), negative="blurry"), outpaint(make(**OFF)))


@pytest.mark.parametrize("text", [True, False])
def test_what_the_global_streams_tokens_depend_on(make: Make, text: bool) -> None:
    model = make(global_stream=replace(GLOBAL, text=text))
    seen, other = stream_inputs_of(batch_of()), stream_inputs_of(batch_of(seed=1))

    def tokens(prompts: Sequence[str] = PROMPTS, **changes: Tensor) -> Tensor:
        context = model.conditioning(replace(seen, **changes), prompts).context.positive.tokens
        assert torch.equal(context[:, GLOBAL.tokens :], model.backbone.conditioner(prompts).tokens)
        return context[:, : GLOBAL.tokens]

    assert torch.equal(tokens(), tokens())
    assert torch.equal(tokens(PROMPTS), tokens(["other", "words"])) is not text
    assert not torch.equal(tokens(), tokens(view=other.view))
    assert torch.equal(tokens(), tokens(view=torch.where(seen.known, seen.view, other.view)))  # the unknown is not seen
    assert not torch.equal(tokens(), tokens(faces=other.faces))
    assert not torch.equal(tokens(), tokens(faces=seen.faces.flip(1)))  # which face is where matters
    assert torch.equal(tokens(), tokens(positions=other.positions.flip(0)))


@pytest.mark.parametrize("geometry", [True, False])
def test_what_the_local_streams_maps_depend_on(make: Make, geometry: bool) -> None:
    model = wake(make(local_stream=replace(LOCAL, geometry=geometry)))
    seen, other = stream_inputs_of(batch_of()), stream_inputs_of(batch_of(seed=1))

    def maps(prompts: Sequence[str] = PROMPTS, **changes: Tensor) -> list[Tensor]:
        return model.conditioning(replace(seen, **changes), prompts).residuals

    def same(first: list[Tensor], second: list[Tensor]) -> list[bool]:
        return [torch.allclose(a, b, atol=1e-5) for a, b in zip(first, second, strict=True)]

    assert [part.shape for part in maps()] == [(2, 16, 16, 16), (2, 32, 8, 8)]
    assert all(same(maps(), maps(["other", "words"])))
    assert not any(same(maps(), maps(view=other.view)))
    assert not any(same(maps(), maps(known=~seen.known)))
    assert all(same(maps(), maps(view=torch.where(seen.known, seen.view, other.view))))
    assert same(maps(), maps(faces=other.faces)) == [True, False]  # the faces enter at the coarsest scale
    assert all(same(maps(), maps(positions=seen.positions.flip(0)))) is not geometry
    # Without geometry the faces are a set; with it the stream knows which is where.
    swapped = maps(faces=seen.faces.flip(1), faces_known=seen.faces_known.flip(1))
    assert all(same(maps(), swapped)) is not geometry


def test_switched_off_streams_are_not_there(make: Make) -> None:
    model = make(global_stream=replace(GLOBAL, enabled=False))
    assert list(model.trainable_parts()) == ["local_stream"] and model.clip is None
    context = model.conditioning(stream_inputs_of(batch_of()), PROMPTS).context.positive.tokens
    assert torch.equal(context, model.backbone.conditioner(PROMPTS).tokens)
    model = make(local_stream=replace(LOCAL, enabled=False))
    assert list(model.trainable_parts()) == ["global_stream", "unconditional"]
    assert model.conditioning(stream_inputs_of(batch_of()), PROMPTS).residuals is None
    assert not torch.equal(outpaint(model), outpaint(make(**OFF)))


@pytest.mark.parametrize(
    ("layout", "channels", "draws"),
    rest_slow([("sd2", 9, 2), ("sd15", 4, 1), ("sd15", 9, 1), ("sd2", 4, 1)], fast=2),
)
def test_the_loss_of_a_batch_is_the_mean_over_its_samples(make: Make, layout: Any, channels: int, draws: int) -> None:
    model = wake(make(backbone_of(tiny_components(layout, channels)), draws=draws))
    assert model.backbone.prediction_type == {"sd15": "epsilon", "sd2": "v_prediction"}[layout]
    batch = batch_of(5)
    assert dropped(model, batch).any()
    with torch.no_grad():
        alone = torch.stack([model(row(batch, i))["loss"] for i in range(5)])
        whole = model(batch)["loss"]
    assert whole.isfinite() and alone.std() > 1e-3
    assert_close(whole, alone.mean(), rtol=1e-5, atol=1e-6)
    assert torch.equal(whole, model(batch)["loss"])


def test_views_drawn_several_times_are_encoded_once_and_noised_anew(make: Make, monkeypatch: Any) -> None:
    once, thrice = make(noise_offset=0.5), make(noise_offset=0.5, draws=3)
    batch, noised, encoded = batch_of(4), [], []
    encode, target = once.backbone.latents.encode, once.backbone.target
    monkeypatch.setattr(once.backbone, "target", lambda *given: noised.append(given) or target(*given))
    monkeypatch.setattr(
        once.backbone.latents, "encode", lambda images, *rest: encoded.append(1) or encode(images, *rest)
    )
    once(batch)
    calls = len(encoded)
    thrice(batch)
    assert len(encoded) == 2 * calls
    for one, three in zip(*noised, strict=True):
        assert torch.equal(one, three[:4])
    latents, noise, timesteps = noised[1]
    assert torch.equal(latents, latents[:4].repeat(3, 1, 1, 1))
    assert len(noise.flatten(1).unique(dim=0)) == 12
    assert len(timesteps.unique()) > 8
    with torch.no_grad():
        thrice.unconditional.embedding.add_(1)
    contexts = seen_contexts(thrice, monkeypatch)
    thrice(batch_of(12))
    silent = (contexts[0] == thrice.unconditional.embedding).all((1, 2)).view(3, 12)
    assert torch.equal(silent[0], dropped(thrice, batch_of(12)))
    assert 0 < silent[1:].sum() < 12 and not torch.equal(silent[0], silent[1])


@pytest.mark.parametrize("layout", ["sd15", "sd2"])
def test_the_loss_is_the_error_of_what_the_unet_predicts(make: Make, layout: Any, monkeypatch: Any) -> None:
    model = make(backbone_of(tiny_components(layout)), noise_offset=0.5)
    batch, asked = batch_of(3), []
    target = model.backbone.target
    monkeypatch.setattr(model.backbone, "target", lambda *given: asked.append(given) or target(*given))
    monkeypatch.setattr(
        model.backbone, "predict", lambda noisy, *given, **rest: asked.append(noisy) or torch.zeros_like(noisy)
    )
    loss = model(batch)["loss"]
    noisy, (latents, noise, timesteps) = asked
    assert_close(loss, target(latents, noise, timesteps).square().mean())
    assert_close(noisy, model.backbone.add_noise(latents, noise, timesteps))
    assert_close(latents, model.backbone.latents.encode(batch.view))
    plain = make(model.backbone, noise_offset=0.0)
    plain(batch)
    offset = noise - asked[-1][1]
    assert_close(offset, offset.mean((-1, -2), keepdim=True).expand_as(offset), atol=1e-5, rtol=0)
    assert 0.2 < offset.std() < 1.2


@pytest.mark.parametrize("channels", rest_slow([9, 4]))
def test_views_painted_together_are_those_painted_alone(make: Make, channels: int) -> None:
    model = wake(make(backbone_of(tiny_components("sd2", channels))))
    both = outpaint(model, scheduler="euler-a")
    assert both.shape == (2, 3, SIZE, SIZE) and both.abs().max() <= 1
    for i in range(2):
        assert_close(both[i : i + 1], outpaint(model, None, slice(i, i + 1), scheduler="euler-a"), atol=1e-5, rtol=0)


def test_a_view_depends_on_seed_prompt_canvas_and_direction(make: Make) -> None:
    model = wake(make())
    plain = outpaint(model)
    assert torch.equal(plain, outpaint(model))
    assert not torch.equal(plain, outpaint(model, seeds=[9, 10]))
    assert not torch.equal(plain, outpaint(model, prompts=["a green door", "the sea"]))
    turned = Canvas(half_known_canvas().pixels.roll(16, -1))
    assert not torch.equal(plain, outpaint(model, turned))
    calls: list[tuple[int, int]] = []
    model.outpaint(
        views_of(), look(views_of()), Settings(sampler=SAMPLER, face_size=FACE), lambda *count: calls.append(count)
    )
    assert calls == [(1, 2), (2, 2)]


def test_a_canvas_of_which_nothing_is_known_can_be_begun(make: Make) -> None:
    assert outpaint(wake(make()), Canvas.empty(32)).isfinite().all()


@pytest.mark.parametrize("channels", rest_slow([4, 9]))
def test_preview_shows_what_was_given_and_what_came_out(make: Make, channels: int) -> None:
    model, batch = make(backbone_of(tiny_components("sd2", channels))), batch_of()
    preview = model.preview(batch)
    assert preview.keys() == {"input", "mask", "target", "output", "panorama"}
    assert preview.pop("panorama").shape == (2, 3, 2 * FACE, 4 * FACE)
    assert all(image.shape == (2, 3, SIZE, SIZE) and image.abs().max() <= 1 for image in preview.values())
    assert torch.equal(preview["output"], model.preview(batch)["output"])
    hidden = replace(batch, view=torch.where(batch.known, batch.view, -batch.view))
    assert torch.equal(preview["output"], model.preview(hidden)["output"])


def test_a_few_steps_of_training_lower_the_loss(make: Make) -> None:
    model, batch = make(drop_condition=0.0), batch_of(4)
    parameters = [p for part in model.trainable_parts().values() for p in part.parameters()]
    optimizer, losses = torch.optim.AdamW(parameters, lr=3e-3), []
    for _ in range(12):
        loss = model(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.97 * losses[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"clip": None}, "clip must name an image encoder"),
        ({"drop_condition": 1.5}, r"drop_condition must lie in \[0, 1\), got 1.5"),
        ({"global_stream": replace(GLOBAL, heads=5)}, "heads must divide the context dimension 32, got 5"),
        ({"local_stream": replace(LOCAL, heads=5)}, "heads must divide the UNet's 32 channels, got 5"),
    ],
)
def test_settings_that_do_not_fit_are_refused(make: Make, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        make(**options) if "clip" not in options else AOGNet.Config(backbone=BackboneConfig("tiny"), clip=None)
    with pytest.raises(UserError, match="depth must be at least 1, got 0"):
        replace(GLOBAL, depth=0)
    with pytest.raises(UserError, match="residual_blocks must be at least 1, got -1"):
        replace(LOCAL, residual_blocks=-1)
