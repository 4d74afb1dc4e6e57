"""Benchmarks of what methods paint: nothing memorised, all methods beside each other, and how texts are told."""

import logging
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.testing import assert_close

from aognet.config import load_config
from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.io.captions import save_captions
from aognet.io.images import load_image, save_image
from aognet.methods.text2light.conditioning import INDEX, ImageIndex
from aognet.request import DirectedPrompt, Request
from aognet.result import Panorama
from aognet.vq.autoencoder import VqAutoencoder, VqAutoencoderConfig
from aognet.vq.global_sampler import GlobalSampler, GlobalSamplerConfig
from aognet.vq.quantizer import QuantizerConfig
from benchmarks import held_out, methods, nearest_training, obedience, text_conditions
from tests.smooth import smooth_panorama
from tests.test_configs import checked_inference
from tests.tiny import tiny_text2light_folder

HEIGHT = 64
EMBEDDING = 160  # of the embedded CLIP


def panorama(number: int, height: int = HEIGHT) -> Tensor:
    """A smooth panorama of its own for each number, unlike its turns and its mirror image."""
    generator = torch.Generator().manual_seed(number)
    mixing, phase = torch.randn(3, 3, generator=generator), 3 * torch.rand(3, 1, 1, generator=generator)
    plain = smooth_panorama(height)[0]
    return torch.sin(2 * torch.einsum("ij,jhw->ihw", mixing, plain) + phase)


def saved(folder: Path, images: dict[str, Tensor]) -> Path:
    folder.mkdir()
    for name, image in images.items():
        save_image(image, folder / f"{name}.png")
    save_captions({f"{name}.png": [f"a {name}"] for name in images}, folder / "captions.jsonl")
    return folder


def rows_of(text: str) -> list[list[str]]:
    """The cells of all tables in a text, without their heads."""
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in text.splitlines() if "|" in line]
    heads = [number for number, row in enumerate(cells) if row[0] == "---"]
    return [row for number, row in enumerate(cells) if number not in heads and number + 1 not in heads]


def test_errors_of_all_turns_are_those_of_one_turn_after_the_other() -> None:
    images, others = (
        torch.stack([nearest_training.small(panorama(number)) for number in numbers]) for numbers in ((0, 1), (1, 2, 3))
    )
    found = nearest_training.turned_errors(images, others)
    assert found.shape == (3, 2, 64)
    for turn in (0, 1, 40):
        plain = (others[:, None] - images[None].roll(turn, -1)).square().sum((2, 3, 4)).sqrt()
        assert_close(found[..., turn], plain, atol=1e-5, rtol=1e-5)
    assert found[0, 1, 0] < 1e-5 < found[0, 1, 1]
    grey = torch.stack([nearest_training.small(torch.full((3, 64, 128), value)) for value in (0.25, 0.75)])
    assert_close(nearest_training.turned_errors(grey[:1], grey[1:]), torch.full((1, 1, 64), 0.5))


def test_what_was_learned_by_heart_is_found_turned_and_mirrored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training = saved(tmp_path / "training", {f"scene{number}": panorama(number) for number in range(5)})
    quarter, eighth = HEIGHT // 2, HEIGHT // 4
    results = {
        "a": panorama(2).roll(-quarter, -1),
        "b": panorama(4).roll(-3 * eighth, -1).flip(-1),
        "c": panorama(99),
    }
    others = saved(tmp_path / "others", {f"other{number}": panorama(50 + number) for number in range(2)})
    command = ["--results", str(saved(tmp_path / "results", results)), "--training", str(training), str(others)]
    command += ["--captions", str(training / "captions.jsonl"), "--sheet", str(tmp_path / "sheet.png"), "--turns", "8"]
    nearest_training.main([*command, "--held_out", str(others)])
    first, second, third, painted, held = rows_of(capsys.readouterr().out)
    for row, name, view in ((first, "scene2", "90°"), (second, "scene4", "135°, mirrored")):
        assert row[1:3] == row[4:6] == [name, view]
        assert float(row[3]) < 1e-3 and float(row[6]) < 0.01
    assert float(third[6]) > 0.1, "what the captions do not name is not learned from"
    assert painted[:2] == ["results", "3"] and held[:2] == ["held out", "2"]
    assert float(painted[5]) < 0.01 < float(held[5]) <= float(held[4])
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (3 * (256 + 4), 3 * (128 + 4))
        shown = torch.from_numpy(np.asarray(sheet).copy()).float()
    copy, by_clip, by_pixels = (shown[134:260, 260 * column + 2 : 260 * column + 258] for column in range(3))
    assert (copy - by_clip).abs().mean() < 3 and torch.equal(by_clip, by_pixels)


