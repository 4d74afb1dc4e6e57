"""The encoder of FAED's autoencoder as a feature network."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.errors import UserError
from aognet.perception.network import NetworkConfig, Rows
from aognet.perception.network_weights import fingerprint, named


class FaedNetwork:
    """The encoder of `aognet.perception.faed`."""

    is_fid_inception = False
    classes = 0
    reads_text = False

    def __init__(self, encoder: Any, config: NetworkConfig, device: torch.device):
        self.encoder = encoder.to(device)
        self.device = device
        self.name = named(
            f"FAED encoder, {encoder.dim} features, rows as {config.rows}", config.model, encoder.fingerprint
        )
        self.fingerprint = fingerprint(encoder.fingerprint, f"faed 1 {config.rows}")
        self.dim = encoder.dim

    @classmethod
    def load(cls, config: NetworkConfig, device: torch.device) -> "FaedNetwork":
        """Load it from the folder or hub id that the training wrote."""
        from aognet.perception.faed import PanoramaEncoder

        rows = cast(Rows, config.rows)  # which the configuration has checked
        return cls(PanoramaEncoder.load(config.model, rows, config.revision), config, device)

    @torch.no_grad()
    def features(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Return latitude-weighted codes of whole panoramas."""
        return self.encoder.features(images.to(self.device)).float()

    def logits(self, features: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch classes"]:
        """Raise an error: an autoencoder knows no classes."""
        raise UserError(f"{self.name}: has no classes")

    def texts(self, prompts: Sequence[str]) -> Float[Tensor, "batch dim"]:
        """Raise an error: an autoencoder reads no texts."""
        raise UserError(f"{self.name}: reads no texts")
