"""What is measured, on which pictures, in the features of which network: all of it in one YAML file."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from aognet.config import build_config, load_config
from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.geometry.cubemap import LATERAL, face_cameras
from aognet.installed import CONFIGS, known_config

PROTOCOLS = CONFIGS / "evaluation"
MIN_HEIGHT = 32  # below, nothing is left beside the edges of the cube to compare them with
PICTURE_KINDS = ("panorama", "random", "horizon", "random_horizon", "seam", "equator", "poles")
NETWORK_KINDS = ("inception", "clip", "faed", "lpips", "efficientnet")


@dataclass(frozen=True)
class MeasureKind:
    """One kind of measure: the ``section`` of the report it stands in, and which values are ``better``.

    ``needs``: any of pictures, network, captions, and pairs (a reference of the same name). ``title``: its name in the
    report; empty where the name depends on the network (`aognet.evaluation.networks.NamedNetwork.title`).
    """

    section: str
    better: str
    needs: tuple[str, ...] = ()
    title: str = ""


DISTRIBUTION, TEXT, SHAPE, PAIRS, HDR = "Distribution", "Text", "Seams and shape", "Pairs", "HDR"
SPHERES = {"diffuse": "diffuse sphere", "silver": "matte silver sphere", "mirror": "mirror sphere"}
MEASURES = {
    "frechet": MeasureKind(DISTRIBUTION, "lower", ("pictures", "network")),
    "kernel": MeasureKind(DISTRIBUTION, "lower", ("pictures", "network")),
    "inception_score": MeasureKind(DISTRIBUTION, "higher", ("pictures", "network")),
    "omnifid": MeasureKind(DISTRIBUTION, "lower", ("network",)),
    "clip_score": MeasureKind(TEXT, "higher", ("pictures", "network", "captions"), "CLIP score"),
    "image_similarity": MeasureKind(
        PAIRS, "higher", ("pictures", "network", "pairs"), "CLIP similarity to the reference"
    ),
    "discontinuity": MeasureKind(SHAPE, "lower", title="Discontinuity Score"),
    "wrap_gradient": MeasureKind(SHAPE, "near 1", title="Gradient ratio across the wrap"),
    "pole_gradient": MeasureKind(SHAPE, "near 1", title="Gradient ratio across the poles"),
    "cube_edges": MeasureKind(SHAPE, "near 1", title="Gradient ratio across the cube's edges"),
    "unknown": MeasureKind(SHAPE, "lower", title="Unknown share of the sphere"),
    "psnr": MeasureKind(PAIRS, "higher", ("pairs",), "PSNR (dB)"),
    "ssim": MeasureKind(PAIRS, "higher", ("pairs",), "SSIM"),
    "sharpness": MeasureKind(PAIRS, "near 1", ("pairs",), "Sharpness beside the reference"),
    "lpips": MeasureKind(PAIRS, "lower", ("network", "pairs"), "LPIPS"),  # of the panorama where no pictures are named
    "si_rmse": MeasureKind(HDR, "lower", ("pairs",), "Scale-invariant RMSE"),
    "colour_angle": MeasureKind(HDR, "lower", ("pairs",), "Angular error of colour (°)"),
    "normalised_rmse": MeasureKind(HDR, "lower", ("pairs",), "Normalised RMSE"),
    "peak_angle": MeasureKind(HDR, "lower", ("pairs",), "Peak direction error (°)"),
    "log_luminance": MeasureKind(HDR, "lower", ("pairs",), "Log-luminance error (stops)"),
    "pu21_psnr": MeasureKind(HDR, "higher", ("pairs",), "PU21-PSNR (dB)"),
    **{f"{one}_si_rmse": MeasureKind(HDR, "lower", ("pairs",), "Scale-invariant RMSE") for one in SPHERES},
    **{f"{one}_colour_angle": MeasureKind(HDR, "lower", ("pairs",), "Angular error of colour (°)") for one in SPHERES},
    "dynamic_range": MeasureKind(HDR, "", title="Dynamic range (stops)"),
    "peak_to_mean": MeasureKind(HDR, "", title="Peak luminance over mean"),
    "brightest_share": MeasureKind(HDR, "", title="Light from the brightest 0.1% of the sphere"),
    "irradiance": MeasureKind(HDR, "", title="Irradiance from above"),
}
WEIGHABLE = ("si_rmse", "colour_angle", "normalised_rmse", "log_luminance", "pu21_psnr")
REGIONS = {"whole": "whole panorama", "photo": "footprint of the photograph", "outside": "outside the photograph"}


@dataclass(frozen=True)
class PictureConfig:
    """The pictures that are taken of every panorama.

    ``kind``: panorama (the equirectangular image itself), random (views in directions drawn evenly from the sphere),
    horizon (``count`` views at equal distances all round), random_horizon (the same at random yaws), seam (views across
    the wrap at random pitches), equator (the four lateral faces of the cube), poles (its upper and lower face).
    ``size``: pixels of a view; ``fov_degrees``: its field of view. ``seed`` draws the directions, the same for every
    panorama. ``turn_degrees`` rolls the image of kind panorama first.
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
        """What the report's table calls these pictures."""
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


