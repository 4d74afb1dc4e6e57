"""Networks are loaded once for all tests of the evaluation."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from aognet.evaluation import networks
from tests.evaluation.folders import panoramas, write
from tests.perception.test_inception import random_weights, saved


@pytest.fixture(scope="session", autouse=True)
def loaded_once() -> Iterator[None]:
    """`load_network` gives the same network for the same settings."""
    load, known = networks.load_network, {}

    def once(config, device):
        key = json.dumps(asdict(config), sort_keys=True), device
        if key not in known:
            known[key] = load(config, device)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "load_network", once)
        yield


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five panoramas of 32x64. Do not write in it."""
    return write(tmp_path_factory.mktemp("reference"), panoramas())


@pytest.fixture(scope="session")
def inception_weights(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """Inceptions of 1008 and of 10 classes with random weights, a sixteenth as wide as published."""
    folder = tmp_path_factory.mktemp("inception")
    return {classes: saved(random_weights(classes), folder / f"{classes}.safetensors") for classes in (1008, 10)}
