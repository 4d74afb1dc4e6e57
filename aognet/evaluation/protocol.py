"""What is measured, on which pictures, in the features of which network: all of it in one YAML file."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from aognet.config import build_config, load_config
from aognet.errors import UserError
from aognet.installed import CONFIGS, known_config

PROTOCOLS = CONFIGS / "evaluation"
MIN_HEIGHT = 32  # below, nothing is left beside the edges of the cube to compare them with
PICTURE_KINDS = ("panorama", "random", "horizon", "random_horizon", "seam", "equator", "poles")
NETWORK_KINDS = ("inception", "clip", "faed", "lpips", "efficientnet")
# What a measure needs: pictures of one kind, a network's features, captions, or a reference of the same name.
MEASURES = {
    "frechet": ("pictures", "network"),
    "kernel": ("pictures", "network"),
    "inception_score": ("pictures", "network"),
    "omnifid": ("network",),
    "clip_score": ("pictures", "network", "captions"),
    "image_similarity": ("pictures", "network", "pairs"),
    "discontinuity": (),
    "wrap_gradient": (),
    "pole_gradient": (),
    "cube_edges": (),
    "unknown": (),
    "psnr": ("pairs",),
    "ssim": ("pairs",),
    "lpips": ("network", "pairs"),  # of pictures, where they are named, else of the panorama
}


@dataclass(frozen=True)
class PictureConfig:
    """Pictures taken of every panorama.

    ``kind``: panorama (the equirectangular image itself), random (views in directions drawn evenly from the sphere),
    horizon (``count`` views all round), random_horizon (the same at random yaws), seam (random pitches, all across the
    wrap), equator (the four lateral faces of the cube), poles (its upper and lower face). ``size``: pixels of a view;
    ``fov_degrees``: its field of view. ``seed``: the same directions for every panorama. ``turn_degrees``: how far
    panorama is rolled first.
    """

    kind: str
    count: int = 8
    size: int = 299
    fov_degrees: float = 90.0
    seed: int = 0
    turn_degrees: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in PICTURE_KINDS:
            raise UserError(f"must be one of {', '.join(PICTURE_KINDS)}", key="kind", value=self.kind)
        if not 1 <= self.count <= 1000:
            raise UserError("must lie in [1, 1000]", key="count", value=self.count)
        if not 8 <= self.size <= 4096:
            raise UserError("must lie in [8, 4096] pixels", key="size", value=self.size)
        if not 0 < self.fov_degrees < 180:
            raise UserError("must be more than 0 and less than 180", key="fov_degrees", value=self.fov_degrees)

    @property
    def title(self) -> str:
        """For the report's table."""
        fov = f"{self.fov_degrees:g}°"
        return {
            "panorama": "panorama" + (f" rolled by {self.turn_degrees:g}°" if self.turn_degrees else ""),
            "random": f"{self.count} random {fov} views",
            "horizon": f"{self.count} horizontal {fov} views",
            "random_horizon": f"{self.count} random horizontal {fov} views",
            "seam": f"{self.count} {fov} views across the wrap",
            "equator": "lateral cube faces",
            "poles": "upper and lower cube face",
        }[self.kind]


@dataclass(frozen=True)
class MeasureConfig:
    """One number of the report: its ``kind``, the ``pictures`` it looks at and the ``network`` whose features it takes.

    ``views``: a clip_score of each view with the captions of its own direction. ``by_face``: the omnifid that averages
    the lateral faces' distances instead of pooling their features. ``region``: whole, photo or outside of pairs.
    ``subsets`` of ``subset_size`` pictures: of a kernel distance. ``splits``: of an inception score. ``published``:
    what the protocol's authors call it, where that is another name.
    """

    kind: str
    pictures: str = ""
    network: str = ""
    views: bool = False
    by_face: bool = False
    region: str = "whole"
    subsets: int = 100
    subset_size: int = 1000
    splits: int = 10
    published: str = ""

    def __post_init__(self) -> None:
        if self.kind not in MEASURES:
            raise UserError(f"must be one of {', '.join(MEASURES)}", key="kind", value=self.kind)
        for need in ("pictures", "network"):
            if need in MEASURES[self.kind] and not getattr(self, need):
                raise UserError(f"is missing: a measure of kind {self.kind!r} needs it", key=need)
        if self.kind == "lpips" and self.pictures and self.region != "whole":
            raise UserError("of single pictures must be whole", key="region", value=self.region)
        if self.region not in ("whole", "photo", "outside"):
            raise UserError("must be whole, photo or outside", key="region", value=self.region)
        for name, least in (("subsets", 1), ("subset_size", 2), ("splits", 1)):
            if getattr(self, name) < least:
                raise UserError(f"must be at least {least}", key=name, value=getattr(self, name))

    @property
    def key(self) -> str:
        """Names the number in the JSON report."""
        variant = ("views" if self.views else "") + ("by_face" if self.by_face else "")
        region = "" if self.region == "whole" else self.region
        return "/".join(part for part in (self.kind, variant, self.pictures, region, self.network) if part)

    def needs(self, what: str) -> bool:
        """Whether it needs ``pictures``, ``network``, ``captions`` or ``pairs``."""
        return what in MEASURES[self.kind]


