"""Binary glTF 2.0 files of one mesh with one texture, which viewers show without lighting.

Sections are those of the glTF 2.0 Specification (Khronos, version 2.0.1). The material is that of KHR_materials_unlit.
"""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from aognet.io.files import write_atomically

ARRAY, ELEMENTS = 34962, 34963  # targets of buffer views, section 5.11
FLOAT, UNSIGNED_INT = 5126, 5125  # types of components, section 3.6.2.2
REPEAT, CLAMP = 10497, 33071  # how a texture goes on beyond its edges, section 5.26
LINEAR, MIPMAPS = 9729, 9987


class _Buffer:
    """The binary part of a file, and what its parts are. Each begins at a multiple of 4 bytes (section 3.6.2.4)."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, content: bytes, **more: Any) -> int:
        """Append bytes; return the number of their view."""
        self.views.append({"buffer": 0, "byteOffset": len(self.content), "byteLength": len(content), **more})
        self.content += content + b"\0" * (-len(content) % 4)
        return len(self.views) - 1

    def add_array(self, values: np.ndarray, kind: str, target: int, limits: bool = False) -> int:
        """Append an array; return the number of its accessor. ``limits``: note the least and the largest values."""
        component = FLOAT if values.dtype == np.float32 else UNSIGNED_INT
        accessor = {"bufferView": self.add(values.tobytes(), target=target), "componentType": component}
        accessor |= {"count": len(values) if kind != "SCALAR" else values.size, "type": kind}
        if limits:
            accessor |= {"min": values.min(0).tolist(), "max": values.max(0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def write_glb(
    positions: Float[np.ndarray, "corners 3"],
    normals: Float[np.ndarray, "corners 3"],
    texture: Float[np.ndarray, "corners 2"],
    triangles: Int[np.ndarray, "triangles 3"],
    jpeg: bytes,
    path: Path,
    name: str = "",
) -> None:
    """Write a mesh and its texture, atomically.

    ``positions`` have +x right, +y up and -z ahead; ``texture`` has columns and rows in shares of the picture, from its
    upper left. The picture repeats across and ends at its upper and lower edges.

    :raises UserError: naming the file, if it cannot be written.
    """
    buffer = _Buffer()
    attributes = {
        "POSITION": buffer.add_array(positions.astype("<f4"), "VEC3", ARRAY, limits=True),
        "NORMAL": buffer.add_array(normals.astype("<f4"), "VEC3", ARRAY),
        "TEXCOORD_0": buffer.add_array(texture.astype("<f4"), "VEC2", ARRAY),
    }
    primitive = {"attributes": attributes, "material": 0, "mode": 4}
    primitive["indices"] = buffer.add_array(triangles.astype("<u4"), "SCALAR", ELEMENTS)
    surface = {"baseColorTexture": {"index": 0}, "metallicFactor": 0.0, "roughnessFactor": 1.0}
    content = {
        "asset": {"version": "2.0", "generator": "aognet"},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": name or "panorama"}],
        "meshes": [{"primitives": [primitive]}],
        "materials": [{"pbrMetallicRoughness": surface, "extensions": {"KHR_materials_unlit": {}}}],
        "textures": [{"sampler": 0, "source": 0}],
        "samplers": [{"magFilter": LINEAR, "minFilter": MIPMAPS, "wrapS": REPEAT, "wrapT": CLAMP}],
        "images": [{"bufferView": buffer.add(jpeg), "mimeType": "image/jpeg"}],
        "bufferViews": buffer.views,
        "accessors": buffer.accessors,
        "buffers": [{"byteLength": len(buffer.content)}],
    }
    write_atomically(path, _container(json.dumps(content, separators=(",", ":")).encode(), bytes(buffer.content)))


def _container(text: bytes, binary: bytes) -> bytes:
    """Return the two chunks as one file (section 4.4): JSON is filled up with spaces."""
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
