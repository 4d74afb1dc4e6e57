"""Measures one panorama, or a pair: network features of its pictures and its own scores, kept in the store."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from aognet.callbacks import UNHEARD, Listener
from aognet.data.viewing import Pyramid, bordered, view_all
from aognet.data.whole import turned
from aognet.errors import UserError
from aognet.evaluation.light import is_light, light_pair_scores, light_scores, read_light_panorama
from aognet.evaluation.protocol import PictureConfig, Protocol, cameras_of, digest_of
from aognet.evaluation.sets import PanoramaFile, Unit
from aognet.geometry.camera import Camera
from aognet.geometry.plans import known_by
from aognet.hdr.three_spheres import three_spheres
from aognet.io.decoding import decode_file
from aognet.io.digest import content_digest
from aognet.io.images import as_panorama, from_uint8, load, panorama_bytes, to_uint8
from aognet.io.store import Store
from aognet.metrics.cube_edges import cube_edge_ratio
from aognet.metrics.discontinuity import discontinuity_score
from aognet.metrics.masked import masked_mean
from aognet.metrics.psnr import psnr
from aognet.metrics.seam import pole_gradient_ratio, wrap_gradient_ratio
from aognet.metrics.sharpness import sharpness
from aognet.metrics.ssim import ssim_map
from aognet.metrics.unknown import unknown_share
from aognet.perception.lpips import PerceptualDistance
from aognet.perception.network import FeatureNetwork
from aognet.system.processes import Processes
from aognet.system.workers import in_threads, usable_cores

RECIPE = 1  # counts the changes after which the same panorama gets other numbers
PAIR_RECIPE = 2  # the same for a pair
Pictures = dict[str, Float[Tensor, "pictures 3 rows columns"]]


@dataclass(frozen=True)
class UnitDigests:
    """The digests of the contents of a unit's files; None where there is no file."""

    generated: str | None
    reference: str | None


@dataclass(frozen=True)
class DecodedPanorama:
    """The pixels of a panorama, and which of them are not transparent (None: all)."""

    pixels: UInt8[np.ndarray, "height width 3"]
    known: Bool[Tensor, "1 1 height width"] | None


@dataclass(frozen=True)
class ImagePair:
    """A generated image, its reference, and the pictures of both that are compared one by one.

    ``key``: its name in the store. ``masks``: region -> its pixels (None: all).
    """

    key: str
    generated: Float[Tensor, "1 3 height width"]
    reference: Float[Tensor, "1 3 height width"]
    masks: dict[str, Bool[Tensor, "1 1 height width"] | None]
    pictures: dict[str, tuple[Tensor, Tensor]]


@dataclass
class PreparedUnit:
    """A unit whose files are read, and decoded where something in them is new; the networks have not seen it yet.

    ``pictures``: key in the store -> the fingerprint of a network, and the pictures it is to see.
    """

    digests: UnitDigests
    pictures: dict[str, tuple[str, Pictures]] = field(default_factory=dict)
    pair: ImagePair | None = None


