"""AOG-Net as in its published code: other streams, five tokens for "unconditional", the words of CLIP's own tower."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from aognet.canvas import Canvas
from aognet.data.outpainting import OutpaintingBatch
from aognet.diffusion.backbone import BackboneConfig
from aognet.diffusion.clip_encoders import ClipConfig
from aognet.diffusion.condition import TextCondition
from aognet.diffusion.inpaint import ViewToPaint, look
from aognet.diffusion.sampling.noise import uniform
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.methods.aognet.global_stream import GlobalStreamConfig
from aognet.methods.aognet.local_stream import LocalStreamConfig
from aognet.methods.aognet.model import DROP, AOGNet, stream_inputs_of
from aognet.methods.aognet.settings import Settings
from aognet.nn.attention import PostNormBlock
from tests.methods.test_aognet import FACE, OFF, SIZE, batch_of, half_known_canvas, row
from tests.tiny import TEXT_DIM, tiny_clip_folder, tiny_streams

TOKENS, LENGTH = 3, 20


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(4)
    return tiny_clip_folder(tmp_path_factory.mktemp("clip"), TEXT_DIM, TEXT_DIM, LENGTH)


@pytest.fixture(scope="module")
def options(clip_folder: Path) -> dict[str, Any]:
    return {"variant": "published", "clip": ClipConfig(str(clip_folder), text=True)}


@pytest.fixture
def model(sd2_folder: Path, options: dict[str, Any]) -> AOGNet:
    return tiny_streams(sd2_folder, **options).eval()


def outpaint(model: AOGNet, guidance: float = 2.5, seed: int = 7) -> Tensor:
    views = [ViewToPaint(half_known_canvas(), Camera(45.0, width=SIZE, height=SIZE), "a red barn", seed)]
    return model.outpaint(
        views, look(views), Settings(sampler=SamplerConfig(steps=2, guidance=guidance), face_size=FACE)
    )


def conditioning(model: AOGNet, batch: OutpaintingBatch, **changes: Tensor):
    return model.conditioning(replace(stream_inputs_of(batch), **changes), batch.prompts)


def test_what_the_unet_is_told(model: AOGNet):
    batch = batch_of()
    given = conditioning(model, batch)
    # Of two numbers of tokens each stands there so often that both are of one length, which changes nothing.
    length = TOKENS + LENGTH
    assert given.context.positive.tokens.shape == given.context.negative.tokens.shape == (2, TOKENS * length, TEXT_DIM)
    assert torch.equal(given.context.positive.tokens, given.context.positive.tokens[:, :length].repeat(1, TOKENS, 1))
    assert torch.equal(given.context.positive.tokens[:, TOKENS:length], model.clip_text(batch.prompts).tokens)
    assert torch.equal(given.context.negative.tokens, model.unconditional.embedding.repeat(2, length, 1))
    assert [part.shape for part in given.residuals] == [(2, 16, 16, 16), (2, 32, 8, 8)]
    with torch.no_grad():  # the backbone's own text encoder says nothing
        for weight in model.backbone.conditioner.encoders[0].tower.parameters():
            weight.zero_()
    assert torch.equal(conditioning(model, batch).context.positive.tokens, given.context.positive.tokens)


def test_its_layers(model: AOGNet):
    blocks = [*model.local_stream.attention, *model.global_stream.transformer]
    assert all(type(block) is PostNormBlock for block in blocks)
    assert model.local_stream.adapter.adapter.conv_in.in_channels == 5 * 2**2
    names = {name.rpartition(".")[0] for name, _ in model.global_stream.named_parameters()}
    assert not {"faces", "words", "norm"} & names  # nothing is projected, nothing normed at the end
    joined = [tuple(weight.shape) for name, weight in model.global_stream.join.named_parameters() if weight.ndim > 1]
    two, one = [(512, 2 * TEXT_DIM), (2 * TEXT_DIM, 512)], [(512, TEXT_DIM), (TEXT_DIM, 512)]
    assert joined == [*two, *two, (TEXT_DIM, 2 * TEXT_DIM), *one, *one]
    block, tokens, memory = blocks[0], torch.randn(2, 5, 32), torch.randn(2, 7, 32)
    assert_close(block(tokens, memory).mean(-1), torch.zeros(2, 5), atol=1e-5, rtol=0)  # normed last
    assert not torch.equal(block(tokens, memory), block(tokens, memory.flip(0)))


def test_what_is_not_known_is_black_to_its_streams_and_changes_nothing(model: AOGNet):
    batch, other = batch_of(), batch_of(seed=1)
    given = conditioning(model, batch)
    hidden = replace(batch, view=torch.where(batch.known, batch.view, other.view))
    again = conditioning(model, hidden)
    assert torch.equal(given.context.positive.tokens, again.context.positive.tokens)
    assert all(map(torch.equal, given.residuals, again.residuals))
    black = replace(batch, view=torch.where(batch.known, batch.view, -1.0), known=torch.ones_like(batch.known))
    assert all(map(torch.equal, given.residuals, conditioning(model, black).residuals))  # no mask tells it apart
    assert torch.equal(given.context.positive.tokens, conditioning(model, black).context.positive.tokens)


@pytest.mark.parametrize("geometry", [True, False])
def test_an_untrained_local_stream_changes_nothing(sd2_folder: Path, options: dict[str, Any], geometry: bool):
    local = LocalStreamConfig(residual_blocks=1, depth=1, heads=2, geometry=geometry)
    model = tiny_streams(sd2_folder, **options, local_stream=local).eval()
    for layer in model.local_stream.last:
        torch.nn.init.zeros_(layer.weight)
    batch, painted = batch_of(), outpaint(model)
    loss = model(batch)["loss"]
    model.local_stream = None
    assert torch.equal(model(batch)["loss"], loss) and torch.equal(outpaint(model), painted)


def test_unconditional_is_five_tokens_and_no_words(model: AOGNet):
    batch = batch_of(2)
    condition = model.backbone.prepare_condition(batch.view, batch.known, [torch.Generator() for _ in range(2)])
    step, context = torch.full((2,), 300), conditioning(model, batch).context
    alone = TextCondition(model.unconditional.embedding.expand(2, -1, -1))
    assert len(model.unconditional.embedding) == TOKENS
    told, untold = (
        model.backbone.predict(condition.noise, step, part, condition) for part in (context.negative, alone)
    )
    assert_close(told, untold, atol=1e-5, rtol=1e-5)


def test_long_prompts_are_read_by_the_tower_that_reads(model: AOGNet):
    rows = model._chunks(["a b c d e f g h i j k l m n o p q r s t u v w x y z"], "chunks")
    assert len(rows[0]) == 2 and len(model.backbone.conditioner.chunks(["a"], "chunks")[0]) == 1
    batch = replace(batch_of(), prompts=["a b c d e f g h i j k l m n o p q r s t u v w x y z", "a"])
    given = model.conditioning(stream_inputs_of(batch), batch.prompts, long_prompts="chunks")
    assert given.context.positive.tokens.isfinite().all()


def test_the_loss_of_a_batch_is_the_mean_over_its_samples(model: AOGNet):
    batch = batch_of(5)
    dropped = uniform(batch.seeds, DROP) < model.config.drop_condition
    assert 0 < dropped.sum() < 5
    with torch.no_grad():
        alone = torch.stack([model(row(batch, i))["loss"] for i in range(5)])
        assert_close(model(batch)["loss"], alone.mean(), rtol=1e-5, atol=1e-6)


def test_what_it_learns_is_drawn_from_the_posterior(model: AOGNet, monkeypatch: pytest.MonkeyPatch):
    batch, targets, target = batch_of(), [], model.backbone.target
    monkeypatch.setattr(model.backbone, "target", lambda *given: targets.append(given[0]) or target(*given))
    model(batch)
    drawn, mode = targets[0], model.backbone.latents.encode(batch.view)
    assert not torch.equal(drawn, mode)
    assert (drawn - mode).abs().mean() < 10 * mode.std()


def test_a_few_steps_of_training_lower_the_loss_and_reach_all_weights(model: AOGNet):
    batch = batch_of(8)
    model.train()
    weights = {f"{n}.{k}": p for n, part in model.trainable_parts().items() for k, p in part.named_parameters()}
    optimizer, losses = torch.optim.AdamW(weights.values(), lr=3e-3), []
    for _ in range(8):
        optimizer.zero_grad()
        loss = model(batch)["loss"]
        loss.backward()
        losses.append(loss.item())
        silent = [name for name, weight in weights.items() if weight.grad is None or not weight.grad.any()]
        assert silent == []
        optimizer.step()
    assert losses[-1] < 0.98 * losses[0]
    assert all(image.isfinite().all() for image in model.eval().preview(batch_of()).values())


def test_saved_and_loaded_it_paints_the_same(model: AOGNet, tmp_path: Path):
    model.save_pretrained(tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["variant"] == "published"
    again = AOGNet.from_pretrained(tmp_path / "saved").eval()
    assert again.is_published and torch.equal(outpaint(again), outpaint(model))
    assert not torch.equal(outpaint(model), outpaint(model, guidance=1.0))
    assert torch.equal(outpaint(model), outpaint(model)) and not torch.equal(outpaint(model), outpaint(model, seed=8))


def test_a_checkpoint_from_before_there_were_variants_is_the_revised_one(streams_folder: Path, tmp_path: Path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((streams_folder / name).read_bytes())
    described = json.loads((tmp_path / "config.json").read_text())
    assert described.pop("variant") == "revised"
    described["backbone"]["model"] = str((streams_folder / described["backbone"]["model"]).resolve())
    described["clip"]["model"] = str((streams_folder / described["clip"]["model"]).resolve())
    (tmp_path / "config.json").write_text(json.dumps(described))
    old, new = (AOGNet.from_pretrained(folder).eval() for folder in (tmp_path, streams_folder))
    assert not old.is_published and torch.equal(outpaint(old), outpaint(new))


def test_without_its_global_stream_the_words_alone_are_told(sd2_folder: Path, options: dict[str, Any]):
    model = tiny_streams(sd2_folder, **options, global_stream=GlobalStreamConfig(enabled=False, tokens=TOKENS)).eval()
    assert list(model.trainable_parts()) == ["unconditional", "local_stream"] and model.clip is None
    context = conditioning(model, batch_of()).context
    assert torch.equal(context.positive.tokens[:, :LENGTH], model.clip_text(batch_of().prompts).tokens)
    assert torch.equal(context.negative.tokens[:, :TOKENS], model.unconditional.embedding.expand(2, -1, -1))
    assert model(batch_of(8))["loss"].isfinite()


def test_a_canvas_of_which_nothing_is_known_can_be_begun(model: AOGNet):
    views = [ViewToPaint(Canvas.empty(32), Camera(width=SIZE, height=SIZE), "a barn", 1)]
    assert model.outpaint(views, look(views), Settings(sampler=SamplerConfig(steps=1), face_size=FACE)).isfinite().all()


def test_what_does_not_fit_is_refused(sd2_folder: Path, tmp_path: Path):
    with pytest.raises(UserError, match="clip.text must be true: the variant published reads prompts with"):
        AOGNet.Config(backbone=BackboneConfig("tiny"), clip=ClipConfig("tiny"), variant="published")
    with pytest.raises(UserError, match="clip.text must be true"):
        AOGNet.Config(backbone=BackboneConfig("tiny"), variant="published", **OFF)
    clip = ClipConfig(str(tiny_clip_folder(tmp_path / "clip", TEXT_DIM)), text=True)
    with pytest.raises(UserError, match="must have one size; got 32, 24 and 32"):
        tiny_streams(sd2_folder, variant="published", clip=clip)