@lru_cache(maxsize=64)
def cameras_of(config: PictureConfig) -> tuple[Camera, ...]:
    """Return the cameras that take the pictures, in order, for every kind except panorama."""
    if config.kind in ("equator", "poles"):
        faces = face_cameras(config.size)
        return faces[: len(LATERAL)] if config.kind == "equator" else faces[len(LATERAL) :]
    random = np.random.default_rng(config.seed)
    # The sine of the latitude is uniform for points drawn evenly from the sphere (Archimedes' hat-box theorem).
    pitches = [math.degrees(math.asin(sine)) for sine in random.uniform(-1, 1, config.count)]
    yaws = random.uniform(-180, 180, config.count).tolist()
    if config.kind == "horizon":
        yaws = [360.0 * number / config.count for number in range(config.count)]
    if config.kind == "seam":
        yaws = [180.0] * config.count
    if config.kind in ("horizon", "random_horizon"):
        pitches = [0.0] * config.count
    directions = zip(yaws, pitches, strict=True)
    return tuple(Camera(yaw, pitch, 0.0, config.fov_degrees, config.size, config.size) for yaw, pitch in directions)


@dataclass(frozen=True)
class MeasureConfig:
    """One number of the report: its ``kind``, the ``pictures`` it looks at and the ``network`` whose features it takes.

    ``views``: a clip_score compares each view with the captions of its own direction. ``by_face``: an omnifid averages
    the distances of the lateral faces instead of pooling their features. ``region``: the part of a pair that is
    compared: whole, photo or outside. A kernel distance averages over ``subsets`` of ``subset_size`` pictures, an
    inception score over ``splits``. ``by_solid_angle``: pixels of light count by the solid angle that they
    cover, not alike. ``published``: the name that the protocol's authors give it, if it is another one.
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
    by_solid_angle: bool = False
    published: str = ""

    def __post_init__(self) -> None:
        if self.kind not in MEASURES:
            raise UserError(f"must be one of {', '.join(MEASURES)}", key="kind", value=self.kind)
        for need in ("pictures", "network"):
            if self.needs(need) and not getattr(self, need):
                raise UserError(f"is missing: a measure of kind {self.kind!r} needs it", key=need)
        if self.kind == "lpips" and self.pictures and self.region != "whole":
            raise UserError("of single pictures must be whole", key="region", value=self.region)
        if self.by_solid_angle and self.kind not in WEIGHABLE:
            raise UserError(f"is of measures of kind {', '.join(WEIGHABLE)}", key="by_solid_angle", value=True)
        if self.region not in REGIONS:
            raise UserError("must be whole, photo or outside", key="region", value=self.region)
        for name, least in (("subsets", 1), ("subset_size", 2), ("splits", 1)):
            if getattr(self, name) < least:
                raise UserError(f"must be at least {least}", key=name, value=getattr(self, name))

    @property
    def key(self) -> str:
        """The number's name in the JSON report."""
        variants = {"views": self.views, "by_face": self.by_face, "solid_angle": self.by_solid_angle}
        variant = "".join(name for name, wanted in variants.items() if wanted)
        region = "" if self.region == "whole" else self.region
        return "/".join(part for part in (self.kind, variant, self.pictures, region, self.network) if part)

    def needs(self, what: str) -> bool:
        """Return whether it needs ``pictures``, ``network``, ``captions`` or ``pairs``."""
        return what in MEASURES[self.kind].needs

    @property
    def section(self) -> str:
        """The section of the report that shows it."""
        return MEASURES[self.kind].section

    @property
    def picture_names(self) -> tuple[str, ...]:
        """The pictures whose features it takes."""
        return ("equator", "poles") if self.kind == "omnifid" else tuple(filter(None, [self.pictures]))


