"""Surfaces as glTF; tests/service/api/test_views.py reads what the service answers."""

import json
import struct
from pathlib import Path

import numpy as np
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkIOGeometry import vtkGLTFReader

from inphase.surface import isosurface
from service.pictures import glb


def test_another_program_reads_the_same_mesh(tmp_path: Path) -> None:
    """VTK finds the vertices, triangles and colours that were written."""
    z, y, x = np.mgrid[-8:8, -8:8, -8:8]
    surface = isosurface(np.exp(-(x**2 + 2 * y**2 + 3 * z**2) / 40.0), 0.5)
    light = np.random.default_rng(0).random((len(surface.vertices), 3))
    path = tmp_path / "surface.glb"
    path.write_bytes(glb.encode(surface, light, {"of": "phase"}))
    reader = vtkGLTFReader()
    reader.SetFileName(str(path))
    reader.Update()
    blocks = reader.GetOutput()
    while not blocks.IsA("vtkPolyData"):
        blocks = blocks.GetBlock(0)
    np.testing.assert_allclose(vtk_to_numpy(blocks.GetPoints().GetData()), surface.vertices)
    faces = vtk_to_numpy(blocks.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    assert np.array_equal(faces, surface.faces)
    colours = vtk_to_numpy(blocks.GetPointData().GetArray("COLOR_0"))
    np.testing.assert_allclose(colours[:, :3] / colours.max(), light / light.max(), atol=1e-2)


def test_parts_begin_where_they_may() -> None:
    """Lengths and beginnings are multiples of four, and the extras are there."""
    surface = isosurface(np.pad(np.ones((3, 3, 3)), 2), 0.5)
    file = glb.encode(surface, np.zeros((len(surface.vertices), 3)), {"of": "strain", "high": 1e-3})
    size, length = struct.unpack("<II", file[8:16])
    assert size == len(file)
    assert length % 4 == 0
    head = json.loads(file[20 : 20 + length])
    assert head["meshes"][0]["extras"] == {"of": "strain", "high": 1e-3}
    assert all(view["byteOffset"] % 4 == 0 for view in head["bufferViews"])
