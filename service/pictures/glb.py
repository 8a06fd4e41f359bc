"""A coloured surface as binary glTF 2.0, which browsers, Blender, ParaView and office programs open."""

import json
import struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inphase.surface import Surface

MEDIA_TYPE: Final = "model/gltf-binary"
_MAGIC, _VERSION, _JSON, _BINARY = 0x46546C67, 2, 0x4E4F534A, 0x004E4942
_FLOAT, _UNSIGNED, _SHORT = 5126, 5125, 5123  # glTF's component types
_VERTICES, _INDICES = 34962, 34963


def encode(surface: Surface, light: NDArray[np.float64], said: dict[str, Any]) -> bytes:
    """The file. light: (n, 3) linear colours, 0 to 1, of the vertices. said: extras of the mesh, plain values."""
    colours = np.ones((len(light), 4), "<u2") * 65535
    colours[:, :3] = np.round(65535 * light)
    parts: list[tuple[NDArray[Any], int, str, int]] = [
        (surface.vertices.astype("<f4"), _FLOAT, "VEC3", _VERTICES),
        (surface.normals.astype("<f4"), _FLOAT, "VEC3", _VERTICES),
        (colours.astype("<u2"), _SHORT, "VEC4", _VERTICES),
        (surface.faces.astype("<u4").ravel(), _UNSIGNED, "SCALAR", _INDICES),
    ]
    views, accessors, body = [], [], b""
    for number, (array, component, shape, target) in enumerate(parts):
        views.append({"buffer": 0, "byteOffset": len(body), "byteLength": array.nbytes, "target": target})
        accessors.append({"bufferView": number, "componentType": component, "count": len(array), "type": shape})
        body += array.tobytes()
    accessors[0] |= {"min": surface.vertices.min(axis=0).tolist(), "max": surface.vertices.max(axis=0).tolist()}
    accessors[2]["normalized"] = True
    primitive = {"attributes": {"POSITION": 0, "NORMAL": 1, "COLOR_0": 2}, "indices": 3, "material": 0}
    head = {
        "asset": {"version": "2.0", "generator": "inphase"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive], "extras": said}],
        "materials": [{"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.6}}],
        "buffers": [{"byteLength": len(body)}],
        "bufferViews": views,
        "accessors": accessors,
    }
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 4)
    size = 12 + 8 + len(text) + 8 + len(body)
    return b"".join(
        [
            struct.pack("<III", _MAGIC, _VERSION, size),
            struct.pack("<II", len(text), _JSON), text,
            struct.pack("<II", len(body), _BINARY), body,
        ]
    )  # fmt: skip
