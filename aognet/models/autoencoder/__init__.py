"""The latent space: a KL autoencoder in the layout of Stable Diffusion, trained on views (Rombach et al. 2022, sec. 3.1)."""

from aognet.models.autoencoder.model import AutoencoderTraining

__all__ = ["AutoencoderTraining"]