@dataclass(frozen=True)
class NetworkRole:
    """A network that the protocol wants: its ``kind`` and the ``model`` (file, folder or hub id) that plays the role.

    Without a model the user must name one, or let the embedded model stand in. ``centre_crop``, ``resize`` and
    ``rows``: as in `aognet.perception.network.NetworkConfig`.
    """

    kind: str
    model: str = ""
    revision: str | None = None
    centre_crop: bool = False
    resize: str = "antialiased"
    rows: str = "centres"

    def __post_init__(self) -> None:
        if self.kind not in NETWORK_KINDS:
            raise UserError(f"must be one of {', '.join(NETWORK_KINDS)}", key="kind", value=self.kind)


@dataclass(frozen=True)
class Protocol:
    """A way to measure panoramas.

    ``height``: panoramas are brought to ``height`` x ``2 height`` first (null: all must have one size already).
    ``embedded``: whether networks without a model are played by the embedded one.
    """

    name: str
    notes: list[str] = field(default_factory=list)
    height: int | None = None
    embedded: bool = False
    networks: dict[str, NetworkRole] = field(default_factory=dict)
    pictures: dict[str, PictureConfig] = field(default_factory=dict)
    measures: list[MeasureConfig] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.measures:
            raise UserError("must not be empty", key="measures", value=self.measures)
        if self.height is not None and not MIN_HEIGHT <= self.height <= 16384:
            raise UserError(f"must lie in [{MIN_HEIGHT}, 16384]", key="height", value=self.height)
        for measure in self.measures:
            if measure.pictures and measure.pictures not in self.pictures:
                raise UserError(
                    f"is without {measure.pictures!r}, which a measure names", key="pictures", value=[*self.pictures]
                )
            if measure.network and measure.network not in self.networks:
                raise UserError(
                    f"is without {measure.network!r}, which a measure names", key="networks", value=[*self.networks]
                )
            if measure.kind == "omnifid" and not {"equator", "poles"} <= set(self.pictures):
                raise UserError("must have equator and poles for a measure of kind 'omnifid'", key="pictures")
        keys = [measure.key for measure in self.measures]
        if len(set(keys)) != len(keys):
            raise UserError(f"has {next(key for key in keys if keys.count(key) > 1)!r} twice", key="measures")

    def pictures_for(self, role: str) -> dict[str, PictureConfig]:
        """What the network ``role`` looks at."""
        measures = [measure for measure in self.measures if measure.network == role]
        wanted = {name for measure in measures for name in picture_names(measure)}
        return {name: picture for name, picture in self.pictures.items() if name in wanted}


def picture_names(measure: MeasureConfig) -> tuple[str, ...]:
    """The pictures whose features a measure takes."""
    return ("equator", "poles") if measure.kind == "omnifid" else tuple(filter(None, [measure.pictures]))


def load_protocol(
    name: str,
    overrides: Sequence[str] = (),
    models: Mapping[str, str | None] | None = None,
    embedded: bool = False,
) -> Protocol:
    """The protocol of that name (a file in ``config/evaluation``), or of a YAML file.

    ``models``: kind of network -> the model that plays all roles of that kind. ``embedded``: the embedded model plays
    all others. Raises UserError naming the file and the key that is wrong.
    """
    path = known_config(Path(name)) if name.endswith((".yaml", ".yml")) else PROTOCOLS / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in PROTOCOLS.glob("*.yaml")))
        raise UserError(f"--protocol: no protocol {name!r}; known are {known}, or the path of a YAML file")
    protocol = build_config(load_config([path], overrides), Protocol)
    given = {kind: model for kind, model in (models or {}).items() if model}
    for kind in given:
        if kind not in {role.kind for role in protocol.networks.values()}:
            raise UserError(f"--{kind}: the protocol {protocol.name!r} uses no network of this kind")
    played = {
        name: replace(role, model=given.get(role.kind, ""), revision=None) if role.kind in given or embedded else role
        for name, role in protocol.networks.items()
    }
    return replace(protocol, networks=played, embedded=embedded or protocol.embedded)


def digest_of(*described: Any) -> str:
    """A short name of settings: the same for the same values."""
    plain = [asdict(item) if hasattr(item, "__dataclass_fields__") else item for item in described]
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=asdict).encode()).hexdigest()[:24]
