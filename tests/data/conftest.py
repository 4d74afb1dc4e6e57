"""What tests of datasets share."""

from pathlib import Path

import pytest

from aognet.io.captions import save_captions
from aognet.io.images import save_image
from tests.smooth import smooth_panorama


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three panoramas of 32 rows, each darker than the one before, with captions."""
    folder = tmp_path_factory.mktemp("panoramas")
    for number in range(3):
        save_image(smooth_panorama(32)[0] * (1 - number / 5), folder / f"{number}.png")
    save_captions({f"{number}.png": [f"the left of {number}"] for number in range(3)}, folder / "captions.jsonl")
    return folder
