"""No network, one thread, shapes checked, caches apart, and tiny models that are made once per session."""

import os

# Before torch reads it; processes that tests start inherit it. A test beside others takes one thread and waits asleep.
os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

import gc
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook

from tests.tiny import tiny_backbone_folder, tiny_controlnet_folders, tiny_generator_folder, tiny_streams

BROWSER_FLAGS = (
    "--use-gl=angle --use-angle=swiftshader --no-sandbox --headless --disable-background-networking "
    "--disable-component-update --disable-sync --no-first-run --force-color-profile=srgb"
)

# Nothing above imports huggingface_hub, which reads its switch once, or aognet, whose functions the hook checks.
os.environ["HF_HUB_OFFLINE"] = "1"
install_import_hook("aognet", "beartype.beartype")
torch.set_num_threads(1)


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end: what looks for garbage during a test leaves them out."""
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable(report: object) -> Generator[None, dict | None, dict | None]:
    """Reports of names that are not UTF-8 reach the process that collects them: it would end there."""
    return _printable((yield))


def _printable(value: object) -> object:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_printable(key): _printable(inner) for key, inner in value.items()}
    return type(value)(map(_printable, value)) if isinstance(value, list | tuple) else value


@pytest.fixture(scope="session", autouse=True)
def own_caches(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Decoded panoramas and downloaded datasets of the tests stay apart from the user's."""
    os.environ["AOGNET_CACHE"] = str(tmp_path_factory.mktemp("panoramas"))
    os.environ["HF_DATASETS_CACHE"] = str(tmp_path_factory.mktemp("datasets"))


@pytest.fixture(scope="session")
def sd2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny SD 2 inpainting model (9 channels, v prediction, VAE factor 2). Do not write in it."""
    return tiny_backbone_folder(tmp_path_factory.mktemp("sd2"))


@pytest.fixture(scope="session")
def sd15_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny SD 1.5 inpainting model (9 channels, epsilon, VAE factor 2). Do not write in it."""
    return tiny_backbone_folder(tmp_path_factory.mktemp("sd15"), "sd15")


@pytest.fixture(scope="session")
def plain_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny SD 1.5 text-to-image model (4 channels). Do not write in it."""
    return tiny_backbone_folder(tmp_path_factory.mktemp("plain"), "sd15", channels=4)


@pytest.fixture(scope="session")
def sdxl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny SDXL text-to-image model (4 channels, two text encoders). Do not write in it."""
    return tiny_backbone_folder(tmp_path_factory.mktemp("sdxl"), "sdxl", channels=4)


@pytest.fixture(scope="session")
def sdxl_inpaint_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny SDXL inpainting model (9 channels). Do not write in it."""
    return tiny_backbone_folder(tmp_path_factory.mktemp("sdxl_inpaint"), "sdxl", channels=9)


@pytest.fixture(scope="session")
def controlnet_folders(
    plain_folder: Path, sdxl_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[str]]:
    """Two ControlNets, as if trained, for `plain_folder` and for `sdxl_folder`. Do not write in them."""
    folder = tmp_path_factory.mktemp("controlnets")
    return {place.name: tiny_controlnet_folders(place, folder / place.name) for place in (plain_folder, sdxl_folder)}


@pytest.fixture(scope="session")
def streams_folder(sd2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AOG-Net as if trained, around the tiny SD 2. Do not write in it."""
    folder = tmp_path_factory.mktemp("streams")
    tiny_streams(sd2_folder).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def generator_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny BigGAN-deep of three classes, for ganorama. Do not write in it."""
    return tiny_generator_folder(tmp_path_factory.mktemp("generator"))


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """A real browser, which draws WebGL without a GPU; tests that need it say so where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs `pip install playwright`")
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("needs a browser: `apt-get install chromium`, or Google Chrome")
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(executable_path=program, args=BROWSER_FLAGS.split())
        yield launched
        launched.close()
