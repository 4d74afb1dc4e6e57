"""FAED: an autoencoder of whole panoramas and the features of its encoder (Oh et al., BIPS, ECCV 2022)."""

from aognet.perception.faed.encoder import PanoramaEncoder
from aognet.perception.faed.model import FaedConfig, FaedTraining

__all__ = ["FaedConfig", "FaedTraining", "PanoramaEncoder"]