class Measurer:
    """Measures units by a protocol. ``networks`` and ``perceptual``: role -> network, of the roles that have one."""

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

    # Keys of the store

    def features_key(self, content: str, fingerprint: str) -> str:
        """Name the features that a network gives for the pictures of a panorama: a tensor for each kind of picture."""
        return digest_of("features", RECIPE, content, self.height, fingerprint, self.pictures[fingerprint])

    def shape_key(self, content: str) -> str:
        """Name the scores of a panorama that need no network."""
        return digest_of("shape", RECIPE, content, self.height)

    def pair_key(self, generated: str, reference: str, photo: Camera | None) -> str:
        """Name the scores of a pair."""
        networks = {role: network.fingerprint for role, network in self.perceptual.items()}
        compared = self._compared_pictures()
        return digest_of(
            "pair", PAIR_RECIPE, generated, reference, self.height, photo and asdict(photo), networks, compared
        )

    def light_key(self, *contents: str) -> str:
        """Name the scores of the light of a panorama, or of a generated one and its reference."""
        return digest_of("light", RECIPE, contents, self.height)

    def _compared_pictures(self) -> dict[str, PictureConfig]:
        """Return the pictures of pairs that a perceptual distance compares."""
        names = {measure.pictures for measure in self.protocol.measures if measure.kind == "lpips"} - {""}
        return {name: self.protocol.pictures[name] for name in sorted(names)}

    # What is measured

    def prepare(self, unit: Unit) -> PreparedUnit:
        """Read a unit's files and take the pictures that no network has seen yet.

        :raises UserError: naming a file that cannot be read.
        """
        sides = {"generated": unit.generated, "reference": unit.reference}
        items = {side: item for side, item in sides.items() if item}
        files = {side: _read(item) for side, item in items.items()}
        digests = {side: content_digest(content) for side, content in files.items()}
        prepared = PreparedUnit(UnitDigests(digests.get("generated"), digests.get("reference")))

        @cache
        def decoded(side: str) -> DecodedPanorama:
            return decode(files[side], items[side], self.height)

        @cache
        def pyramid(side: str) -> Pyramid:
            return bordered(decoded(side).pixels)

        for side, content in digests.items():
            keys = {key: fp for fp in self.networks if self.store.get(key := self.features_key(content, fp)) is None}
            prepared.pictures |= {
                key: (fp, {name: take(pyramid(side), config) for name, config in self.pictures[fp].items()})
                for key, fp in keys.items()
            }
            if self.store.get(self.shape_key(content)) is None:
                self.store.put(self.shape_key(content), _shape_scores(decoded(side)))
        self._measure_light(items, digests)
        if len(digests) == 2:
            key = self.pair_key(digests["generated"], digests["reference"], unit.photo)
            if self.store.get(key) is None:
                prepared.pair = ImagePair(
                    key,
                    _image(decoded("generated")),
                    _image(decoded("reference")),
                    _region_masks(unit.photo, self.height),
                    {
                        name: (take(pyramid("generated"), config), take(pyramid("reference"), config))
                        for name, config in self._compared_pictures().items()
                    },
                )
        return prepared

    @torch.no_grad()
    def _measure_light(self, items: Mapping[str, PanoramaFile], digests: Mapping[str, str]) -> None:
        """Store the scores of what holds linear light, and of a pair of such."""
        lit = [side for side, item in items.items() if is_light(item)]

        @cache
        def light(side: str) -> Float[Tensor, "1 3 height width"]:
            return read_light_panorama(items[side], self.height)

        for side in lit:
            if self.store.get(key := self.light_key(digests[side])) is None:
                self.store.put(key, light_scores(light(side)))
        if len(lit) == 2 and self.store.get(key := self.light_key(digests["generated"], digests["reference"])) is None:
            both = [(light(side), three_spheres(light(side))) for side in ("generated", "reference")]
            self.store.put(key, light_pair_scores(*both))

    @torch.no_grad()
    def finish(self, prepared: PreparedUnit) -> UnitDigests:
        """Run the networks on what they have not seen yet, and store what they give."""
        for key, (fingerprint, pictures) in prepared.pictures.items():
            self.store.put(key, self._run(self.networks[fingerprint], pictures))
        if prepared.pair:
            self.store.put(prepared.pair.key, self._compare(prepared.pair))
        return prepared.digests

    def _compare(self, pair: ImagePair) -> dict[str, Tensor]:
        """Return the scores of a pair, with keys ``measure[/role]/region`` and ``lpips/role/pictures``."""
        generated, reference = pair.generated, pair.reference
        scores = {f"psnr/{name}": psnr(generated, reference, mask) for name, mask in pair.masks.items()}
        scores |= {f"sharpness/{name}": sharpness(generated, reference, mask) for name, mask in pair.masks.items()}
        maps = {"ssim": ssim_map(generated, reference)}
        for role, network in self.perceptual.items():
            maps[f"lpips/{role}"] = network.map(generated.to(self.device), reference.to(self.device)).cpu()
            for name, (mine, theirs) in pair.pictures.items():
                distances = network.distance(mine.to(self.device), theirs.to(self.device))
                scores[f"lpips/{role}/{name}"] = distances.mean().cpu()
        for measure, values in maps.items():
            scores |= {f"{measure}/{name}": masked_mean(values, mask) for name, mask in pair.masks.items()}
        return scores

    def _run(self, network: FeatureNetwork, pictures: Pictures) -> dict[str, Tensor]:
        """Return the features of all pictures; those of one size share batches."""
        by_shape: dict[torch.Size, list[str]] = {}
        for name, images in pictures.items():
            by_shape.setdefault(images.shape[1:], []).append(name)
        found: dict[str, Tensor] = {}
        for names in by_shape.values():
            batches = torch.cat([pictures[name] for name in names]).split(self.batch_size)
            features = torch.cat([network.features(batch.to(self.device)).float().cpu() for batch in batches])
            parts = features.split([len(pictures[name]) for name in names])
            found |= {name: part.clone() for name, part in zip(names, parts, strict=True)}
        return found

    # What was measured

    def features(
        self, contents: Sequence[str], fingerprint: str, pictures: str
    ) -> Iterator[Float[Tensor, "pictures dim"]]:
        """Yield the features of some pictures, one panorama after the other."""
        for content in contents:
            yield self._stored(self.features_key(content, fingerprint))[pictures]

    def shape_scores(self, content: str) -> dict[str, float]:
        """Return the scores of a panorama that need no network, by kind of measure."""
        return {name: float(value) for name, value in self._stored(self.shape_key(content)).items()}

    def light_scores(self, *contents: str) -> dict[str, float]:
        """Return the scores of the light of a panorama by kind, or of a pair with the keys of `light_pair_scores`."""
        return {name: float(value) for name, value in self._stored(self.light_key(*contents)).items()}

    def pair_scores(self, generated: str, reference: str, photo: Camera | None) -> dict[str, float]:
        """Return the scores of a pair, with the keys of ``_compare``."""
        stored = self._stored(self.pair_key(generated, reference, photo))
        return {name: float(value) for name, value in stored.items()}

    def _stored(self, key: str) -> Mapping[str, Tensor]:
        tensors = self.store.get(key)
        if tensors is None:
            gone = f"{self.store.folder}: {key} is gone or broken; the same command measures it anew"
            raise UserError(gone, key="cache")
        return tensors