@pytest.mark.parametrize("way", methods.WAYS, ids=lambda way: way.folder)
def test_every_way_is_one_that_inference_takes(way: held_out.Way) -> None:
    given = [f"checkpoint={way.checkpoint}"] if way.checkpoint else []
    checked_inference(load_config([way.config], [*given, *way.settings]))


def test_a_way_without_its_checkpoint_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    here, away = (held_out.Way(name, name, checkpoint=tmp_path / place) for name, place in (("x", ""), ("y", "away")))
    plain = held_out.Way("z", "z")
    with caplog.at_level(logging.WARNING):
        assert methods.there([here, away, plain]) == [here, plain]
    assert [record.getMessage() for record in caplog.records] == [f"y (y) is left out: {away.checkpoint} is not there"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["text2light", "ganorama"])
def test_a_way_paints_photographs_and_words(
    name: str, tmp_path: Path, sd2_folder: Path, generator_folder: Path
) -> None:
    ways = {way.folder: way for way in (*methods.WAYS, *methods.FROM_WORDS)}
    model = tiny_text2light_folder(tmp_path) if name == "text2light" else generator_folder
    small = ["device=cpu", "generator.height=32"]
    if name == "text2light":
        small += [f"generator.backbone={sd2_folder}", "generator.sampler.steps=2"]
    else:
        small += ["generator.start_layer=1", "generator.end_layer=3", "generator.finding.steps=1"]
    panoramas = saved(tmp_path / "panoramas", {"hall": panorama(0), "lake": panorama(1)})
    command = ["--panoramas", str(panoramas), "--captions", str(panoramas / "captions.jsonl")]
    parser = ArgumentParser()
    held_out.add_arguments(parser)
    options = parser.parse_args([*command, "--out_dir", str(tmp_path / "out")])
    files = held_out.chosen(options)
    for way in (ways[name], ways[f"{name}-words"]):
        held_out.paint(replace(way, checkpoint=model, settings=(*way.settings, *small)), options, files)
        found = [load_image(tmp_path / "out" / way.folder / path.stem / "result.png") for path in files]
        assert not torch.equal(*found) and found[0].shape == (3, 32, 64)


@pytest.fixture
def autoencoder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    codes = QuantizerConfig(codes=16, dim=4)
    sizes = VqAutoencoderConfig(channels=(8,) * 4, layers_per_block=1, groups=4, latent_channels=4, quantizer=codes)
    VqAutoencoder(sizes).save_pretrained(tmp_path / "autoencoder")
    return tmp_path / "autoencoder"


def sampler(folder: Path, condition: str, vocabulary: int = 16) -> Path:
    """A sampler with random weights, so large that it heeds what it is told."""
    torch.manual_seed(1)
    width = 2 * EMBEDDING if condition == "neighbours" else 32
    sizes = GlobalSamplerConfig(
        rows=4, columns=8, condition=condition, tokens=2, embedding=EMBEDDING, vocabulary=vocabulary, layers=1,
        heads=2, width=width,
    )  # fmt: skip
    network = GlobalSampler(sizes)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    network.save_pretrained(folder)
    if condition == "neighbours":
        ImageIndex(torch.nn.functional.normalize(torch.randn(5, EMBEDDING), dim=-1)).save(folder / INDEX)
    return folder


