"""Files of linear light, bounded and checked: OpenEXR in all its layouts here, Radiance HDR in `aognet.io.rgbe`."""

import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from aognet.errors import UserError
from aognet.io.colour import REC709, known_primaries, light_to_rec709, to_xyz
from aognet.io.files import is_file, is_utf8, write_atomically
from aognet.io.rgbe import read_rgbe

# 16384 x 8192, the largest panorama in use; a header that claims more is refused before any memory is asked for.
MAX_PIXELS = 16384 * 8192
_MAGIC = (20000630).to_bytes(4, "little")
# The library decodes every channel of every part; at the most pixels, no more than the four of RGBA.
_MAX_VALUES_PER_PIXEL = 4
# Names renderers give to the layer that holds the finished picture, looked for when no layer is nameless.
_FINISHED = ("combined", "beauty", "rgba", "rgb", "color")


@dataclass(frozen=True)
class _Window:
    """A rectangle of pixels. Its corner may lie anywhere."""

    left: int
    top: int
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class _Layer:
    """The part of a file, and the channels in it, that make the image (R G B, or Y alone, or Y RY BY), and its
    alpha.
    """

    part: int
    names: tuple[str, ...]
    alpha: str | None


class _Decoded(NamedTuple):
    """The planes of a layer, and where they lie."""

    layer: _Layer
    planes: list[np.ndarray]
    alpha: np.ndarray | None
    header: Mapping[str, Any]
    data: _Window
    display: _Window


def read_radiance(path: Path, most_pixels: int) -> Float[np.ndarray, "height width 3"]:
    """Return linear RGB of an EXR or Radiance HDR file as float32, as `read_light` does."""
    return read_light(path, most_pixels).astype(np.float32, copy=False)


@dataclass(frozen=True)
class Light:
    """Linear RGB, and opacity in [0, 1] or None. Colours are premultiplied, as in an EXR file."""

    colours: Float[np.ndarray, "height width 3"]
    opacity: Float[np.ndarray, "height width 1"] | None = None


def read_light(path: Path, most_pixels: int) -> Float[np.ndarray, "height width 3"]:
    """Return the colours of `read_layers`. Transparent parts are black."""
    return read_layers(path, most_pixels).colours


def read_layers(path: Path, most_pixels: int) -> Light:
    """Return linear RGB of Rec. 709 primaries of an EXR or Radiance HDR file, and the opacity of an EXR file.

    It is float16 if the file has no higher precision and has these primaries, otherwise float32. Other primaries that
    the file names are converted, white to white. Values are those of the file: any size, also NaN, Inf and negative.

    For an EXR file:

    - The image is the display window. Data outside is cropped; pixels without data are black.
    - Of several layers and parts, the one without a name is taken, otherwise one named as a finished picture
      ("Combined", "beauty"), otherwise the first.
    - Luminance alone becomes grey. Luminance with subsampled chroma (Y RY BY) becomes colour.
    - X, Y and Z are refused: they are positions, normals or CIE XYZ, and no file tells which.
    - An alpha of 0 throughout, as some programs write it, is ignored.

    :raises UserError: naming the file: missing, no EXR or HDR file, damaged, deep data, no colour, or more pixels than
        ``most_pixels`` or four times as many values in all channels, as its header says before anything is decoded.
    """
    path = Path(path)
    if not is_file(path):
        raise UserError(f"{path}: no such file")
    if path.suffix.lower() == ".hdr":
        return Light(read_rgbe(path, most_pixels))
    return _read_exr(path, most_pixels)


def write_exr(channels: Mapping[str, np.ndarray], path: Path, compression: str = "zip") -> None:
    """Write an EXR file atomically.

    :param channels: by name ("R", "depth.Z"), all of one shape [height, width]; float16, float32 or uint32.
    :param compression: as OpenEXR calls it: "zip", "piz", "dwaa", "none", ...
    :raises UserError: naming the file, if it cannot be written.
    """
    import OpenEXR

    kind = OpenEXR.NO_COMPRESSION if compression == "none" else getattr(OpenEXR, f"{compression.upper()}_COMPRESSION")
    header = {"compression": kind, "type": OpenEXR.scanlineimage}
    # The library writes other arrays than contiguous ones wrong, without a word.
    planes = {name: np.ascontiguousarray(values) for name, values in channels.items()}
    buffer = io.BytesIO()
    with OpenEXR.File(header, planes) as file:
        file.write(buffer)
    write_atomically(path, buffer.getvalue())


