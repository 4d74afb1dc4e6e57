"""Measuring one panorama, or a pair: features of its pictures and its own scores, kept in the store by content."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from aognet.data.viewing import Pyramid, bordered
from aognet.errors import UserError
from aognet.evaluation.images import Decoded, Item, decode
from aognet.evaluation.pictures import take
from aognet.evaluation.protocol import PictureConfig, Protocol, digest_of
from aognet.geometry.camera import Camera
from aognet.geometry.plans import known_by
from aognet.io.digest import content_digest
from aognet.io.images import from_uint8
from aognet.io.store import Store
from aognet.metrics.cube_edges import cube_edge_ratio
from aognet.metrics.discontinuity import discontinuity_score
from aognet.metrics.masked import masked_mean
from aognet.metrics.psnr import psnr
from aognet.metrics.seam import pole_gradient_ratio, wrap_gradient_ratio
from aognet.metrics.ssim import ssim_map
from aognet.metrics.unknown import unknown_share
from aognet.perception.lpips import PerceptualDistance
from aognet.perception.network import FeatureNetwork

RECIPE = 1  # counts the changes after which the same panorama gets other numbers
Pictures = dict[str, Float[Tensor, "pictures 3 rows columns"]]


@dataclass(frozen=True)
class Unit:
    """What is measured together: a generated panorama and its reference, or one of them alone.

    ``photo``: the camera of the photograph that the generated one continues.
    """

    generated: Item | None
    reference: Item | None
    photo: Camera | None = None


@dataclass(frozen=True)
class Contents:
    """The digests of the files of a unit."""

    generated: str | None
    reference: str | None


@dataclass
class Prepared:
    """A unit read and decoded as far as something in it is new; the networks are still to be asked.

    ``pictures``: store key -> network's fingerprint and what it is to see.
    """

    unit: Unit
    contents: Contents
    pictures: dict[str, tuple[str, Pictures]] = field(default_factory=dict)
    pair: "Pair | None" = None


@dataclass(frozen=True)
class Pair:
    """A generated panorama beside its reference, and the pictures of both that are compared one by one."""

    key: str
    generated: Float[Tensor, "1 3 height width"]
    reference: Float[Tensor, "1 3 height width"]
    masks: dict[str, Bool[Tensor, "1 1 height width"] | None]
    pictures: dict[str, tuple[Tensor, Tensor]]


class Measurer:
    """Measures units by a protocol. ``networks`` and ``perceptual``: role -> network, those that are there."""

    def __init__(
        self,
        protocol: Protocol,
        height: int,
        networks: Mapping[str, FeatureNetwork],
        perceptual: Mapping[str, PerceptualDistance],
        store: Store,
        batch_size: int,
        device: torch.device,
    ):
        self.protocol, self.height, self.store = protocol, height, store
        self.perceptual, self.batch_size, self.device = perceptual, batch_size, device
        self.networks = {network.fingerprint: network for network in networks.values()}
        self.pictures = {
            fingerprint: self._pictures_of(role for role in networks if networks[role].fingerprint == fingerprint)
            for fingerprint in self.networks
        }

    def _pictures_of(self, roles: Iterator[str]) -> dict[str, PictureConfig]:
        wanted = {name for role in roles for name in self.protocol.pictures_for(role)}
        return {name: self.protocol.pictures[name] for name in sorted(wanted)}

    # Names in the store

    def features_key(self, content: str, fingerprint: str) -> str:
        """Of the features that a network gives for a panorama's pictures: one tensor for each kind of pictures."""
        return digest_of("features", RECIPE, content, self.height, fingerprint, self.pictures[fingerprint])

    def shape_key(self, content: str) -> str:
        """Of the scores that need no network."""
        return digest_of("shape", RECIPE, content, self.height)

    def pair_key(self, generated: str, reference: str, photo: Camera | None) -> str:
        """Of the scores of a pair."""
        networks = {role: network.fingerprint for role, network in self.perceptual.items()}
        seen = {name: self.protocol.pictures[name] for name in self._compared()}
        return digest_of("pair", RECIPE, generated, reference, self.height, photo and asdict(photo), networks, seen)

    def _compared(self) -> list[str]:
        """The pictures of pairs that a perceptual distance looks at."""
        return sorted({one.pictures for one in self.protocol.measures if one.kind == "lpips" and one.pictures})

    # Measuring

    def prepare(self, unit: Unit) -> Prepared:
        """Reads a unit's files and takes the pictures that no network has seen yet. Raises UserError naming a file."""
        items = {"generated": unit.generated, "reference": unit.reference}
        files = {side: _read(item) for side, item in items.items() if item}
        digests = {side: content_digest(content) for side, content in files.items()}
        prepared = Prepared(unit, Contents(digests.get("generated"), digests.get("reference")))

        @cache
        def pixels(side: str) -> Decoded:
            return decode(files[side], items[side], self.height)

        @cache
        def pyramid(side: str) -> Pyramid:
            return bordered(pixels(side).pixels)

        for side, content in digests.items():
            keys = {key: fp for fp in self.networks if self.store.get(key := self.features_key(content, fp)) is None}
            prepared.pictures |= {key: (fp, self._take(pyramid(side), fp)) for key, fp in keys.items()}
            if self.store.get(self.shape_key(content)) is None:
                self.store.put(self.shape_key(content), _shape(pixels(side)))
        if len(digests) == 2:
            key = self.pair_key(digests["generated"], digests["reference"], unit.photo)
            if self.store.get(key) is None:
                images = (_image(pixels(side)) for side in digests)
                configs = {name: self.protocol.pictures[name] for name in self._compared()}
                compared = {name: tuple(take(pyramid(side), one) for side in digests) for name, one in configs.items()}
                prepared.pair = Pair(key, *images, _masks(unit.photo, self.height), compared)
        return prepared

    def _take(self, pyramid: Pyramid, fingerprint: str) -> Pictures:
        return {name: take(pyramid, config) for name, config in self.pictures[fingerprint].items()}

    @torch.no_grad()
    def finish(self, prepared: Prepared) -> Contents:
        """Asks the networks what is still to be asked, and keeps it."""
        for key, (fingerprint, pictures) in prepared.pictures.items():
            self.store.put(key, self._features(self.networks[fingerprint], pictures))
        if prepared.pair:
            self.store.put(prepared.pair.key, self._compare(prepared.pair))
        return prepared.contents

    def _compare(self, pair: Pair) -> dict[str, Tensor]:
        """Scores of a pair, keys ``measure[/role]/region`` and ``lpips/role/pictures``."""
        generated, reference = pair.generated, pair.reference
        scores = {f"psnr/{name}": psnr(generated, reference, mask) for name, mask in pair.masks.items()}
        maps = {"ssim": ssim_map(generated, reference)}
        for role, network in self.perceptual.items():
            maps[f"lpips/{role}"] = network.map(generated.to(self.device), reference.to(self.device)).cpu()
            for name, (mine, theirs) in pair.pictures.items():
                distances = network.distance(mine.to(self.device), theirs.to(self.device))
                scores[f"lpips/{role}/{name}"] = distances.mean().cpu()
        for measure, values in maps.items():
            scores |= {f"{measure}/{name}": masked_mean(values, mask) for name, mask in pair.masks.items()}
        return scores

    def _features(self, network: FeatureNetwork, pictures: Pictures) -> dict[str, Tensor]:
        """Features of all kinds of pictures, those of one size in batches together."""
        by_shape: dict[torch.Size, list[str]] = {}
        for name, images in pictures.items():
            by_shape.setdefault(images.shape[1:], []).append(name)
        found: dict[str, Tensor] = {}
        for names in by_shape.values():
            images = torch.cat([pictures[name] for name in names])
            chunks = images.split(self.batch_size)
            features = torch.cat([network.features(chunk.to(self.device)).float().cpu() for chunk in chunks])
            parts = features.split([len(pictures[name]) for name in names])
            found |= {name: part.clone() for name, part in zip(names, parts, strict=True)}
        return found

    # What was found

    def features(self, contents: Sequence[str], fingerprint: str, pictures: str) -> Iterator[Tensor]:
        """The features of some pictures of panoramas, one panorama after the other."""
        for content in contents:
            yield self._kept(self.features_key(content, fingerprint))[pictures]

    def shape(self, content: str) -> dict[str, float]:
        """The scores of a panorama that need no network."""
        return {name: float(value) for name, value in self._kept(self.shape_key(content)).items()}

    def pair(self, contents: Contents, photo: Camera | None) -> dict[str, float]:
        """The scores of a pair, by the keys of ``_compare``."""
        kept = self._kept(self.pair_key(contents.generated or "", contents.reference or "", photo))
        return {name: float(value) for name, value in kept.items()}

    def _kept(self, key: str) -> dict[str, Tensor]:
        tensors = self.store.get(key)
        if tensors is None:
            raise UserError(f"--cache: {self.store.folder}: {key} is gone or broken; the same command measures it anew")
        return tensors


def _read(item: Item) -> bytes:
    try:
        return item.path.read_bytes()
    except OSError as error:
        raise UserError(f"{item.path}: cannot be read ({error.strerror})") from error


def _image(decoded: Decoded) -> Float[Tensor, "1 3 height width"]:
    return from_uint8(torch.from_numpy(decoded.pixels).permute(2, 0, 1)[None])


def _shape(decoded: Decoded) -> dict[str, Tensor]:
    image = _image(decoded)
    known = torch.ones_like(image[:, :1], dtype=torch.bool) if decoded.known is None else decoded.known
    return {
        "discontinuity": discontinuity_score(image),
        "wrap_gradient": wrap_gradient_ratio(image),
        "pole_gradient": pole_gradient_ratio(image),
        "cube_edges": cube_edge_ratio(image),
        "unknown": unknown_share(known),
    }


def _masks(photo: Camera | None, height: int) -> dict[str, Bool[Tensor, "1 1 height width"] | None]:
    if photo is None:
        return {"whole": None}
    seen = known_by([photo], height)[None, None]
    return {"whole": None, "photo": seen, "outside": ~seen}
