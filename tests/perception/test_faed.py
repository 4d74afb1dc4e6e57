"""The panorama autoencoder: its published shape, its laws on the sphere, and that it learns and comes back whole."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.testing import assert_close

from aognet.data.whole import PanoramaBatch
from aognet.errors import UserError
from aognet.geometry.sphere import pixel_latitudes
from aognet.io.images import load_panorama, resize_panorama, save_image
from aognet.perception.faed import FaedConfig, FaedTraining, PanoramaEncoder
from aognet.training.trainable import Trainable
from main import main
from tests.smooth import smooth_panorama
from tests.training.toy import fresh_processes

ROOT = Path(__file__).parents[2]
EMBEDDED = ROOT / "assets" / "evaluation" / "faed"
TINY = FaedConfig(channels=(6, 8, 8), kernels=(5, 3, 3), latent_channels=5, height=32)


@pytest.fixture(autouse=True)
def own_processes() -> Iterator[None]:
    yield from fresh_processes()


def tiny() -> FaedTraining:
    """As if trained: with statistics of its own."""
    torch.manual_seed(0)
    model = FaedTraining(TINY)
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(batch())
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return model.eval()


def panoramas(count: int = 3, height: int = 32) -> Tensor:
    """Smooth panoramas with some noise, each different."""
    noise = torch.randn(count, 3, height, 2 * height, generator=torch.Generator().manual_seed(1))
    smooth = torch.cat([smooth_panorama(height) * (1 - number / 4) for number in range(count)])
    return (smooth + 0.1 * noise).clamp(-1, 1)


def batch() -> PanoramaBatch:
    return PanoramaBatch(panoramas(), [""] * 3, torch.arange(3))


def test_the_published_shape():
    """32-64-128-128-128-128 channels, kernels 9, 7, 5, 3, 3: counted by hand."""

    def convolution(inputs: int, outputs: int, kernel: int, normalised: bool = True) -> int:
        return inputs * outputs * kernel**2 + outputs + 2 * outputs * normalised

    scales = ((32, 9), (64, 7), (128, 5), (128, 3), (128, 3))
    residual = sum(2 * convolution(width, width, kernel) for width, kernel in scales)
    halving = convolution(32, 64, 4) + convolution(64, 128, 4) + 3 * convolution(128, 128, 4)
    ends = convolution(3, 32, 9, False) + convolution(128, 128, 3, False)
    doubling = 2 * convolution(128, 128, 3) + convolution(128, 64, 3) + convolution(64, 32, 3)
    back = sum(2 * convolution(*pair) for pair in ((128, 128, 3), (128, 128, 5), (64, 64, 7), (32, 32, 9)))
    with torch.device("meta"):
        model = FaedTraining(FaedConfig())
        features = model.encoder(torch.empty(1, 3, 512, 1024))
        restored = model.decoder(features)
    assert features.shape == (1, 128, 16, 32) and restored.shape == (1, 3, 512, 1024)
    assert sum(p.numel() for p in model.encoder.parameters()) == residual + halving + ends
    assert sum(p.numel() for p in model.decoder.parameters()) == doubling + back + convolution(32, 3, 9, False)
    assert PanoramaEncoder(model.encoder, model.config).dim == 2048


def plain_reading(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """The encoder as the published code computes it: zeros on all sides, then the columns beyond the seam copied in."""

    def convolve(name: str, x: Tensor, stride: int = 1) -> Tensor:
        kernel = weights[f"{name}.weight"]
        pad = (kernel.shape[-1] - stride) // 2 if stride > 1 else kernel.shape[-1] // 2
        padded = functional.pad(x, (pad, pad, pad, pad))
        padded[..., :pad] = padded[..., -2 * pad : -pad]
        padded[..., -pad:] = padded[..., pad : 2 * pad]
        return functional.conv2d(padded, kernel, weights[f"{name}.bias"], stride)

    def normalise(name: str, x: Tensor) -> Tensor:
        mean, variance, scale, shift = (
            weights[f"{name}.{key}"].view(-1, 1, 1) for key in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-5).sqrt() * scale + shift

    x = convolve("first", x)
    for scale in range(3):
        inside, at = f"scales.{scale}.0.layers", f"scales.{scale}"
        hidden = normalise(f"{inside}.1", convolve(f"{inside}.0", x)).relu()
        x = x + normalise(f"{inside}.4", convolve(f"{inside}.3", hidden))
        x = normalise(f"{at}.2", convolve(f"{at}.1", x, stride=2)).relu()
    return convolve("fuse", x)


def test_the_encoder_is_the_published_one():
    encoder, images = tiny().encoder.double(), panoramas().double()
    with torch.no_grad():
        found, expected = encoder(images), plain_reading(encoder.state_dict(), images)
    assert_close(found, expected, atol=1e-10, rtol=1e-10)
    assert found.std() > 0.05


def test_features_are_weighed_means_of_rows():
    model = tiny()
    with torch.no_grad():
        maps = model.encoder(panoramas())
    expected = torch.stack([maps[:, :, row].mean(-1) * pixel_latitudes(4)[row].cos() for row in range(4)], dim=-1)
    features = PanoramaEncoder(model.encoder, TINY).features(panoramas())
    assert_close(features, expected.flatten(1).float())
    assert features.shape == (3, PanoramaEncoder(model.encoder, TINY).dim) and not features.requires_grad
    ends = PanoramaEncoder(model.encoder, TINY, "endpoints").features(panoramas()).view(3, 5, 4)
    assert ends[..., [0, -1]].abs().max() < 1e-6 < ends[..., 1:-1].abs().max()


def test_a_turn_changes_no_feature_and_turns_the_reconstruction():
    model, images = tiny(), panoramas()
    encoder = PanoramaEncoder(model.encoder, TINY)
    for columns in (8, 24, 40):
        assert_close(encoder.features(images.roll(columns, -1)), encoder.features(images), atol=1e-5, rtol=1e-5)
        with torch.no_grad():
            whole = model.decoder(model.encoder(images)).roll(columns, -1)
            assert_close(model.decoder(model.encoder(images.roll(columns, -1))), whole, atol=1e-5, rtol=1e-5)


def test_panoramas_of_other_sizes_are_resized():
    encoder = PanoramaEncoder(tiny().encoder, TINY)
    large = panoramas(height=64)
    assert_close(encoder.features(large), encoder.features(resize_panorama(large, 32)))
    assert encoder.features(panoramas(height=20)).shape == (3, encoder.dim)
    with pytest.raises(UserError, match="twice as wide as high, got 32x32"):
        encoder.features(torch.zeros(1, 3, 32, 32))


def test_it_learns():
    torch.manual_seed(0)
    model = FaedTraining(TINY)
    assert isinstance(model, Trainable)
    model.enable_gradient_checkpointing()
    model.train()
    optimizer, outputs = torch.optim.Adam(model.parameters(), lr=1e-2), []
    for _ in range(25):
        outputs.append(model(batch()))
        optimizer.zero_grad()
        outputs[-1]["loss"].backward()
        optimizer.step()
    assert all(p.grad is not None for p in model.parameters())
    assert outputs[-1]["loss"] < 0.6 * outputs[0]["loss"]
    assert outputs[-1]["psnr"] > outputs[0]["psnr"] + 2
    shown = model.preview(batch())
    assert shown["output"].shape == shown["input"].shape and shown["output"].abs().max() <= 1


def test_gradient_checkpointing_changes_no_gradient():
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = FaedTraining(TINY).train()
        if checkpointing:
            model.enable_gradient_checkpointing()
        model(batch())["loss"].backward()
        gradients.append([p.grad for p in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert_close(one, other)


def test_data_of_another_size_is_refused():
    other = PanoramaBatch(panoramas(height=16), [""] * 3, torch.arange(3))
    with pytest.raises(UserError, match="panoramas of 32x64 pixels, the data has 16x32"):
        tiny()(other)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    tiny().save_pretrained(tmp_path / "faed")
    return tmp_path / "faed"


def test_saved_and_loaded_is_the_same(saved: Path):
    expected, loaded = tiny().state_dict(), FaedTraining.from_pretrained(saved).state_dict()
    assert expected.keys() == loaded.keys()
    assert all(torch.equal(value, loaded[key]) for key, value in expected.items())
    assert PanoramaEncoder.load(str(saved)).config == TINY
    assert sorted(path.name for path in saved.iterdir()) == ["config.json", "model.safetensors"]


def test_half_precision_is_half_as_large_and_nearly_the_same(saved: Path, tmp_path: Path):
    model = tiny()
    model.config = FaedConfig(**{**vars(TINY), "dtype": "float16"})
    model.save_pretrained(tmp_path / "half")
    half, full = PanoramaEncoder.load(tmp_path / "half"), PanoramaEncoder.load(saved)
    assert {value.dtype for value in load_file(tmp_path / "half" / "model.safetensors").values()} == {
        torch.float16,
        torch.int64,
    }
    assert_close(half.features(panoramas()), full.features(panoramas()), atol=5e-3, rtol=5e-3)
    assert next(model.parameters()).dtype == torch.float32
    with torch.no_grad():
        model.encoder.fuse.bias.fill_(1e6)
    with pytest.raises(UserError, match="does not fit dtype 'float16'"):
        model.save_pretrained(tmp_path / "too_large")


def test_fingerprints_tell_features_apart(saved: Path):
    encoder = PanoramaEncoder.load(saved)
    assert encoder.fingerprint == PanoramaEncoder.load(saved).fingerprint
    others = {PanoramaEncoder.load(saved, "endpoints").fingerprint}
    with torch.no_grad():
        encoder.encoder.fuse.bias[0] += 1e-3
    others.add(encoder.fingerprint)
    assert len(others | {PanoramaEncoder.load(saved).fingerprint}) == 3


def test_folders_that_cannot_be_used(saved: Path, tmp_path: Path):
    with pytest.raises(UserError, match="nowhere: no such folder"):
        PanoramaEncoder.load(tmp_path / "nowhere")
    weights, config = saved / "model.safetensors", saved / "config.json"
    tensors, described = load_file(weights), json.loads(config.read_text())
    save_file({key: value for key, value in tensors.items() if key != "encoder.fuse.bias"}, weights)
    with pytest.raises(UserError, match="model.safetensors: 1 weights are missing.*encoder.fuse.bias"):
        PanoramaEncoder.load(saved)
    config.write_text(json.dumps({**described, "kernels": [4, 3, 3]}))
    with pytest.raises(UserError, match="config.json: kernels must be odd"):
        PanoramaEncoder.load(saved)
    config.write_text(json.dumps({**described, "method": "aognet"}))
    with pytest.raises(UserError, match="config.json: method: expected 'faed'"):
        PanoramaEncoder.load(saved)
    config.unlink()
    with pytest.raises(UserError, match="model.safetensors, the weights of a part alone"):
        PanoramaEncoder.load(saved)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kernels", (3, 3)), ("kernels", (4, 3, 3)), ("channels", ()), ("channels", (0, 8, 8)), ("height", 36),
        ("height", 0), ("latent_channels", 10**9), ("dtype", "int8"),
    ],
)  # fmt: skip
def test_shapes_that_cannot_be(key: str, value: object):
    with pytest.raises(UserError, match="channels" if key == "latent_channels" else f"kernels|{key}"):
        FaedConfig(**{**vars(TINY), key: value})


def test_the_command_that_trains_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "panoramas").mkdir()
    for number, image in enumerate(panoramas()):
        save_image(image, tmp_path / "panoramas" / f"{number}.png")
    data = [f"data.{part}.{key}" for part in ("train", "validation") for key in ("folders=[panoramas]", "captions=[]")]
    shape = ["model.channels=[6,8,8]", "model.kernels=[5,3,3]", "model.latent_channels=5", "SHARE.height=32"]
    settings = ["trainer.max_steps=2", "trainer.batch_size=2", "trainer.images_every=2", "trainer.device=cpu"]
    command = ["-b", str(ROOT / "config" / "embedded" / "faed.yaml"), "--n", "faed", "--out_dir", str(tmp_path)]
    assert main([*command, *data, *shape, *settings]) == 0
    encoder = PanoramaEncoder.load(tmp_path / "faed" / "final")
    assert encoder.features(panoramas()).shape == (3, 20)


@pytest.fixture(scope="module")
def embedded() -> FaedTraining:
    return FaedTraining.from_pretrained(EMBEDDED).eval()


@pytest.fixture(scope="module")
def painted() -> Tensor:
    return load_panorama(ROOT / "assets" / "readme" / "panorama.jpg", 128)[None]


def test_the_one_in_the_repository_is_small_and_reconstructs(embedded: FaedTraining, painted: Tensor):
    assert sum(path.stat().st_size for path in EMBEDDED.iterdir()) <= 1_000_000
    assert {path.name for path in EMBEDDED.iterdir()} == {"config.json", "model.safetensors"}
    with torch.no_grad():
        restored = embedded.decoder(embedded.encoder(painted))
    assert -10 * (restored - painted).square().mean().div(4).log10() > 20


def test_the_features_in_the_repository_move_away_with_growing_damage(embedded: FaedTraining, painted: Tensor):
    """Blur, noise, and the sky turned to the ground; turns of the camera move them less."""
    encoder = PanoramaEncoder(embedded.encoder, embedded.config)
    noise = torch.randn(painted.shape, generator=torch.Generator().manual_seed(0))
    damages = {
        "blur": [resize_panorama(resize_panorama(painted, rows), 128) for rows in (64, 32, 16)],
        "noise": [painted + amount * noise for amount in (0.05, 0.1, 0.2)],
        "flip": [painted.lerp(painted.flip(-2), share) for share in (0.25, 0.5, 1.0)],
    }
    original = encoder.features(painted)
    assert original.shape == (1, 512)
    moved = {name: [float((encoder.features(x) - original).norm()) for x in steps] for name, steps in damages.items()}
    assert all(less < more for distances in moved.values() for less, more in pairwise(distances)), moved
    turns = [float((encoder.features(painted.roll(columns, -1)) - original).norm()) for columns in (5, 37, 128)]
    assert turns[2] < 1e-3 and max(turns) < moved["blur"][-1], (turns, moved)
