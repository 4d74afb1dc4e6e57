"""The interface of all feature networks, and their configuration."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, get_args, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from aognet.diffusion.loading import check_dtype
from aognet.errors import UserError

KINDS = ("inception", "clip", "faed", "efficientnet")
RESIZES = ("antialiased", "tensorflow")
Rows = Literal["centres", "endpoints"]
ROWS = get_args(Rows)
# Fields that mean something to one kind only; for another kind they must keep their default.
FIELDS_OF = {
    "inception": ("resize",),
    "clip": ("image_encoder", "text_encoder", "tokenizer", "feature_extractor", "classes", "centre_crop"),
    "faed": ("rows",),
}


@dataclass(frozen=True)
class NetworkConfig:
    """Which feature network is used, and how.

    ``kind`` is inception, clip, faed or efficientnet. ``model`` is a folder or a hub id (at ``revision``), for
    inception and efficientnet also a safetensors file. ``dtype`` is that of its weights; features are always float32.

    clip: ``image_encoder``, ``text_encoder``, ``tokenizer`` and ``feature_extractor`` are subfolders of ``model`` in
    the layout of diffusers. If all are empty, the folder itself has a whole CLIP. An ``image_encoder`` without
    ``text_encoder`` reads no texts. ``classes`` are words that it tells apart; with them there are logits.
    ``centre_crop``: shrink the short side and crop the centre, as CLIP's own preprocessing does, instead of shrinking
    the whole image to a square.

    inception: ``resize`` is "antialiased" (bicubic, as clean-fid) or "tensorflow" (bilinear without antialiasing, as
    the first FID, torch-fidelity and torchmetrics).

    faed: ``rows`` says where rows of features lie: "centres" or "endpoints" (`aognet.metrics.latitude`).
    """

    kind: str
    model: str
    revision: str | None = None
    dtype: str = "float32"
    image_encoder: str = ""
    text_encoder: str = ""
    tokenizer: str = ""
    feature_extractor: str = ""
    classes: list[str] = field(default_factory=list)
    centre_crop: bool = False
    resize: str = "antialiased"
    rows: str = "centres"

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        for key, known in (("kind", KINDS), ("resize", RESIZES), ("rows", ROWS)):
            if getattr(self, key) not in known:
                raise UserError(f"must be one of {', '.join(known)}", key=key, value=getattr(self, key))
        if not self.model.strip():
            raise UserError("must name a file, a folder or a hub id", key="model", value=self.model)
        for kind, keys in FIELDS_OF.items():
            changed = [key for key in keys if getattr(self, key) != getattr(NetworkConfig, key, [])]
            if changed and kind != self.kind:
                raise UserError(f"is for kind {kind}, not for {self.kind}", key=changed[0])
        if self.kind == "faed" and self.dtype != "float32":
            raise UserError("of faed must be float32", key="dtype", value=self.dtype)
        if any(not word.strip() for word in self.classes) or len(set(self.classes)) < len(self.classes):
            raise UserError("must be different words", key="classes", value=self.classes)
        if len(self.classes) == 1:
            raise UserError("must be none or at least 2", key="classes", value=self.classes)
        if self.text_encoder and not self.image_encoder:
            raise UserError(
                "needs image_encoder, the subfolder of the image tower", key="text_encoder", value=self.text_encoder
            )
        if self.classes and self.image_encoder and not self.text_encoder:
            raise UserError("need text_encoder, the subfolder of the text tower", key="classes", value=self.classes)


EMBEDDED = NetworkConfig(
    kind="clip",
    model="assets/embedded",
    image_encoder="image_encoder",
    text_encoder="text_encoder",
    tokenizer="tokenizer",
    feature_extractor="feature_extractor",
)


@runtime_checkable
class FeatureNetwork(Protocol):
    """A frozen network that turns images into vectors.

    ``name`` is one line for reports. ``fingerprint`` is the sha256 over its weights and preprocessing; it is equal only
    if features are. ``dim`` is the number of features per image. ``is_fid_inception`` says whether a distance in its
    features may be called FID. ``classes`` is the number of logits, 0 without. ``reads_text`` says whether ``texts``
    works.
    """

    name: str
    fingerprint: str
    dim: int
    is_fid_inception: bool
    classes: int
    reads_text: bool

    def features(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Return float32 features, on the network's device, of images in [-1, 1] of any size and device."""
        ...

    def logits(self, features: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch classes"]:
        """Return unnormalised class scores for the result of ``features``.

        :raises UserError: if ``classes`` is 0.
        """
        ...

    def texts(self, prompts: Sequence[str]) -> Float[Tensor, "batch dim"]:
        """Return float32 embeddings of prompts.

        :raises UserError: unless ``reads_text``.
        """
        ...
