"""The features in which the Fréchet Auto-Encoder Distance is measured (Oh et al., BIPS, ECCV 2022)."""

import hashlib
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aognet.diffusion.loading import freeze
from aognet.errors import UserError
from aognet.io.images import resize_panorama
from aognet.metrics.latitude import latitude_weighted
from aognet.perception.faed.model import Encoder, FaedConfig, FaedTraining
from aognet.perception.network import Rows

RECIPE = "1"
"""Part of the fingerprint: to be changed with anything that changes features of the same weights, as resizing does."""


class PanoramaEncoder(nn.Module):
    """The frozen encoder of a trained autoencoder, with the features of whole panoramas."""

    def __init__(self, encoder: Encoder, config: FaedConfig, rows: Rows = "centres"):
        """Take an encoder. ``rows`` says at which latitudes the rows of features are weighted, see
        `latitude_weighted`.
        """
        super().__init__()
        self.encoder, self.config, self.rows = freeze(encoder), config, rows

    @classmethod
    def load(cls, model: str | Path, rows: Rows = "centres", revision: str | None = None) -> "PanoramaEncoder":
        """Return the encoder of a folder or hub id that ``FaedTraining.save_pretrained`` filled, in float32 on the CPU.

        :raises UserError: naming the file and the key that cannot be used.
        """
        trained = FaedTraining.from_pretrained(model, revision)
        return cls(trained.encoder, trained.config, rows)

    @property
    def dim(self) -> int:
        """The number of features of a panorama: channels times rows."""
        return self.config.latent_channels * self.config.height // self.config.factor

    @property
    def fingerprint(self) -> str:
        """The SHA-256 over weights, shape and preprocessing. It is equal if features can be compared."""
        digest = hashlib.sha256(f"{RECIPE} {self.rows} {self.config.height}".encode())
        for name, value in sorted(self.encoder.state_dict().items()):
            digest.update(f"{name} {value.dtype} {list(value.shape)} ".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @torch.no_grad()
    def features(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Return the mean over the columns of every row of features, weighted by the cosine of its latitude, flattened.

        Panoramas in [-1, 1], twice as wide as high, are resized to ``config.height``. Turning one by multiples of
        ``config.factor`` columns of that size changes nothing.

        :raises UserError: for another shape.
        """
        rows, columns = images.shape[-2:]
        if columns != 2 * rows:
            raise UserError(f"a panorama is twice as wide as high, got {columns}x{rows}")
        return latitude_weighted(self.encoder(resize_panorama(images, self.config.height)), self.rows)