def test_two_seeds_make_two_panoramas_of_one_text(
    tmp_path: Path, autoencoder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samplers = [sampler(tmp_path / name / "final", name) for name in ("neighbours", "text")]
    panoramas = saved(tmp_path / "panoramas", {name: panorama(at) for at, name in enumerate(("hall", "lake", "sea"))})
    command = ["--samplers", *map(str, samplers), "--autoencoder", str(autoencoder), "--panoramas", str(panoramas)]
    command += ["--captions", str(panoramas / "captions.jsonl")]
    text_conditions.main(command)
    held, *found = rows_of(capsys.readouterr().out)
    assert held[:2] == ["held out, decoded", "-"] and held[4:] == ["-"] * 5
    for name, (title, condition, score, other, distance, codes, pixels, same, texts) in zip(
        ("neighbours", "text"), found, strict=True
    ):
        assert title == condition == name and same == "0"
        assert 0.5 < float(codes) <= 1 and float(pixels) > 0 and float(texts) > 0
        assert 0 <= float(score) <= 100 and 0 <= float(other) <= 100 and float(distance) > 0
    text_conditions.main([*command, "--temperature", "0"])
    for row in rows_of(capsys.readouterr().out)[1:]:
        assert row[5:8] == ["0", "0", "3"], "the likeliest codes are the same with each seed"
    odd = sampler(tmp_path / "odd", "text", vocabulary=17)
    with pytest.raises(UserError, match="odd writes 4x8 codes of 17; .*neighbours.* writes 4x8, .* has 16"):
        text_conditions.main(["--samplers", str(samplers[0]), str(odd), *command[3:]])


def test_scores_are_those_of_the_pictures() -> None:
    """A text has 100 with an image of its direction, and 0 with one that is at a right angle to it."""
    images, texts = torch.eye(3)[:2] * 5, torch.eye(3)[:2]
    assert text_conditions.scores(images, texts) == [100, 0]
    one = text_conditions.Written(torch.zeros(2, 1, 2), torch.stack([torch.zeros(3, 1, 2), torch.ones(3, 1, 2)]))
    other = text_conditions.Written(torch.tensor([[[0.0, 0.0]], [[0.0, 1.0]]]), one.images + 0.5)
    assert text_conditions.changes(one, other) == [0.25, 0.5, "1", 1.0]


class Colours:
    """A network that sees the mean colour of a view, and reads the colours of words."""

    named = {"red": (1.0, -1.0, -1.0), "green": (-1.0, 1.0, -1.0), "blue": (-1.0, -1.0, 1.0)}

    @classmethod
    def shown(cls, word: str) -> Tensor:
        """The display values in [0, 1] of a word."""
        return torch.tensor(cls.named[word])[:, None, None].add(1).div(2)

    def features(self, images: Tensor) -> Tensor:
        assert images.min() < 0, "a network takes images in [-1, 1]"
        return images.mean((2, 3))

    def texts(self, words: list[str]) -> Tensor:
        return torch.tensor([self.named[word] for word in words])


class Obedient:
    """A generator that paints what is asked for: all over, or in the direction alone."""

    def generate(self, request: Request, folder: Path) -> Panorama:
        image = torch.zeros(3, 32, 64)
        if request.prompts_at:
            columns = slice(48, 60)  # 90 to 157 degrees to the right of the middle
            image[..., columns] = Colours.shown(request.prompts_at[0].text)
        else:
            colour = "red" if request.prompt == "blue" else request.prompt  # one mistake
            image += Colours.shown(colour)
        return Panorama(image)


def test_what_was_asked_for_is_picked_again(tmp_path: Path) -> None:
    requests = {word: Request(word, name=word) for word in Colours.named}
    level = [Camera(90.0 * number, 0.0, 0.0, 90.0, 16, 16) for number in range(4)]
    said = obedience.counted("words", obedience.seen(Obedient(), Colours(), requests, level, tmp_path))
    assert said.startswith("words: 2 of 3 are picked")
    assert [row[:2] for row in rows_of(said)] == [["red", "red"], ["green", "green"], ["blue", "red"]]
    there = {word: Request("grey", prompts_at=[DirectedPrompt(120.0, 0.0, word)], name=word) for word in Colours.named}
    ahead = [Camera(obedience.YAW, 0.0, 0.0, 60.0, 16, 16)]
    assert obedience.counted("there", obedience.seen(Obedient(), Colours(), there, ahead, tmp_path)).startswith(
        "there: 3 of 3 are picked"
    )
