"""Models that describe an image: one interface, one configuration, two backends."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

from aognet.config import check_text
from aognet.diffusion.loading import check_dtype
from aognet.errors import UserError

SMALL_MODEL = "Salesforce/blip-image-captioning-base"
DEFAULT_MODELS = {"transformers": "Salesforce/blip2-opt-2.7b", "lavis": "blip2_t5/pretrain_flant5xxl"}


@runtime_checkable
class Captioner(Protocol):
    """A loaded model. ``revision`` is the commit of its files, if it is known."""

    model: str
    revision: str | None

    def caption(self, images: Sequence[Tensor]) -> list[str]:
        """Return one caption for each image [3, rows, columns] in [-1, 1], in one batch. Sizes may differ. A caption
        may be empty.
        """


@dataclass(frozen=True)
class CaptionerConfig:
    """Which model describes images, and how.

    ``model`` is, for ``transformers``, the hub id or local folder of a BLIP or BLIP-2 (null: BLIP-2 with OPT 2.7B), and
    for ``lavis`` a ``name/type`` of LAVIS's zoo (null: BLIP-2 with Flan-T5 XXL). ``revision`` is that of a hub id.
    ``dtype`` null means float16 on a GPU, else float32. ``load_in``: weights are quantised by bitsandbytes.
    ``prompt_prefix``: words that the caption continues; they are not part of it.
    """

    backend: Literal["transformers", "lavis"] = "transformers"
    model: str | None = None
    revision: str | None = None
    dtype: str | None = None
    load_in: str | None = None
    num_beams: int = 1
    max_new_tokens: int = 30
    prompt_prefix: str = ""

    def __post_init__(self) -> None:
        if self.dtype is not None:
            check_dtype(self.dtype)
        check_text(self.prompt_prefix, "prompt_prefix")
        if self.load_in not in (None, "8bit", "4bit"):
            raise UserError("must be 8bit or 4bit", key="load_in", value=self.load_in)
        for key in ("num_beams", "max_new_tokens"):
            if getattr(self, key) < 1:
                raise UserError("must be at least 1", key=key, value=getattr(self, key))

    @property
    def model_name(self) -> str:
        """The model, or the backend's default if none is named."""
        return self.model or DEFAULT_MODELS[self.backend]
