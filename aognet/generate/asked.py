"""What a run was asked for, as ``run.json`` records it, and whether two runs were asked for the same.

Inputs and models are identified by their content. Their paths are recorded for people and are not compared.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aognet.config import LoadedConfig, build_config
from aognet.diffusion.additions import Additions
from aognet.geometry.camera import Camera
from aognet.io.digest import file_digest
from aognet.request import Request

ROLES = ("truth", "panorama", "mask", "depth")
UNKNOWN = ("request.name", "request.method")
"""What runs of an earlier version may not tell; there it is not compared."""


@dataclass(frozen=True)
class ModelConfig(Additions):
    """Which model generates: a folder or hub id, which of its backbone's weights in which precision, with which
    additions.
    """

    checkpoint: str
    revision: str | None = None
    variant: str | None = None
    dtype: str | None = None


@dataclass(frozen=True)
class Asked:
    """A complete request, and everything else that decides its result.

    ``weights``: `aognet.methods.identity.model_identity` of the model; None: not known (a run of version 1). ``files``:
    the digests of the inputs by their paths. ``captioner``: what wrote the prompt, None if it was given.
    ``depth_network``: what estimated the depth, None if nothing did. ``camera``: that of the first photograph; it
    follows from the rest.
    """

    request: Request
    model: ModelConfig
    weights: str | None
    files: Mapping[str, str | None]
    captioner: Mapping[str, Any] | None = None
    camera: Camera | None = field(default=None, compare=False)
    depth_network: Mapping[str, Any] | None = None

    @classmethod
    def of(
        cls,
        request: Request,
        model: ModelConfig,
        weights: str | None,
        captioner: Mapping[str, Any] | None = None,
        depth_network: Mapping[str, Any] | None = None,
    ) -> "Asked":
        """Return a request with the digests of its files."""
        files = {str(path): digest(path) for path in request.files}
        return cls(request, model, weights, files, captioner, depth_network=depth_network)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return json.loads(json.dumps(asdict(self))) | {"request": self.request.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> "Asked":
        """Read what `to_dict` returned. Raises ValueError, KeyError or TypeError for anything else."""
        request, camera = Request.from_dict(values["request"], source), values["camera"]
        files = {str(path): None if value is None else str(value) for path, value in dict(values["files"]).items()}
        captioner, depth_network = values["captioner"], values.get("depth_network")
        return cls(
            request,
            build_config(LoadedConfig(values["model"], {"": source}, "model"), ModelConfig),
            None if values["weights"] is None else str(values["weights"]),
            files,
            None if captioner is None else dict(captioner),
            Camera(**camera) if camera else None,
            None if depth_network is None else dict(depth_network),
        )

    @property
    def contents(self) -> dict[str, str | None]:
        """The digests of the inputs by their roles (``request.photos.0.image``, ``request.mask``)."""
        told = dict(_flat({"request": self.request.to_dict()}))
        return {key: self.files.get(value) for key, value in told.items() if _is_path(key) and value is not None}

    def differences(self, here: "Asked") -> list[str]:
        """Return where this and another do not ask for the same, as ``key: there, here``."""
        found = []
        values, digests = (_told(self), _told(here)), (self.contents, here.contents)
        for key in {**values[1], **values[0]}:
            old, new = (value.get(key) for value in values)
            name = key.removeprefix("request.").removeprefix("model.")
            if _is_path(key) and all(each.get(key) for each in digests):
                if digests[0][key] != digests[1][key]:
                    found.append(f"{name}: {old!r} there, {new!r} here, with other contents")
            elif key == "weights":
                if old is not None and old != new:
                    paths = (one.model.checkpoint for one in (self, here))
                    found.append("checkpoint: {!r} there, {!r} here, with other weights or settings".format(*paths))
            elif key.startswith("model.") and key != "model.dtype" and self.weights is not None:
                continue  # a model is known by its contents
            elif key.startswith("request.settings.") and key not in values[1]:
                continue  # a setting of an earlier version, which has none now
            elif not (key in UNKNOWN and not old) and old != new:
                found.append(f"{name}: {old!r} there, {new!r} here")
        return found


def digest(path: Path) -> str | None:
    """Return the SHA-256 of a file's bytes; None where it cannot be read (the reader says why)."""
    try:
        return file_digest(path)
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return None


def _told(asked: Asked) -> dict[str, Any]:
    told = asked.to_dict()
    return dict(_flat({key: told[key] for key in ("request", "model", "weights", "captioner", "depth_network")}))


def _is_path(key: str) -> bool:
    first, _, last = key.removeprefix("request.").partition(".")
    return key.startswith("request.") and (
        first in ROLES or (first in ("photos", "controls") and last.endswith(".image"))
    )


def _flat(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested mappings and lists of mappings as dotted keys and values."""
    if isinstance(values, list) and values and all(isinstance(value, dict) for value in values):
        values = {str(number): value for number, value in enumerate(values)}
    if not isinstance(values, dict):
        yield prefix, values
        return
    for name, inner in values.items():
        yield from _flat(inner, f"{prefix}.{name}".strip("."))
