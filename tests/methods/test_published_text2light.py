"""The published checkpoints of Text2Light become networks that compute what plain readings of them do, or one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.testing import assert_close

from aognet import cli
from aognet.commands import convert_text2light, generate
from aognet.hdr.expanding import expand
from aognet.hdr.sritmo import SrItmo
from aognet.io.images import load_image
from aognet.methods.text2light.conditioning import ClipConditions, ImageIndex
from aognet.perception.network import NetworkConfig
from aognet.vq.autoencoder import VqAutoencoder
from aognet.vq.global_sampler import GlobalSampler
from aognet.vq.window_sampler import WindowSampler
from tests.hdr import plain_sritmo
from tests.io.test_pickled_checkpoints import Callback
from tests.tiny import tiny_clip_folder
from tests.vq import plain_samplers, plain_vqgan

GLOBAL, LOCAL, SRITMO = (
    Path("global_sampler_clip/checkpoints/last.ckpt"),
    Path("local_sampler/checkpoints/last.ckpt"),
    Path("sritmo.pth"),
)
MODEL = ("config.json", "model.safetensors")
VOCABULARY = 16
Tensors = dict[str, Tensor]


def public_gpt(width: int, length: int, layers: int = 2, seed: int = 0) -> Tensors:
    """Random tensors of all published names of a transformer, with the masks, which are no weights."""
    source, found = torch.Generator().manual_seed(seed), {}

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=source) / shape[-1] ** 0.5

    def linear(name: str, before: int, after: int) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = normal(after, before), normal(after)

    found["tok_emb.weight"], found["pos_emb"] = normal(VOCABULARY, width), normal(1, length, width)
    for number in range(layers):
        for name in ("ln1", "ln2"):
            found[f"blocks.{number}.{name}.weight"], found[f"blocks.{number}.{name}.bias"] = (
                1 + normal(width),
                normal(width),
            )
        for name in ("key", "query", "value", "proj"):
            linear(f"blocks.{number}.attn.{name}", width, width)
        found[f"blocks.{number}.attn.mask"] = torch.ones(1, 1, length, length).tril()
        linear(f"blocks.{number}.mlp.0", width, 4 * width)
        linear(f"blocks.{number}.mlp.2", 4 * width, width)
    found["ln_f.weight"], found["ln_f.bias"] = 1 + normal(width), normal(width)
    found["head.weight"] = normal(VOCABULARY, width)
    return found


def prefixed(**parts: Tensors) -> Tensors:
    return {f"{part}.{name}": value for part, tensors in parts.items() for name, value in tensors.items()}


@pytest.fixture(scope="module")
def parts() -> dict[str, Tensors]:
    """Tensors of small networks in the layout of the published ones."""
    return {
        "global": plain_vqgan.public_tensors((32, 32), seed=1),
        "local": plain_vqgan.public_tensors((32, 64), seed=2),
        "global gpt": public_gpt(32, 3 + 128, seed=3),
        "local gpt": public_gpt(64, 18 + 128 + 16, seed=4),
        "sritmo": plain_sritmo.public_tensors(4, 2, 8, seed=5),
    }


@pytest.fixture
def release(tmp_path: Path, parts: dict[str, Tensors]) -> Path:
    """A folder as it is published: pickles of Lightning, which hold more than weights."""
    folder = tmp_path / "text2light_released_model"
    others = {"clip.visual.proj": torch.ones(2), "first_stage_model.loss.logvar": torch.zeros(())}
    write(folder / GLOBAL, prefixed(first_stage_model=parts["global"], transformer=parts["global gpt"]) | others)
    write(
        folder / LOCAL,
        prefixed(first_stage_model=parts["local"], holistic_model=parts["global"], transformer=parts["local gpt"]),
    )
    torch.save({"net": parts["sritmo"], "iter": 3}, folder / SRITMO)
    np.save(folder / "clip_emb.npy", np.random.default_rng(0).normal(size=(7, 16)).astype(np.float32))
    return folder


def write(path: Path, tensors: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": tensors, "callbacks": {Callback: Callback()}, "epoch": 1}, path)


def converted(*arguments: Any) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        cli.run(convert_text2light.main, [str(argument) for argument in arguments])
    return ended.value.code


@torch.no_grad()
def test_converted_networks_compute_what_plain_readings_do(tmp_path: Path, release: Path, parts: dict[str, Tensors]):
    model = tmp_path / "made" / "text2light"
    assert converted("--model", release, "--out", model, "--networks") == 0
    assert {path.name for path in model.iterdir()} == {*MODEL, "sritmo", "networks"}
    out = model / "networks"
    names = {"global_autoencoder", "global_sampler", "local_autoencoder", "local_sampler", "holistic_autoencoder"}
    assert {path.name for path in out.iterdir()} == names
    images = torch.rand(2, 3, 16, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    for name in ("global", "local"):
        network = VqAutoencoder.from_pretrained(out / f"{name}_autoencoder")
        plain = plain_vqgan.PlainVqgan(parts[name], wraps=name == "global")
        codes = network.encode(images)
        assert torch.equal(codes, plain.encode(images)) and len(codes.unique()) > 3
        assert_close(network.decode(codes), plain.decode(codes), atol=1e-5, rtol=0)
    samplers = (
        (GlobalSampler.from_pretrained(out / "global_sampler"), "global gpt", 8, 3),
        (WindowSampler.from_pretrained(out / "local_sampler"), "local gpt", 16, 18),
    )
    for sampler, name, heads, given in samplers:
        prefix, codes = torch.randn(1, given, sampler.gpt.config.width), torch.randint(VOCABULARY, (1, 100))
        expected = plain_samplers.forward(parts[name], heads, prefix[0], codes[0])
        assert_close(sampler.gpt(prefix, codes)[0], expected, atol=1e-5, rtol=1e-5)
    assert samplers[0][0].config.tokens == 3 and samplers[1][0].config.windows.size == 4
    found = expand(SrItmo.from_pretrained(model / "sritmo"), images[0], 2.0)
    display, light = plain_sritmo.plain_sritmo(parts["sritmo"], images[:1].flip(1), 32, 64)
    assert_close(found.display, display.flip(0), atol=1e-5, rtol=1e-5)
    assert_close(found.log_light, light.flip(0), atol=1e-5, rtol=1e-5)
    index = ImageIndex.load(out / "global_sampler" / "index.safetensors")
    assert torch.equal(index.embeddings, torch.from_numpy(np.load(release / "clip_emb.npy")))
    assert not any(path.name.startswith(".") for path in model.parent.iterdir())


def test_variants_and_another_holistic_autoencoder_are_kept(tmp_path: Path, release: Path, parts: dict[str, Tensors]):
    other = plain_vqgan.public_tensors((32, 32), seed=9)
    outdoor, indoor = (
        release / f"local_sampler{name}" / "checkpoints" / "last.ckpt" for name in ("_outdoor", "_indoor")
    )
    write(outdoor, prefixed(first_stage_model=parts["local"], holistic_model=other, transformer=parts["local gpt"]))
    write(indoor, torch.load(release / LOCAL, weights_only=False)["state_dict"])
    (release / LOCAL).unlink()
    clip = tiny_clip_folder(tmp_path / "clip", 16, 16)
    index = (release / "clip_emb.npy").rename(tmp_path / "other.npy")
    flags = ("--clip", index, "--clip_model", clip, "--dtype", "float16")
    assert converted("--model", release, "--out", tmp_path / "out", *flags) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"outdoor", "indoor", "sritmo"}
    tensors = [load_file(tmp_path / "out" / name / "model.safetensors") for name in ("outdoor", "indoor")]
    for found, given in zip(tensors, (other, parts["global"]), strict=True):
        assert torch.equal(found["holistic_autoencoder.quant_conv.bias"], given["quant_conv.bias"].half())
    described = json.loads((tmp_path / "out" / "outdoor" / "config.json").read_text())
    assert described["clip"]["model"] == "../../clip" and described["images"] == 7


@pytest.mark.slow
@torch.no_grad()
def test_a_converted_model_paints_what_plain_readings_say(tmp_path: Path, release: Path, parts: dict[str, Tensors]):
    """From the pickles to a panorama by the command line, at temperature 0, its light by the network in the folder."""
    parts = parts | {"local gpt": public_gpt(16, 18 + 128 + 16, layers=1, seed=4)}
    write(
        release / LOCAL,
        prefixed(first_stage_model=parts["local"], holistic_model=parts["global"], transformer=parts["local gpt"]),
    )
    clip, out = tiny_clip_folder(tmp_path / "clip", 16, 16), tmp_path / "text2light"
    assert converted("--model", release, "--out", out, "--clip_model", clip) == 0
    words, settings = (
        "a snowy field",
        ["generator.height=64", "generator.temperature=0", "device=cpu", "generator.top_k=0"],
    )
    flags = ["-m", str(out), "--inference_out_dir", str(tmp_path / "runs"), "--prompt", words, "--hdr"]
    assert generate.main([*flags, *settings]) == 0
    text = ClipConditions(NetworkConfig(kind="clip", model=str(clip))).texts([words])[0]
    database = torch.from_numpy(np.load(release / "clip_emb.npy"))
    neighbours = database[(database @ text).argsort(descending=True)[:3]]
    small = plain_samplers.global_codes(parts["global gpt"], 8, neighbours, 128)[0].view(1, 8, 16)
    plain = plain_vqgan.PlainVqgan(parts["global"], wraps=True)
    given = plain.encode(plain.decode(small))[0].flatten()
    codes = plain_samplers.local_codes(parts["local gpt"], 16, given, 32, 64, 4)[0]
    wanted = plain_vqgan.PlainVqgan(parts["local"], wraps=False).decode(codes[None])[0].clamp(-1, 1)
    found = load_image(tmp_path / "runs" / "text" / "result.png")
    assert_close(found, wanted, atol=1.1 / 255, rtol=0)  # half a level, and what float32 leaves
    assert (tmp_path / "runs" / "text" / "result.exr").is_file()


Change = Callable[[Tensors], Any]


def renamed(old: str, new: str) -> Change:
    return lambda tensors: {new if name == old else name: value for name, value in tensors.items()}


def changed(name: str, change: Callable[[Tensor], Any]) -> Change:
    return lambda tensors: tensors | {name: change(tensors[name])}


GPT = "transformer.blocks.1.attn.key.bias"
BAD: dict[str, tuple[Path, Change, list[str]]] = {
    "renamed": (GLOBAL, renamed(GPT, "transformer.x"), [f"1 weights are missing: {GPT}", "unexpected: transformer.x"]),
    "many": (
        LOCAL,
        lambda tensors: {
            name.replace("holistic_model.decoder.conv_out", "old"): value
            for name, value in tensors.items()
            if "quant_conv" not in name
        },
        [
            "10 weights are missing: first_stage_model.post_quant_conv.bias, ",
            "holistic_model.decoder.conv_out.bias, holistic_model.decoder.conv_out.weight",
            "2 weights are unexpected: old.bias, old.weight",
        ],
    ),
    "shape": (GLOBAL, changed(GPT, lambda value: value[:-1]), [f"of another shape: {GPT} [31] for [32]"]),
    "no sizes": (GLOBAL, lambda _: {"a": torch.ones(1)}, ["540 weights are missing", "unexpected: a"]),
    "not finite": (GLOBAL, changed("first_stage_model.quant_conv.bias", torch.log), ["quant_conv.bias", "not finite"]),
    "no tensor": (LOCAL, changed(GPT, lambda _: "text"), [f"state_dict: '{GPT}' is no tensor"]),
    "odd width": (
        GLOBAL,
        changed("transformer.tok_emb.weight", lambda value: value[:, :-1]),
        ["width must be"],
    ),
    "no dictionary": (GLOBAL, lambda _: [1], ["has no tensors as its entry 'state_dict'"]),
}


@pytest.mark.parametrize("name", BAD)
def test_weights_that_do_not_fit_are_all_named_in_one_line(
    name: str, tmp_path: Path, release: Path, capfd: pytest.CaptureFixture[str]
):
    path, change, told = BAD[name]
    tensors = torch.load(release / path, weights_only=False)["state_dict"]
    write(release / path, change(tensors))
    assert converted("--model", release, "--out", tmp_path / "out" / "made") == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1 and all(part in said for part in told), said
    assert str(path.parent if name == "not finite" else path) in said or name == "not finite"
    assert not (tmp_path / "out").exists()


def test_folders_that_are_no_release_are_named(tmp_path: Path, release: Path, capfd: pytest.CaptureFixture[str]):
    def told(*arguments: Any) -> str:
        assert converted(*arguments) == 2
        said = capfd.readouterr().err
        assert said.count("\n") == 1 and not (tmp_path / "out").exists(), said
        return said

    common = ("--model", release, "--out", tmp_path / "out")
    assert "--model is no folder" in told("--model", tmp_path / "none", "--out", tmp_path / "out")
    assert "name another folder by --out" in told("--model", release, "--out", release)
    assert "--dtype must be one of" in told(*common, "--dtype", "int8")
    assert "none.npy: no such file" in told(*common, "--clip", tmp_path / "none.npy")
    for content in (np.ones(3), np.full((2, 3), np.nan), np.array([["a"]]), np.ones((2, 3), dtype=int)):
        np.save(tmp_path / "index.npy", content)
        assert "index.npy: " in told(*common, "--clip", tmp_path / "index.npy")
    np.save(tmp_path / "index.npy", np.array([{}]), allow_pickle=True)
    assert "index.npy: no array of NumPy's" in told(*common, "--clip", tmp_path / "index.npy")
    np.save(tmp_path / "index.npy", np.ones((2, 15)))
    assert f"has embeddings of 15 numbers, {release / GLOBAL} takes 16" in told(
        *common, "--clip", tmp_path / "index.npy"
    )
    (release / "clip_emb.npy").unlink()
    assert "clip_emb.npy: no such file; it comes with the published code: name it by --clip" in told(*common)
    (release / SRITMO).unlink()
    (release / LOCAL).unlink()
    assert f"{LOCAL} and {SRITMO} are not in it" in told(*common)