@dataclass(frozen=True)
class NetworkRole:
    """A network that the protocol asks for: its ``kind`` and the ``model`` (file, folder or hub id) to load.

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
    """A way to measure panoramas: ``networks`` by role, ``pictures`` by name, and the ``measures`` made of both.

    ``height``: panoramas are resized to ``height`` x ``2 height`` first (null: all must have one size already).
    ``embedded``: the embedded model takes the roles without a model. ``notes``: sentences for the report.
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
        """Return the pictures that the network in this role looks at."""
        wanted = {name for measure in self.measures if measure.network == role for name in measure.picture_names}
        return {name: picture for name, picture in self.pictures.items() if name in wanted}

    def pictures_title(self, measure: MeasureConfig) -> str:
        """Return what the report says a measure looks at."""
        if measure.kind == "omnifid":
            return "six cube faces"
        if measure.pictures:
            return self.pictures[measure.pictures].title
        if sphere := SPHERES.get(measure.kind.partition("_")[0]):
            return f"{sphere}, 128x128 pixels"
        where = REGIONS[measure.region] if measure.needs("pairs") else "panorama"
        return f"{where}, by solid angle" if measure.by_solid_angle else where

    def pictures_per_panorama(self, measure: MeasureConfig) -> int:
        """Return how many pictures of one panorama a measure looks at."""
        configs = [self.pictures[name] for name in measure.picture_names]
        return sum(1 if config.kind == "panorama" else len(cameras_of(config)) for config in configs)


def load_protocol(
    name: str,
    overrides: Sequence[str] = (),
    models: Mapping[str, str | None] | None = None,
    embedded: bool = False,
) -> Protocol:
    """Load the protocol of that name (a file in ``config/evaluation``), or a YAML file.

    ``models``: kind of network -> the model for all roles of that kind. ``embedded``: the embedded model takes all
    other roles.

    :raises UserError: naming the file and the key that is wrong.
    """
    path = known_config(Path(name)) if name.endswith((".yaml", ".yml")) else PROTOCOLS / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in PROTOCOLS.glob("*.yaml")))
        raise UserError(f"must be one of {known}, or the path of a YAML file", key="protocol", value=name)
    protocol = build_config(load_config([path], overrides), Protocol)
    given = {kind: model for kind, model in (models or {}).items() if model}
    for kind in given:
        if kind not in {role.kind for role in protocol.networks.values()}:
            raise UserError(f"is not used: no network of the protocol {protocol.name!r} is of this kind", key=kind)
    roles = {
        name: replace(role, model=given.get(role.kind, ""), revision=None) if role.kind in given or embedded else role
        for name, role in protocol.networks.items()
    }
    return replace(protocol, networks=roles, embedded=embedded or protocol.embedded)


def digest_of(*described: Any) -> str:
    """Return a short digest of settings. Equal values give equal digests."""
    plain = [asdict(item) if hasattr(item, "__dataclass_fields__") else item for item in described]
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=asdict).encode()).hexdigest()[:24]