def measure_units(
    measurer: Measurer, units: Sequence[Unit], threads: int, processes: Processes, listener: Listener = UNHEARD
) -> list[UnitDigests]:
    """Measure what is new, each process its share, and return the digests of all units in every process.

    ``threads`` decode files beside the networks; 0: as many as this process has cores.
    """
    ours = range(processes.number, len(units), processes.count)
    mine = [units[number] for number in ours]
    found: list[tuple[int, UnitDigests]] = []
    prepared = in_threads(measurer.prepare, mine, threads or max(usable_cores() // processes.count, 1))
    for number, unit in zip(ours, prepared, strict=True):
        found.append((number, measurer.finish(unit)))
        listener.tell("panoramas", len(found), len(mine))
    processes.wait()
    return [digests for _, digests in sorted(processes.gathered(found), key=lambda pair: pair[0])]


def take(panorama: Pyramid, config: PictureConfig) -> Float[Tensor, "pictures 3 rows columns"]:
    """Take the pictures of a panorama; in [-1, 1]."""
    if config.kind == "panorama":
        return turned(panorama, -round(config.turn_degrees / 360 * 2 * panorama.height))[None]
    return view_all(panorama, cameras_of(config))


def decode(content: bytes, item: PanoramaFile, height: int) -> DecodedPanorama:
    """Decode the content of a file to a panorama of ``height`` x ``2 height``.

    :raises UserError: naming the file that cannot be decoded.
    """
    if is_light(item):
        loaded = load(item.path)
        pixels = to_uint8(as_panorama(loaded, height, str(item.path))).permute(1, 2, 0).contiguous().numpy()
        opacity = None if loaded.opacity is None else loaded.opacity[0, ..., None].numpy()
        return DecodedPanorama(pixels, _known(opacity, height))
    picture = decode_file(content, str(item.path))
    return DecodedPanorama(panorama_bytes(picture, str(item.path), height), _known(picture.alpha, height))


def _known(opacity: np.ndarray | None, height: int) -> Tensor | None:
    """Resize opacity [rows, columns, 1] to the nearest pixels and tell which are known; None where all are."""
    if opacity is None:
        return None
    sizes = zip((height, 2 * height), opacity.shape[:2], strict=True)
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(int) for new, old in sizes)
    nearest = opacity[..., 0][np.ix_(rows, columns)]
    return torch.from_numpy(nearest > 0)[None, None]


def _read(item: PanoramaFile) -> bytes:
    try:
        return item.path.read_bytes()
    except OSError as error:
        raise UserError(f"{item.path}: cannot be read ({error.strerror})") from error


def _image(decoded: DecodedPanorama) -> Float[Tensor, "1 3 height width"]:
    return from_uint8(torch.from_numpy(decoded.pixels).permute(2, 0, 1)[None])


def _shape_scores(decoded: DecodedPanorama) -> dict[str, Tensor]:
    image = _image(decoded)
    known = torch.ones_like(image[:, :1], dtype=torch.bool) if decoded.known is None else decoded.known
    return {
        "discontinuity": discontinuity_score(image),
        "wrap_gradient": wrap_gradient_ratio(image),
        "pole_gradient": pole_gradient_ratio(image),
        "cube_edges": cube_edge_ratio(image),
        "unknown": unknown_share(known),
    }


def _region_masks(photo: Camera | None, height: int) -> dict[str, Bool[Tensor, "1 1 height width"] | None]:
    if photo is None:
        return {"whole": None}
    seen = known_by([photo], height)[None, None]
    return {"whole": None, "photo": seen, "outside": ~seen}
