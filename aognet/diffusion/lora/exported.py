"""A trained LoRA as a file that other programs read: diffusers' ``pytorch_lora_weights.safetensors``."""

import logging
import re
from pathlib import Path

from safetensors.torch import save

from aognet.diffusion.saved import CONFIG, WEIGHTS, read_config
from aognet.errors import UserError
from aognet.io.files import write_atomically
from aognet.nn.weights import read_tensors

log = logging.getLogger(__name__)
TRAINED = re.compile(r"unet\.(?P<layer>.+)\.(?P<matrix>lora_[AB])\.default\.weight")


def export_lora(folder: Path, file: Path) -> int:
    """Write the LoRA of a trained model's folder and return how many layers it changes.

    Alpha is the rank, as it was trained, so that no program scales it.

    :raises UserError: if the folder holds no LoRA, or something else that was trained beside it.
    """
    path, weights = folder / CONFIG, folder / WEIGHTS
    described = read_config(path)
    train, backbone = described.get("train"), described.get("backbone")
    if train != "lora":
        raise UserError(f"{path}: train must be 'lora' for the trained weights to be a LoRA, got {train!r:.80}")
    tensors = read_tensors(weights)
    # Learned words are a file of their own (`aognet.diffusion.learning_words.export_words`).
    found = {key: TRAINED.fullmatch(key) for key in tensors if not key.startswith("words.")}
    if others := sorted(key for key, match in found.items() if match is None):
        raise UserError(
            f"{weights}: {len(others)} of its {len(tensors)} trained weights are no low-rank additions, such as "
            f"{others[0]!r}; a LoRA without them would be another model"
        )
    named = {f"unet.{match['layer']}.{match['matrix']}.weight": tensors[key] for key, match in found.items() if match}
    write_atomically(file, save(named, {"format": "pt"}))
    if isinstance(backbone, dict) and backbone.get("loras"):
        log.warning("%s: was trained beside backbone.loras, which are not in it: give them, too", file)
    return len(named) // 2
