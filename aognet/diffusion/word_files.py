"""Files of learned words (textual inversion, Gal et al. 2022): vectors that stand for words no text encoder knows.

Each layout is safetensors: ``text_encoders_0`` and ``text_encoders_1`` (cog-sdxl's ``.pti``), ``clip_l`` and ``clip_g``
(SDXL in A1111 and diffusers), ``emb_params`` (A1111), or one tensor under each word (diffusers).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import torch
from torch import Tensor

from aognet.diffusion.foreign import LORA
from aognet.errors import UserError
from aognet.io.digest import content_digest
from aognet.io.files import is_file
from aognet.io.text_files import read_json
from aognet.nn.weights import read_tensors

SPECIAL = "special_params.json"
COG = ("text_encoders_0", "text_encoders_1")
PAIRED = ("clip_l", "clip_g")
UNNAMED = ("emb_params", "*", "string_to_param.*")
# Of an SDXL training of diffusers, whose second encoder has a file of its own.
SECOND_FILE = {"learned_embeds.safetensors": "learned_embeds_2.safetensors"}
MAX_BYTES = 16 * 2**20
MAX_VECTORS = 75  # a prompt has no room for more
MAX_CHARACTERS = 100
MAX_ALIASES = 100
TOKEN = re.compile(r"<[^<>\s]+>")
NUMBERED = re.compile(r"<(?P<name>[^<>\s]*?)(?P<row>\d+)>")
PICKLED = (b"\x80", b"PK\x03\x04")


@dataclass(frozen=True)
class Vectors:
    """What one text encoder reads for a word, [count, dim]. ``tensor`` and ``shape``: those of the file."""

    tensor: str
    shape: tuple[int, ...]
    rows: Tensor


@dataclass(frozen=True)
class WordFile:
    """``words``: the vectors of each word, for each text encoder. ``aliases``: texts that stand for some of them."""

    path: Path
    words: Mapping[str, tuple[Vectors, ...]]
    aliases: Mapping[str, str]

    @property
    def identity(self) -> str:
        """A digest of the words, their vectors and aliases."""
        told = repr([*self.words, *sorted(self.aliases.items())]).encode()
        rows = [part.rows for parts in self.words.values() for part in parts]
        return content_digest(b"".join([told, *(values.contiguous().numpy().tobytes() for values in rows)]))


def read_words(path: Path) -> WordFile:
    """Return the words of a file, in float32. ``special_params.json`` beside it says what else they are called.

    Without it the words of a ``.pti`` are ``<s0>``, ``<s1>`` ..., one for each row. Other words are called as their
    tensor is, or as the file, and may have several vectors.

    :raises UserError: naming file and tensor, for a pickle, another layout, or vectors that no word has.
    """
    tensors = _tensors(path)
    aliases = _aliases(path.with_name(SPECIAL))
    layout = next((names for names in (COG, PAIRED) if tensors.keys() <= set(names)), None)
    if layout is not None:
        if layout[0] not in tensors:
            raise UserError(f"{path}: has {layout[1]}, but {layout[0]} is missing")
        parts = [_vectors(path, name, tensors[name]) for name in layout if name in tensors]
        if len({len(part.rows) for part in parts}) > 1:
            raise UserError(f"{path}: {layout[0]} is {list(parts[0].shape)}, but {layout[1]} {list(parts[1].shape)}")
        if layout is COG or aliases:
            return WordFile(path, _numbered(path, parts, aliases), aliases)
        return WordFile(path, {_word(path, path.stem): tuple(parts)}, {})
    if len(tensors) == 1 and (name := next(iter(tensors))) in UNNAMED:
        parts = [_vectors(path, name, tensors[name])]
        words = _numbered(path, parts, aliases) if aliases else {_word(path, path.stem): tuple(parts)}
        return WordFile(path, words, aliases)
    words = {_word(path, name): _with_second(path, name, tensor) for name, tensor in tensors.items()}
    ours = {name: text for name, text in aliases.items() if set(TOKEN.findall(text)) <= words.keys()}
    return WordFile(path, words, ours)


def _tensors(path: Path) -> dict[str, Tensor]:
    """Read a file that is neither a pickle nor too large nor of other things than words."""
    if path.is_dir():
        raise UserError(f"{path}: a folder; learned words are a file, such as embeddings.pti")
    if not is_file(path):
        raise UserError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            start, size = file.read(9), path.stat().st_size
    except OSError as error:
        raise UserError(f"{path}: cannot read this file ({error.strerror})") from error
    # A safetensors file starts with a length in 8 bytes, of which the first may be a pickle's, and its JSON.
    if start.startswith(PICKLED) and start[8:] != b"{":
        command = f"aognet convert-weights {quote(str(path))}"
        raise UserError(f"{path}: a pickle, which can run code when it is read; convert it once: {command}")
    if size > MAX_BYTES:
        raise UserError(f"{path}: larger than learned words are ({size} bytes, at most {MAX_BYTES})")
    tensors = read_tensors(path)
    if not tensors:
        raise UserError(f"{path}: no tensor is in it")
    if found := next((name for name in tensors if LORA.search(name)), None):
        raise UserError(f"{path}: holds no learned words but a LoRA (among its tensors {found!r})")
    return tensors


def _vectors(path: Path, name: str, tensor: Tensor) -> Vectors:
    """Check the vectors of a tensor. A single one may lack the dimension of the count."""
    shape = tuple(tensor.shape)
    said = f"{path}: {name!r} ({list(shape)})"
    if not tensor.is_floating_point() or len(shape) not in (1, 2):
        raise UserError(f"{said}: learned words are rows of real numbers")
    rows = tensor.float().reshape(-1, shape[-1]) if shape[-1] else tensor.float()
    if not rows.numel():
        raise UserError(f"{said}: is empty")
    if len(rows) > MAX_VECTORS:
        raise UserError(f"{said}: has more vectors than a prompt has room for ({MAX_VECTORS})")
    if not torch.isfinite(rows).all():
        raise UserError(f"{said}: has numbers that are not finite")
    return Vectors(name, shape, rows)


def _with_second(path: Path, name: str, tensor: Tensor) -> tuple[Vectors, ...]:
    first = _vectors(path, name, tensor)
    second = path.with_name(SECOND_FILE.get(path.name, path.name))
    if second == path or not is_file(second):
        return (first,)
    tensors = _tensors(second)
    if name not in tensors:
        raise UserError(f"{second}: has no {name!r}, as {path.name} has")
    return first, _vectors(second, name, tensors[name])


def _word(path: Path, name: str) -> str:
    if not name or name != name.strip() or not name.isprintable() or len(name) > MAX_CHARACTERS:
        raise UserError(f"{path}: {name[:MAX_CHARACTERS]!r} cannot be a word of a prompt; rename the file or tensor")
    return name


def _aliases(path: Path) -> dict[str, str]:
    """Read which texts stand for learned words: ``{"TOK": "<s0><s1>"}``."""
    if not is_file(path):
        return {}
    found = read_json(path)
    if len(found) > MAX_ALIASES:
        raise UserError(f"{path}: names {len(found)} words, at most {MAX_ALIASES} are read")
    for name, text in found.items():
        _word(path, name)
        if not isinstance(text, str) or not TOKEN.search(text) or len(text) > MAX_CHARACTERS * MAX_VECTORS:
            raise UserError(f"{path}: {name}: expected learned words such as '<s0><s1>', got {str(text)[:80]!r}")
    return found


def _numbered(path: Path, parts: list[Vectors], aliases: Mapping[str, str]) -> dict[str, tuple[Vectors, ...]]:
    """Return each row as a word: ``<s0>``, ``<s1>`` ..., or with the name that the aliases give them."""
    count, special = len(parts[0].rows), path.with_name(SPECIAL)
    names = {token for text in aliases.values() for token in TOKEN.findall(text)}
    called = {match["name"] if (match := NUMBERED.fullmatch(token)) else token for token in names} or {"s"}
    if len(called) > 1:
        raise UserError(f"{special}: the words of a file have one name and a number, got {', '.join(sorted(names))}")
    name = called.pop()
    rows = {f"<{name}{row}>": row for row in range(count)}
    if unknown := sorted(names - rows.keys()):
        raise UserError(f"{special}: {unknown[0]} is not among the {count} words of {path.name}")
    return {
        word: tuple(Vectors(part.tensor, part.shape, part.rows[row : row + 1]) for part in parts)
        for word, row in rows.items()
    }
