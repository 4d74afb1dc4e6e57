"""Text and images in one space: a CLIP in transformers' layout, trained on views and captions (Radford et al. 2021)."""

from aognet.embedded.clip.model import ClipTraining

__all__ = ["ClipTraining"]
