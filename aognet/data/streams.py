"""Panoramas that do not fit one disk: read shard by shard, shuffled, split among all readers, resumable.

The order depends only on the seed, the part and the shards. Every epoch permutes the shards. Part i of N reads the
shards i, i + N, .... Within a part, blocks of encoded panoramas are permuted before they are decoded. So a few numbers
say where a reader is (`Position`), and reading resumes there without decoding anything again.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from aognet.data.captioned_panorama import CaptionedPanorama
from aognet.data.shards import (
    IMAGE_NAMES,
    MAX_IMAGE_BYTES,
    MAX_TEXT_BYTES,
    Encoded,
    ShardImage,
    Shards,
    TarShards,
    hub_shards,
    tar_files,
)
from aognet.data.viewing import bordered
from aognet.errors import UserError
from aognet.io.images import decode_panorama

log = logging.getLogger(__name__)

CAPTION_NAMES = ("txt", "text", "caption", "captions", "prompt", "json")
BLOCK_BYTES = 2**30
BARREN_EPOCHS = 16


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """What is streamed: either ``shards`` or ``dataset``.

    - ``shards``: tar files in the WebDataset layout, folders of them, globs, ranges (``{000..099}.tar``), http(s)://
      and hf:// URLs.
    - ``dataset``: a Hugging Face hub id or local folder (Parquet, Arrow, images, tar files), with its ``name``
      (configuration), ``split`` and ``revision``.
    - ``image_key``, ``caption_key``: the extension or column of image and caption (null: found automatically).
      ``augmented_key``: that of further captions. In JSON a dot goes deeper: ``json.long_caption``. A list of texts is
      several captions.
    - ``block``: how many encoded panoramas each reader shuffles together in memory, no more than 1 GiB of them.
      ``views_per_panorama``: how many samples are drawn, one after the other, from each decoded panorama.
    """

    shards: list[str] = field(default_factory=list)
    dataset: str | None = None
    name: str | None = None
    split: str = "train"
    revision: str | None = None
    image_key: str | None = None
    caption_key: str | None = None
    augmented_key: str | None = None
    block: int = 64
    views_per_panorama: int = 1

    def __post_init__(self) -> None:
        if bool(self.shards) == bool(self.dataset):
            raise UserError("or dataset must be set, one of them", key="shards", value=[self.shards, self.dataset])
        for name in ("name", "revision"):
            if self.shards and getattr(self, name) is not None:
                raise UserError("is for a dataset, not for shards", key=name, value=getattr(self, name))
        for name in ("image_key", "caption_key", "augmented_key"):
            if getattr(self, name) == "":
                raise UserError("must be an extension, a column or null", key=name, value="")
        for name in ("block", "views_per_panorama"):
            if getattr(self, name) < 1:
                raise UserError("must be at least 1", key=name, value=getattr(self, name))


@dataclass(frozen=True)
class Position:
    """The position of a reader: the next sample to come."""

    epoch: int = 0
    shard: int = 0
    """Which of the part's shards of this epoch the block begins in."""
    offset: int = 0
    """At which sample of that shard the block begins."""
    block: int = 0
    """The number of the block in the epoch."""
    place: int = 0
    """The panorama in the shuffled block."""
    view: int = 0
    """How many samples of that panorama were drawn."""
    count: int = 0
    """How many samples this reader gave so far."""


@dataclass(frozen=True)
class Streamed:
    """A panorama, the position after it, and the number of the sample to draw from it. No two readers give the same
    number.
    """

    panorama: CaptionedPanorama
    position: Position
    number: int


@dataclass(frozen=True)
class _Share:
    """What a part reads of a shard: one of every ``sharers`` samples."""

    shard: int
    turn: int = 0
    sharers: int = 1

    def wanted(self, first: int) -> range:
        """Return the indices, from ``first`` on."""
        return range(first + (self.turn - first) % self.sharers, 2**62, self.sharers)


@dataclass(frozen=True)
class _Block:
    samples: list[Encoded]
    after: Position
    """Where the next block begins, but for its count."""


