"""A VAE in bands returns what it returns for the whole image: by construction, and without a seam."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from aognet.diffusion import bands
from aognet.diffusion.latent_space import LatentSpace
from aognet.io.store import CacheConfig
from aognet.nn.circular import wrap_around
from aognet.nn.faces import see_all_faces
from benchmarks.memory_meter import MemoryMeter
from tests.nn.test_wrap_around import add_lora
from tests.slow import rest_slow
from tests.tiny import tiny_vae

KEEPING = {"nothing": 0, "small maps": 2_000, "everything": 2**30}  # numbers in maps that are kept


def made(wraps: str, blocks: int = 3) -> Any:
    """A VAE whose norms do something, plain or wrapping around."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = tiny_vae(blocks).double()
        for module in vae.modules():
            if isinstance(module, nn.GroupNorm):
                nn.init.normal_(module.weight), nn.init.normal_(module.bias)
    if wraps != "plain":
        wrap_around(vae, wraps)
    return vae


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def latent_space(vae: Any) -> LatentSpace:
    return LatentSpace(vae, CacheConfig(folder=None))


@pytest.fixture(params=rest_slow([1, 5]), ids="bands of {} rows".format)
def few_rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "BAND_VALUES", 1)
    monkeypatch.setattr(bands, "LEAST_ROWS", request.param)


@torch.no_grad()
@pytest.mark.parametrize("most", KEEPING.values(), ids=KEEPING)
@pytest.mark.parametrize("wraps", rest_slow(["flip", "plain", "none"], fast=2))
def test_bands_return_what_the_whole_returns(wraps: str, most: int, few_rows: None) -> None:
    vae, latents, images = made(wraps), drawn(2, 4, 6, 12), drawn(1, 3, 24, 48)
    assert_close(bands.decode(vae, latents, most), vae.decode(latents).sample, atol=1e-9, rtol=0)
    found, expected = bands.encode(vae, images, most), vae.encode(images).latent_dist
    assert_close(found.parameters, expected.parameters, atol=1e-9, rtol=0)


@torch.no_grad()
def test_other_sizes_of_networks_and_additions(few_rows: None) -> None:
    for blocks in (1, 2, 4):
        vae, latents = made("flip", blocks), drawn(1, 4, 8, 16)
        assert_close(bands.decode(vae, latents, 0), vae.decode(latents).sample, atol=1e-9, rtol=0)
    vae = made("plain")
    add_lora(vae)
    wrap_around(vae, "flip")
    latents = drawn(1, 4, 8, 16)
    assert_close(bands.decode(vae, latents, 0), vae.decode(latents).sample, atol=1e-9, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("poles", rest_slow(["flip", "none"]))
def test_a_roll_of_the_latents_rolls_the_image_in_bands(poles: str, few_rows: None) -> None:
    vae, latents, images = made(poles), drawn(1, 4, 8, 16), drawn(1, 3, 32, 64)
    once = bands.decode(vae, latents, 0)
    for columns in (1, 5, 9):
        assert_close(bands.decode(vae, latents.roll(columns, -1), 0), once.roll(4 * columns, -1), atol=1e-9, rtol=0)
        encoded = bands.encode(vae, images.roll(4 * columns, -1), 0).mean
        assert_close(encoded, bands.encode(vae, images, 0).mean.roll(columns, -1), atol=1e-9, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("wraps", ["plain", "flip"])
def test_large_images_and_scarce_memory_change_nothing(wraps: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32, as SDXL's VAE is held; nothing is taken in the tiles of diffusers, which differ."""
    vae = made(wraps).float()
    latents, images = drawn(2, 4, 16, 32).float(), drawn(2, 3, 64, 128).float().clamp(-1, 1)
    for network in (vae.encoder, vae.decoder):
        network.forward = counted(network.forward)
    whole = latent_space(vae)
    expected = whole.decode(latents), whole.encode(images)
    for name, limit in (("LARGE", 2**16), ("LARGE_IF_SCARCE", 2**16)):
        monkeypatch.setattr(f"aognet.diffusion.latent_space.{name}", limit)
        in_bands = latent_space(vae)
        if name == "LARGE_IF_SCARCE":
            monkeypatch.setattr("aognet.diffusion.latent_space.LARGE", 2**60)
            in_bands.save_memory()
        vae.encoder.forward.calls = vae.decoder.forward.calls = 0
        assert_close(in_bands.decode(latents), expected[0], atol=1e-4, rtol=0)
        assert_close(in_bands.encode(images), expected[1], atol=1e-4, rtol=0)
        assert vae.encoder.forward.calls == vae.decoder.forward.calls == 0


def counted(function: Callable) -> Any:
    def run(*args: Any) -> Any:
        run.calls += 1
        return function(*args)

    run.calls = 0
    return run


@torch.no_grad()
def test_faces_of_a_cube_are_never_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    vae, latents = made("plain"), drawn(6, 4, 8, 8)
    see_all_faces(vae.decoder, 6, 95.0, attention=False)
    expected = latent_space(vae).decode(latents)
    monkeypatch.setattr("aognet.diffusion.latent_space.LARGE", 1)
    assert torch.equal(latent_space(vae).decode(latents), expected)


@torch.no_grad()
def test_bands_take_less_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "BAND_VALUES", 2**12)
    vae, latents = made("flip"), drawn(1, 4, 32, 64)
    vae.decoder.mid_block.attentions[0] = None

    def peak(run: Callable[[], Tensor]) -> int:
        with MemoryMeter([*vae.parameters(), latents]) as meter:
            run()
        return meter.peak

    whole, keeping, least = (
        peak(lambda: vae.decode(latents).sample),
        peak(lambda: bands.decode(vae, latents, 2**30)),
        peak(lambda: bands.decode(vae, latents, 0)),
    )
    assert least < 0.35 * whole and least < keeping < 0.65 * whole
