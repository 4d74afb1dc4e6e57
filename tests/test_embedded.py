"""The model in the repository: small, complete, loaded by the code that loads Stable Diffusion, and of use."""

from pathlib import Path

import pytest
import torch

import inference
from aognet.data.images import load_image
from aognet.engine.journal import Journal
from aognet.metrics.seam import wrap_gradient_ratio

ROOT = Path(__file__).resolve().parents[1]
EMBEDDED = ROOT / "assets" / "embedded"


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo beach painted small and with few steps."""
    out = tmp_path_factory.mktemp("embedded")
    settings = [f"--image={ROOT / 'assets' / 'demo' / 'beach.jpg'}", f"--checkpoint={EMBEDDED / 'aognet'}"]
    size = ["--size", "256x512", "--num_inference_step", "8"]
    assert (
        inference.main([*settings, *size, "--prompt", "A wide beach under a blue sky.", f"--inference_out_dir={out}"])
        == 0
    )
    return out / "beach"


def test_it_holds_nothing_but_weights_settings_and_words():
    files = [path for path in EMBEDDED.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".safetensors", ".json"}
    assert sum(path.stat().st_size for path in files) <= 24_000_000
    parts = {"vae", "unet", "text_encoder", "tokenizer", "image_encoder", "feature_extractor", "scheduler", "aognet"}
    assert {path.name for path in EMBEDDED.iterdir() if path.is_dir()} == parts


def test_diffusers_own_pipeline_loads_it():
    from diffusers import StableDiffusionInpaintPipeline

    pipeline = StableDiffusionInpaintPipeline.from_pretrained(
        str(EMBEDDED), image_encoder=None, feature_extractor=None, local_files_only=True
    )
    assert pipeline.unet.config.in_channels == 9


def test_the_panorama_is_whole_and_has_no_seam(painted: Path):
    assert Journal.open(painted).canvas().unknown_pixels == 0
    assert 0.8 <= wrap_gradient_ratio(load_image(painted / "result.png")[None]).item() <= 1.25


def test_the_continuation_keeps_to_the_colours_of_sky_and_ground(painted: Path):
    """Away from the photo too the upper half is bluer than the lower half, as it is in the photo."""
    image = load_image(painted / "result.png")
    known = Journal.open(painted).start().known[0, 0]
    blueness = image[2] - image[0]
    sky, ground = blueness[40:110][~known[40:110]], blueness[150:220][~known[150:220]]
    assert torch.quantile(sky, 0.5) > torch.quantile(ground, 0.5) + 0.1
