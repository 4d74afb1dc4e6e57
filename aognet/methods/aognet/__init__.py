"""AOG-Net: a frozen inpainting backbone that two small streams tell about the rest of the sphere (Lu et al., 2024)."""

from aognet.methods.aognet.model import AOGNet

__all__ = ["AOGNet"]
