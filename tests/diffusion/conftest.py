"""The parts of a tiny model that LoRAs change."""

from copy import deepcopy
from typing import Any

import pytest

from tests.diffusion.lora_files import parts_of
from tests.tiny import tiny_components


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    """A model that no test may change."""
    return parts_of(tiny_components("sd15", 4))


@pytest.fixture
def parts(kept: dict[str, Any]) -> dict[str, Any]:
    return deepcopy(kept)
