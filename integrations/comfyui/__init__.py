"""Nodes for ComfyUI that make panoramas, look at them and save them."""

from .nodes import comfy_entrypoint

__all__ = ["comfy_entrypoint"]
