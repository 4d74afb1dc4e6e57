"""Encoding of views and of what is known of them, shard by shard, for `aognet.data.latents`."""

import json
import logging
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch.nn import functional

from aognet.data.latents import PROMPTS, SETTINGS, LatentSamples, check_recipe
from aognet.data.outpainting import OutpaintingBatch, OutpaintingSamples
from aognet.diffusion.loading import load_weights
from aognet.errors import UserError
from aognet.io.files import write_atomically
from aognet.system.locking import exclusive
from aognet.system.transfer import to_memory_format

log = logging.getLogger(__name__)


def encode_views(config: LatentSamples.Config, device: torch.device, batch_size: int = 16) -> int:
    """Write the shards that do not exist yet, and return how many those were.

    :raises UserError: if the folder has views of another recipe or cannot be written.
    """
    from diffusers import AutoencoderKL

    folder = Path(config.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"folder: {folder} cannot be written: {error.strerror}") from error
    with exclusive(folder):
        if not check_recipe(config):
            write_atomically(folder / SETTINGS, json.dumps(config.recipe()))
        wanted = [number for number, path in enumerate(config.shards) if not path.is_file()]
        if not wanted:
            return 0
        vae = to_memory_format(load_weights(AutoencoderKL, Path(config.vae), "vae").to(device), torch.channels_last)
        samples = OutpaintingSamples(config.views)
        for done, number in enumerate(wanted, start=1):
            rows = range(number * config.shard, (number + 1) * config.shard)
            chosen = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
            parts = [_encoded(vae, samples.collate([samples[row] for row in part]), device) for part in chosen]
            tensors = {name: torch.cat([part[name] for part, _ in parts]) for name in parts[0][0]}
            prompts = [prompt for _, some in parts for prompt in some]
            write_atomically(config.shards[number], save(tensors, {PROMPTS: json.dumps(prompts)}))
            log.info("encoded %d of %d shards of %d views", done, len(wanted), config.shard)
    return len(wanted)


@torch.no_grad()
def _encoded(vae: Any, batch: OutpaintingBatch, device: torch.device) -> tuple[dict[str, torch.Tensor], list[str]]:
    views, known = batch.view.to(device), batch.known.to(device)
    with torch.autocast(device.type, torch.bfloat16):
        both = torch.cat([views, views * known]).contiguous(memory_format=torch.channels_last)
        means = vae.encode(both).latent_dist.mean.float()
    latents, known_latents = (means * vae.config.scaling_factor).half().cpu().contiguous().chunk(2)
    # As `Backbone.prepare_condition` makes the mask.
    cells = functional.interpolate(known.float(), size=latents.shape[-2:]) > 0.5
    return {"latents": latents, "known_latents": known_latents, "known": cells.cpu()}, batch.prompts
