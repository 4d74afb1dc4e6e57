"""The settings that a model paints best with, which may lie beside its weights."""

from pathlib import Path
from typing import Any

from aognet.config import LoadedConfig, build_config
from aognet.diffusion.saved import SETTINGS
from aognet.io.files import is_file
from aognet.io.text_files import read_json
from aognet.methods.method import Method


def preferred_settings(folder: Path, method: Method) -> Any:
    """Return the settings of a method as ``settings.json`` in a model's folder has them, if there is one.

    What it leaves out is as the method has it. A UNet that learned to paint in four steps needs four steps.

    :raises UserError: naming the file and a key that the method does not have, or its value.
    """
    path = folder / SETTINGS
    values = read_json(path) if is_file(path) else {}
    return build_config(LoadedConfig(values, {"": str(path)}), method.settings_class)
