"""Prompts for a frozen text encoder, which reads a fixed number of tokens (77 in CLIP, with start and end).

A longer prompt is cut, and the log says what is lost. Or it is read in chunks, each as a prompt of its own, whose
tokens are joined in the UNet's cross-attention.
"""

import logging
import math
from collections.abc import Sequence
from functools import lru_cache
from threading import Lock
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from aognet.diffusion.condition import TextCondition
from aognet.diffusion.encodings import EncodingCache
from aognet.diffusion.sampling.sampler import LongPrompts
from aognet.system.transfer import to_device

MAX_CHUNKS = 4
MAX_WARNINGS = 20
LONGEST_WORD = 20  # in tokens, to be kept whole
Layer = Literal["last", "penultimate"]
log = logging.getLogger(__name__)
# A fast tokenizer notes in itself how long the text of a call may be, so one thread at a time may call it.
_tokenizing = Lock()


def encode_prompts(
    tower: Any, tokenizer: Any, length: int, prompts: Sequence[str], kept: EncodingCache, layer: Layer = "last"
) -> TextCondition:
    """Return hidden states of prompts, cut or padded to ``length`` tokens, in float32. Equal prompts are encoded once.

    Stable Diffusion reads those of the ``last`` layer, normalised. SDXL reads those of the ``penultimate`` layer, and
    the pooled vector of an encoder that projects (Podell et al. 2023, sec. 2.1).
    """
    distinct = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
    tokens = token_rows(tokenizer, length, list(distinct), _hint(length))
    rows = [tokens["input_ids"], tokens["attention_mask"]]
    if layer == "penultimate":  # a row more: the cache names what it keeps by its input
        rows.append(torch.ones_like(rows[0]))

    def encode(ids_and_mask: Int[Tensor, "batch _ tokens"]) -> tuple[Tensor, ...]:
        ids, mask, *_ = ids_and_mask.to(tower.device).unbind(1)
        uses_mask = getattr(tower.config, "use_attention_mask", False)
        output = tower(ids, attention_mask=mask if uses_mask else None, output_hidden_states=layer == "penultimate")
        if layer == "last":
            return (output.last_hidden_state.float(),)
        pooled = [output.text_embeds.float()] if "text_embeds" in output else []
        return output.hidden_states[-2].float(), *pooled

    found = TextCondition(*kept.encoded(torch.stack(rows, dim=1), encode, tower.device))
    if len(distinct) == len(prompts):
        return found
    numbers = torch.tensor([distinct[prompt] for prompt in prompts])
    return found[to_device(numbers, tower.device)]


def token_rows(
    tokenizer: Any, length: int, prompts: Sequence[str], hint: str = ""
) -> dict[str, Int[Tensor, "batch tokens"]]:
    """Return ``input_ids`` and ``attention_mask`` of prompts, [batch, length]. The log says once of each prompt what
    was cut.
    """
    # Lists: what stands in them can be asked where tensors have no values (benchmarks/training_memory.py).
    with _tokenizing:
        tokens = tokenizer(list(prompts), padding="max_length", max_length=length, truncation=True)
    for prompt, mask in zip(prompts, tokens["attention_mask"], strict=True):
        if mask[-1]:  # full: it may have been longer
            kept = _beginning(tokenizer, length - 2, prompt)
            if kept != prompt:
                _say_cut(prompt, len(kept), length, hint)
    return {name: torch.tensor(tokens[name]) for name in ("input_ids", "attention_mask")}


def chunks(tokenizer: Any, length: int, prompt: str, how: LongPrompts) -> list[str]:
    """Return a prompt as texts that an encoder of ``length`` tokens reads one by one: itself, or up to `MAX_CHUNKS`
    chunks.

    Chunks end between words if possible. If the last one is too long, its end is cut when it is read.
    """
    parts, rest = [], prompt
    while how == "chunks" and len(parts) < MAX_CHUNKS - 1:
        beginning = _beginning(tokenizer, length - 2, rest)
        if beginning == rest:
            break
        parts.append(beginning)
        rest = rest[len(beginning) :]
    return [*parts, rest]


