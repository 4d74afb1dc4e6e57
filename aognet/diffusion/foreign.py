"""Checkpoints that are no folder of safetensors: what they are, and how to convert them."""

import json
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from aognet.errors import Setting, UserError
from aognet.io.text_files import read_json

MAX_HEADER_BYTES = 100 * 2**20  # what safetensors itself allows
PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
SUFFIX = ".safetensors"
LORA = re.compile(r"lora_unet|lora_te|\.lora[_.]|lora_(A|B|up|down)\b|\.hada_w|\.lokr_w")
PIPELINE = "diffusers.StableDiffusionInpaintPipeline"
SDXL_PIPELINE = "diffusers.StableDiffusionXLInpaintPipeline"
_A_LORA = (
    "a LoRA: changes to a model, and no model; name the model that it changes here, and itself in ",
    Setting("loras"),
)
TEXT2LIGHT = "global_sampler_clip"  # a folder of its published checkpoints
PUBLIC_WEIGHTS, PUBLIC_CONFIG = "pytorch_model.bin", "config.json"
WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_model|model|pytorch_model)(?:\.(?P<variant>[\w-]+?))?(?:-\d+-of-\d+)?"
    r"(?:\.(?P<old_variant>[\w-]+))?(?P<suffix>\.safetensors|\.bin)"
)


def what_it_is(path: Path) -> Sequence[str | Setting]:
    """Return what a file or folder is, if it is a checkpoint of a known kind that cannot be used as it is, as parts of
    a `UserError`; else nothing.
    """
    if path.is_file():
        return _what_file(path)
    if (path / TEXT2LIGHT).is_dir():
        return ("Text2Light's published checkpoints, which are pickles; convert them once: aognet convert-text2light",)
    if (path / PUBLIC_WEIGHTS).is_file() and _is_biggan(path / PUBLIC_WEIGHTS):
        return _what_file(path / PUBLIC_WEIGHTS)
    if any((path / name).is_file() for name in ("adapter_config.json", "pytorch_lora_weights.safetensors")):
        return _A_LORA
    # state.json: a training's checkpoint.
    ours = ("config.json", "model_index.json", "unet", "state.json")
    if not path.is_dir() or any((path / name).exists() for name in ours):
        return ()
    found = sorted(file for file in path.iterdir() if file.suffix in (*PICKLES, SUFFIX) and file.is_file())
    said = next(filter(None, map(_what_file, found)), ())
    return (f"a folder with {found[0].name}, ", *said) if said else ()


def missing(model: str) -> str:
    """Return what to say of a model whose folder is not there: a name of the public files says how it is made."""
    if re.fullmatch(r"biggan-deep-\d+", Path(model).name):
        made = f"aognet convert-biggan {quote(f'{model}-{PUBLIC_WEIGHTS}')}"
        return f"no such folder; it is made of the public files of this name: {made}"
    if Path(model).name == "text2light":
        said = "no such folder; it is made of the published checkpoints (aognet convert-text2light)"
        return f"{said}, or of networks that are trained"
    return "no such folder"


def config_beside(weights: Path) -> Path | None:
    """Return where the config of a public file of weights lies, by the file's name; None if the name does not tell.

    ``config.json`` belongs to ``pytorch_model.bin``, ``biggan-deep-256-config.json`` to
    ``biggan-deep-256-pytorch_model.bin``.
    """
    prefix = weights.name.removesuffix(PUBLIC_WEIGHTS)
    return None if prefix == weights.name else weights.with_name(f"{prefix}{PUBLIC_CONFIG}")


def _is_biggan(weights: Path) -> bool:
    """Return whether the config beside weights is a BigGAN's, which alone has a layer before which it attends."""
    config = config_beside(weights)
    try:
        return config is not None and "attention_layer_position" in read_json(config)
    except UserError:
        return False


def _what_file(path: Path) -> Sequence[str | Setting]:
    if _is_biggan(path):
        return (
            "the public weights of a BigGAN-deep, a pickle; convert them once: "
            f"aognet convert-biggan {quote(str(path))}, then give the folder that it writes",
        )
    if path.suffix in PICKLES:
        return (
            "a pickle, which can run code when it is read; convert it once, if you trust who made it: "
            f'python -c "import diffusers; {PIPELINE}.from_single_file({str(path)!r}).save_pretrained({"FOLDER"!r})"'
            ", then give FOLDER",
        )
    if path.suffix != SUFFIX:
        return ()
    keys = tensor_names(path)
    if any(LORA.search(key) for key in keys):
        return _A_LORA
    if any(key.startswith(("model.diffusion_model.", "first_stage_model.", "cond_stage_model.")) for key in keys):
        pipeline = SDXL_PIPELINE if any(key.startswith("conditioner.embedders.") for key in keys) else PIPELINE
        return (
            "a whole model in one file; convert it once: "
            f'python -c "import diffusers; {pipeline}.from_single_file({str(path)!r}).save_pretrained({"FOLDER"!r})"'
            ", then give FOLDER",
        )
    if keys:
        return (f"the weights of a part alone (among them {keys[0]!r}); give the folder of the whole model",)
    return ("no readable safetensors file",)


def tensor_names(path: Path) -> list[str]:
    """Return the names in the header of a safetensors file; none if it cannot be read."""
    return sorted(key for key in read_header(path) if key != "__metadata__")


def read_header(path: Path) -> dict[str, Any]:
    """Return the header of a safetensors file: its tensors and ``__metadata__``; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(MAX_HEADER_BYTES, path.stat().st_size):
                return {}
            header = json.loads(file.read(length))
    except (OSError, ValueError, struct.error, RecursionError):
        return {}
    return header if isinstance(header, dict) else {}


def missing_weights(folder: Path, variant: str | None) -> Sequence[str | Setting]:
    """Return why the weights of a part are not found in its folder, if the files there tell it, as parts of a
    `UserError`.
    """
    found = [match for path in sorted(folder.glob("*")) if (match := WEIGHTS.fullmatch(path.name))]
    variants = {match["variant"] or match["old_variant"] for match in found if match["suffix"] == SUFFIX}
    if variant in variants:
        return ()
    if variants:
        wanted = f"of variant {variant}" if variant else "without a variant"
        others = ", ".join(sorted(name for name in variants if name))
        ways = (f"variant {others} (", Setting("variant"), " says which)") if others else ()
        ways += (
            (" and " if others else "", "no variant (leave ", Setting("variant"), " out)") if None in variants else ()
        )
        return f"no weights {wanted} in it; it has those of ", *ways
    if found:
        return (
            f"its weights are {found[0].string}, a pickle, which can run code when it is read; convert the model once, "
            f'if you trust who made it: python -c "import diffusers; {PIPELINE}.from_pretrained({"MODEL"!r}, '
            f'use_safetensors=False).save_pretrained({"FOLDER"!r})", then give FOLDER',
        )
    return ()
