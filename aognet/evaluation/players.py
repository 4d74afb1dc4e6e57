"""Who plays the networks of a protocol, and what distances in their features may be called."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from aognet.errors import UserError
from aognet.evaluation.protocol import NetworkRole, Protocol
from aognet.installed import installed
from aognet.perception.lpips import PerceptualDistance
from aognet.perception.network import EMBEDDED, FeatureNetwork, NetworkConfig
from aognet.perception.networks import load_network

EMBEDDED_FAED = "assets/evaluation/faed"
# The kinds of scenes that the embedded CLIP learned from (tests hold them against `aognet.scenes.KINDS`).
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
# What stands before "FID" and "KID", where a distance in these features may be called so.
PREFIXES = {"fid": "", "clip": "CLIP-"}


@dataclass(frozen=True)
class Player:
    """A loaded feature network in its role. ``label``: fid, inception, clip, embedded, faed or efficientnet."""

    network: FeatureNetwork
    label: str

    @property
    def short(self) -> str:
        """For the table: what these features are."""
        return {
            "fid": "Inception (FID)",
            "inception": "Inception, not FID's",
            "clip": "CLIP",
            "embedded": "embedded CLIP",
            "faed": "FAED encoder",
            "efficientnet": "EfficientNet-Lite0",
        }[self.label]

    def frechet_title(self) -> str:
        """FID only in the features of FID."""
        return "FAED" if self.label == "faed" else self._named("FID", "Fréchet distance")

    def kernel_title(self) -> str:
        """KID only in the features of KID."""
        return self._named("KID", "Kernel distance")

    def omnifid_title(self) -> str:
        """OmniFID only in the features of FID."""
        return self._named("OmniFID", "Omni-Fréchet distance")

    def score_title(self) -> str:
        """Inception Score only with the classes of the Inception network."""
        return "Inception Score" if self.label == "fid" else f"Class score of {self.network.classes} words"

    def _named(self, name: str, otherwise: str) -> str:
        return f"{PREFIXES[self.label]}{name}" if self.label in PREFIXES else otherwise


@dataclass(frozen=True)
class Cast:
    """Role -> player. ``absent``: role -> why there is none."""

    players: Mapping[str, Player]
    perceptual: Mapping[str, PerceptualDistance]
    absent: Mapping[str, str]


def load_cast(protocol: Protocol, dtype: str, device: torch.device) -> Cast:
    """Loads what a protocol wants; where no model is named the embedded one plays, if the protocol allows it.

    Raises UserError naming the role and what to do.
    """
    players: dict[str, Player] = {}
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
                absent[name] = "LPIPS has no weights here; --lpips FILE names them (docs/evaluation.md)"
        elif role.model:
            players[name] = _load(role, dtype, device)
        elif role.kind == "efficientnet":
            raise UserError("--efficientnet FILE must name its weights (docs/evaluation.md): nothing plays for it")
        elif protocol.embedded:
            players[name] = _embedded(role, device)
        else:
            raise UserError(
                f"--{role.kind}: the protocol {protocol.name!r} measures in the features of such a network: name its "
                f"weights (docs/evaluation.md), or measure in the embedded model's features with --embedded"
            )
    return Cast(players, perceptual, absent)


def _load(role: NetworkRole, dtype: str, device: torch.device) -> Player:
    options = {"dtype": "float32" if role.kind == "faed" else dtype, "revision": role.revision}
    own = {"inception": ("resize",), "clip": ("centre_crop",), "faed": ("rows",), "efficientnet": ()}[role.kind]
    options |= {key: getattr(role, key) for key in own}
    network = load_network(NetworkConfig(kind=role.kind, model=installed(role.model), **options), device)
    if role.kind == "inception":
        return Player(network, "fid" if network.is_fid_inception else "inception")
    return Player(network, role.kind)


def _embedded(role: NetworkRole, device: torch.device) -> Player:
    if role.kind == "faed":
        return _load(replace(role, model=installed(EMBEDDED_FAED)), "float32", device)
    return Player(_embedded_clip(role.centre_crop, device), "embedded")


@lru_cache(maxsize=2)
def _embedded_clip(centre_crop: bool, device: torch.device) -> FeatureNetwork:
    """One network for all roles, which tells the kinds of procedural scenes apart."""
    classes = list(EMBEDDED_CLASSES)
    config = replace(EMBEDDED, model=installed(EMBEDDED.model), classes=classes, centre_crop=centre_crop)
    return load_network(config, device)
