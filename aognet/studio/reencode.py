"""A process of its own that decodes one image of a stranger, within limits of memory and time, and writes it anew.

``python -m aognet.studio.reencode IN FOLDER PIXELS``: it prints what it found as JSON, or an error. It writes

- ``image.png``: nothing but the pixels, tone-mapped where they are light, for eyes and networks
- ``image.exr``: light in half precision, of EXR and Radiance files
- ``placed.png``: a part of a panorama, whose metadata says which
"""

import json
import resource
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

MEMORY, SECONDS = 6 * 2**30, 60
EXR, RADIANCE = b"\x76\x2f\x31\x01", b"#?"  # what these files begin with
PICTURE, LIGHT, PLACED = "image.png", "image.exr", "placed.png"


def main(source: Path, folder: Path, pixels: int) -> dict[str, Any]:
    """Write the image of a file, with nothing but its pixels and its place on the sphere. Return what it is."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    with source.open("rb") as file:
        begin = file.read(len(EXR))
    if begin == EXR or begin.startswith(RADIANCE):
        named = source.rename(source.with_name("light.exr" if begin == EXR else "light.hdr"))
        return light(named, folder, pixels)
    return picture(source, folder, pixels)


def picture(source: Path, folder: Path, pixels: int) -> dict[str, Any]:
    """Write an image of display values."""
    import numpy as np
    from PIL import Image

    from aognet.io.decoding import decode_file
    from aognet.io.gpano import area_packet, png_with

    Image.MAX_IMAGE_PIXELS = pixels
    decoded = decode_file(source, "the image")
    rows, columns = decoded.levels.shape[:2]
    if rows * columns > pixels:
        return {"error": f"has {columns}x{rows} pixels, more than the limit of {pixels}"}
    found = decoded.exif.fov_degrees(columns, rows)
    parts = [np.repeat(decoded.levels, 3, -1) if decoded.levels.shape[-1] == 1 else decoded.levels]
    parts += [] if decoded.alpha is None else [decoded.alpha]
    levels = [
        ((part.astype(np.uint32) + 128) // 257).astype(np.uint8) if part.dtype == np.uint16 else part for part in parts
    ]
    image, area = Image.fromarray(np.concatenate(levels, -1)), decoded.area
    image.save(folder / PICTURE, "PNG", compress_level=1)
    is_part = area is not None and not area.whole
    if area is not None and is_part:
        (folder / PLACED).write_bytes(png_with(image, area_packet(area, columns, rows)))
    return {
        "width": columns,
        "height": rows,
        "exif_fov": None if found is None else round(found[0], 2),
        "is_panorama": abs(columns - 2 * rows) <= 1 and not is_part,
        "is_light": False,
        "area": asdict(area) if area is not None and is_part else None,
    }


def light(source: Path, folder: Path, pixels: int) -> dict[str, Any]:
    """Write an image of linear light. Its colours end where half precision does, at 65504."""
    import numpy as np
    from PIL import Image

    from aognet.io.hdr import read_layers, write_exr
    from aognet.io.tonemap import clean, tone_map_to_levels

    found = read_layers(source, pixels)
    half = np.minimum(clean(found.colours), np.finfo(np.float16).max).astype(np.float16)
    channels = {letter: half[..., number] for number, letter in enumerate("RGB")}
    colours, alpha = half, []
    if found.opacity is not None:
        opacity = found.opacity.astype(np.float16)
        channels["A"] = opacity[..., 0]
        colours = (half / np.maximum(opacity, 0.5)).astype(np.float32)
        alpha = [np.rint(opacity.astype(np.float32) * 255).astype(np.uint8)]
    write_exr(channels, folder / LIGHT)
    levels = np.concatenate([tone_map_to_levels(colours, np.uint8), *alpha], -1)
    Image.fromarray(levels).save(folder / PICTURE, "PNG", compress_level=1)
    rows, columns = half.shape[:2]
    told = {"exif_fov": None, "is_panorama": abs(columns - 2 * rows) <= 1, "is_light": True, "area": None}
    return {"width": columns, "height": rows, **told}


if __name__ == "__main__":
    from aognet.errors import UserError

    given = Path(sys.argv[1])
    try:
        told = main(given, Path(sys.argv[2]), int(sys.argv[3]))
    except (UserError, MemoryError) as error:
        told = {"error": (str(error) or "needs too much memory").replace(f"{given.parent}/", "")}
    sys.stdout.write(json.dumps(told))
