"""BLIP-2 through Salesforce's LAVIS, for those who have it. LAVIS fetches and reads its weights in its own way."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from aognet.captioning.captioner import CaptionerConfig
from aognet.errors import UserError
from aognet.io.images import to_pil


class LavisCaptioner:
    """A `Captioner` around a model of LAVIS's zoo, named ``name/type`` such as ``blip2_t5/pretrain_flant5xxl``."""

    def __init__(self, config: CaptionerConfig, device: torch.device):
        name, slash, kind = config.model_name.partition("/")
        if not slash or "/" in kind:
            raise UserError(
                f"the model of LAVIS must be name/type, such as blip2_t5/pretrain_flant5xxl; got {config.model_name!r}"
            )
        for key in ("load_in", "revision", "dtype"):
            if getattr(config, key) is not None:
                raise UserError(f"{key} is for the transformers backend, LAVIS has no such choice")
        try:
            from lavis.models import load_model_and_preprocess
        except ImportError as error:
            raise UserError(
                f"backend lavis needs the package salesforce-lavis ({error}); it pins an old transformers, so install "
                "it in an environment of its own, or use the backend transformers"
            ) from error
        self.config, self.device, self.model = config, device, config.model_name
        self.revision: str | None = None
        network, processors, _ = load_model_and_preprocess(name=name, model_type=kind, is_eval=True, device=device)
        self._network, self._processor = network, processors["eval"]

    @torch.no_grad()
    def caption(self, images: Sequence[Tensor]) -> list[str]:
        """Return one caption for each image [3, rows, columns] in [-1, 1], in one batch."""
        samples: dict[str, Any] = {
            "image": torch.stack([self._processor(to_pil(image)) for image in images]).to(self.device)
        }
        if self.config.prompt_prefix:
            samples["prompt"] = self.config.prompt_prefix
        captions = self._network.generate(
            samples,
            use_nucleus_sampling=False,
            num_beams=self.config.num_beams,
            max_length=self.config.max_new_tokens,
        )
        return [" ".join(text.split()) for text in captions]