def read_plane(path: Path, most_pixels: int) -> Float[np.ndarray, "height width"]:
    """Return the one number that an EXR file has for each pixel, such as a distance, as float32.

    It is the channel Z, alone or of a layer ("depth.Z"); else the only channel there is; else Y; else red, green and
    blue, if they are equal. Values are those of the file, also NaN and inf; pixels without data are 0.

    :raises UserError: naming the file, as `read_layers`, and if it has no such channel.
    """
    path = Path(path)
    if not is_file(path):
        raise UserError(f"{path}: no such file")
    with _decoding(path):
        layer, planes, _, _, data, display = _decoded(path, most_pixels, _choose_plane)
        first, *others = planes
        if any(not np.array_equal(first, other, equal_nan=True) for other in others):
            shown = ", ".join(layer.names)
            raise UserError(f"{path}: its channels {shown} differ, and it has no channel Z: it is no map of depth")
        return np.ascontiguousarray(_placed(path, [first], data, display)[..., 0], np.float32)


def _read_exr(path: Path, most_pixels: int) -> Light:
    with _decoding(path):
        layer, planes, alpha, header, data, display = _decoded(path, most_pixels, _choose_layer)
        primaries = known_primaries(header.get("chromaticities", REC709), f"{path}: its chromaticities")
        colours = _placed(path, _colours(layer.names, planes, primaries), data, display)
        if len(planes) == 3:
            colours = light_to_rec709(colours, primaries)
        del planes
        if alpha is None or not (alpha > 0).any() or (alpha >= 1).all():
            return Light(colours)
        return Light(colours, np.clip(np.nan_to_num(_placed(path, [alpha], data, display)), 0, 1))


def _decoded(path: Path, most_pixels: int, choose: Callable[[Path, Sequence[Sequence[str]]], _Layer]) -> _Decoded:
    """Return what a file has of the layer that ``choose`` takes from the names of the channels of its parts."""
    import OpenEXR

    _check_magic(path)
    with _opened(path, header_only=True) as file:
        headers = [dict(part.header) for part in file.parts]
    for header in headers:
        if header["type"] in (OpenEXR.deepscanline, OpenEXR.deeptile):
            raise UserError(f"{path}: holds deep data (many samples per pixel); flatten it first")
    _check_size(path, headers, most_pixels)
    layer = choose(path, [[channel.name for channel in header["channels"]] for header in headers])
    header = headers[layer.part]
    data, display = (_window(header[name]) for name in ("dataWindow", "displayWindow"))
    with _opened(path) as file:
        if len(file.parts) != len(headers):  # the library leaves out parts that it cannot decode
            raise UserError(f"{path}: its pixels are damaged or cut off")
        channels = file.parts[layer.part].channels
        planes = [_plane(path, channels[name], data) for name in layer.names]
        alpha = None if layer.alpha is None else _plane(path, channels[layer.alpha], data)
    return _Decoded(layer, planes, alpha, header, data, display)


@contextmanager
def _opened(path: Path, header_only: bool = False) -> Iterator[Any]:
    """Open a file with the library. It takes no names that are not UTF-8, but reads the content of such a file."""
    import OpenEXR

    with path.open("rb") as stream:
        place = str(path) if is_utf8(path) else stream
        with OpenEXR.File(place, separate_channels=True, header_only=header_only) as file:
            yield file


