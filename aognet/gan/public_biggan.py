"""The public PyTorch files of BigGAN-deep (`pytorch_model.bin` and `config.json`) as weights and config of ours."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aognet.config import LoadedConfig, build_config
from aognet.errors import UserError
from aognet.gan.biggan import BigGan, BigGanConfig
from aognet.gan.imagenet import IMAGENET_CLASSES, imagenet_names
from aognet.io.pickled_tensors import read_pickled_tensors
from aognet.io.text_files import read_json

MAX_BYTES = 2**29
"""Of a file; the public ones have 200 to 225 MB."""
CONFIG_KEYS = {
    "layers": "layers",
    "num_classes": "classes",
    "z_dim": "z_dim",
    "class_embed_dim": "class_dim",
    "channel_width": "width",
    "attention_layer_position": "attention_at",
    "n_stats": "statistics",
    "eps": "eps",
}
NAMES = (
    (r"start\.", "generator.gen_z."),
    (r"to_rgb\.", "generator.conv_to_rgb."),
    (r"norm\.", "generator.bn."),
    (r"\.norms\.", ".bn_"),
    (r"\.convolutions\.", ".conv_"),
    (r"\.means$", ".running_means"),
    (r"\.variances$", ".running_vars"),
    (r"attention\.out\.", "attention.o_conv."),
    (r"attention\.(?!gamma)", "attention.snconv1x1_"),
)
PLAIN = re.compile(r"embeddings\.weight|generator\.bn\.weight")
"""Weights without a spectral norm."""


def read_public_config(path: Path) -> BigGanConfig:
    """Return the config of a public ``config.json``; 1000 classes are ImageNet's, and get its names.

    :raises UserError: naming file and key, for whatever is missing, unknown or does not fit together.
    """
    values = read_json(path)
    section = LoadedConfig(values, {"": str(path)})
    section.check_keys([*CONFIG_KEYS, "output_dim"])
    for key in (*CONFIG_KEYS, "output_dim"):
        if key not in values:
            raise section.error("is missing", key)
    if not isinstance(values["layers"], list) or not all(isinstance(layer, list) for layer in values["layers"]):
        raise section.error("must be a list of [doubles, channels in, channels out]", "layers", values["layers"])
    told: dict[str, Any] = {ours: values[theirs] for theirs, ours in CONFIG_KEYS.items()}
    told["layers"] = [[int(one) if isinstance(one, bool) else one for one in layer] for layer in values["layers"]]
    if told["classes"] == IMAGENET_CLASSES:
        told["class_names"] = list(imagenet_names())
    try:
        config = build_config(LoadedConfig(told, {"": str(path)}), BigGanConfig)
    except UserError as error:
        theirs = {ours: name for name, ours in CONFIG_KEYS.items()}
        error.key = theirs.get(error.key, error.key)
        raise
    if values["output_dim"] != config.size:
        raise section.error(f"must be {config.size}, as the layers make it", "output_dim", values["output_dim"])
    return config


def read_public_weights(path: Path, config: BigGanConfig) -> dict[str, Tensor]:
    """Return the weights of a public ``pytorch_model.bin`` under the names of `BigGan`, spectral norms folded in.

    Tensors alone are read, and nothing in the file is run.

    :raises UserError: naming the file, and the tensor that is missing, not known, of another shape or not finite.
    """
    found = read_pickled_tensors(path, MAX_BYTES)
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise UserError(f"{path}: holds something other than tensors by name")
    try:
        return folded(found, config)
    except UserError as error:
        raise error.at(str(path)) from error


@torch.no_grad()
def folded(public: Mapping[str, Tensor], config: BigGanConfig) -> dict[str, Tensor]:
    """Return tensors of the public names under those of `BigGan`, float32, spectral norms folded into the weights.

    In evaluation a layer with a spectral norm (Miyato et al. 2018, section 2.1) has the weight ``W / (u W v)``.

    :raises UserError: for tensors that are missing, not known, of another shape, or not finite.
    """
    places = dict(_places(config))
    wanted = {name: shape for parts in places.values() for name, shape in parts.items()}
    for what, names in (("is missing", wanted.keys() - public.keys()), ("is unknown", public.keys() - wanted.keys())):
        if names:
            more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            raise UserError(
                f"the tensor {min(names, key=str)!r} {what}{more}; the config and the file must belong together"
            )
    for name, shape in wanted.items():
        if public[name].shape != shape:
            raise UserError(f"{name!r} has shape {list(public[name].shape)}, the config needs {list(shape)}")
        if not (public[name].is_floating_point() and public[name].isfinite().all()):
            raise UserError(f"{name!r} holds numbers that are not finite or no floats")
    return {ours: _folded([public[name] for name in parts], next(iter(parts))) for ours, parts in places.items()}


def _folded(parts: list[Tensor], name: str) -> Tensor:
    """Return a tensor as it is, or ``[weight, u, v]`` as a weight divided by its spectral norm."""
    if len(parts) == 1:
        return parts[0].float().contiguous()
    weight, u, v = (part.double() for part in parts)
    norm = u @ weight.flatten(1) @ v
    if not norm.abs() > torch.finfo(torch.float32).tiny:
        raise UserError(f"{name!r} has the spectral norm {norm.item()}, and nothing can be divided by that")
    return (weight / norm).float()


def _places(config: BigGanConfig) -> Iterator[tuple[str, dict[str, torch.Size]]]:
    """Yield each tensor of `BigGan` with the public ones that it is made of, and their shapes."""
    with torch.device("meta"):
        network = BigGan(config)
    for ours, tensor in network.state_dict().items():
        name, shape = _public_name(ours, config.attention_at), tensor.shape
        if not name.endswith(".weight") or PLAIN.fullmatch(name):
            yield ours, {name: shape}
        else:
            vectors = {f"{name}_u": shape[:1], f"{name}_v": torch.Size([shape[1:].numel()])}
            yield ours, {f"{name}_orig": shape, **vectors}


def _public_name(name: str, attention_at: int | None) -> str:
    for pattern, theirs in NAMES:
        name = re.sub(rf"^{pattern}" if pattern[0].isalpha() else pattern, theirs, name)
    name = name.replace("attention.", f"generator.layers.{attention_at}.")

    def numbered(match: re.Match[str]) -> str:
        number = int(match[1])
        return f"generator.layers.{number + (attention_at is not None and number >= attention_at)}."

    return re.sub(r"^layers\.(\d+)\.", numbered, name)
