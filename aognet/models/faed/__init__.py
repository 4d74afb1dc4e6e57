"""FAED: an autoencoder of whole panoramas and the features of its encoder (Oh et al., BIPS, ECCV 2022)."""

from aognet.models.faed.encoder import PanoramaEncoder
from aognet.models.faed.model import FaedConfig, FaedTraining

__all__ = ["FaedConfig", "FaedTraining", "PanoramaEncoder"]
