"""Photo Sphere metadata: panoramas that say that they are panoramas.

The metadata is Google's Photo Sphere XMP (namespace ``GPano``), which phones, photo services and viewers read. A PNG
has it in the iTXt chunk ``XML:com.adobe.xmp``, a JPEG in an APP1 segment.
"""

import io
import re
from pathlib import Path
from xml.sax.saxutils import escape

from PIL import Image, PngImagePlugin

from aognet.errors import UserError
from aognet.io.decoding import open_image
from aognet.io.files import PNG, write_atomically
from aognet.io.photosphere import DC, GPANO, RDF, SphereArea, read_properties

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_MAX_DESCRIPTION = 2000  # characters; escaped at worst 5 bytes each, it fits the 64 KB of a JPEG segment
# What XML 1.0 cannot hold at all (section 2.2), and the C1 controls, which no reader shows.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="{rdf}">
  <rdf:Description rdf:about="" xmlns:GPano="{gpano}" xmlns:dc="{dc}">
{properties}
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def clean_text(text: str, limit: int) -> str:
    """Return ``text`` without control characters (each becomes a space), at most ``limit`` characters long."""
    text = _UNPRINTABLE.sub(" ", text[: limit + 1]).strip()
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def save_panorama(image: Image.Image, path: Path, *, description: str = "") -> None:
    """Write an equirectangular panorama as PNG or JPEG, by suffix, with Photo Sphere metadata.

    The image centre is taken as north and the horizon as level. ``description`` (such as a prompt) may contain
    anything: it is cleaned, shortened to 2000 characters and escaped.

    Raises:
        UserError: the suffix is unknown, the image is not twice as wide as high, or the file cannot be written.
    """
    file_format = _FORMATS.get(path.suffix.lower())
    if file_format is None:
        raise UserError(f"{path}: a panorama is written as {', '.join(_FORMATS)}, got {path.suffix or 'no suffix'!r}")
    width, height = image.size
    if width != 2 * height:
        raise UserError(f"{path}: a panorama must be twice as wide as high, got {width}x{height}")
    packet = area_packet(SphereArea(), width, height, clean_text(description, _MAX_DESCRIPTION))
    if file_format == "PNG":
        write_atomically(path, png_with(image.convert("RGB"), packet))
        return
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=95, subsampling=0, xmp=packet.encode())
    write_atomically(path, buffer.getvalue())


def png_with(image: Image.Image, packet: str) -> bytes:
    """Return the content of a PNG file with an XMP packet."""
    buffer, chunks = io.BytesIO(), PngImagePlugin.PngInfo()
    chunks.add_itxt("XML:com.adobe.xmp", packet)
    image.save(buffer, "PNG", pnginfo=chunks, **PNG)
    return buffer.getvalue()


def read_gpano(path: Path) -> dict[str, str] | None:
    """Return the Photo Sphere properties of an image by name (``ProjectionType``, ...) and its ``description``; None
    without any.

    It is safe on files of strangers, as `aognet.io.photosphere.read_properties` is.

    Raises:
        UserError: the file is missing or is no image.
    """
    try:
        with open_image(path) as image:
            return read_properties(image.info.get("xmp", b""))
    # Pillow raises many kinds for broken files: OSError, SyntaxError, ValueError, struct.error, decompression bombs.
    except Exception as error:
        raise UserError(f"cannot read {path} as an image: {error}") from error


def description_of(path: Path) -> str:
    """Return the words that a PNG or JPEG file carries of itself; empty without any, and for other files.

    Raises UserError as `read_gpano`.
    """
    known = (read_gpano(path) or {}) if path.suffix.lower() in (".png", ".jpg", ".jpeg") else {}
    return known.get("description", "")


def area_packet(area: SphereArea, columns: int, rows: int, description: str = "") -> str:
    """Return the XMP packet of an image of that many columns and rows which shows a part of a panorama. The whole
    panorama need not have whole pixels: its sides are then fractions.
    """
    width, height = _side(columns / area.width), _side(rows / area.height)
    properties = {
        "ProjectionType": "equirectangular",
        "UsePanoramaViewer": "True",
        "FullPanoWidthPixels": width,
        "FullPanoHeightPixels": height,
        "CroppedAreaImageWidthPixels": columns,
        "CroppedAreaImageHeightPixels": rows,
        "CroppedAreaLeftPixels": _side(area.left * width),
        "CroppedAreaTopPixels": _side(area.top * height),
        "PoseHeadingDegrees": 0,
        "PosePitchDegrees": _side(area.pitch_degrees),
        "PoseRollDegrees": _side(area.roll_degrees),
    }
    lines = [f"   <GPano:{name}>{value}</GPano:{name}>" for name, value in properties.items()]
    if description:
        item = f'<rdf:li xml:lang="x-default">{escape(description)}</rdf:li>'
        lines.append(f"   <dc:description><rdf:Alt>{item}</rdf:Alt></dc:description>")
    return _PACKET.format(rdf=RDF, gpano=GPANO, dc=DC, properties="\n".join(lines))


def _side(value: float) -> int | float:
    """Return a number as it is written: whole ones without a point."""
    return round(value) if abs(value - round(value)) < 1e-6 else value
