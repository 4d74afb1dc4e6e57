"""Learned words in prompts: their tokens, how a prompt spells them, and their rows in the text encoders' embeddings."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from aognet.diffusion.word_files import SPECIAL, Vectors, WordFile, read_words
from aognet.errors import UserError
from aognet.system.home import expanded

MAX_TOKENS = 1000


class LearnedRows(nn.Module):
    """The vectors of words: where they start, and what training changes, ``rate`` times as fast as other weights."""

    start: Tensor

    def __init__(self, start: Float[Tensor, "count dim"], rate: float = 1.0):
        super().__init__()
        self.rate = rate
        self.register_buffer("start", start)
        self.change = nn.Parameter(torch.zeros_like(start))

    def forward(self) -> Float[Tensor, "count dim"]:
        return self.start + self.rate * self.change


class LearnedEmbedding(nn.Module):
    """A text encoder's embedding of tokens, with rows for more of them. ``first``: the number of the first new token.

    The encoder's own rows stay apart, so that the new ones alone can learn.
    """

    def __init__(self, plain: nn.Module, learned: LearnedRows, first: int):
        super().__init__()
        self.plain, self.first, self.learned = plain, first, learned

    def forward(self, tokens: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch dim"]:
        known = self.plain(tokens.clamp(max=self.first - 1))
        learned = self.learned()[(tokens - self.first).clamp(min=0)].to(known.dtype)
        return torch.where((tokens < self.first)[..., None], known, learned)


@dataclass(frozen=True)
class Entry:
    """A word of a file: its vectors for each text encoder, and its tokens, one for each vector."""

    path: Path
    word: str
    vectors: tuple[Vectors, ...]
    tokens: tuple[str, ...]


class Vocabulary:
    """The words that were learned. A word has a token for each of its vectors, an alias has those it stands for.

    It never changes: several threads may spell at once.
    """

    def __init__(self, files: Sequence[WordFile] = ()):
        """Compose the words of ``files``.

        :raises UserError: naming both files, if two define a word.
        """
        self.files = tuple(files)
        self._entries = [_entries(file) for file in files]
        entries = [entry for found in self._entries for entry in found]
        _check_once([(entry.word, entry.path) for entry in entries], files)
        tokens = [token for entry in entries for token in entry.tokens]
        if len(tokens) > MAX_TOKENS:
            raise UserError(f"may have {MAX_TOKENS} vectors together; these have {len(tokens)}", key="words")
        self._words = {entry.word.lower(): "".join(entry.tokens) for entry in entries}
        self.words, self.aliases = [entry.word for entry in entries], [name for file in files for name in file.aliases]
        self._aliases: dict[str, str] = {}
        self._pattern = _pattern(tokens, self.words, [])
        self._aliases = {alias: self.spelled(text) for file in files for alias, text in file.aliases.items()}
        self._pattern = _pattern(tokens, self.words, self.aliases)

    def spelled(self, text: str) -> str:
        """Return a prompt with tokens in place of learned words and aliases. To spell it again changes nothing."""
        return self._pattern.sub(self._spelling, text) if self._words else text

    def has(self, text: str) -> bool:
        """Return whether a prompt has any of the words."""
        return bool(self._words) and self._pattern.search(text) is not None

    def _spelling(self, found: re.Match[str]) -> str:
        said = found[0]
        return said if found["token"] else self._aliases.get(said) or self._words[said.lower()]

    def teach(self, towers: Sequence[Any], tokenizers: Sequence[Any], known: int = 0, rate: float = 1.0) -> None:
        """Add the words to text encoders and their tokenizers, which are changed in place, once all of them fit.

        ``known``: how many files they have been taught already. ``rate``: see `LearnedRows`.

        :raises UserError: naming file, word and tensor of one that is known already or does not fit.
        """
        new = self._entries[known:]
        if not new:
            return
        dims = [tower.config.hidden_size for tower in towers]
        read = {text for tokenizer in tokenizers for text in tokenizer.get_vocab()}
        for entry in (entry for entries in new for entry in entries):
            _check_fit(entry, dims)
            if {f"{entry.word.lower()}</w>", *entry.tokens} & read:
                raise UserError(f"{entry.path}: the text encoder knows the word {entry.word!r}; give it another name")
        for number, (tower, tokenizer) in enumerate(zip(towers, tokenizers, strict=True)):
            for entries in new:
                _add(entries, number, tower, tokenizer, rate)


def read_vocabulary(paths: Sequence[str]) -> Vocabulary:
    """Return the words of files (`aognet.diffusion.word_files.read_words`)."""
    return Vocabulary([read_words(expanded(path)) for path in paths])


def _entries(file: WordFile) -> list[Entry]:
    return [Entry(file.path, word, parts, _tokens(word, len(parts[0].rows))) for word, parts in file.words.items()]


def _tokens(word: str, count: int) -> tuple[str, ...]:
    """Return the names of a word's tokens: ``<word>``, or ``<word:0><word:1>`` ..."""
    bare = _bare(word)
    return (f"<{bare}>",) if count == 1 else tuple(f"<{bare}:{number}>" for number in range(count))


