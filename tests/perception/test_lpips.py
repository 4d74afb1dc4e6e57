"""LPIPS against a second reading of the paper with the same weights, and the laws of a distance."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

from aognet.errors import UserError
from aognet.perception.lpips import NETS, Lpips, PerceptualDistance

CPU = torch.device("cpu")
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
COMPARED_AFTER = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29), "squeeze": (1, 4, 7, 9, 10, 11, 12)}
STRIDES = {"alex": {0: (4, 2), 3: (1, 2)}, "squeeze": {0: (2, 0)}, "vgg": {}}


def random_weights(net: str, divisor: int = 16) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    state = Lpips(net, divisor).state_dict()
    for key, value in state.items():
        values = torch.randn(value.shape, generator=generator)
        state[key] = values.abs() if key.startswith("lin") else values / value[0].numel() ** 0.5
    state["scaling_layer.shift"] = torch.tensor(SHIFT).view(1, 3, 1, 1)
    state["scaling_layer.scale"] = torch.tensor(SCALE).view(1, 3, 1, 1)
    return state


def as_the_package_saves(weights: dict[str, Tensor], path: Path) -> str:
    again = {key.replace("lin", "lins.", 1): value.clone() for key, value in weights.items() if key.startswith("lin")}
    save_file(weights | again, path)
    return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("lpips")
    return {net: as_the_package_saves(random_weights(net), folder / f"{net}.safetensors") for net in NETS}


def pairs(height: int, width: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(9)
    first, second = torch.rand(2, 2, 3, height, width, generator=generator) * 2 - 1
    return first, 0.7 * first + 0.3 * second


def activations(net: str, weights: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    """Layer by layer, by torchvision's numbers of layers: what weights lie at a number says what layer it is."""
    found, last = [], COMPARED_AFTER[net][-1]
    by_number = {key.split(".", 2)[2]: value for key, value in weights.items() if key.startswith("net.")}
    for number in range(last + 1):
        if f"{number}.weight" in by_number:
            kernel = by_number[f"{number}.weight"]
            stride, padding = STRIDES[net].get(number, (1, kernel.shape[-1] // 2))
            x = functional.conv2d(x, kernel, by_number[f"{number}.bias"], stride=stride, padding=padding)
        elif f"{number}.squeeze.weight" in by_number:
            parts = {part: by_number[f"{number}.{part}"] for part in ("squeeze.weight", "squeeze.bias")}
            x = functional.conv2d(x, parts["squeeze.weight"], parts["squeeze.bias"]).clamp(min=0)
            ends = [
                functional.conv2d(x, by_number[f"{number}.{end}.weight"], by_number[f"{number}.{end}.bias"], padding=p)
                for end, p in (("expand1x1", 0), ("expand3x3", 1))
            ]
            x = torch.cat(ends, 1).clamp(min=0)
        elif number in (2, 5, 8) and net != "vgg" or net == "vgg" and number in (4, 9, 16, 23):
            x = functional.max_pool2d(x, 2 if net == "vgg" else 3, 2, ceil_mode=net == "squeeze")
        else:
            x = x.clamp(min=0)
        if number in COMPARED_AFTER[net]:
            found.append(x)
    return found


def differences(net: str, weights: dict[str, Tensor], a: Tensor, b: Tensor) -> list[Tensor]:
    shift, scale = (torch.tensor(values).view(1, 3, 1, 1) for values in (SHIFT, SCALE))
    every = zip(*(activations(net, weights, (image - shift) / scale) for image in (a, b)), strict=True)
    found = []
    for row, (first, second) in enumerate(every):
        gap = functional.normalize(first, dim=1, eps=1e-10) - functional.normalize(second, dim=1, eps=1e-10)
        found.append(torch.einsum("bchw,c->bhw", gap.square(), weights[f"lin{row}.model.1.weight"].flatten())[:, None])
    return found


@pytest.mark.parametrize("net", list(NETS))
@pytest.mark.parametrize("size", [(64, 64), (45, 130)])
def test_equals_a_second_reading(files: dict[str, str], net: str, size: tuple[int, int]) -> None:
    network, (a, b) = PerceptualDistance.load(files[net], CPU), pairs(*size)
    expected = differences(net, random_weights(net), a, b)
    means = torch.stack([part.mean((1, 2, 3)) for part in expected]).sum(0)
    assert means.min() > 0.01
    assert_close(network.distance(a, b), means, atol=1e-5, rtol=1e-4)
    maps = torch.stack([functional.interpolate(part, size, mode="bilinear") for part in expected]).sum(0)
    assert_close(network.map(a, b), maps, atol=1e-5, rtol=1e-4)
    assert f"LPIPS 0.1 ({net}), from {files[net]}" in network.name


@pytest.mark.parametrize("net", list(NETS))
def test_is_a_distance(files: dict[str, str], net: str) -> None:
    network, (a, b) = PerceptualDistance.load(files[net], CPU), pairs(64, 96)
    assert_close(network.distance(a, a), torch.zeros(2), atol=1e-9, rtol=0)
    assert_close(network.distance(a, b), network.distance(b, a))
    further = network.distance(a, 2 * b - a)
    assert (further > network.distance(a, b)).all()
    left = a.clone()
    left[..., :32] = b[..., :32]
    seen = network.map(a, left)
    assert seen[..., :24].mean() > 2 * seen[..., 64:].mean()


def test_the_fingerprint_is_of_the_weights(files: dict[str, str], tmp_path: Path) -> None:
    weights = random_weights("alex")
    first = PerceptualDistance.load(files["alex"], CPU)
    again = PerceptualDistance.load(as_the_package_saves(weights, tmp_path / "a.safetensors"), CPU)
    assert again.fingerprint == first.fingerprint
    weights["lin2.model.1.weight"] *= 1.01
    other = PerceptualDistance.load(as_the_package_saves(weights, tmp_path / "b.safetensors"), CPU)
    assert other.fingerprint != first.fingerprint


def test_what_cannot_be_used_is_named(files: dict[str, str], tmp_path: Path) -> None:
    weights = random_weights("vgg")
    cut = {key: value for key, value in weights.items() if key != "lin4.model.1.weight"}
    cases = [
        (as_the_package_saves(cut, tmp_path / "cut.safetensors"), "missing, the first is 'lin4.model.1.weight'"),
        (
            as_the_package_saves({"fc.weight": torch.ones(1)}, tmp_path / "other.safetensors"),
            "not the weights of LPIPS",
        ),
        (str(tmp_path / "none"), "none: no such folder"),
    ]
    for model, said in cases:
        with pytest.raises(UserError, match=said) as caught:
            PerceptualDistance.load(model, CPU)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="at least 32 pixels, got 64x31"):
        PerceptualDistance.load(files["alex"], CPU).distance(*pairs(31, 64))


def test_a_picture_learns_from_the_distance_also_where_nothing_is_active(files: dict[str, str]) -> None:
    """The gradient is finite on flat black, whose activations may all be 0, and none goes to what is compared with."""
    network = PerceptualDistance.load(files["vgg"], CPU).network
    for module in network.net.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.bias.fill_(-1e3)
    first = torch.full((1, 3, 32, 32), -1.0, requires_grad=True)
    second = torch.zeros(1, 3, 32, 32, requires_grad=False)
    loss = sum(part.mean() for part in network(first, second))
    loss.backward()
    assert first.grad.isfinite().all()
