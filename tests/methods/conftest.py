"""What tests of saved models share."""

import shutil
from pathlib import Path

import pytest

from tests.tiny import tiny_streams


@pytest.fixture(scope="module")
def saved(sd2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with the tiny backbone and, beside it, an experiment with the streams around it. Do not write in it."""
    tree = tmp_path_factory.mktemp("tree")
    shutil.copytree(sd2_folder, tree / "backbone")
    tiny_streams(tree / "backbone").save_pretrained(tree / "model" / "final")
    return tree


@pytest.fixture
def tree(saved: Path, tmp_path: Path) -> Path:
    """A copy of it at another place."""
    return shutil.copytree(saved, tmp_path / "moved")
