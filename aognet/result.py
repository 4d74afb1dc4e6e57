"""A panorama in floats, and what is known of one that was made."""

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from aognet.geometry.camera import Camera
from aognet.geometry.cubemap import faces_of, panorama_of
from aognet.geometry.perspective import look
from aognet.io.exports import Export, export_panorama
from aognet.io.gpano import description_of
from aognet.io.panorama_files import picture, read_panorama
from aognet.io.value_range import Encoding


@dataclass(frozen=True, eq=False)
class Panorama:
    """A panorama, wherever it comes from.

    ``panorama``: float32; with the ``encoding`` ``srgb`` display values in [0, 1], with ``linear`` light in [0, inf)
    where 1 is white. ``prompt``: its words, which its files carry.
    """

    panorama: Float[Tensor, "3 height width"]
    encoding: Encoding = "srgb"
    prompt: str = ""

    def __post_init__(self) -> None:
        height, width = self.panorama.shape[-2:]
        if width != 2 * height:
            raise ValueError(f"a panorama is twice as wide as high, got {width}x{height}")

    @classmethod
    def open(cls, path: str | Path, height: int | None = None) -> "Panorama":
        """Read a file: PNG, JPEG, EXR, HDR and others. What is transparent keeps its colour.

        ``height``: rows; None: as many as in the file. Raises UserError naming the file
        (`aognet.io.panorama_files.read_panorama`).
        """
        image, encoding = read_panorama(Path(path), height)
        return Panorama(image, encoding, description_of(Path(path)))

    @classmethod
    def of_faces(cls, faces: Float[Tensor, "6 3 size size"], height: int, encoding: Encoding = "srgb") -> "Panorama":
        """Return the panorama of a cubemap, whose faces are in the order of `aognet.geometry.cubemap.FACES`."""
        return Panorama(panorama_of(faces[None], height)[0], encoding)

    def faces(self, size: int | None = None) -> Float[Tensor, "6 3 size size"]:
        """Return the cubemap, in the order of `aognet.geometry.cubemap.FACES`; by default half as high."""
        return faces_of(self.panorama[None], size or self.panorama.shape[-2] // 2)[0]

    def view(
        self,
        yaw: float = 0.0,
        pitch: float = 0.0,
        roll: float = 0.0,
        fov: float = 90.0,
        *,
        width: int = 512,
        height: int = 512,
    ) -> Float[Tensor, "3 height width"]:
        """Return what a camera sees. Angles are in degrees, ``fov`` is horizontal; sizes are in pixels.

        :raises UserError: for a camera that cannot be (`aognet.geometry.camera.Camera`).
        """
        return look(self.panorama[None], Camera(yaw, pitch, roll, fov, width, height))[0]

    def to_pil(self) -> Image.Image:
        """Return it as a Pillow image in sRGB, 8 bits a channel; light is tone-mapped."""
        return picture(self.panorama, self.encoding)

    def save(self, path: str | Path) -> None:
        """Write it as the suffix says: PNG, JPEG, EXR or HDR (`aognet.io.panorama_files`), ``.html``: a page to look
        around in, ``.ply`` or ``.glb``: a mesh.

        :raises UserError: naming the file for another suffix, and where it cannot be written.
        """
        export_panorama(self.panorama, self.encoding, Export((Path(path),), description=self.prompt, photo=self._photo))

    @property
    def _photo(self) -> Camera | None:
        return None


@dataclass(frozen=True, eq=False)
class Result(Panorama):
    """A panorama that was made.

    ``given``: where the request's inputs showed it; None: nowhere. ``depth``: distances, in the unit
    of the method, for methods that make them. ``cubemap``: its faces, where they were asked for. ``camera``: of the
    request's first photograph. ``folder``: of the run that made it; None: none is left. ``styled``, ``upscaled``,
    ``light``: what was made of display values, where it was asked for: a panorama in another style, a larger one, and
    its light. A run that is read again has them in its folder alone.
    """

    given: Bool[Tensor, "1 height width"] | None = None
    depth: Float[Tensor, "1 height width"] | None = None
    cubemap: Float[Tensor, "6 3 size size"] | None = None
    camera: Camera | None = None
    folder: Path | None = None
    upscaled: Float[Tensor, "3 rows columns"] | None = None
    light: Float[Tensor, "3 rows columns"] | None = None
    styled: Float[Tensor, "3 height width"] | None = None

    def faces(self, size: int | None = None) -> Float[Tensor, "6 3 size size"]:
        if self.cubemap is not None and size in (None, self.cubemap.shape[-1]):
            return self.cubemap
        return super().faces(size)

    @property
    def _photo(self) -> Camera | None:
        return self.camera
