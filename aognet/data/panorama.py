"""A panorama as training samples are drawn from it."""

from dataclasses import dataclass

from aognet.data.viewing import Pyramid


@dataclass(frozen=True)
class Panorama:
    """A panorama's pixels and what is said of it; ``yaws``: directions in degrees of each augmented caption."""

    pixels: Pyramid
    captions: tuple[str, ...] = ()
    augmented: tuple[str, ...] = ()
    yaws: tuple[tuple[float, ...], ...] = ()
