"""PLY files of coloured points or triangles, binary and little endian (G. Turk, The PLY Polygon File Format, 1994)."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8

from aognet.io.files import write_atomically

AXES = "+x right, +y up, -z ahead, in metres or radii of the sphere"


def write_ply(
    positions: Float[np.ndarray, "vertices 3"],
    colours: UInt8[np.ndarray, "vertices 3"],
    path: Path,
    triangles: Int[np.ndarray, "triangles 3"] | None = None,
) -> None:
    """Write points with their colours (red, green, blue), and triangles between them if there are any, atomically.

    :raises UserError: naming the file, if it cannot be written.
    """
    points = np.empty(len(positions), dtype=[("position", "<f4", 3), ("colour", "u1", 3)])
    points["position"], points["colour"] = positions, colours
    header = ["ply", "format binary_little_endian 1.0", f"comment {AXES}", f"element vertex {len(points)}"]
    header += [f"property float {axis}" for axis in "xyz"]
    header += [f"property uchar {colour}" for colour in ("red", "green", "blue")]
    content = [points.tobytes()]
    if triangles is not None:
        faces = np.empty(len(triangles), dtype=[("count", "u1"), ("vertices", "<i4", 3)])
        faces["count"], faces["vertices"] = 3, triangles
        header += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
        content.append(faces.tobytes())
    write_atomically(path, b"".join([*(line.encode() + b"\n" for line in [*header, "end_header"]), *content]))
