"""The models that speed is measured with: the embedded one, or Stable Diffusion 2 in full size or tiny, untrained."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from benchmarks.sd2 import Sizes

ROOT = Path(__file__).resolve().parents[1]
# By method and layout: how it paints, and how it is trained.
PAINTING = {
    "aognet": {"embedded": "inference_config.yaml", "sd2": "inference_sd2.yaml"},
    "cubediff": {"embedded": "inference_embedded_cubediff.yaml", "sd2": "inference_cubediff.yaml"},
}
TRAINING = {
    "aognet": {"embedded": "train_embedded.yaml", "sd2": "train_config.yaml"},
    "cubediff": {"embedded": "train_embedded_cubediff.yaml", "sd2": "train_cubediff.yaml"},
}


def add_model_arguments(parser: argparse.ArgumentParser, program: str = "inference.py") -> None:
    """Which model, and where it runs."""
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--set", nargs="+", default=[], metavar="key.sub=value", help=f"settings of {program}")
    parser.add_argument("--layout", default="embedded", choices=["embedded", "sd2", "tiny"])
    parser.add_argument("--dtype", default="float32", choices=["float32", "float16", "bfloat16"], help="here")
    parser.add_argument("--method", default="aognet", choices=list(PAINTING))


def load(configs: dict[str, dict[str, str]], options: argparse.Namespace, settings: Sequence[str]):
    """The configuration of a method and layout from one of the tables above."""
    from aognet.config import load_config

    layout = "embedded" if options.layout == "embedded" else "sd2"
    return load_config([ROOT / "config" / configs[options.method][layout]], settings)


def painting_config(options: argparse.Namespace, settings: Sequence[str]):
    """The settings of inference.py."""
    from aognet.generate.inference import read_config, read_defaults
    from aognet.methods.method import find_method

    loaded = load(PAINTING, options, settings)
    config = read_config(loaded)
    return argparse.Namespace(**vars(config) | vars(read_defaults(loaded, find_method(options.method))))


def made(options: argparse.Namespace, dtype: str, sizes: "Sizes") -> Any:
    """The method on Stable Diffusion 2 in the given sizes, its frozen parts made in this type."""
    from aognet.config import build_config
    from aognet.targets import target_class
    from benchmarks.sd2 import sd2_model

    section = load(TRAINING, options, []).section("model")
    method = target_class(section)
    config = build_config(section, method.Config)
    parts = {name: getattr(config, name, None) for name in ("backbone", "clip")}
    config = replace(config, **{name: replace(part, dtype=dtype) for name, part in parts.items() if part})
    return sd2_model(method, config, sizes)


def untrained(options: argparse.Namespace, dtype: str) -> Any:
    """The method on Stable Diffusion 2, frozen parts of this type and streams in single precision, random weights."""
    from aognet.diffusion.execution import cast
    from aognet.diffusion.loading import DTYPES
    from benchmarks.sd2 import SD2, TINY

    torch.manual_seed(0)
    with torch.device(options.device):
        model = made(options, "float32", SD2 if options.layout == "sd2" else TINY)
    cast(model, DTYPES[dtype])
    return model