def side_by_side(chunks: TextCondition, counts: Sequence[int]) -> TextCondition:
    """Return the chunks of each prompt, of which it has ``counts``, as one row. All rows have the same number of
    tokens.

    The tokens of a prompt's chunks are joined. A shorter row is repeated as a whole. Attention to keys that are all
    there k times is attention to them once, so the effect of a prompt never depends on the others of its batch. The
    pooled vector is that of the first chunk.
    """
    if all(count == 1 for count in counts):
        return chunks
    most = math.lcm(*counts)
    rows = chunks.tokens.split(list(counts))
    tokens = torch.stack([row.flatten(0, 1).repeat(most // len(row), 1) for row in rows])
    if chunks.pooled is None:
        return TextCondition(tokens)
    return TextCondition(tokens, torch.stack([row[0] for row in chunks.pooled.split(list(counts))]))


def same_length(*conditions: TextCondition) -> list[TextCondition]:
    """Return conditions of several prompts, the tokens of each repeated as a whole until all have the same number."""
    most = math.lcm(*(condition.tokens.shape[1] for condition in conditions))
    return [TextCondition(one.tokens.repeat(1, most // one.tokens.shape[1], 1), one.pooled) for one in conditions]


def joined(tokenizer: Any, length: int, words: str, prompt: str, how: LongPrompts) -> str:
    """Return the words of a direction, followed by the common prompt. Neither pushes the other out.

    If both are too long for one encoder, each may have half of its tokens and what the other leaves free.
    """
    both = f"{words}, {prompt}"
    room = length - 2
    if how == "chunks" or len(_starts(tokenizer, both)) <= room:
        return both
    room -= 1  # the comma
    own, common = (len(_starts(tokenizer, text)) for text in (words, prompt))
    for_words = max(room - common, room // 2)
    for_prompt = max(room - own, room - room // 2)
    return ", ".join(
        _shortened(tokenizer, length, text, most) for text, most in ((words, for_words), (prompt, for_prompt))
    )


def framed(tokenizer: Any, length: int, before: str, text: str, after: str) -> str:
    """Return a text between two that are kept whole: its own end is cut if there is no room for all."""
    room = length - 2 - len(_starts(tokenizer, before)) - len(_starts(tokenizer, after))
    return f"{before}{_shortened(tokenizer, length, text, max(room, 1))}{after}"


def _shortened(tokenizer: Any, length: int, text: str, most: int) -> str:
    kept = _beginning(tokenizer, most, text)
    if kept != text:
        _say_cut(text, len(kept), length, _hint(length))
    return kept.rstrip(" ,;")


def _starts(tokenizer: Any, text: str) -> list[int]:
    """Return where in the text each of its tokens starts."""
    # The tokenizer's own warning about the length says nothing of what becomes of the rest.
    options = {"add_special_tokens": False, "return_offsets_mapping": True, "verbose": False}
    with _tokenizing:
        return [start for start, _ in tokenizer(text, **options)["offset_mapping"]]


def _beginning(tokenizer: Any, most: int, text: str) -> str:
    """Return a beginning of at most ``most`` tokens, the longest that ends between words, or between tokens of long
    words.
    """
    starts = _starts(tokenizer, text)
    if len(starts) <= most:
        return text
    least = max(most - LONGEST_WORD, 1)
    between = (start for start in starts[most : least - 1 : -1] if text[start - 1].isspace())
    return text[: next(between, starts[most])]


def _hint(length: int) -> str:
    return f" (long_prompts: chunks reads {MAX_CHUNKS * (length - 2)})"


@lru_cache(maxsize=4096)
def _say_cut(prompt: str, kept: int, length: int, hint: str) -> None:
    """Log once for each prompt, and for no more than so many prompts."""
    if _say_cut.cache_info().misses > MAX_WARNINGS:
        return
    last = "; more of them are not named" if _say_cut.cache_info().misses == MAX_WARNINGS else ""
    log.warning(
        "the text encoder reads %d tokens of a prompt%s; cut off: %r%s",
        length,
        hint,
        prompt[kept:].strip(" ,;"),
        last,
    )
