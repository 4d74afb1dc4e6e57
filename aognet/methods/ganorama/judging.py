"""The networks that look at views while classes and z are found for words and a photograph."""

import json
from dataclasses import asdict, replace
from functools import lru_cache

import torch

from aognet.errors import Setting, UserError
from aognet.gan.biggan import BigGanConfig
from aognet.installed import installed
from aognet.methods.ganorama.aims import Networks
from aognet.methods.ganorama.settings import FindingConfig
from aognet.methods.ganorama.wanted import reads_words
from aognet.perception.clip import ClipNetwork
from aognet.perception.lpips import SMALLEST, PerceptualDistance
from aognet.perception.network import EMBEDDED, NetworkConfig
from aognet.request import Request


def load_networks(config: FindingConfig, device: torch.device) -> Networks:
    """Load what a configuration names. Raises UserError naming what cannot be loaded."""
    clip = config.clip or replace(EMBEDDED, model=installed(EMBEDDED.model))
    return Networks(*_loaded(json.dumps(asdict(clip)), config.lpips, device), config.views_at_once)


@lru_cache(maxsize=1)  # a request is checked before it is made
def _loaded(clip: str, lpips: str | None, device: torch.device) -> tuple[ClipNetwork, PerceptualDistance | None]:
    found = ClipNetwork.load(NetworkConfig(**json.loads(clip)), device)
    return found, None if lpips is None else PerceptualDistance.load(lpips, device)


def check_networks(request: Request, config: FindingConfig, generator: BigGanConfig, device: torch.device) -> None:
    """Raise UserError if nothing can be found for a request: without class names, without a network that is needed."""
    if config.lpips is not None and generator.size < SMALLEST:
        said = f"needs views of at least {SMALLEST} pixels, this generator makes {generator.size}"
        raise UserError(said, key="finding.lpips", value=config.lpips)
    said = "chooses classes by their names, and those of this generator have numbers alone"
    if request.prompts_at and not generator.class_names:
        raise UserError(said, key="prompts_at", value=request.prompts_at)
    if request.prompt.strip() and not generator.class_names and request.label is None:
        raise UserError(f"{said}: give ", Setting("label"), key="prompt", value=request.prompt)
    networks = load_networks(config, device)
    if (reads_words(request) or generator.class_names) and not networks.clip.reads_text:
        raise UserError(f"{networks.clip.name}: has no text encoder, which words need", key="finding.clip")
