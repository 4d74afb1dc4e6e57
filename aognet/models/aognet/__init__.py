"""AOG-Net: a frozen inpainting backbone told about the rest of the sphere by two small streams (Lu et al., AAAI 2024)."""

from aognet.models.aognet.model import AOGNet

__all__ = ["AOGNet"]
