"""Conversion of the ``run.json`` of earlier versions to today's, so that their runs can be continued."""

from collections.abc import Mapping
from typing import Any

from aognet.generate.run_files import OUTPUTS
from aognet.request import VERSION as REQUEST_VERSION

READABLE = (1, 2)


def upgraded(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a ``run.json`` of version 1 or 2 as version 3 has it; ``version`` stays.

    Raises ValueError, KeyError or TypeError where it is not one.
    """
    told = dict(content["request"])
    asked = {
        "request": _request(told),
        "model": {key: told.get(key) for key in ("checkpoint", "revision", "variant", "dtype")},
        "weights": told.get("weights"),
        "files": told.get("files") or {},
        "captioner": told.get("captioner"),
        "camera": told.get("camera"),
    }
    state = {"begun": True, "outputs": list(OUTPUTS), "plan": None, "edit": None} if content["version"] == 1 else {}
    return {**content, "kind": "views", "encoding": "srgb", **state, **asked}


def _request(told: Mapping[str, Any]) -> dict[str, Any]:
    settings = dict(told["generator"])
    sampler = {**settings["sampler"], "negative": ""}
    return {
        "version": REQUEST_VERSION,
        "prompt": told.get("prompt") or "",
        "negative": settings["sampler"].get("negative", ""),
        "prompts_at": told.get("prompts_at") or [],
        "seed": settings.pop("seed"),
        "height": settings.pop("height"),
        "photos": told.get("photos") or [],
        "panorama": told.get("partial"),
        "mask": told.get("mask"),
        "truth": told.get("truth"),
        "pose": told.get("pose") or {},
        "name": told.get("name") or "",
        "settings": {**settings, "sampler": sampler},
    }
