"""A Text2Light model of networks that were trained, or converted, each by itself."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from aognet.diffusion.saved import save_trained
from aognet.errors import UserError
from aognet.io.text_files import read_json
from aognet.methods.text2light.conditioning import INDEX, ClipConditions, ImageIndex
from aognet.methods.text2light.model import Text2Light, Unfit
from aognet.nn.network_folder import CONFIG, KIND, network_tensors
from aognet.perception.network import NetworkConfig
from aognet.vq.autoencoder import VqAutoencoder
from aognet.vq.global_sampler import GlobalSampler
from aognet.vq.sphere_sampler import SphereSampler
from aognet.vq.window_sampler import WindowSampler


@dataclass(frozen=True, kw_only=True)
class NetworkFolders:
    """The folders of a model's networks (`aognet.nn.network_folder`).

    The global sampler's has the index beside the weights, if neighbours are its condition. ``holistic_autoencoder``:
    encodes the small panorama again for the local sampler, as published; None: its codes are passed on.
    """

    global_autoencoder: Path
    global_sampler: Path
    local_autoencoder: Path
    local_sampler: Path
    holistic_autoencoder: Path | None = None


def assemble(folder: Path, networks: NetworkFolders, clip: NetworkConfig, dtype: torch.dtype = torch.float32) -> None:
    """Write the folder of a `Text2Light` model of networks, whose weights are written in ``dtype``.

    ``clip``: what reads texts for the global sampler. One that is no folder here is not asked for.

    :raises UserError: naming the file that cannot be read, or the two folders that do not fit together.
    """
    places = {one.name: place for one in fields(networks) if (place := getattr(networks, one.name)) is not None}
    parts = {name: _loaded(name, place) for name, place in places.items()}
    sizes, index = parts["global_sampler"].config, places["global_sampler"] / INDEX
    if sizes.condition == "neighbours":
        parts["index"] = ImageIndex.load(index)
        _check_numbers(index, parts["index"].embeddings.shape[1], places["global_sampler"], sizes.embedding)
    if Path(clip.model).exists():
        _check_numbers(clip.model, ClipConditions(clip).dim, places["global_sampler"], sizes.embedding)
    config = _config(parts, places, clip)
    for name, place in places.items():
        network_tensors(place, parts[name].to(dtype), dtype)
    save_trained(folder, config, parts, Text2Light.method)


def _loaded(name: str, folder: Path) -> Any:
    if name == "global_sampler":
        return GlobalSampler.from_pretrained(folder)
    if name == "local_sampler":
        is_published = read_json(folder / CONFIG).get(KIND) == WindowSampler.kind
        return (WindowSampler if is_published else SphereSampler).from_pretrained(folder)
    return VqAutoencoder.from_pretrained(folder).kept_for("encoding" if name.startswith("holistic") else "decoding")


def _config(parts: dict[str, nn.Module], places: dict[str, Path], clip: NetworkConfig) -> Text2Light.Config:
    local, index = parts["local_sampler"], parts.get("index")
    described: dict[str, Any] = {name: parts[name].config for name in places if name != "local_sampler"}
    described["windows" if isinstance(local, WindowSampler) else "sphere"] = local.config
    if isinstance(index, ImageIndex):
        described["images"] = len(index.embeddings)
    try:
        return Text2Light.Config(clip=clip, **described)
    except Unfit as error:
        part, other = (places[name] for name in error.parts)
        raise UserError(f"{part} and {other} do not fit together: {error}") from error
    except UserError as error:
        raise error.at(str(places["local_sampler"])) from error


def _check_numbers(place: str | Path, found: int, sampler: Path, wanted: int) -> None:
    if found != wanted:
        said = f"embeddings have {found} numbers, the sampler takes {wanted}"
        raise UserError(f"{place} and {sampler} do not fit together: {said}")