class PanoramaStream:
    """The endless panoramas of a ``StreamConfig``, ``height`` rows high."""

    def __init__(self, config: StreamConfig, height: int, seed: int):
        """Find the shards.

        :raises UserError: if there are none.
        """
        self.config, self.height, self.seed = config, height, seed
        if config.dataset:
            source = (config.dataset, config.name, config.split, config.revision)
            self.shards: Shards = hub_shards(*source, self._most_bytes)
        else:
            self.shards = TarShards(tar_files(config.shards), self._most_bytes)
        self._broken: set[str] = set()

    @property
    def layout(self) -> str:
        """What positions depend on, in words. Positions of another layout mean nothing here."""
        block = f"blocks of {self.config.block}, {self.config.views_per_panorama} views per panorama"
        return f"{len(self.shards)} shards, {block}, seed {self.seed}"

    @cached_property
    def fingerprint(self) -> str:
        """A digest of the shards' names and, if they are files, sizes, wherever they lie. Other shards give another
        digest.
        """
        text = json.dumps([_described(place) for place in self.shards.places])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def read(self, part: int, parts: int, position: Position | None = None) -> Iterator[Streamed]:
        """Yield what part ``part`` of ``parts`` sees from a position on, without end.

        In an epoch all parts together see every panorama once. A broken image is reported and left out.

        :raises UserError: for a shard that cannot be read, and if this part finds no panorama.
        """
        assert 0 <= part < parts, f"part {part} of {parts}"
        position, barren, checked = position or Position(), 0, False
        while True:
            first, found = position, 0
            for block in self._blocks(part, parts, position):
                if not checked:
                    self._check_keys(block.samples)
                found, checked = found + len(block.samples), True
                for streamed in self._panoramas(part, parts, block, position):
                    yield streamed
                    position = streamed.position
                position = replace(block.after, count=position.count)
            whole = first == Position(epoch=first.epoch, count=first.count)
            barren = barren + 1 if whole and position.count == first.count else 0
            if barren == BARREN_EPOCHS or (barren and found):
                raise UserError(self._nothing_for(parts, found))
            position = Position(epoch=position.epoch + 1, count=position.count)

    def _shares(self, part: int, parts: int, epoch: int) -> list[_Share]:
        """Return the shards of an epoch that a part reads. If there are fewer shards than parts, parts share one."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.shards)).tolist()
        if len(order) >= parts:
            return [_Share(shard) for shard in order[part::parts]]
        turn, column = divmod(part, len(order))
        return [_Share(order[column], turn, len(range(column, parts, len(order))))]

    def _blocks(self, part: int, parts: int, start: Position) -> Iterator[_Block]:
        """Yield the blocks of an epoch, from the one that contains ``start``."""
        shares = self._shares(part, parts, start.epoch)
        samples, size, number, after = [], 0, start.block, start
        for place in range(start.shard, len(shares)):
            wanted = shares[place].wanted(start.offset if place == start.shard else 0)
            for sample in self.shards.read(shares[place].shard, wanted):
                samples.append(sample)
                size += sample.size
                after = Position(start.epoch, place, sample.index + 1, number + 1)
                if len(samples) == self.config.block or size >= BLOCK_BYTES:
                    yield _Block(samples, after)
                    samples, size, number = [], 0, number + 1
        if samples:
            yield _Block(samples, after)

    def _panoramas(self, part: int, parts: int, block: _Block, position: Position) -> Iterator[Streamed]:
        """Yield the samples of one block, from a position in it on."""
        # [seed, epoch] alone is the order of the shards, and zeros at the end would add nothing to it.
        rng = np.random.default_rng([self.seed, position.epoch, position.block, part + 1])
        order, views = rng.permutation(len(block.samples)), self.config.views_per_panorama
        for place in range(position.place, len(order)):
            panorama = self._panorama(block.samples[order[place]])
            if panorama is None:
                continue
            for view in range(position.view, views):
                number = position.count * parts + part
                next_place, next_view = divmod(place * views + view + 1, views)
                position = replace(position, place=next_place, view=next_view, count=position.count + 1)
                yield Streamed(panorama, position, number)

    def _panorama(self, sample: Encoded) -> CaptionedPanorama | None:
        """Decode a sample. Return None, reported once, if it is broken."""
        if sample.name in self._broken:
            return None
        config, fields = self.config, sample.fields
        try:
            image = _image(fields, config.image_key)
            captions = _captions(fields, config.caption_key)
            augmented = _texts(_find(fields, config.augmented_key)) if config.augmented_key else ()
            pixels = decode_panorama(image.read(), sample.name, self.height)
        except (ValueError, RecursionError) as error:  # UserErrors, broken JSON and texts that are not UTF-8
            self._broken.add(sample.name)
            line = str(error) if sample.name in str(error) else f"{sample.name}: {error}"
            log.warning("%s; it is left out", line)
            return None
        return CaptionedPanorama(bordered(pixels), captions, augmented)

    def _most_bytes(self, extension: str) -> int:
        """Return how large a member of a tar file may be to be read; 0: never."""
        config, kind = self.config, extension.rpartition(".")[2]
        if extension == config.image_key or (config.image_key is None and kind in IMAGE_NAMES):
            return MAX_IMAGE_BYTES
        named = [key for key in (config.caption_key, config.augmented_key) if key]
        if any(f"{key}.".startswith(f"{extension}.") for key in named):
            return MAX_TEXT_BYTES
        return MAX_TEXT_BYTES if config.caption_key is None and kind in CAPTION_NAMES else 0

    def _check_keys(self, samples: Sequence[Encoded]) -> None:
        """Raise UserError for keys that none of the first samples has."""
        config = self.config
        there = ", ".join(dict.fromkeys(name for one in samples for name in one.fields))
        there = f"none of the first {len(samples)} samples has it; they have {there}"
        for name, key in (("caption_key", config.caption_key), ("augmented_key", config.augmented_key)):
            if key and all(_absent(one.fields, key) for one in samples):
                raise UserError(f"{name} must name a text or texts, got {key!r}: {there}")
        images = (_chosen(one.fields, config.image_key).values() for one in samples)
        if not any(isinstance(value, ShardImage) for values in images for value in values):
            raise UserError(f"image_key must name an image, got {config.image_key!r}: {there}")

    def _nothing_for(self, parts: int, found: int) -> str:
        what = self.config.dataset or ", ".join(self.config.shards)
        if found:
            return f"{what}: none of {found} images can be read"
        return f"{what}: fewer panoramas than the {parts} readers (processes x trainer.num_workers): use fewer of those"


def _described(place: str) -> tuple[str, int | None]:
    """Return a shard's name and size. The query of a URL is left out, because it may be a temporary permission."""
    if "://" in place:
        return place.partition("?")[0], None
    path = Path(place)
    return path.name, path.stat().st_size if path.is_file() else None


