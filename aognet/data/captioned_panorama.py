"""A panorama from which training samples are drawn."""

from dataclasses import dataclass

from aognet.data.viewing import Pyramid


@dataclass(frozen=True)
class CaptionedPanorama:
    """A panorama's pixels and captions. ``yaws`` has the directions in degrees of each augmented caption."""

    pixels: Pyramid
    captions: tuple[str, ...] = ()
    augmented: tuple[str, ...] = ()
    yaws: tuple[tuple[float, ...], ...] = ()
