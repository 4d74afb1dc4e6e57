"""CubeDiff: the six faces of a cube, denoised at once by a UNet whose attention sees all of them (Kalischek 2025)."""

from aognet.methods.cubediff.model import CubeDiff

__all__ = ["CubeDiff"]
