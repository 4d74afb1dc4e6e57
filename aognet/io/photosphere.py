"""Google's Photo Sphere metadata: which part of the sphere an image shows.

The XMP has the namespace ``GPano``, as phones, photo services and stitchers write it
(https://developers.google.com/streetview/spherical-metadata).
"""

import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

log = logging.getLogger(__name__)

GPANO = "http://ns.google.com/photos/1.0/panorama/"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
_MAX_XMP = 1 << 20  # bytes; what a stranger's file may make us parse
_MAX_PIXELS = 1e7  # of a side


@dataclass(frozen=True)
class SphereArea:
    """The part of an equirectangular panorama that an image shows, in shares of its width and height from the top left.

    ``left`` lies in [0, 1), and ``left + width`` may exceed 1: the part then crosses the seam. ``pitch_degrees`` says
    how far above the horizon the centre of the panorama looks, ``roll_degrees`` how far the camera was turned
    clockwise. Both are 0 if the horizon is level.
    """

    left: float = 0.0
    top: float = 0.0
    width: float = 1.0
    height: float = 1.0
    pitch_degrees: float = 0.0
    roll_degrees: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether this is all of the sphere."""
        return self.width == self.height == 1

    def __str__(self) -> str:
        if self.whole:
            return "a whole panorama"
        return f"a part of a panorama ({self.width * 360:.0f}x{self.height * 180:.0f} degrees)"


def read_properties(packet: bytes | str) -> dict[str, str] | None:
    """Return the GPano properties of an XMP packet by name (``ProjectionType``, ...) and its ``description``; None
    without any.

    It is safe on files of strangers: it parses nothing above 1 MB, and nothing that declares a document type or
    entities.
    """
    root = _parse(packet)
    if root is None:
        return None
    found: dict[str, str] = {}
    for element in root.iter():
        # A property is an attribute of rdf:Description or an element of its own: both are valid XMP.
        pairs = [*element.attrib.items(), (element.tag, (element.text or "").strip())]
        found.update((name.removeprefix(f"{{{GPANO}}}"), value) for name, value in pairs if f"{{{GPANO}}}" in name)
    if not found:
        return None
    description = root.find(f".//{{{DC}}}description/{{{RDF}}}Alt/{{{RDF}}}li")
    return found if description is None else {**found, "description": description.text or ""}


def sphere_area(packet: bytes | str, columns: int, rows: int, name: str) -> SphereArea | None:
    """Return which part of the sphere an image of that many columns and rows shows, by its XMP packet; None without
    one.

    Metadata that does not fit the image, which may have been cropped since, is ignored with a warning about ``name``.
    """
    properties = read_properties(packet)
    if properties is None or properties.get("ProjectionType", "equirectangular").lower() != "equirectangular":
        return None
    area = _area(properties)
    # Sides of a part are whole pixels of a panorama that may have been far smaller.
    if area is None or abs(area.width * 2 * rows / (area.height * columns) - 1) > 0.02 + 2 / min(columns, rows):
        log.warning("%s: its GPano metadata does not fit its %dx%d pixels; it is left aside", name, columns, rows)
        return None
    return area


def _area(properties: Mapping[str, str]) -> SphereArea | None:
    try:
        across, down = (_number(properties.get(f"FullPano{side}Pixels")) for side in ("Width", "Height"))
        width, height = (_number(properties.get(f"CroppedAreaImage{side}Pixels")) for side in ("Width", "Height"))
        left, top = (_number(properties.get(f"CroppedArea{side}Pixels")) or 0.0 for side in ("Left", "Top"))
        pitch, roll = (_number(properties.get(f"Pose{angle}Degrees")) or 0.0 for angle in ("Pitch", "Roll"))
    except ValueError:
        return None
    tilt = {"pitch_degrees": pitch, "roll_degrees": roll}
    if across is None or down is None:  # a viewer's hint alone, such as ProjectionType
        return SphereArea(**tilt)
    width, height = width or across, height or down
    sane = 0 < width <= across <= _MAX_PIXELS and 0 < height <= down and abs(across - 2 * down) <= 2 + across / 100
    if not (sane and 0 <= left < across and 0 <= top and top + height <= down + 1 and abs(pitch) <= 90):
        return None
    return SphereArea(left / across, top / down, width / across, height / down, **tilt)


def _number(text: str | None) -> float | None:
    """Return a finite number.

    :raises ValueError: for any other text.
    """
    if text is None or not text.strip():
        return None
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"no finite number: {text!r}")
    return value


def _parse(packet: bytes | str) -> ElementTree.Element | None:
    """Return the XMP packet's root element; None if it is absent, too long, malformed or declares a document type."""
    if not packet or len(packet) > _MAX_XMP:
        return None
    try:
        # Decoded first: in another encoding a document type could pass the check below unseen.
        text = packet if isinstance(packet, str) else packet.decode()
        if re.search("<!(doctype|entity)", text, re.IGNORECASE):
            return None
        return ElementTree.fromstring(text.strip("\0 \n"))
    except (ValueError, ElementTree.ParseError):
        return None