def _bare(word: str) -> str:
    return word[1:-1] if word.startswith("<") and word.endswith(">") and len(word) > 2 else word


def _check_once(words: Sequence[tuple[str, Path]], files: Sequence[WordFile]) -> None:
    """Refuse a word that is defined twice. Letters may be small or large, and ``<word>`` is the token of ``word``."""
    owners: dict[str, Path] = {}
    aliases = [(alias, file.path.with_name(SPECIAL)) for file in files for alias in file.aliases]
    for word, path in [*words, *aliases]:
        if (key := _bare(word).lower()) in owners:
            raise UserError(f"{path}: the word {word!r} is defined already, in {owners[key]}; which is meant?")
        owners[key] = path


def _check_fit(entry: Entry, dims: Sequence[int]) -> None:
    has, wanted = len(entry.vectors), len(dims)
    named = " and ".join(f"{part.tensor!r} {list(part.shape)}" for part in entry.vectors)
    if has != wanted or any(part.rows.shape[1] != dim for part, dim in zip(entry.vectors, dims, strict=True)):
        encoders = ("a text encoder", "two text encoders")
        numbers = " and ".join(map(str, dims))
        raise UserError(
            f"{entry.path}: has vectors for {encoders[has - 1]} ({named}), "
            f"but the model has {encoders[wanted - 1]}, with vectors of {numbers} numbers"
        )


def _add(entries: Sequence[Entry], number: int, tower: Any, tokenizer: Any, rate: float) -> None:
    """Add the words of a file to the text encoder of a number."""
    from tokenizers import AddedToken

    first = len(tokenizer)
    rows = torch.cat([entry.vectors[number].rows for entry in entries])
    tokens = [AddedToken(token, normalized=False) for entry in entries for token in entry.tokens]
    tokenizer.add_tokens(tokens)
    learned = LearnedRows(rows, rate).to(tower.device)
    tower.set_input_embeddings(LearnedEmbedding(tower.get_input_embeddings(), learned, first))
    tower.config.vocab_size = max(tower.config.vocab_size, len(tokenizer))


def _pattern(tokens: Sequence[str], words: Sequence[str], aliases: Sequence[str]) -> re.Pattern[str]:
    """Return what finds tokens as they are, aliases in their letters, and words in small or large ones."""
    found = [f"(?P<token>{_either([re.escape(token) for token in tokens])})"]
    found += [f"(?:{_either([_whole(alias) for alias in aliases])})"] if aliases else []
    found += [f"(?i:{_either([_whole(word) for word in words])})"]
    return re.compile("|".join(found))


def _either(parts: Sequence[str]) -> str:
    return "|".join(sorted(parts, key=len, reverse=True))


def _whole(word: str) -> str:
    """Return what finds a word that is not a part of a longer one."""
    before = r"(?<!\w)" if re.match(r"\w", word) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", word) else ""
    return f"{before}{re.escape(word)}{after}"
