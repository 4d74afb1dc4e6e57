"""Text2Light's published checkpoints (Chen et al. 2022, arXiv 2209.09898) as networks of ours.

Networks are described by the tensors that there are. What tensors do not tell is as published: heads, grids of codes.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from aognet.errors import UserError
from aognet.hdr.sritmo import PUBLISHED, UNUSED, SrItmo
from aognet.io.pickled_checkpoints import read_checkpoint
from aognet.nn.network_folder import check_tensors, fill_network
from aognet.vq.autoencoder import Padding, VqAutoencoder
from aognet.vq.global_sampler import GlobalSampler, GlobalSamplerConfig
from aognet.vq.positions import CHANNELS
from aognet.vq.public_text2light import autoencoder_config, autoencoder_names, count_of, size_of
from aognet.vq.window_sampler import WindowSampler, WindowSamplerConfig
from aognet.vq.windows import WindowConfig

MAX_BYTES = 2**32
"""Of the weights in a file; those of the published local sampler have 1.8 GB."""
ROWS, COLUMNS = 8, 16  # of the codes of the global autoencoder
GLOBAL_HEADS, LOCAL_HEADS = 8, 16


@dataclass(frozen=True)
class PublishedPart:
    """A network without weights, its name in a converted model, and the published name of each of its weights."""

    name: str
    network: Any
    names: Mapping[str, str]

    def wanted(self) -> dict[str, Tensor]:
        """Return tensors on the meta device as they must be in the published file."""
        weights = self.network.state_dict()
        return {public: _as_published(public, weights[ours]) for ours, public in self.names.items()}

    def fill(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Give the network its weights of a file's tensors."""
        shapes = {ours: value.shape for ours, value in self.network.state_dict().items()}
        fill_network(
            self.network, {ours: tensors[name].reshape(shapes[ours]) for ours, name in self.names.items()}, path
        )


def read_published(
    path: Path, describe: Callable[[Mapping[str, Tensor]], list[PublishedPart]], entry: str
) -> list[PublishedPart]:
    """Return the networks of a published file, in float32. Tensors alone are read, and nothing in it is run.

    :raises UserError: naming the file, and every weight that is missing, unexpected or of another shape.
    """
    tensors = read_checkpoint(path, entry, MAX_BYTES, _is_unused)
    try:
        with torch.device("meta"):
            parts = describe(tensors)
    except UserError as error:
        raise error.at(str(path)) from error
    check_tensors(tensors, {name: value for part in parts for name, value in part.wanted().items()}, path)
    for part in parts:
        part.fill(tensors, path)
    return parts


def global_parts(tensors: Mapping[str, Tensor]) -> list[PublishedPart]:
    """Return the networks of the global sampler's checkpoint."""
    width, length = (
        size_of(tensors, "transformer.tok_emb.weight", 1, 1024),
        size_of(tensors, "transformer.pos_emb", 1, 133),
    )
    config = GlobalSamplerConfig(
        rows=ROWS,
        columns=COLUMNS,
        tokens=max(length - ROWS * COLUMNS, 1),
        embedding=width // 2,
        vocabulary=size_of(tensors, "transformer.tok_emb.weight", 0, 1024),
        layers=_layers(tensors, 12),
        heads=GLOBAL_HEADS,
        width=width,
    )
    return [
        _autoencoder("global_autoencoder", "first_stage_model", tensors, "published_global"),
        _sampler("global_sampler", GlobalSampler(config)),
    ]


def local_parts(tensors: Mapping[str, Tensor]) -> list[PublishedPart]:
    """Return the networks of a local sampler's checkpoint."""
    length, width = (
        size_of(tensors, "transformer.pos_emb", 1, 402),
        size_of(tensors, "transformer.tok_emb.weight", 1, 1024),
    )
    size = max(math.isqrt(max(length - CHANNELS - ROWS * COLUMNS, 0)), 2)
    config = WindowSamplerConfig(
        windows=WindowConfig(size=size),
        given_rows=ROWS,
        given_columns=COLUMNS,
        samples=max(math.isqrt(width) // size, 1),
        vocabulary=size_of(tensors, "transformer.tok_emb.weight", 0, 1024),
        layers=_layers(tensors, 24),
        heads=LOCAL_HEADS,
    )
    return [
        _autoencoder("local_autoencoder", "first_stage_model", tensors, "published_local"),
        _autoencoder("holistic_autoencoder", "holistic_model", tensors, "published_global"),
        _sampler("local_sampler", WindowSampler(config)),
    ]


def sritmo_parts(tensors: Mapping[str, Tensor]) -> list[PublishedPart]:
    """Return the network of ``sritmo.pth``."""
    config = replace(
        PUBLISHED,
        features=size_of(tensors, "ldr_encoder.head.0.weight", 0, PUBLISHED.features),
        blocks=count_of(tensors, r"ldr_encoder\.body\.(\d{1,3})\.body\.") or PUBLISHED.blocks,
        sr_widths=_widths(tensors, "srmapper") or PUBLISHED.sr_widths,
        itmo_widths=_widths(tensors, "hdrmapper") or PUBLISHED.itmo_widths,
    )
    network = SrItmo(config)
    return [PublishedPart("sritmo", network, {name: name for name in network.state_dict()})]


def _autoencoder(name: str, prefix: str, tensors: Mapping[str, Tensor], padding: Padding) -> PublishedPart:
    start = f"{prefix}."
    own = {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
    network = VqAutoencoder(autoencoder_config(own, padding))
    return PublishedPart(name, network, {ours: start + public for ours, public in autoencoder_names(network).items()})


def _sampler(name: str, network: nn.Module) -> PublishedPart:
    return PublishedPart(
        name, network, {ours: f"transformer.{ours.removeprefix('gpt.')}" for ours in network.state_dict()}
    )


def _as_published(name: str, value: Tensor) -> Tensor:
    """Return a weight in its published shape: linear layers of attention to pixels are convolutions of 1x1 there."""
    attends = re.search(r"\.attn(_1|\.\d+)\.(q|k|v|proj_out)\.weight$", name)
    return value[:, :, None, None] if attends else value


def _is_unused(name: str) -> bool:
    """Return whether nothing reads a tensor: CLIP (which has files of its own), losses, and masks that are computed."""
    return name.startswith(("clip.", *UNUSED)) or ".loss." in name or name.endswith(".attn.mask")


def _layers(tensors: Mapping[str, Tensor], otherwise: int) -> int:
    return count_of(tensors, r"transformer\.blocks\.(\d{1,3})\.") or otherwise


def _widths(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    """Return the hidden widths of linear layers with ReLU between them, which are numbered by twos."""
    last = count_of(tensors, rf"{name}\.layers\.(\d{{1,2}})\.") - 1
    return tuple(size_of(tensors, f"{name}.layers.{number}.weight", 0, 256) for number in range(0, last, 2))
