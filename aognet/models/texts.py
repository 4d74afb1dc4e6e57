"""Prompts through a frozen text tower."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from aognet.models.encodings import EncodingCache


@torch.no_grad()
def hidden_states(
    tower: nn.Module, tokenizer: Any, length: int, prompts: Sequence[str], kept: EncodingCache
) -> Float[Tensor, "batch tokens dim"]:
    """Last hidden states of prompts, cut or padded to ``length`` tokens, in float32; equal prompts are encoded once."""
    distinct = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
    options = {"padding": "max_length", "max_length": length, "truncation": True, "return_tensors": "pt"}
    tokens = tokenizer(list(distinct), **options)

    def encode(ids_and_mask: Int[Tensor, "batch 2 tokens"]) -> tuple[Tensor]:
        ids, mask = ids_and_mask.to(tower.device).unbind(1)
        uses_mask = getattr(tower.config, "use_attention_mask", False)
        return (tower(ids, attention_mask=mask if uses_mask else None).last_hidden_state.float(),)

    both = torch.stack([tokens["input_ids"], tokens["attention_mask"]], dim=1)
    (states,) = kept.encoded(both, encode, tower.device)
    if len(distinct) == len(prompts):
        return states
    rows = torch.tensor([distinct[prompt] for prompt in prompts])
    return states.index_select(0, rows.to(tower.device, non_blocking=True))
