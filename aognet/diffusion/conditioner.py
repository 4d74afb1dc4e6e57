"""The texts of a denoiser: frozen text encoders side by side, one in Stable Diffusion, two in SDXL."""

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aognet.diffusion.clip_encoders import ClipTextEncoder
from aognet.diffusion.condition import TextCondition
from aognet.diffusion.sampling.sampler import LongPrompts
from aognet.diffusion.texts import side_by_side
from aognet.errors import UserError
from aognet.nn.component import Component
from aognet.system.transfer import to_device

MAX_TEXTS = 256


class Conditioner(nn.Module):
    """Encodes prompts to a `TextCondition`: the encoders' hidden states joined channel by channel, and a pooled vector
    if there is one.

    ``empty_is_zero``: whether guidance without a negative prompt leads away from zeros (SDXL) and not from the encoded
    empty prompt. Several threads may call it at once.
    """

    encoders: Any  # a list of modules, which are `ClipTextEncoder`

    def __init__(
        self, encoders: Sequence[ClipTextEncoder], long_prompts: LongPrompts = "cut", empty_is_zero: bool = False
    ) -> None:
        """Compose the encoders.

        :raises UserError: if an encoder does not know its tokenizer's tokens, or the encoders differ in length.
        """
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.long_prompts: LongPrompts = long_prompts
        self.empty_is_zero = empty_is_zero
        self._known: OrderedDict[tuple, TextCondition] = OrderedDict()
        self._lock = Lock()
        for number, encoder in enumerate(encoders, 1):
            name = "" if number == 1 else f"_{number}"
            tokens, known = len(encoder.tokenizer), encoder.tower.config.vocab_size
            if tokens > known:
                raise UserError(
                    f"tokenizer{name}: has {tokens} tokens, but text_encoder{name} knows {known} (vocab_size)"
                )
            if encoder.length != self.length:
                raise UserError(f"text_encoder{name}: reads {encoder.length} tokens, but text_encoder {self.length}")

    @property
    def dim(self) -> int:
        """The size of a token."""
        return sum(encoder.dim for encoder in self.encoders)

    @property
    def pooled_dim(self) -> int:
        """The size of the pooled vector; 0 without one."""
        dims = [encoder.pooled_dim for encoder in self.encoders if encoder.pooled_dim]
        return dims[0] if dims else 0

    @property
    def length(self) -> int:
        """The number of tokens of a prompt that the encoders read (77 in CLIP)."""
        return self.encoders[0].length

    def chunks(self, prompts: Sequence[str], how: LongPrompts | None = None) -> list[list[str]]:
        """Return each prompt as texts for the encoders: one text that is cut if it is too long, or as many as hold it
        all.
        """
        return [self.encoders[0].chunks(prompt, how or self.long_prompts) for prompt in prompts]

    def forward(self, prompts: Sequence[str], how: LongPrompts | None = None) -> TextCondition:
        """Encode prompts: `length` tokens of each, or a multiple for several chunks."""
        rows = self.chunks(prompts, how)
        texts = self._encode([text for row in rows for text in row])
        return side_by_side(texts, [len(row) for row in rows])

    def _encode(self, texts: Sequence[str]) -> TextCondition:
        found = [encoder(texts) for encoder in self.encoders]
        if len(found) == 1:
            return found[0]
        pooled = next((one.pooled for one in found if one.pooled is not None), None)
        return TextCondition(torch.cat([one.tokens for one in found], dim=-1), pooled)

    def known(self, prompts: Sequence[str], how: LongPrompts | None = None) -> TextCondition:
        """Encode prompts for generation, where the same few prompts come again and again: each is encoded once."""
        rows = self.chunks(prompts, how)
        found = [self._once(text) for row in rows for text in row]
        return side_by_side(TextCondition.cat(found), [len(row) for row in rows])

    def _once(self, text: str) -> TextCondition:
        if any(encoder.learns for encoder in self.encoders):
            return self._encode([text])
        tower = self.encoders[0].tower
        key = (text, tower.device, tower.dtype)
        with self._lock:
            if key in self._known:
                return self._known[key]
        encoded = self._encode([text])
        with self._lock:
            while len(self._known) >= MAX_TEXTS:
                self._known.popitem(last=False)
            self._known[key] = encoded
        return encoded

    def forget(self) -> None:
        """Encode every prompt anew from here on."""
        with self._lock:
            self._known.clear()

    def negative(self, prompt: str, rows: int, how: LongPrompts | None = None) -> TextCondition:
        """Return what guidance leads away from, ``rows`` times. Without a ``prompt``: the empty prompt, or zeros
        (`empty_is_zero`).
        """
        return self._silenced(self.known([prompt] * rows, how), prompt)

    def with_unconditional(self, prompts: Sequence[str]) -> tuple[TextCondition, TextCondition]:
        """Return the encoded prompts and, as one row, what takes their place where nothing is said."""
        text = self([*prompts, ""])
        return text[:-1], self._silenced(text[-1:], "")

    def _silenced(self, text: TextCondition, prompt: str) -> TextCondition:
        if prompt or not self.empty_is_zero:
            return text
        pooled = None if text.pooled is None else torch.zeros_like(text.pooled)
        return TextCondition(torch.zeros_like(text.tokens), pooled)

    def joined(self, words: str, prompt: str, how: LongPrompts | None = None) -> str:
        """Return the words of a direction before the common prompt, so short that neither is pushed out."""
        return self.encoders[0].joined(words, prompt, how or self.long_prompts)

    def framed(self, before: str, text: str, after: str) -> str:
        """Return a text between two, of which both are read whole: if need be, the text's own end is cut."""
        return self.encoders[0].framed(before, text, after, self.long_prompts)

    def components(self) -> dict[str, Component]:
        """Return the encoders by the names that diffusers gives them."""
        names = ["text_encoder", *(f"text_encoder_{number}" for number in range(2, len(self.encoders) + 1))]
        towers = [encoder.tower for encoder in self.encoders]
        return {name: Component(tower, waits=True, half=True) for name, tower in zip(names, towers, strict=True)}


def size_conditions(rows: int, height: int, width: int, device: torch.device | str = "cpu") -> Float[Tensor, "rows 6"]:
    """Return SDXL's micro-conditioning (Podell et al. 2023, sec. 2.2), in pixels, for a whole picture of that size.

    It has the original height and width, how much is cropped at the top and at the left, and the target height and
    width.
    """
    sizes = torch.tensor([float(value) for value in (height, width, 0, 0, height, width)])
    return to_device(sizes, device).expand(rows, 6)
