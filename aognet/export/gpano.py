"""Panoramas that say they are panoramas.

The metadata is Google's Photo Sphere XMP (namespace ``GPano``), which phones, photo services and viewers read. A PNG
keeps it in the iTXt chunk ``XML:com.adobe.xmp``, a JPEG in an APP1 segment.
"""

import io
import re
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from PIL import Image, PngImagePlugin

from aognet.errors import UserError
from aognet.files import PNG, write_atomically

_GPANO = "http://ns.google.com/photos/1.0/panorama/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_DC = "http://purl.org/dc/elements/1.1/"
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_MAX_DESCRIPTION = 2000  # characters; escaped at worst 5 bytes each, it fits the 64 KB of a JPEG segment
_MAX_XMP = 1 << 20  # bytes; what a stranger's file may make us parse
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
    """``text`` without control characters (each becomes a space), at most ``limit`` characters long."""
    text = _UNPRINTABLE.sub(" ", text[: limit + 1]).strip()
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def save_panorama(image: Image.Image, path: Path, *, description: str = "") -> None:
    """Write an equirectangular panorama as PNG or JPEG, by suffix, with Photo Sphere metadata.

    The image centre is taken as north and the horizon as level. ``description`` (a prompt, say) may hold anything: it
    is cleaned, shortened to 2000 characters and escaped.

    Raises:
        UserError: the suffix is unknown, the image is not twice as wide as high, or the file cannot be written.
    """
    file_format = _FORMATS.get(path.suffix.lower())
    if file_format is None:
        raise UserError(f"{path}: a panorama is written as {', '.join(_FORMATS)}, got {path.suffix or 'no suffix'!r}")
    width, height = image.size
    if width != 2 * height:
        raise UserError(f"{path}: a panorama must be twice as wide as high, got {width}x{height}")
    packet = _packet(width, height, clean_text(description, _MAX_DESCRIPTION))
    buffer = io.BytesIO()
    if file_format == "PNG":
        chunks = PngImagePlugin.PngInfo()
        chunks.add_itxt("XML:com.adobe.xmp", packet)
        image.convert("RGB").save(buffer, "PNG", pnginfo=chunks, **PNG)
    else:
        image.convert("RGB").save(buffer, "JPEG", quality=95, subsampling=0, xmp=packet.encode())
    write_atomically(path, buffer.getvalue())


def read_gpano(path: Path) -> dict[str, str] | None:
    """Photo Sphere properties of an image by name (``ProjectionType``, ...) and its ``description``; None without any.

    Safe on strangers' files: nothing above 1 MB is parsed and nothing that declares a document type or entities.

    Raises:
        UserError: the file is missing or is no image.
    """
    try:
        with Image.open(path) as image:
            packet = image.info.get("xmp", b"")
    except (OSError, Image.DecompressionBombError) as error:
        raise UserError(f"cannot read {path} as an image: {error}") from error
    root = _parse(packet)
    if root is None:
        return None
    found: dict[str, str] = {}
    for element in root.iter():
        # A property is an attribute of rdf:Description or an element of its own: both are valid XMP.
        pairs = [*element.attrib.items(), (element.tag, (element.text or "").strip())]
        found.update((name.removeprefix(f"{{{_GPANO}}}"), value) for name, value in pairs if f"{{{_GPANO}}}" in name)
    if not found:
        return None
    description = root.find(f".//{{{_DC}}}description/{{{_RDF}}}Alt/{{{_RDF}}}li")
    return found if description is None else {**found, "description": description.text or ""}


def _packet(width: int, height: int, description: str) -> str:
    properties = {
        "ProjectionType": "equirectangular",
        "UsePanoramaViewer": "True",
        "FullPanoWidthPixels": width,
        "FullPanoHeightPixels": height,
        "CroppedAreaImageWidthPixels": width,
        "CroppedAreaImageHeightPixels": height,
        "CroppedAreaLeftPixels": 0,
        "CroppedAreaTopPixels": 0,
        "PoseHeadingDegrees": 0,
        "PosePitchDegrees": 0,
        "PoseRollDegrees": 0,
    }
    lines = [f"   <GPano:{name}>{value}</GPano:{name}>" for name, value in properties.items()]
    if description:
        item = f'<rdf:li xml:lang="x-default">{escape(description)}</rdf:li>'
        lines.append(f"   <dc:description><rdf:Alt>{item}</rdf:Alt></dc:description>")
    return _PACKET.format(rdf=_RDF, gpano=_GPANO, dc=_DC, properties="\n".join(lines))


def _parse(packet: bytes | str) -> ElementTree.Element | None:
    """The XMP packet's root element, or None when it is absent, too long, malformed or declares a document type."""
    if not packet or len(packet) > _MAX_XMP:
        return None
    try:
        # Decoded first: in another encoding a document type could pass the check below unseen.
        text = packet if isinstance(packet, str) else packet.decode()
        if re.search("<!(doctype|entity)", text, re.IGNORECASE):
            return None
        return ElementTree.fromstring(text.strip("\0 \n"))
    except (UnicodeDecodeError, ElementTree.ParseError):
        return None
