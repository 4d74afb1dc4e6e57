"""Loads the networks that a protocol asks for, and says what distances in their features may be called."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from aognet.errors import Setting, UserError
from aognet.evaluation.protocol import MEASURES, MeasureConfig, NetworkRole, Protocol
from aognet.installed import installed
from aognet.perception.load_network import load_network
from aognet.perception.lpips import PerceptualDistance
from aognet.perception.network import EMBEDDED, FeatureNetwork, NetworkConfig

EMBEDDED_FAED = "assets/evaluation/faed"
# The kinds of scenes that the embedded CLIP learned from (tests compare them with `aognet.scenes.KINDS`).
# fmt: off
EMBEDDED_CLASSES = (
    "meadow", "hills", "steppe", "dunes", "rocky desert", "snow field", "snowy mountains", "mountains", "sea", "beach",
    "lake", "mountain lake", "river", "forest", "autumn forest", "winter forest", "foggy forest", "field rows",
    "country road", "desert road", "village", "winter village", "city street", "city square", "park", "harbour",
    "skyline", "night city", "night skyline", "night mountains", "sunset sea", "living room", "bedroom", "kitchen",
    "bathroom", "dining room", "office", "classroom", "library", "attic room", "corridor", "art gallery",
    "museum hall", "cafe", "gym", "workshop", "garage", "empty room", "church", "hotel lobby",
)
# fmt: on
# Label -> what the report's table calls features of this label.
FEATURE_NAMES = {
    "fid": "Inception (FID)",
    "inception": "Inception, not FID's",
    "clip": "CLIP",
    "embedded": "embedded CLIP",
    "faed": "FAED encoder",
    "efficientnet": "EfficientNet-Lite0",
}
# Label -> what stands before "FID" and "KID". Distances in other features have no right to these names.
PREFIXES = {"fid": "", "clip": "CLIP-"}
DISTANCES = {
    "frechet": ("FID", "Fréchet distance"),
    "kernel": ("KID", "Kernel distance"),
    "omnifid": ("OmniFID", "Omni-Fréchet distance"),
}


@dataclass(frozen=True)
class NamedNetwork:
    """A feature network and its ``label``, a key of ``FEATURE_NAMES``."""

    network: FeatureNetwork
    label: str

    @property
    def short(self) -> str:
        """What the report's table calls these features."""
        return FEATURE_NAMES[self.label]

    def title(self, kind: str) -> str:
        """Return the name of a measure of this kind: FID, KID and Inception Score only in the features of FID.

        ``kind``: frechet, kernel, omnifid or inception_score.
        """
        if kind == "inception_score":
            return "Inception Score" if self.label == "fid" else f"Class score of {self.network.classes} words"
        if kind == "frechet" and self.label == "faed":
            return "FAED"
        name, otherwise = DISTANCES[kind]
        return f"{PREFIXES[self.label]}{name}" if self.label in PREFIXES else otherwise


@dataclass(frozen=True)
class LoadedNetworks:
    """The networks of a protocol by role. ``absent``: role -> why it has no network."""

    named: Mapping[str, NamedNetwork]
    perceptual: Mapping[str, PerceptualDistance]
    absent: Mapping[str, str]

    @property
    def features(self) -> dict[str, FeatureNetwork]:
        """The feature networks by role."""
        return {role: named.network for role, named in self.named.items()}

    def title(self, measure: MeasureConfig, protocol: Protocol) -> str:
        """Return the name of a protocol's measure in the report."""
        if title := MEASURES[measure.kind].title:
            return f"{title}, captions by direction" if measure.views and measure.kind == "clip_score" else title
        title = self.named[measure.network].title(measure.kind)
        if measure.kind == "omnifid":
            return f"{title}, {'by face' if measure.by_face else 'pooled'}"
        return f"Seam-{title}" if protocol.pictures[measure.pictures].kind == "seam" else title


def load_networks(protocol: Protocol, dtype: str, device: torch.device) -> LoadedNetworks:
    """Load what a protocol asks for; the embedded model takes roles without a model, if the protocol allows it.

    :raises UserError: naming the role and what to do.
    """
    named: dict[str, NamedNetwork] = {}
    perceptual: dict[str, PerceptualDistance] = {}
    absent: dict[str, str] = {}
    wanted = {measure.network for measure in protocol.measures}
    for name, role in protocol.networks.items():
        if name not in wanted:
            continue
        if role.kind == "lpips":
            if role.model:
                perceptual[name] = PerceptualDistance.load(role.model, device, role.revision)
            else:
                absent[name] = "LPIPS has no weights here; the setting lpips names them (docs/evaluation.md)"
        elif role.model:
            named[name] = _load(role, dtype, device)
        elif role.kind == "efficientnet":
            raise UserError("must name its weights (docs/evaluation.md): nothing plays for it", key="efficientnet")
        elif protocol.embedded:
            named[name] = _embedded(role, device)
        else:
            said = (
                f"must name its weights (docs/evaluation.md): the protocol {protocol.name!r} measures in the features "
                "of such a network; or measure in the embedded model's features with "
            )
            raise UserError(said, Setting("embedded"), key=role.kind)
    return LoadedNetworks(named, perceptual, absent)


def _load(role: NetworkRole, dtype: str, device: torch.device) -> NamedNetwork:
    config = NetworkConfig(
        kind=role.kind,
        model=installed(role.model),
        revision=role.revision,
        dtype="float32" if role.kind == "faed" else dtype,
    )
    own = {"inception": ("resize",), "clip": ("centre_crop",), "faed": ("rows",), "efficientnet": ()}[role.kind]
    network = load_network(replace(config, **{key: getattr(role, key) for key in own}), device)
    if role.kind == "inception":
        return NamedNetwork(network, "fid" if network.is_fid_inception else "inception")
    return NamedNetwork(network, role.kind)


def _embedded(role: NetworkRole, device: torch.device) -> NamedNetwork:
    if role.kind == "faed":
        return _load(replace(role, model=installed(EMBEDDED_FAED)), "float32", device)
    return NamedNetwork(_embedded_clip(role.centre_crop, device), "embedded")


@lru_cache(maxsize=2)
def _embedded_clip(centre_crop: bool, device: torch.device) -> FeatureNetwork:
    """Load one network for all roles, with the kinds of scenes as its classes."""
    classes = list(EMBEDDED_CLASSES)
    config = replace(EMBEDDED, model=installed(EMBEDDED.model), classes=classes, centre_crop=centre_crop)
    return load_network(config, device)
