"""Views that were encoded once, with what is known of each. A training step of a UNet then runs only the UNet.

A folder has ``views-00000.safetensors``, ... with equally many rows, and ``latents.json``, which says what they were
made of. `aognet.embedded.inpainting.encoding` writes them.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from aognet.data.outpainting import OutpaintingSamples
from aognet.data.panoramas import shuffled
from aognet.errors import UserError
from aognet.io.digest import file_digest
from aognet.io.text_files import read_json

SETTINGS = "latents.json"
PROMPTS = "prompts"
VAE_WEIGHTS = "vae/diffusion_pytorch_model.safetensors"


@dataclass(frozen=True)
class LatentBatch:
    """Scaled latents of views and of their known pixels (the rest is grey), with a prompt and a seed for each."""

    latents: Float[Tensor, "batch channels rows columns"]
    known_latents: Float[Tensor, "batch channels rows columns"]
    known: Bool[Tensor, "batch 1 rows columns"]
    prompts: list[str]
    seeds: Int[Tensor, "batch"]

    def to(self, device: torch.device) -> "LatentBatch":
        """Return the batch with its tensors on a device. The seeds stay on the CPU, where random numbers are drawn."""
        tensors = ("latents", "known_latents", "known")
        return replace(self, **{name: getattr(self, name).to(device) for name in tensors})


@dataclass(frozen=True)
class LatentSample:
    """One row of a ``LatentBatch``."""

    latents: Float[Tensor, "channels rows columns"]
    known_latents: Float[Tensor, "channels rows columns"]
    known: Bool[Tensor, "1 rows columns"]
    prompt: str
    seed: int


class LatentSamples:
    """Infinite samples: ``self[n]`` depends only on the configuration and ``n``. An epoch has every row once."""

    stream = None

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Which views are encoded, and where they are.

        ``folder`` has the encoded views. ``vae`` is a folder with the autoencoder's ``vae`` that encodes them.
        ``views`` are the samples that are encoded: the first ``count`` of them, ``shard`` in each file. ``seed``
        decides their order and noise.
        """

        folder: str
        vae: str
        views: OutpaintingSamples.Config
        count: int = 100_000
        shard: int = 1000
        seed: int = 0

        def __post_init__(self) -> None:
            if self.shard < 1 or self.count < self.shard or self.count % self.shard:
                raise UserError(f"must be a multiple of shard ({self.shard})", key="count", value=self.count)

        @property
        def shards(self) -> list[Path]:
            """The files, in order."""
            return [Path(self.folder) / f"views-{number:05d}.safetensors" for number in range(self.count // self.shard)]

        def recipe(self) -> dict[str, Any]:
            """Return what decides the content of the files, except how many there are.

            :raises UserError: without a VAE.
            """
            path = Path(self.vae) / VAE_WEIGHTS
            if not path.is_file():
                raise UserError(f"vae: {path}: no such file")
            digest = file_digest(path)
            return json.loads(json.dumps({"views": asdict(self.views), "shard": self.shard, "vae": digest}))

    def __init__(self, config: Config):
        """Check the folder.

        :raises UserError: if views are not encoded yet, or were encoded from something else.
        """
        self.config = config
        check_recipe(config)
        missing = [path for path in config.shards if not path.is_file()]
        if missing:
            raise UserError(f"folder: {missing[0]}: no such file; misc/encode_views.py encodes the views")

    def __len__(self) -> int:
        """Return the number of rows of an epoch."""
        return self.config.count

    def __getitem__(self, number: int) -> LatentSample:
        shard, row = divmod(shuffled(len(self), self.config.seed, number), self.config.shard)
        file, prompts = self._files[shard]
        latents, known_latents, known = (
            file.get_slice(name)[row : row + 1][0] for name in ("latents", "known_latents", "known")
        )
        seed = int(np.random.default_rng([self.config.seed, number]).integers(2**62))
        return LatentSample(latents.float(), known_latents.float(), known, prompts[row], seed)

    def collate(self, samples: Sequence[LatentSample]) -> LatentBatch:
        """Return samples as a batch."""
        stacked = {
            name: torch.stack([getattr(sample, name) for sample in samples])
            for name in ("latents", "known_latents", "known")
        }
        seeds = torch.tensor([sample.seed for sample in samples])
        return LatentBatch(**stacked, prompts=[sample.prompt for sample in samples], seeds=seeds)

    @cached_property
    def _files(self) -> list[tuple[Any, list[str]]]:
        from safetensors import SafetensorError, safe_open

        found = []
        for path in self.config.shards:
            try:
                file = safe_open(path, framework="pt")
                prompts = json.loads(file.metadata()[PROMPTS])
                rows = {file.get_slice(name).get_shape()[0] for name in ("latents", "known_latents", "known")}
            except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
                raise UserError(f"{path}: not the encoded views that belong here ({error})") from error
            if rows | {len(prompts)} != {self.config.shard}:
                raise UserError(f"{path}: has not {self.config.shard} rows of everything")
            found.append((file, prompts))
        return found


def check_recipe(config: LatentSamples.Config) -> bool:
    """Return whether a folder says that it has what ``config`` wants; False if it says nothing yet.

    :raises UserError: naming what differs.
    """
    path = Path(config.folder) / SETTINGS
    if not path.is_file():
        return False
    theirs, mine = read_json(path), config.recipe()
    if theirs != mine:
        other = next((key for key in mine if theirs.get(key) != mine[key]), "recipe")
        raise UserError(f"{path}: the views here were encoded with other {other}; choose another folder, or delete it")
    return True
