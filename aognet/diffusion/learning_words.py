"""Training of words (textual inversion, Gal et al. 2022): new vectors of frozen text encoders learn, and nothing else.

Beside low-rank additions to the UNet it is the pivotal tuning of cog-sdxl, whose files it writes, too.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import save
from torch import Tensor, nn

from aognet.diffusion.conditioner import Conditioner
from aognet.diffusion.saved import CONFIG, WEIGHTS, read_config
from aognet.diffusion.vocabulary import Vocabulary
from aognet.diffusion.word_files import COG, MAX_VECTORS, SPECIAL, Vectors, WordFile
from aognet.errors import UserError
from aognet.io.files import write_atomically
from aognet.nn.weights import read_tensors

SETTINGS = Path("learn_words")
"""In errors, where files of words have their path."""
CAPTION, WORDS = "{caption}", "{words}"


@dataclass(frozen=True, kw_only=True)
class LearnWordsConfig:
    """Words that learn. ``count``: how many, 0 for none. ``name``: what comes before their numbers, as in ``<s0>``.

    ``alias``: what stands in prompts for all of them. ``start``: words whose vectors they start from, in turn; with
    none they start from noise as strong as the encoder's own. ``template``: what is made of a sample's caption.
    ``rate``: how many times ``trainer.learning_rate`` is theirs.
    """

    count: int = 0
    name: str = "s"
    alias: str = "TOK"
    start: str = ""
    template: str = "{caption}, in the style of {words}"
    rate: float = 5.0

    def __post_init__(self) -> None:
        if not 0 <= self.count <= MAX_VECTORS:
            raise UserError(f"must lie between 0 and {MAX_VECTORS}", key="count", value=self.count)
        if not re.fullmatch(r"[\w-]*[^\W\d]", self.name):
            raise UserError("must be letters", key="name", value=self.name)
        if not re.fullmatch(r"\w+", self.alias):
            raise UserError("must be letters and digits", key="alias", value=self.alias)
        if self.template.count(WORDS) != 1 or self.template.count(CAPTION) > 1:
            raise UserError(f"must have {WORDS} once, and may have {CAPTION}", key="template", value=self.template)
        if not 0 < self.rate < math.inf:
            raise UserError("must be more than 0", key="rate", value=self.rate)

    @property
    def words(self) -> list[str]:
        """The words as prompts have them."""
        return [f"<{self.name}{number}>" for number in range(self.count)]

    def prompts(self, conditioner: Conditioner, captions: Sequence[str]) -> list[str]:
        """Return captions in the template. If a caption is too long, its own end is cut and not the words."""
        if not self.count:
            return list(captions)
        before, _, after = self.template.replace(WORDS, "".join(self.words)).partition(CAPTION)
        return [conditioner.framed(before, caption, after).strip(" ,") for caption in captions]


def learn_words(conditioner: Conditioner, config: LearnWordsConfig) -> nn.Module:
    """Add words to the text encoders and return their vectors, which learn, by the names that diffusers gives encoders.

    :raises UserError: if a word is there already, the start is no word of an encoder, or the template is too long.
    """
    encoders = list(conditioner.encoders)
    towers, tokenizers = [one.tower for one in encoders], [one.tokenizer for one in encoders]
    known = encoders[0].vocabulary
    start = known.spelled(config.start)
    starts = [_starts(*pair, start, config.count) for pair in zip(towers, tokenizers, strict=True)]
    words = {
        word: tuple(Vectors(SETTINGS.name, tuple(rows.shape), rows[row : row + 1]) for rows in starts)
        for row, word in enumerate(config.words)
    }
    added = WordFile(SETTINGS, words, {config.alias: "".join(config.words)})
    vocabulary = Vocabulary([*known.files, added])
    vocabulary.teach(towers, tokenizers, len(known.files), config.rate)
    for encoder in encoders:
        encoder.read(vocabulary)
    _check_room(conditioner, config)
    rows = [tower.get_input_embeddings().learned for tower in towers]
    return nn.ModuleDict(dict(zip(conditioner.components(), rows, strict=True)))


def _check_room(conditioner: Conditioner, config: LearnWordsConfig) -> None:
    """Refuse a template of which words would be cut off."""
    said = config.template.replace(CAPTION, "").replace(WORDS, "".join(config.words))
    tokens, most = conditioner.encoders[0].tokenizer(said, add_special_tokens=False), conditioner.length - 2
    if (count := len(tokens["input_ids"])) > most:
        problem = f"has {count} tokens with its {config.count} words, a prompt has {most}"
        raise UserError(problem, key="learn_words.template", value=config.template)


@torch.no_grad()
def _starts(tower: Any, tokenizer: Any, start: str, count: int) -> Float[Tensor, "count dim"]:
    """Return vectors of an encoder's own words, or noise that is always the same."""
    embedding: Any = tower.get_input_embeddings()
    tokens = tokenizer(start, add_special_tokens=False)["input_ids"]
    if tokens:
        turns = [tokens[number % len(tokens)] for number in range(count)]
        return embedding(torch.tensor(turns, device=tower.device)).float().cpu()
    if start:
        raise UserError("must be words of the text encoder", key="learn_words.start", value=start)
    while hasattr(embedding, "plain"):  # around the encoder's own
        embedding = embedding.plain
    noise = torch.randn(count, embedding.weight.shape[1], generator=torch.Generator().manual_seed(0))
    return noise * embedding.weight.float().std().cpu()


def export_words(folder: Path, file: Path) -> list[str]:
    """Write the words of a trained model's folder as cog-sdxl does, and their alias beside them; return them.

    :raises UserError: if no words were trained.
    """
    described = read_config(folder / CONFIG).get("learn_words")
    config = LearnWordsConfig(**described) if isinstance(described, dict) else LearnWordsConfig()
    if not config.count:
        raise UserError(f"{folder / CONFIG}: learn_words.count must be more than 0 for a model to have words")
    tensors = read_tensors(folder / WEIGHTS)
    names = [name for name in ("words.text_encoder", "words.text_encoder_2") if f"{name}.start" in tensors]
    rows = [tensors[f"{name}.start"] + config.rate * tensors[f"{name}.change"] for name in names]
    write_atomically(file, save(dict(zip(COG, rows, strict=False))))
    words = {config.alias: "".join(config.words)}
    write_atomically(file.with_name(SPECIAL), json.dumps(words) + "\n")
    return config.words
