"""The small Real-ESRGAN: its plain reading, its files, no seam, and bounded memory."""

import math
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from aognet.errors import UserError
from aognet.hdr import upscaler
from aognet.hdr.upscaler import pickled_upscaler, upscale
from aognet.io.ncnn import HALF, read_ncnn
from aognet.nn.srvgg import read_upscaler, upscaler_of
from aognet.perception.packages import srvgg_tensors


def tensors(channels: int = 6, convolutions: int = 2, scale: int = 2) -> dict[str, Tensor]:
    source, found = torch.Generator().manual_seed(0), {}
    sizes = [3, *[channels] * (convolutions + 1), 3 * scale**2]
    for number, (inputs, outputs) in enumerate(zip(sizes, sizes[1:], strict=False)):
        kernel = torch.randn(outputs, inputs, 3, 3, generator=source) / math.sqrt(9 * inputs)
        found |= {f"body.{2 * number}.weight": kernel, f"body.{2 * number}.bias": torch.randn(outputs) * 0.1}
        if outputs == channels and number <= convolutions:
            found[f"body.{2 * number + 1}.weight"] = torch.rand(channels, generator=source)
    return found


def plain(state: dict[str, Tensor], image: Tensor, scale: int) -> Tensor:
    """Read off the public code's layout, with its zeros around the image."""
    out, last = image[None], max(int(key.split(".")[1]) for key in state)
    for number in range(0, last + 1, 2):
        out = functional.conv2d(out, state[f"body.{number}.weight"], state[f"body.{number}.bias"], padding=1)
        if number < last:
            slopes = state[f"body.{number + 1}.weight"][None, :, None, None]
            out = torch.where(out > 0, out, out * slopes)
    rows = out.view(3, scale, scale, *out.shape[-2:]).permute(0, 3, 1, 4, 2).reshape(3, -1, image.shape[-1] * scale)
    return rows + image.repeat_interleave(scale, 1).repeat_interleave(scale, 2)


def image(height: int = 12, width: int = 24) -> Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_inside_it_is_the_public_network(scale: int):
    state, seen = tensors(scale=scale), image()
    network = upscaler_of(state, "a")
    assert network.scale == scale and network.halo == 4
    found, inner = upscale(network, seen), slice(4 * scale, -4 * scale)
    wanted = plain(state, seen, scale).clamp(0, 1)
    assert torch.allclose(found[:, inner, inner], wanted[:, inner, inner], atol=1e-5)


def test_turning_the_panorama_turns_the_result():
    network, seen = upscaler_of(tensors(), "a"), image()
    assert torch.allclose(upscale(network, seen.roll(7, -1)), upscale(network, seen).roll(14, -1), atol=1e-6)


def test_strips_change_nothing(monkeypatch: pytest.MonkeyPatch):
    network, seen = upscaler_of(tensors(), "a"), image(40, 80)
    whole = upscale(network, seen)
    monkeypatch.setattr(upscaler, "STRIP_PIXELS", 1)
    assert torch.allclose(upscale(network, seen), whole, atol=1e-6)


def test_files(tmp_path: Path):
    state, path = tensors(), tmp_path / "small.safetensors"
    save_file(state, path)
    assert torch.equal(upscale(read_upscaler(path), image()), upscale(upscaler_of(state, "a"), image()))
    torch.save({"params": state}, tmp_path / "small.pth")
    read = pickled_upscaler(tmp_path / "small.pth")
    assert read is not None and all(torch.equal(read[key], state[key]) for key in state)
    torch.save({"words": torch.zeros(3)}, tmp_path / "words.pt")
    assert pickled_upscaler(tmp_path / "words.pt") is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: {}, "a.safetensors: has no weights of an SRVGG-Compact network"),
        (
            lambda state: state | {"body.6.weight": torch.zeros(7, 6, 3, 3)},
            r"shape \[7, 6, 3, 3\], which fits no scale",
        ),
        (lambda state: {key: state[key] for key in state if key != "body.3.weight"}, "missing: body.3.weight"),
        (lambda state: state | {"conv.weight": torch.zeros(1)}, "unexpected: conv.weight"),
        (lambda state: state | {"body.9999998.weight": torch.zeros(3, 6, 3, 3)}, "has no weights of an SRVGG"),
    ],
)
def test_other_weights_are_refused(change, words: str):
    with pytest.raises(UserError, match=words):
        upscaler_of(change(tensors()), "a.safetensors")


def ncnn(layers: list[tuple[str, tuple[int, ...]]], arrays: dict[str, np.ndarray]) -> bytes:
    """A file of ncnn as its converter writes it."""
    content = b""
    for name, shape in layers:
        if len(shape) == 1:
            content += arrays[f"{name}.weight"].astype("<f4").tobytes()
            continue
        half = arrays[f"{name}.weight"].astype("<f2").tobytes()
        content += struct.pack("<I", HALF) + half + b"\0" * (-len(half) % 4)
        content += arrays[f"{name}.bias"].astype("<f4").tobytes()
    return content


LAYERS: list[tuple[str, tuple[int, ...]]] = [("a", (3, 1, 3, 3)), ("b", (3,)), ("c", (4, 3, 1, 1))]


def test_ncnn_is_read_to_the_last_byte():
    rng = np.random.default_rng(0)
    arrays = {f"{name}.weight": rng.normal(size=shape).astype(np.float16).astype(np.float32) for name, shape in LAYERS}
    arrays |= {f"{name}.bias": rng.normal(size=shape[:1]).astype(np.float32) for name, shape in LAYERS if shape[1:]}
    content = ncnn(LAYERS, arrays)
    found = read_ncnn(content, LAYERS, "x.bin")
    assert found.keys() == arrays.keys() and all(np.array_equal(found[key], arrays[key]) for key in arrays)
    for broken, words in (
        (content + b"\0\0\0\0", "4 bytes are left behind its weights"),
        (content[:-1], "before its weights do"),
        (b"\1" + content[1:], "no float16 weights of a at byte 0"),
        (b"", "no float16 weights of a"),
        (content[:4] + b"\xff\xff" + content[6:], "not finite"),
    ):
        with pytest.raises(UserError, match=f"x.bin: .*{words}"):
            read_ncnn(broken, LAYERS, "x.bin")


def test_the_packages_layout():
    """Of realesr-animevideov3: 1,247,368 bytes, read to the last, make a network of scale 4."""
    layers = [("body.0", (64, 3, 3, 3)), ("body.1", (64,))]
    for number in range(2, 34, 2):
        layers += [(f"body.{number}", (64, 64, 3, 3)), (f"body.{number + 1}", (64,))]
    layers.append(("body.34", (48, 64, 3, 3)))
    arrays = {f"{name}.weight": np.zeros(shape, np.float32) for name, shape in layers}
    arrays |= {f"{name}.bias": np.zeros(shape[:1], np.float32) for name, shape in layers if shape[1:]}
    content = ncnn(layers, arrays)
    assert len(content) == 1_247_368
    network = upscaler_of(srvgg_tensors(content), "a")
    assert network.scale == 4 and len(network.body) == 35
