"""BLIP (Li et al. 2022) and BLIP-2 (Li et al. 2023) through transformers; safetensors only, never remote code."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from aognet.captioning.captioner import CaptionerConfig
from aognet.diffusion.loading import DTYPES, freeze, is_hub_id, kept_commit, load_part, resolve
from aognet.errors import Setting, UserError
from aognet.io.images import to_pil
from aognet.io.text_files import read_json

CLASSES = {"blip": "BlipForConditionalGeneration", "blip-2": "Blip2ForConditionalGeneration"}
# The main branches of these hold pickled weights only; a conversion by the hub itself lies beside them. Its reference
# could be moved: the commit that it means when it is first fetched is kept (`kept_commit`), and noted in the captions.
SAFE_REVISIONS = {"Salesforce/blip-image-captioning-base": "refs/pr/38"}


class TransformersCaptioner:
    """A `Captioner` around a BLIP or BLIP-2."""

    def __init__(self, config: CaptionerConfig, device: torch.device):
        from transformers import BlipImageProcessorPil, PreTrainedTokenizerFast

        self.config, self.device, self.model = config, device, config.model_name
        revision = config.revision
        if revision is None and self.model in SAFE_REVISIONS:
            revision = kept_commit(self.model, SAFE_REVISIONS[self.model])
        folder = resolve(self.model, revision=revision)
        self.revision = folder.name if folder.parent.name == "snapshots" else config.revision
        name = _class_name(folder, self.model)
        # The tokenizer as its file describes it: the classes that some configs name leave out the first token.
        self._tokenizer = load_part(PreTrainedTokenizerFast, folder)
        self._processor = load_part(BlipImageProcessorPil, folder)
        self._network = _load_network(name, folder, config, device)
        self._needs_image_tokens = name == CLASSES["blip-2"]
        if self._needs_image_tokens and self._network.config.image_token_index is None:
            raise UserError(f"{self.model}: made for an older transformers (config.json has no image_token_index)")

    @torch.inference_mode()
    def caption(self, images: Sequence[Tensor]) -> list[str]:
        """Return one caption for each image [3, rows, columns] in [-1, 1], in one batch."""
        pictures = [to_pil(image) for image in images]
        pixels = self._processor(pictures, return_tensors="pt").pixel_values.to(self.device, self._network.dtype)
        start = self._start().to(self.device).repeat(len(images), 1)
        options = {"num_beams": self.config.num_beams, "max_new_tokens": self.config.max_new_tokens, "do_sample": False}
        mask = torch.ones_like(start)
        tokens = self._network.generate(pixel_values=pixels, input_ids=start, attention_mask=mask, **options)
        if not self._network.config.text_config.is_encoder_decoder:
            # BLIP leaves out the last of the tokens it is given: the end of the text that it continues.
            tokens = tokens[:, start.shape[1] - (0 if self._needs_image_tokens else 1) :]
        return [" ".join(text.split()) for text in self._tokenizer.batch_decode(tokens, skip_special_tokens=True)]

    def _start(self) -> Int[Tensor, "1 tokens"]:
        """Return what the caption continues: places for the image, then the first token and the given words."""
        config, prefix = self._network.config, self.config.prompt_prefix
        words = self._tokenizer(prefix).input_ids if prefix else []
        if not self._needs_image_tokens:
            return torch.tensor([words or [config.text_config.bos_token_id, config.text_config.eos_token_id]])
        first = getattr(config.text_config, "bos_token_id", None)  # T5 has none: it begins with the end of nothing
        first = config.text_config.eos_token_id if first is None else first
        return torch.tensor([[config.image_token_index] * config.num_query_tokens + (words or [first])])


def _class_name(folder: Path, model: str) -> str:
    try:
        kind = read_json(folder / "config.json").get("model_type")
    except UserError as error:
        raise UserError(f"{model}: not a model folder: {error}") from error
    if kind not in CLASSES:
        raise UserError(f"{model}: model_type {kind!r} does not describe images; use a BLIP or BLIP-2 model")
    if not any(folder.glob("*.safetensors")):
        from_hub = is_hub_id(model) and not Path(model).exists()
        hint = ("; a ", Setting("revision"), " such as refs/pr/N may hold them") if from_hub else ()
        raise UserError(f"{model}: no weights in safetensors, and pickled ones (.bin) are not read", *hint)
    if not (folder / "tokenizer.json").is_file():
        raise UserError(f"{model}: no tokenizer.json in it")
    return CLASSES[kind]


def _load_network(name: str, folder: Path, config: CaptionerConfig, device: torch.device) -> Any:
    import transformers

    options: dict[str, Any] = {"dtype": DTYPES[config.dtype or ("float16" if device.type == "cuda" else "float32")]}
    if config.load_in:
        if find_spec("bitsandbytes") is None:
            raise UserError(f"load_in {config.load_in} needs the package bitsandbytes: pip install bitsandbytes")
        options["quantization_config"] = transformers.BitsAndBytesConfig(**{f"load_in_{config.load_in}": True})
        options["device_map"] = {"": device}
    network, report = load_part(
        getattr(transformers, name), folder, use_safetensors=True, output_loading_info=True, **options
    )
    if report["missing_keys"]:
        names = sorted(report["missing_keys"])
        raise UserError(f"{config.model_name}: {len(names)} weights are missing, among them {names[0]!r}")
    return freeze(network) if config.load_in else freeze(network).to(device)
