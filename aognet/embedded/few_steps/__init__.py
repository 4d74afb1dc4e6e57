"""Painting in few steps: a method learns it against a discriminator that looks at latents."""

from aognet.embedded.few_steps.model import FewStepTraining

__all__ = ["FewStepTraining"]
