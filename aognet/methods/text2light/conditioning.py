"""What Text2Light's global sampler is told of a text: its CLIP embedding, or the image embeddings nearest to it."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from aognet.data.panoramas import PanoramaConfig, Panoramas
from aognet.data.whole import turned
from aognet.diffusion.encodings import EncodingCache
from aognet.diffusion.sampling.noise import generators, normal
from aognet.errors import UserError
from aognet.io.store import CacheConfig
from aognet.nn.weights import read_tensors, write_tensors
from aognet.perception.clip import ClipNetwork
from aognet.perception.network import NetworkConfig

log = logging.getLogger(__name__)

INDEX = "index.safetensors"
EMBEDDINGS = "embeddings"
MOST_TEXTS = 100_000
"""How many texts' embeddings are remembered."""


class ClipConditions:
    """What a CLIP makes of texts and of whole panoramas: vectors of length 1 in one space.

    Texts are read on the CPU and remembered, since they come again; images are seen on their own device.
    """

    def __init__(self, config: NetworkConfig, encodings: CacheConfig = CacheConfig(folder=None)):  # noqa: B008 (frozen)
        """Load the CLIP. ``encodings``: where embeddings of images that come again are stored.

        :raises UserError: naming the folder that is missing or cannot be read.
        """
        if config.kind != "clip":
            raise UserError("must be clip", key="clip.kind", value=config.kind)
        self.config, self.encodings = config, encodings
        self._networks: dict[torch.device, tuple[ClipNetwork, EncodingCache]] = {}
        self._texts: dict[str, Tensor] = {}
        network, _ = self._on(torch.device("cpu"))
        self.dim, self.reads_text = network.dim, network.reads_text

    @torch.no_grad()
    def texts(self, prompts: Sequence[str], device: torch.device | str = "cpu") -> Float[Tensor, "batch dim"]:
        """Return the embeddings of texts; those that are too long for the CLIP are cut."""
        if new := sorted(set(prompts) - self._texts.keys()):
            if len(self._texts) + len(new) > MOST_TEXTS:
                self._texts.clear()
                new = sorted(set(prompts))
            network, _ = self._on(torch.device("cpu"))
            self._texts |= dict(zip(new, functional.normalize(network.texts(new), dim=-1), strict=True))
        return torch.stack([self._texts[prompt] for prompt in prompts]).to(device)

    @torch.no_grad()
    def images(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Return the embeddings of images in [-1, 1], each computed by itself: batches change nothing."""
        network, kept = self._on(images.device)
        with torch.autocast(images.device.type, enabled=False):
            found = kept.encoded(images, partial(_one_by_one, network), images.device)[0]
        return functional.normalize(found, dim=-1)

    def _on(self, device: torch.device) -> tuple[ClipNetwork, EncodingCache]:
        if device not in self._networks:
            network = ClipNetwork.load(self.config, device)
            kept = EncodingCache(self.encodings, network.image_encoder)
            kept.distinguish(f"panoramas {self.config.centre_crop}")
            self._networks[device] = network, kept
        return self._networks[device]


def _one_by_one(network: ClipNetwork, images: Tensor) -> tuple[Tensor]:
    return (torch.cat([network.features(image[None]) for image in images]),)


class ImageIndex(nn.Module):
    """Embeddings of panoramas, one a row; those nearest to others can be found."""

    embeddings: Float[Tensor, "rows dim"]

    def __init__(self, embeddings: Float[Tensor, "rows dim"]):
        super().__init__()
        self.register_buffer("embeddings", embeddings)

    @classmethod
    def of(cls, conditions: ClipConditions, config: PanoramaConfig) -> "ImageIndex":
        """Return the index of all panoramas that can be read, upright and unturned.

        :raises UserError: where none can.
        """
        if config.stream is not None:
            raise UserError("must name folders or manifests, not a stream", key="database.stream")
        panoramas, rows = Panoramas(config), []
        for number in range(len(panoramas)):
            try:
                rows.append(conditions.images(turned(panoramas[number].pixels)[None])[0])
            except UserError as error:
                log.warning("%s; it is not in the index", error)
            if (number + 1) % 500 == 0:
                log.info("embedded %d of %d panoramas", number + 1, len(panoramas))
        if not rows:
            raise UserError("none of its panoramas can be read", key="database.folders", value=list(config.folders))
        return cls(torch.stack(rows))

    @classmethod
    def load(cls, path: Path) -> "ImageIndex":
        """Return what `save` wrote.

        :raises UserError: naming the file.
        """
        found = read_tensors(path).get(EMBEDDINGS)
        if found is None or found.ndim != 2 or not found.numel() or not found.is_floating_point():
            raise UserError(f"{path}: has no {EMBEDDINGS}, rows of numbers")
        if not bool(found.isfinite().all()):
            raise UserError(f"{path}: some {EMBEDDINGS} are not finite")
        return cls(found.float())

    def save(self, path: Path) -> None:
        """Write the embeddings as safetensors."""
        write_tensors(path, {EMBEDDINGS: self.embeddings})

    def nearest(self, wanted: Float[Tensor, "batch dim"], count: int) -> Float[Tensor, "batch count dim"]:
        """Return the rows with the largest inner products, the largest first."""
        return self.embeddings.to(wanted.device)[self.found(wanted, count)]

    def found(self, wanted: Float[Tensor, "batch dim"], count: int) -> Int64[Tensor, "batch count"]:
        """Return the numbers of the rows with the largest inner products, the largest first.

        :raises UserError: for more than there are rows, or embeddings of another CLIP.
        """
        rows, dim = self.embeddings.shape
        if count > rows:
            raise UserError(f"{count} neighbours are wanted, the index has {rows} panoramas")
        if wanted.shape[1] != dim:
            raise UserError(f"the index has embeddings of {dim} numbers, the CLIP gives {wanted.shape[1]}")
        return (wanted.float() @ self.embeddings.to(wanted.device).T).topk(count, dim=-1).indices


def like_texts(
    embeddings: Float[Tensor, "batch dim"], seeds: Int64[Tensor, "batch"], stream: int, image_share: float = 0.25
) -> Float[Tensor, "batch dim"]:
    """Return image embeddings moved as far off as texts are: mixed with random directions (Text2Light, section 4.1)."""
    noise = normal(embeddings.shape, generators(seeds, stream), embeddings.device)
    images, directions = (functional.normalize(part, dim=-1) for part in (embeddings, noise))
    return functional.normalize(image_share * images + (1 - image_share) * directions, dim=-1)
