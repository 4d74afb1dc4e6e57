"""A model, ready to make panoramas, in one line."""

from collections.abc import Sequence
from pathlib import Path

from aognet.config import load_config
from aognet.generate.generator import Generator
from aognet.generate.inference import read_inference
from aognet.installed import CONFIGS
from aognet.methods.pretrained import locate

EMBEDDED = CONFIGS / "inference_config.yaml"
SETTINGS = "inference.json"
"""The file in a model's folder with the section ``generator`` that it is loaded with where nothing else is said."""


def load(
    checkpoint: str | Path | None = None, config: str | Path | None = None, settings: Sequence[str] = ()
) -> Generator:
    """Return a model that makes panoramas (`Generator.generate`); its weights are read when it first does.

    ``checkpoint``: a folder or hub id that ``save_pretrained`` wrote, or an experiment's folder; None: what the
    configuration says, the small model that comes with the package if there is none. ``config``: a YAML file as
    ``inference.py`` reads it, for sizes, sampler, device and precision; None: that of the small model, or what the
    model's folder says (``inference.json``), or the defaults of the method. ``settings``: changes to it, such as
    ``"generator.sampler.steps=50"`` or ``"device=cpu"``.

    :raises UserError: naming file, key and value, for what is not there or does not fit.
    """
    chosen = [*([] if checkpoint is None else [f"checkpoint={checkpoint}"]), *settings]
    if config is not None:
        paths = [Path(config)]
    else:
        paths = [EMBEDDED] if checkpoint is None else _own_settings(str(checkpoint), chosen)
    return read_inference(load_config(paths, chosen))[1]


def _own_settings(checkpoint: str, settings: Sequence[str]) -> list[Path]:
    """Return the file of settings in a model's folder, if there is one. Raises UserError for others than a method's."""
    path = locate(checkpoint, load_config([], settings).values.get("revision")) / SETTINGS
    if not path.is_file():
        return []
    load_config([path]).check_keys(["generator"])  # a stranger's file decides nothing else
    return [path]
