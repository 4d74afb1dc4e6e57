"""The latent space: a KL autoencoder in Stable Diffusion's layout, trained on views (Rombach et al. 2022, sec. 3.1)."""

from aognet.embedded.autoencoder.model import AutoencoderTraining

__all__ = ["AutoencoderTraining"]
