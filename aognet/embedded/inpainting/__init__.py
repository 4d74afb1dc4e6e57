"""The plain prior: a text-conditioned inpainting UNet on views, trained from random weights in Stable Diffusion's
layout.
"""

from aognet.embedded.inpainting.model import InpaintingTraining

__all__ = ["InpaintingTraining"]
