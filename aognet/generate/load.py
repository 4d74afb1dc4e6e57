"""A model, ready to make panoramas, in one line."""

from collections.abc import Sequence
from pathlib import Path

from aognet.config import load_config
from aognet.generate.generator import Generator
from aognet.generate.inference import read_inference
from aognet.installed import CONFIGS

EMBEDDED = CONFIGS / "inference_config.yaml"


def load(
    checkpoint: str | Path | None = None, config: str | Path | None = None, settings: Sequence[str] = ()
) -> Generator:
    """Return a model that makes panoramas (`Generator.generate`); its weights are read when it first does.

    ``checkpoint``: a folder or hub id that ``save_pretrained`` wrote, or an experiment's folder; None: what the
    configuration says, the small model that comes with the package if there is none. ``config``: a YAML file as
    ``inference.py`` reads it, for sizes, sampler, device and precision; None: that of the small model, or the defaults
    of the method. ``settings``: changes to it, such as ``"generator.sampler.steps=50"`` or ``"device=cpu"``.

    :raises UserError: naming file, key and value, for what is not there or does not fit.
    """
    paths = [Path(config)] if config is not None else [EMBEDDED] if checkpoint is None else []
    chosen = [] if checkpoint is None else [f"checkpoint={checkpoint}"]
    return read_inference(load_config(paths, [*chosen, *settings]))[1]