def _chosen(fields: Mapping[str, Any], key: str | None) -> Mapping[str, Any]:
    return fields if key is None else {key: fields.get(key)}


def _image(fields: Mapping[str, Any], key: str | None) -> ShardImage:
    """Return the image of a sample: the one that ``key`` names, or the only one, or the only one with a plain name."""
    found = {name: value for name, value in _chosen(fields, key).items() if isinstance(value, ShardImage)}
    plain = {name: value for name, value in found.items() if name in IMAGE_NAMES}
    for images in (found, plain):
        if len(images) == 1:
            return next(iter(images.values()))
    if found:
        raise UserError(f"several images ({', '.join(found)}): image_key must say which")
    raise UserError(f"no image file of at most {MAX_IMAGE_BYTES} bytes among {', '.join(fields)}")


def _captions(fields: Mapping[str, Any], key: str | None) -> tuple[str, ...]:
    if key is not None:
        return _texts(_find(fields, key))
    texts = (_texts(_parsed(name, fields[name])) for kind in CAPTION_NAMES for name in fields if _kind(name) == kind)
    return next(filter(None, texts), ())


def _kind(name: str) -> str:
    return name.rpartition(".")[2]


def _parsed(name: str, value: Any) -> Any:
    """Return the bytes of a member as text, or as the content of their JSON."""
    if not isinstance(value, bytes):
        return value
    return json.loads(value) if _kind(name) == "json" else value.decode("utf-8-sig")


def _find(fields: Mapping[str, Any], key: str) -> Any:
    """Return the value of a key, or of ``outer.inner`` keys; None if there is none."""
    if key in fields:
        return _parsed(key, fields[key])
    outer, _, inner = key.partition(".")
    value = _parsed(outer, fields.get(outer))
    return _find(value, inner) if inner and isinstance(value, Mapping) else None


def _absent(fields: Mapping[str, Any], key: str) -> bool:
    try:
        return _find(fields, key) is None
    except (ValueError, RecursionError):
        return False


def _texts(value: Any) -> tuple[str, ...]:
    """Return the non-empty texts of a text, a list of texts, or the caption entry of a mapping."""
    if isinstance(value, Mapping):
        return next(filter(None, (_texts(value.get(name)) for name in CAPTION_NAMES)), ())
    values = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    texts = tuple(" ".join(text.split()) for text in values if isinstance(text, str) and text.strip())
    "".join(texts).encode()  # UnicodeEncodeError for half a character, which JSON may hold and no text encoder reads
    return texts