def _check_magic(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    if start != _MAGIC:
        raise UserError(f"{path}: is empty" if not start else f"{path}: is no EXR file, it starts with {start!r}")


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Turn the library's errors about a broken file into a UserError, and drop what the library prints."""
    try:
        with redirect_stdout(io.StringIO()):
            yield
    except UserError:
        raise
    # The binding raises RuntimeError, ValueError, KeyError or TypeError, depending on where a file breaks.
    except Exception as error:
        reason = str(error).replace(f" '{path}'", " it")
        raise UserError(f"{path}: not a readable EXR file ({reason})") from error


def _window(corners: Any) -> _Window:
    (left, top), (right, bottom) = ([int(value) for value in corner] for corner in corners)
    return _Window(left, top, right - left + 1, bottom - top + 1)


def _check_size(path: Path, headers: Sequence[Mapping[str, Any]], most_pixels: int) -> None:
    values = 0
    for header in headers:
        windows = [_window(header[name]) for name in ("dataWindow", "displayWindow")]
        if "tiles" in header:  # a whole tile is decoded even where it hangs over the edge
            windows.append(_Window(0, 0, int(header["tiles"].xSize), int(header["tiles"].ySize)))
        for window in windows:
            if window.width < 1 or window.height < 1 or window.width * window.height > most_pixels:
                raise UserError(f"{path}: its header claims {window} pixels; at most {most_pixels} are read")
        values += max(window.width * window.height for window in windows) * len(header["channels"])
    if values > _MAX_VALUES_PER_PIXEL * most_pixels:
        count = sum(len(header["channels"]) for header in headers)
        raise UserError(
            f"{path}: its {count} channels hold {values} values, more than the limit of "
            f"{_MAX_VALUES_PER_PIXEL * most_pixels}"
        )


def _choose_layer(path: Path, parts: Sequence[Sequence[str]]) -> _Layer:
    found: list[tuple[tuple[bool, bool], _Layer]] = []
    for number, names in enumerate(parts):
        for prefix in sorted({name.rpartition(".")[0] for name in names}):
            full = [f"{prefix}.{letter}" if prefix else letter for letter in ("R", "G", "B", "Y", "RY", "BY")]
            has_x = (f"{prefix}.X" if prefix else "X") in names
            kinds = (full[:3], full[3:], [] if has_x else full[3:4])
            wanted = next((some for some in kinds if some and set(some) <= set(names)), None)
            if wanted:
                finished = prefix.rpartition(".")[2].lower() in _FINISHED
                alpha = f"{prefix}.A" if prefix else "A"
                layer = _Layer(number, tuple(wanted), alpha if alpha in names else None)
                found.append(((bool(prefix), not finished), layer))
    if not found:
        known = sorted({name for names in parts for name in names})
        shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
        raise UserError(f"{path}: has no channels R, G, B and no luminance Y, only {shown}")
    return min(found, key=lambda entry: entry[0])[1]  # the first of equals


def _choose_plane(path: Path, parts: Sequence[Sequence[str]]) -> _Layer:
    every = [(number, name) for number, names in enumerate(parts) for name in names]
    # A channel Z beside X and Y is one of a position or a normal.
    depths = [
        (number, name)
        for number, name in every
        if name.rpartition(".")[2] in ("Z", "z") and f"{name[:-1]}{chr(ord(name[-1]) - 2)}" not in parts[number]
    ]
    if depths:
        number, name = min(depths, key=lambda found: len(found[1]))
        return _Layer(number, (name,), None)
    if len(every) == 1:
        return _Layer(every[0][0], (every[0][1],), None)
    layer = _choose_layer(path, parts)
    names = layer.names[:1] if layer.names[0].endswith("Y") else layer.names
    return _Layer(layer.part, names, None)


def _plane(path: Path, channel: Any, data: _Window) -> Float[np.ndarray, "height width"]:
    """Return all pixels of a channel. A channel with pixels only at even places of the data window is interpolated."""
    pixels = channel.pixels if channel.pixels.dtype == np.float16 else channel.pixels.astype(np.float32)
    across, down = int(channel.xSampling), int(channel.ySampling)
    if across < 1 or down < 1 or pixels.shape != (math.ceil(data.height / down), math.ceil(data.width / across)):
        raise UserError(f"{path}: channel {channel.name} has {pixels.shape} values, which do not fit its {data} pixels")
    if (across, down) == (1, 1):
        return pixels
    spread = _spread(pixels.astype(np.float32), down, data.height)
    return np.ascontiguousarray(_spread(spread.T, across, data.width).T)


def _spread(values: Float[np.ndarray, "few columns"], step: int, count: int) -> Float[np.ndarray, "many columns"]:
    """Return ``count`` rows from every ``step``-th row: linear between them, constant after the last."""
    place = np.arange(count) / step
    before = np.minimum(place.astype(int), len(values) - 1)
    after = np.minimum(before + 1, len(values) - 1)
    share = (place - before).astype(np.float32)[:, None]
    return values[before] * (1 - share) + values[after] * share


def _colours(
    names: Sequence[str], planes: Sequence[Float[np.ndarray, "height width"]], primaries: Sequence[float]
) -> list[np.ndarray]:
    """Return R, G and B of what was read. RY = (R - Y) / Y and BY = (B - Y) / Y, as in OpenEXR's technical
    introduction.
    """
    if len(planes) == 1:
        return [planes[0]] * 3
    if not names[0].endswith("Y"):
        return list(planes)
    luminance, red, blue = (plane.astype(np.float32) for plane in planes)
    red, blue = (red + 1) * luminance, (blue + 1) * luminance
    of_red, of_green, of_blue = to_xyz(primaries)[1].astype(np.float32)
    return [red, (luminance - of_red * red - of_blue * blue) / of_green, blue]


def _placed(
    path: Path, planes: Sequence[Float[np.ndarray, "rows columns"]], data: _Window, display: _Window
) -> Float[np.ndarray, "height width channels"]:
    """Return the part of the data that lies in the display window, on black."""
    dtype = np.float16 if all(plane.dtype == np.float16 for plane in planes) else np.float32
    left, top = max(data.left, display.left), max(data.top, display.top)
    right = min(data.left + data.width, display.left + display.width)
    bottom = min(data.top + data.height, display.top + display.height)
    if right <= left or bottom <= top:
        raise UserError(f"{path}: its data window lies outside its display window, so it shows nothing")
    light = np.zeros((display.height, display.width, len(planes)), dtype)
    for number, plane in enumerate(planes):
        light[top - display.top : bottom - display.top, left - display.left : right - display.left, number] = plane[
            top - data.top : bottom - data.top, left - data.left : right - data.left
        ]
    return light
