"""Training of Text2Light's samplers on the codes of frozen autoencoders (arXiv 2209.09898, sections 4.1 and 4.2)."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aognet.data.panoramas import PanoramaConfig
from aognet.diffusion.loading import DTYPES, check_dtype, resolve
from aognet.errors import UserError
from aognet.io.store import CacheConfig
from aognet.methods.text2light.conditioning import INDEX, ClipConditions, ImageIndex, like_texts
from aognet.methods.text2light.frozen_codes import FrozenCodes, check_kinds
from aognet.nn.optimized_parts import OptimizedParts, Phase
from aognet.perception.network import NetworkConfig
from aognet.vq.code_sampler import CodeSampler
from aognet.vq.drawing import cell_numbers
from aognet.vq.global_sampler import GlobalSampler, GlobalSamplerConfig
from aognet.vq.sphere_sampler import SphereSampler, SphereSamplerConfig
from aognet.vq.transformer import has_decay
from aognet.vq.window_sampler import WindowSampler, WindowSamplerConfig

DIRECTION, SHOWN = 20, 30  # streams of a sample's seed, beside those of the samplers
NOTHING_KEPT = CacheConfig(folder=None)


class SamplerTraining(nn.Module):
    """What the trainings of samplers have in common: one optimizer, whose weight decay is for linear layers alone."""

    sampler: CodeSampler
    dtype: str

    def trainable_parts(self) -> dict[str, nn.Module]:
        return {"sampler": self.sampler}

    def optimizers(self) -> dict[str, OptimizedParts]:
        decayed = frozenset(f"sampler.{name}" for name in has_decay(self.sampler))
        return {"sampler": OptimizedParts(parts=("sampler",), phases=(Phase(name="sampler"),), decayed=decayed)}

    find_unused_parameters = False

    def training_step(self, batch: Any, phase: str, step: int) -> dict[str, Tensor]:
        """Return the cross-entropy of the codes in nats."""
        return self(batch)

    def enable_gradient_checkpointing(self) -> None:
        self.sampler.enable_gradient_checkpointing()

    def save_pretrained(self, folder: Path) -> None:
        """Write the sampler's ``config.json`` and ``model.safetensors``."""
        self.sampler.save_pretrained(folder, DTYPES[self.dtype])


class GlobalSamplerTraining(SamplerTraining):
    """Learns the codes of whole small panoramas under what CLIP says of each."""

    sampler: GlobalSampler

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The sampler and what it learns from.

        ``autoencoder``: folder of the global autoencoder. ``clip``: whose embeddings are the condition. ``database``:
        the panoramas whose embeddings are found as neighbours (published: those of the training), for ``condition:
        neighbours`` alone. ``image_share``: how much the embedding that neighbours are found for is that of the image
        itself; the rest is noise. ``start``: folder of a sampler to go on from, which gives the sizes. ``encodings``:
        where codes and embeddings of images that come again are stored. ``dtype``: of the weights in the file.
        """

        autoencoder: str
        clip: NetworkConfig
        database: PanoramaConfig | None = None
        sampler: GlobalSamplerConfig = field(default_factory=GlobalSamplerConfig)
        image_share: float = 0.25
        start: str = ""
        encodings: CacheConfig = NOTHING_KEPT
        dtype: str = "float32"

        def __post_init__(self) -> None:
            check_dtype(self.dtype)
            if not 0 <= self.image_share <= 1:
                raise UserError("must lie in [0, 1]", key="image_share", value=self.image_share)
            if (self.sampler.condition == "neighbours") == (self.database is None):
                said = "must name panoramas for" if self.database is None else "is only for"
                raise UserError(f"{said} sampler.condition: neighbours", key="database")

    def __init__(self, config: Config):
        super().__init__()
        self.config, self.dtype = config, config.dtype
        self.sampler = _started(GlobalSampler, config.start, config.sampler)
        sizes = self.sampler.config
        self.codes = FrozenCodes(config.autoencoder, sizes.rows, sizes.columns, config.encodings)
        check_kinds(self.codes, sizes.vocabulary, "sampler.vocabulary", config.autoencoder)
        self.conditions = ClipConditions(config.clip, config.encodings)
        if self.conditions.dim != sizes.embedding:
            said = f"must be {self.conditions.dim}, the numbers of an embedding of {config.clip.model}"
            raise UserError(said, key="sampler.embedding", value=sizes.embedding)
        if sizes.condition == "text" and not self.conditions.reads_text:
            raise UserError("has no text encoder, which condition: text needs", key="clip", value=config.clip.model)
        self.index = None if config.database is None else ImageIndex.of(self.conditions, config.database)
        if self.index is not None and len(self.index.embeddings) < sizes.tokens:
            said = f"must have at least sampler.tokens ({sizes.tokens}) panoramas that can be read"
            raise UserError(said, key="database", value=len(self.index.embeddings))

    def forward(self, batch: Any) -> dict[str, Tensor]:
        """Return the cross-entropy of the codes in nats."""
        return {"loss": self.sampler.loss(self.condition(batch), self.codes.encode(batch.images))}

    def condition(self, batch: Any) -> Float[Tensor, "batch given embedding"]:
        """Return what each panorama's codes are predicted under: neighbours of its embedding, or its text's."""
        if self.index is None:
            return self.conditions.texts(batch.prompts, batch.images.device)[:, None]
        wanted = like_texts(self.conditions.images(batch.images), batch.seeds, DIRECTION, self.config.image_share)
        return self.index.nearest(wanted, self.sampler.config.tokens)

    @torch.no_grad()
    def preview(self, batch: Any) -> dict[str, Tensor]:
        """Return panoramas as they are decoded from their codes, and ones that are written under their conditions."""
        sizes = self.sampler.config
        numbers = cell_numbers(batch.seeds, SHOWN, sizes.rows, sizes.columns)
        written = self.sampler.sample(self.condition(batch), numbers)
        return {"input": self.codes.decode(self.codes.encode(batch.images)), "written": self.codes.decode(written)}

    def save_pretrained(self, folder: Path) -> None:
        """Write the sampler's ``config.json`` and ``model.safetensors``, and ``index.safetensors`` if there is one."""
        super().save_pretrained(folder)
        if self.index is not None:
            self.index.save(folder / INDEX)


