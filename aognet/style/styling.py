"""A panorama in the style of a photograph: what is asked for, and what does it at full size."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from aognet.callbacks import UNHEARD, Listener
from aognet.errors import UserError
from aognet.io.digest import file_digest
from aognet.io.images import load_image, resize_panorama
from aognet.style.colour_way import Segmented, moved_colours, within_display
from aognet.style.kept_state import KeptState
from aognet.style.local_affine import LocalAffine
from aognet.style.neural_way import NeuralStyle, Weights, optimized
from aognet.style.oklab import from_oklab, to_oklab
from aognet.style.sphere_windows import radius_of
from aognet.style.vgg_features import PACKAGE, VggFeatures

WAYS = ("colour", "gatys", "photo")
NEURAL = ("steps", "seed", "content_weight", "style_weight", "variation_weight", "matting_weight")
"""Settings of the ways that need a network."""
TRANSPORTS = ("linear", "sliced")
MOST_SEGMENTS = 8
FEWEST_ROWS, MOST_ROWS = 32, 1024
MOST_STEPS = 100_000
FIT_DEGREES, FIT_EPSILON = 1.0, 3e-4
"""Of the windows in which a small result is fitted, and the variance below which they say little."""


@dataclass(frozen=True)
class StyleConfig:
    """How a panorama gets the style of the file ``photo``.

    ``way``: ``colour`` moves colours; ``gatys`` also takes textures, ``photo`` those that leave all edges as they are.
    ``strength``: from 0, the panorama itself, to 1. ``segments``: how many soft segments are matched, 1 to 8; 1 takes
    both images as a whole. ``transport``: of colours, by mean and covariance (``linear``) or by their whole
    distribution (``sliced``). ``rows``: of the small panorama that is worked on.

    The other ways begin with the result of ``colour``. ``weights``: of VGG-16, a file of safetensors or the registry
    package. ``steps``: how many views are seen; ``seed``: draws them. The other weights: how much each part of the
    loss counts (`aognet.style.neural_way.Weights`), and in ``photo`` the matting Laplacian.
    """

    photo: str = ""
    way: str = "colour"
    strength: float = 1.0
    segments: int = 4
    transport: str = "linear"
    rows: int = 256
    weights: str = ""
    steps: int = 200
    seed: int = 0
    content_weight: float = 1.0
    style_weight: float = 20.0
    variation_weight: float = 1.0
    matting_weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.photo:
            raise UserError("must name the photograph whose style is taken", key="photo")
        for key, known in (("way", WAYS), ("transport", TRANSPORTS)):
            if getattr(self, key) not in known:
                raise UserError(f"must be one of {', '.join(known)}", key=key, value=getattr(self, key))
        if not 0 <= self.strength <= 1:  # not a number, too
            raise UserError("must lie in [0, 1]", key="strength", value=self.strength)
        for key, least, most in (("segments", 1, MOST_SEGMENTS), ("rows", FEWEST_ROWS, MOST_ROWS)):
            if not least <= getattr(self, key) <= most:
                raise UserError(f"must lie in [{least}, {most}]", key=key, value=getattr(self, key))
        self._check_neural()

    def _check_neural(self) -> None:
        for key in NEURAL:
            most = MOST_STEPS if key == "steps" else 2**31
            if not 0 <= getattr(self, key) <= most:  # not a number, too
                raise UserError(f"must lie in [0, {most}]", key=key, value=getattr(self, key))
        changed = [key for key in (*NEURAL, "weights") if getattr(self, key) != getattr(type(self), key)]
        if self.way == "colour" and changed:
            raise UserError("changes nothing in the way colour", key=changed[0], value=getattr(self, changed[0]))
        if self.way != "colour" and not self.weights:
            said = f"must name the weights of VGG-16 for the way {self.way}: a safetensors file, or the package that"
            raise UserError(f"{said} {PACKAGE.fetch!r} gets", key="weights")
        if self.way == "gatys" and "matting_weight" in changed:
            raise UserError("is of the way photo", key="matting_weight", value=self.matting_weight)


class Styler:
    """A `StyleConfig` with its photograph and network read. ``files``: the SHA-256 of all that it read, by setting."""

    def __init__(self, config: StyleConfig):
        """Read the photograph, and the network if the way needs one.

        :raises UserError: naming a file that is missing or cannot be read.
        """
        self.config = config
        self.photo = shrunk_photo(load_image(Path(config.photo)), config.rows).add_(1).div_(2).clamp_(0, 1)
        self.files = {"photo": file_digest(Path(config.photo))}
        self.features = None
        if config.way != "colour":
            self.features = VggFeatures.load(config.weights, torch.device("cpu"))
            self.files["weights"] = self.features.digest

    @cached_property
    def record(self) -> dict[str, Any]:
        """The configuration and the files, as plain values."""
        return asdict(self.config) | {"files": self.files}

    def __call__(
        self,
        display: Float[Tensor, "3 height width"],
        listener: Listener = UNHEARD,
        kept: Path | None = None,
    ) -> Float[Tensor, "3 height width"]:
        """Return a panorama of display values in [0, 1] in the style of the photograph, on the CPU.

        The device of the panorama computes. ``kept``: a file where the state of long work is kept while it lasts; it
        is gone in the end.

        :raises aognet.callbacks.Cancelled: if the ``listener`` wants it.
        """
        if self.features is not None:
            self.features.to(display.device)
        display = display.detach().float().cpu().clamp(0, 1)
        if self.config.strength == 0:
            return display
        rows = min(self.config.rows, display.shape[-2])
        small = resize_panorama(display[None], rows)[0]
        lab, photo = to_oklab(small), to_oklab(self.photo)
        segments = Segmented.of(lab, photo, self.config.segments)
        wanted = within_display(moved_colours(lab, photo, segments, self.config.transport))
        state = None if kept is None or self.features is None else KeptState(kept, self._identity(display))
        if self.features is not None:
            wanted = self._seen(small, from_oklab(wanted).float(), segments, listener, state)
        if self.config.strength < 1:
            wanted = torch.lerp(lab.to(wanted), wanted, self.config.strength)
        fit = LocalAffine.fit(lab, wanted, radius_of(FIT_DEGREES, rows), FIT_EPSILON)
        result = carried(fit.exact(lab, wanted) if self.config.way == "gatys" else fit, display)
        if state is not None:
            state.remove()
        return result

    def _seen(
        self, small: Tensor, start: Tensor, segments: Segmented, listener: Listener, state: KeptState | None
    ) -> Float[Tensor, "3 rows columns"]:
        """Return what the network makes of a small panorama of display values, from a start, in Oklab."""
        assert self.features is not None, "its way needs it"
        config, photo = self.config, self.config.way == "photo"
        weights = Weights(config.content_weight, config.style_weight, config.variation_weight)
        style = NeuralStyle(small * 2 - 1, self.photo * 2 - 1, self.features, weights, segments if photo else None)
        matting = config.matting_weight if photo else 0.0
        found = optimized(style, start * 2 - 1, config.steps, config.seed, listener, state, matting)
        return to_oklab(found.add(1).div(2))

    def _identity(self, display: Tensor) -> str:
        pixels = hashlib.sha256(display.contiguous().numpy().tobytes()).hexdigest()
        told = {key: value for key, value in self.record.items() if key != "strength"}
        return json.dumps([pixels, list(display.shape), told])


def carried(fit: LocalAffine, display: Float[Tensor, "3 height width"]) -> Float[Tensor, "3 height width"]:
    """Return a panorama of display values with the map that was fitted to a small one in Oklab, strip by strip."""
    rows, result = display.shape[-2], torch.empty_like(display)
    full = fit.enlarged(display.shape[-1])
    for strip in full.strips(rows):
        result[:, strip] = from_oklab(full.at(to_oklab(display[:, strip]), strip, rows))
    return result


def shrunk_photo(photo: Float[Tensor, "3 rows columns"], most: int) -> Float[Tensor, "3 fewer narrower"]:
    """Return a photograph whose longer side is at most ``most`` pixels, shrunk by area."""
    longest = max(photo.shape[-2:])
    if longest <= most:
        return photo
    size = [max(round(side * most / longest), 1) for side in photo.shape[-2:]]
    return functional.interpolate(photo[None], size, mode="area")[0]
