"""A result: a panorama in floats, and what is known of it."""

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Bool, Float
from torch import Tensor

from aognet.geometry.camera import Camera
from aognet.geometry.cubemap import faces_of
from aognet.io.panorama_files import write_panorama
from aognet.io.value_range import Encoding


@dataclass(frozen=True, eq=False)
class Result:
    """A finished panorama.

    ``panorama``: float32; with the ``encoding`` ``srgb`` display values in [0, 1], with ``linear`` light in [0, inf)
    where 1 is white. ``given``: where the request's inputs showed it; None: nowhere. ``depth``: distances, in the unit
    of the method, for methods that make them. ``cubemap``: its faces, where they were asked for. ``camera``: of the
    request's first photograph. ``folder``: of the run that made it; None: none is left. ``upscaled``, ``light``: what
    was made of display values, where it was asked for: a larger panorama, and its light. A run that is read again has
    them in its folder alone.
    """

    panorama: Float[Tensor, "3 height width"]
    encoding: Encoding = "srgb"
    prompt: str = ""
    given: Bool[Tensor, "1 height width"] | None = None
    depth: Float[Tensor, "1 height width"] | None = None
    cubemap: Float[Tensor, "6 3 size size"] | None = None
    camera: Camera | None = None
    folder: Path | None = None
    upscaled: Float[Tensor, "3 rows columns"] | None = None
    light: Float[Tensor, "3 rows columns"] | None = None

    def __post_init__(self) -> None:
        height, width = self.panorama.shape[-2:]
        if width != 2 * height:
            raise ValueError(f"a panorama is twice as wide as high, got {width}x{height}")

    def faces(self, size: int | None = None) -> Float[Tensor, "6 3 size size"]:
        """Return the cubemap, in the order of `aognet.geometry.cubemap.FACES`; by default half as high."""
        if self.cubemap is not None and size in (None, self.cubemap.shape[-1]):
            return self.cubemap
        return faces_of(self.panorama[None], size or self.panorama.shape[-2] // 2)[0]

    def save(self, path: str | Path) -> None:
        """Write the panorama as PNG, JPEG, EXR or HDR, as the suffix says (`aognet.io.panorama_files`).

        Raises UserError naming the file for another suffix, and where it cannot be written.
        """
        write_panorama(self.panorama, Path(path), self.encoding, description=self.prompt)
