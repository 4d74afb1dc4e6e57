"""A process of its own that decodes one image of a stranger, within limits of memory and time, and writes it anew.

``python -m aognet.studio.reencode IN OUT PIXELS``: it prints what it found as JSON, or an error.
"""

import json
import resource
import sys
from pathlib import Path

MEMORY, SECONDS = 6 * 2**30, 60


def main(source: Path, target: Path, pixels: int) -> dict[str, object]:
    """Write the image of a file as PNG, with nothing but its pixels and its place on the sphere. Return what it is."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    import numpy as np
    from PIL import Image

    from aognet.io.decoding import decode_file

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
    Image.fromarray(np.concatenate(levels, -1)).save(target, "PNG", compress_level=1)
    return {
        "width": columns,
        "height": rows,
        "exif_fov": None if found is None else round(found[0], 2),
        "is_panorama": abs(columns - 2 * rows) <= 1 and (decoded.area is None or decoded.area.whole),
    }


if __name__ == "__main__":
    from aognet.errors import UserError

    try:
        told = main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    except (UserError, MemoryError) as error:
        told = {"error": str(error) or "needs too much memory"}
    sys.stdout.write(json.dumps(told))
