"""What a run was asked for, and when two requests ask for the same.

Inputs and models are known by their contents; their paths are written down for people and are not compared.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aognet.generate.inputs import Job
from aognet.methods.pretrained import ALONE

if TYPE_CHECKING:
    from aognet.generate.inference import InferenceConfig

MODEL = ("checkpoint", "revision", "variant", "method", "dtype")
"""What says which model paints."""
ROLES = ("truth", "partial", "mask")
LATER = ("name", "weights")
"""What runs of version 1 do not tell; it is not compared with them."""


def request_of(config: "InferenceConfig", job: Job, weights: str) -> dict[str, Any]:
    """Everything needed to paint a job again. ``weights``: `aognet.methods.identity.model_identity` of the model."""
    described = {
        "name": job.name,
        "prompt": job.prompt,
        "prompts_at": [asdict(at) for at in job.directed],
        "photos": [asdict(photo) for photo in job.photos],
        "pose": asdict(job.pose),
        **{role: None if getattr(job, role) is None else str(getattr(job, role)) for role in ROLES},
        "files": {str(path): digest(path) for path in job.files},
        "captioner": asdict(config.captioner) if job.captioned else None,
    }
    model, generator = {key: getattr(config, key) for key in MODEL}, asdict(config.generator)
    # Runs from before there was a choice do not name it.
    if config.method in (None, ALONE):
        del model["method"]
    if config.variant is None:
        del model["variant"]
    if config.generator.sampler.long_prompts is None:
        del generator["sampler"]["long_prompts"]
    return {**model, "weights": weights, "generator": generator, **described}


def digest(path: Path) -> str | None:
    """SHA-256 of a file's bytes; None where it cannot be read (the reader says why)."""
    try:
        status = path.stat()
        return _digest(path, status.st_mtime_ns, status.st_size, status.st_ino)
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return None


@cache
def _digest(path: Path, *state: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def contents(request: dict[str, Any]) -> dict[str, str | None]:
    """The digests of a request's inputs by their roles (``photos.0.image``, ``mask``)."""
    files = request.get("files")
    files = files if isinstance(files, dict) else {}
    return {key: files.get(value) for key, value in _flat(request) if _is_path(key) and value is not None}


def differences(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """Where two requests do not ask for the same, as ``key: there, here``; the camera follows from the rest."""
    here = json.loads(json.dumps(here))
    found = []
    values = dict(_flat(there)), dict(_flat(here))
    digests = contents(there), contents(here)
    for key in {**values[1], **values[0]}:
        old, new = (value.get(key) for value in values)
        if _is_path(key) and all(digest.get(key) for digest in digests):
            if digests[0][key] != digests[1][key]:
                found.append(f"{key}: {old!r} there, {new!r} here, with other contents")
        elif key == "weights":
            if old is not None and old != new:
                paths = (value.get("checkpoint") for value in values)
                found.append("checkpoint: {!r} there, {!r} here, with other weights or settings".format(*paths))
        elif not _known_by_contents(key, there) and not (key in LATER and old is None) and old != new:
            found.append(f"{key}: {old!r} there, {new!r} here")
    return found


def _known_by_contents(key: str, there: dict[str, Any]) -> bool:
    told = key in ("checkpoint", "revision", "variant") and there.get("weights") is not None
    return told or key.partition(".")[0] in ("camera", "files")


def _is_path(key: str) -> bool:
    first, _, last = key.partition(".")
    return key in ROLES or (first == "photos" and last.endswith(".image"))


def _flat(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings and lists of mappings as dotted keys and values."""
    if isinstance(values, list) and values and all(isinstance(value, dict) for value in values):
        values = {str(number): value for number, value in enumerate(values)}
    if not isinstance(values, dict):
        yield prefix, values
        return
    for name, inner in values.items():
        yield from _flat(inner, f"{prefix}.{name}".strip("."))
