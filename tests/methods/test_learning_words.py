"""Words learn in Seamless's training, alone or beside a LoRA; saved, exported and read again they are the same."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from aognet.commands import export
from aognet.diffusion.additions import Additions
from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.learning_words import LearnWordsConfig
from aognet.errors import UserError
from aognet.io.store import CacheConfig
from aognet.methods.pretrained import load_method
from aognet.methods.seamless.model import Seamless
from tests.methods.test_seamless_training import batch_of
from tests.slow import rest_slow
from tests.tiny import tiny_components

PROMPT = "a hall, in the style of <s0><s1>"


def build(layout: Any, channels: int, encodings: Path | None = None, **options: Any) -> Seamless:
    parts = tiny_components(layout, channels)
    parts.pop("image_encoder")
    for module in parts["unet"].modules():
        if getattr(module, "is_cross_attention", False):  # untrained, words hardly matter
            module.to_k.weight.data.mul_(4)
            module.to_out[0].weight.data.mul_(10)
    backbone = Backbone.of(**parts, encodings=CacheConfig(encodings and str(encodings)))
    options = {"learn_words": LearnWordsConfig(count=2), "drop_text": 0.0} | options
    return Seamless(Seamless.Config(backbone=BackboneConfig("tiny"), **options), backbone).eval()


def learn(model: Seamless, steps: int, rate: float = 1e-2) -> list[float]:
    """Losses of one panorama while it is learned."""
    weights = [weight for part in model.trainable_parts().values() for weight in part.parameters()]
    optimizer, losses = torch.optim.Adam(weights, rate), []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(batch_of([4]))["loss"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(("layout", "channels", "train"), [("sd15", 4, "none"), ("sdxl", 9, "lora")])
def test_words_alone_learn_or_beside_a_lora(layout: Any, channels: int, train: Any, tmp_path: Path) -> None:
    model = build(layout, channels, tmp_path, train=train, lora_rank=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    learning = {name for name, weight in model.named_parameters() if weight.requires_grad}
    losses = learn(model, 8, 2e-2)
    assert losses[-1] < 0.99 * losses[0]
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    words = {name for name in changed if name.endswith("learned.change")}
    assert changed <= learning and len(words) == (2 if layout == "sdxl" else 1)
    assert any("lora" in name for name in changed) == (train == "lora")
    parts = model.trainable_parts()
    assert set(parts) == {"words"} | ({"unet"} if train == "lora" else set())
    # Only images are kept on the disk, since texts mean something else after each step.
    assert len(list(tmp_path.iterdir())) == (1 if channels == 4 else 2)
    with torch.no_grad():
        read = model.backbone.conditioner.known([PROMPT]).tokens
        next(iter(parts["words"].children())).change[:, 0].add_(1.0)
        assert (model.backbone.conditioner.known([PROMPT]).tokens - read).abs().max() > 0.01


@torch.no_grad()
@pytest.mark.parametrize(
    ("train", "layout"), rest_slow([("none", "sdxl"), ("lora", "sd15"), ("none", "sd15"), ("lora", "sdxl")], fast=2)
)
def test_saved_and_exported_words_are_those_that_learned(
    layout: Any, train: Any, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = request.getfixturevalue("plain_folder" if layout == "sd15" else "sdxl_folder")
    config = Seamless.Config(
        backbone=BackboneConfig(str(folder)), train=train, learn_words=LearnWordsConfig(count=2, name="q", alias="HALL")
    )
    model = Seamless(config).eval()
    for rows in model.trainable_parts()["words"].children():
        rows.change.normal_()
    if train == "lora":
        for weight in model.trainable_parts()["unet"].parameters():
            weight.normal_(std=0.05)
    model.save_pretrained(tmp_path / "run" / "final")
    expected = model.backbone.conditioner.known(["a HALL", "a <q1>"])
    again = load_method(str(tmp_path / "run"))
    assert not any(weight.requires_grad for weight in again.backbone.conditioner.parameters())
    export.main([str(tmp_path / "run"), "--out", str(tmp_path / "embeddings.pti")])
    assert json.loads((tmp_path / "special_params.json").read_text()) == {"HALL": "<q0><q1>"}
    added = load_method(str(folder), alone="seamless", additions=Additions(words=[str(tmp_path / "embeddings.pti")]))
    for other in (again, added):
        found = other.backbone.conditioner.known(["a HALL", "a <q1>"])
        assert torch.equal(found.tokens, expected.tokens)
        assert found.pooled is None or torch.equal(found.pooled, expected.pooled)
    if train == "lora":
        export.main([str(tmp_path / "run"), "--out", str(tmp_path / "pytorch_lora_weights.safetensors")])
    with pytest.raises(UserError, match="special_params.json"):
        (tmp_path / "embeddings.pti").unlink()
        export.main([str(tmp_path / "run"), "--out", str(tmp_path / "embeddings.pti")])
    assert not (tmp_path / "embeddings.pti").exists()


@torch.no_grad()
def test_words_start_from_words_or_from_noise() -> None:
    def starts(**options: Any) -> list[torch.Tensor]:
        model = build("sdxl", 4, learn_words=LearnWordsConfig(count=3, **options))
        return [rows() for rows in model.trainable_parts()["words"].children()]

    towers = [tiny_components("sdxl", 4)[name] for name in ("text_encoder", "text_encoder_2")]
    for tower, rows in zip(towers, starts(start="ab"), strict=True):
        weight = tower.get_input_embeddings().weight
        tokens = tiny_components("sdxl", 4)["tokenizer"]("ab", add_special_tokens=False)["input_ids"]
        assert torch.equal(rows, weight[[tokens[0], tokens[1], tokens[0]]])
    for tower, rows, again in zip(towers, starts(), starts(), strict=True):
        assert torch.equal(rows, again)
        assert 0.5 < rows.std() / tower.get_input_embeddings().weight.std() < 2


def test_long_captions_leave_room_for_the_words() -> None:
    conditioner = build("sd15", 4).backbone.conditioner
    config = LearnWordsConfig(count=2)
    said = config.prompts(conditioner, ["a hall", "", "a hall, ", "wide " * 40])
    assert said[:3] == [PROMPT, "in the style of <s0><s1>", PROMPT]
    assert said[3].startswith("wide wide") and said[3].endswith("wide, in the style of <s0><s1>")
    tokens = conditioner.encoders[0].tokenizer(said[3])["input_ids"]
    assert len(tokens) <= 77 and tokens[-3:-1] == [514, 515]
    assert LearnWordsConfig().prompts(conditioner, ["x"]) == ["x"]


def test_words_may_go_on_from_words_of_a_file(plain_folder: Path, tmp_path: Path) -> None:
    config = Seamless.Config(backbone=BackboneConfig(str(plain_folder)), learn_words=LearnWordsConfig(count=2))
    Seamless(config).save_pretrained(tmp_path / "run")
    export.main([str(tmp_path / "run"), "--out", str(tmp_path / "embeddings.pti")])
    backbone = BackboneConfig(str(plain_folder), words=[str(tmp_path / "embeddings.pti")])
    more = LearnWordsConfig(count=2, name="t", alias="MORE", start="TOK")
    model = Seamless(replace(config, backbone=backbone, learn_words=more))
    assert model.backbone.conditioner.chunks(["TOK MORE"]) == [["<s0><s1> <t0><t1>"]]
    embedding = model.backbone.conditioner.encoders[0].tower.get_input_embeddings()
    rows = embedding(torch.arange(514, 518))
    assert_close(rows[:2], rows[2:])
    with pytest.raises(UserError, match="learn_words: the word '<s0>' is defined already"):
        Seamless(replace(config, backbone=backbone))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"count": -1}, "count must lie between 0 and 75, got -1"),
        ({"count": 76}, "count must lie"),
        ({"name": "s0"}, "name must be letters, got 's0'"),
        ({"name": "<s>"}, "name must be letters"),
        ({"alias": "A B"}, "alias must be letters and digits"),
        ({"alias": ""}, "alias must be"),
        ({"template": "{caption}"}, "template must have {words} once"),
        ({"template": "{words}{words}"}, "template must have"),
        ({"rate": 0.0}, "rate must be more than 0"),
        ({"rate": float("nan")}, "rate must be more than 0"),
    ],
)
def test_what_cannot_be(settings: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        LearnWordsConfig(**settings)


def test_words_that_no_prompt_has_room_for_are_refused() -> None:
    with pytest.raises(UserError, match=r"learn_words.template has 76 tokens with its 63 words, a prompt has 75, got"):
        build("sd15", 4, learn_words=LearnWordsConfig(count=63))
    build("sd15", 4, learn_words=LearnWordsConfig(count=62))


def test_nothing_to_export_is_said(plain_folder: Path, tmp_path: Path) -> None:
    Seamless(Seamless.Config(backbone=BackboneConfig(str(plain_folder)))).save_pretrained(tmp_path / "plain")
    for source in (tmp_path / "plain", shutil.copytree(tmp_path / "plain", tmp_path / "other")):
        with pytest.raises(UserError, match=r"config.json: learn_words.count must be more than 0"):
            export.main([str(source), "--out", str(tmp_path / "embeddings.pti")])
    assert not (tmp_path / "embeddings.pti").exists()