class LocalSamplerTraining(SamplerTraining):
    """Learns the codes of large panoramas under those of the same panoramas made small."""

    sampler: WindowSampler | SphereSampler

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The sampler and what it learns from.

        One of ``windows`` (the published layout, a window of each panorama) and ``sphere`` (our own layout, whole
        panoramas) has the sampler's sizes. ``global_autoencoder`` and ``local_autoencoder``: folders. ``start``: folder
        of a sampler to go on from, which gives the sizes of the layout. ``encodings``: where codes of images that come
        again are stored. ``dtype``: of the weights in the file.
        """

        global_autoencoder: str
        local_autoencoder: str
        windows: WindowSamplerConfig | None = None
        sphere: SphereSamplerConfig | None = None
        start: str = ""
        encodings: CacheConfig = NOTHING_KEPT
        dtype: str = "float32"

        def __post_init__(self) -> None:
            check_dtype(self.dtype)
            if (self.windows is None) == (self.sphere is None):
                raise UserError("needs one of windows and sphere, the layouts of samplers", key="windows")

    def __init__(self, config: Config):
        super().__init__()
        self.config, self.dtype = config, config.dtype
        if config.sphere is not None:
            self.sampler = _started(SphereSampler, config.start, config.sphere)
            grid, given = self.sampler.config, self.sampler.config.given_vocabulary
            names = ("sphere.vocabulary", "sphere.given_vocabulary")
        else:
            self.sampler = _started(WindowSampler, config.start, config.windows)
            grid, given = self.sampler.config.windows, self.sampler.config.vocabulary
            names = ("windows.vocabulary", "windows.vocabulary")
        sizes = self.sampler.config
        self.given = FrozenCodes(config.global_autoencoder, sizes.given_rows, sizes.given_columns, config.encodings)
        self.codes = FrozenCodes(config.local_autoencoder, grid.rows, grid.columns, config.encodings)
        check_kinds(self.codes, sizes.vocabulary, names[0], config.local_autoencoder)
        check_kinds(self.given, given, names[1], config.global_autoencoder)

    def forward(self, batch: Any) -> dict[str, Tensor]:
        """Return the cross-entropy of the codes in nats."""
        given, codes = self.given.encode(batch.images), self.codes.encode(batch.images)
        return {"loss": self.sampler.loss(given, codes, batch.seeds)}

    @torch.no_grad()
    def preview(self, batch: Any) -> dict[str, Tensor]:
        """Return panoramas as they are decoded from their codes, and ones that are written under their global codes."""
        codes = self.codes.encode(batch.images)
        numbers = cell_numbers(batch.seeds, SHOWN, *codes.shape[1:])
        written = self.sampler.sample(self.given.encode(batch.images), numbers)
        return {"input": self.codes.decode(codes), "written": self.codes.decode(written)}


def _started(sampler_class: Any, folder: str, config: Any) -> Any:
    """Return a new sampler, or the one of a folder, ready to learn."""
    if not folder:
        return sampler_class(config)
    return sampler_class.from_pretrained(resolve(folder)).requires_grad_(True).train()
