"""VTK's XML files for ParaView: VTS (structured grid, sheared as measured) and VTI (image data, orthogonal axes).

Written here and not by the library `vtk`, which weighs 100 MB in every service; read back by it in the tests. The
arrays are appended raw after the XML header, 64-bit lengths before each (VTK file formats, "XML file formats").
Lengths are in nanometres, the centre of the array (N // 2) is the origin.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from inphase.formats.atomic import replacing
from inphase.formats.cubic import on_cubic_voxels
from inphase.formats.extension import extended
from inphase.formats.result import Arrays, Result
from inphase.geometry import PHASE_SIGN

NM: Final = 1e9
ORTHOGONAL: Final = 1e-3  # largest cosine between two axes that counts as a right angle: half a voxel over 500
_LENGTHS: Final = frozenset({"displacement", "d_spacing", "lattice_parameter"})  # metres in the result
_TYPES: Final = {"f4": "Float32", "f8": "Float64", "u1": "UInt8"}


@dataclass(frozen=True)
class _Array:
    """One appended block. chunks: its bytes in order, (tuples, components) little endian."""

    name: str
    kind: str
    components: int
    nbytes: int
    chunks: Iterator[NDArray[Any]]


def write_vts(path: Path, arrays: Arrays) -> None:
    """The result on the grid it was reconstructed on, nothing interpolated: points are index @ voxel_basis_m.

    Without geometry the grid is the array's, one unit per voxel. Raises OSError.
    """
    result = extended(_as_volume(Result.of(arrays)))
    shape, basis = result.object.shape, _basis_nm(result)
    points = _Array("points", "Float32", 3, 12 * result.object.size, _points(shape, basis))
    blocks = [*_point_data(result), points]
    extent = _extent(shape)
    with replacing(path) as partial, partial.open("xb") as stream:
        _head(stream, "StructuredGrid", f'WholeExtent="{extent}"', result, "as reconstructed")
        stream.write(f'<Piece Extent="{extent}">\n<PointData Scalars="amplitude">\n'.encode())
        offset = _declare(stream, blocks[:-1], 0)
        stream.write(b"</PointData>\n<Points>\n")
        _declare(stream, blocks[-1:], offset)
        stream.write(b"</Points>\n</Piece>\n</StructuredGrid>\n")
        _append(stream, blocks)


def write_vti(path: Path, arrays: Arrays) -> None:
    """The result as image data. A sheared grid is brought onto cubic voxels in the laboratory frame first
    (inphase.orthogonal), and the maps of strain are made anew on it; field data `grid` says so.

    Raises DataError where that cannot be done: an empty support, more than 512^3 voxels.
    """
    result = _as_volume(Result.of(arrays))
    cubic = not _right_angled(_basis_nm(result))
    if cubic:
        result = on_cubic_voxels(result)
    result = extended(result)
    shape, basis = result.object.shape, _basis_nm(result)
    spacing = np.linalg.norm(basis, axis=1)
    axes = basis / spacing[:, None]
    origin = -(np.asarray(shape) // 2) @ basis
    # VTK's x runs fastest: that is our last axis
    direction = axes[::-1].T
    extent = _extent(shape)
    attributes = (
        f'WholeExtent="{extent}" Origin="{_numbers(origin)}" Spacing="{_numbers(spacing[::-1])}" '
        f'Direction="{_numbers(direction.ravel())}"'
    )
    blocks = _point_data(result)
    with replacing(path) as partial, partial.open("xb") as stream:
        _head(
            stream, "ImageData", attributes, result, "interpolated onto cubic voxels" if cubic else "as reconstructed"
        )
        stream.write(f'<Piece Extent="{extent}">\n<PointData Scalars="amplitude">\n'.encode())
        _declare(stream, blocks, 0)
        stream.write(b"</PointData>\n</Piece>\n</ImageData>\n")
        _append(stream, blocks)


def _as_volume(result: Result) -> Result:
    """An image as the single slice that VTK has for one, as thick as its voxels are long on average;
    a volume as it is.
    """
    if result.object.ndim == 3:
        return result
    basis, size = result.voxel_basis_m, result.voxel_size_m
    thick = 1.0 if size is None else float(np.mean(size))
    if basis is not None:
        normal = np.cross(basis[0], basis[1])
        basis = np.stack([normal * (thick / np.linalg.norm(normal)), *basis])
    return replace(
        result,
        object=result.object[None],
        support=result.support[None],
        phase_flat=result.phase_flat[None],
        modulus=result.modulus[None],
        mask=result.mask[None],
        voxel_size_m=None if size is None else (thick, *size),
        voxel_basis_m=basis,
        derived={name: array[None] for name, array in result.derived.items()},
    )


def _right_angled(basis: NDArray[np.float64]) -> bool:
    axes = basis / np.linalg.norm(basis, axis=1, keepdims=True)
    return bool(np.abs(axes @ axes.T - np.eye(3)).max() <= ORTHOGONAL)


def _basis_nm(result: Result) -> NDArray[np.float64]:
    if result.voxel_basis_m is not None:
        return result.voxel_basis_m * NM
    # (z, y, x) as in the array: x runs along the last axis
    size = np.ones(3) if result.voxel_size_m is None else np.asarray(result.voxel_size_m) * NM
    return np.diag(size)[:, ::-1]


def _point_data(result: Result) -> list[_Array]:
    volumes: dict[str, NDArray[Any]] = {
        "amplitude": result.amplitude,
        "phase": result.phase,
        "phase_flat": result.phase_flat,
        "support": result.support.astype(np.uint8),
        **result.derived,
    }
    for name in _LENGTHS & volumes.keys():
        volumes[name] = volumes[name] * volumes[name].dtype.type(NM)
    blocks = []
    for name, volume in volumes.items():
        data = np.ascontiguousarray(volume, volume.dtype.newbyteorder("<"))
        blocks.append(_Array(name, _TYPES[data.dtype.str[1:]], 1, data.nbytes, iter([data])))
    return blocks


def _points(shape: tuple[int, ...], basis: NDArray[np.float64]) -> Iterator[NDArray[Any]]:
    """Coordinates (x, y, z) of every voxel, one plane of the first axis after the other:
    a volume of them is never held.
    """
    rows, columns = (np.arange(n) - n // 2 for n in shape[1:])
    plane = rows[:, None, None] * basis[1] + columns[None, :, None] * basis[2]
    for index in range(shape[0]):
        yield (plane + (index - shape[0] // 2) * basis[0]).astype("<f4")


def _head(stream: IO[bytes], kind: str, attributes: str, result: Result, grid: str) -> None:
    stream.write(
        f'<?xml version="1.0"?>\n<VTKFile type="{kind}" version="1.0" byte_order="LittleEndian" header_type="UInt64">\n'
        f"<{kind} {attributes}>\n<FieldData>\n".encode()
    )
    known = result.voxel_basis_m is not None or result.voxel_size_m is not None
    for name, text in (
        ("length_unit", "nm" if known else "voxel"),
        ("phase_sign", PHASE_SIGN),
        ("grid", grid),
        ("job", str(result.document.get("id", ""))),
    ):
        codes = " ".join(str(code) for code in (*text.encode(), 0))
        stream.write(
            f'<DataArray type="String" Name="{name}" NumberOfTuples="1" format="ascii">{codes}</DataArray>\n'.encode()
        )
    stream.write(b"</FieldData>\n")


def _declare(stream: IO[bytes], blocks: Sequence[_Array], offset: int) -> int:
    """The XML of the blocks; the offset at which the next one begins."""
    for block in blocks:
        stream.write(
            f'<DataArray type="{block.kind}" Name="{block.name}" NumberOfComponents="{block.components}" '
            f'format="appended" offset="{offset}"/>\n'.encode()
        )
        offset += 8 + block.nbytes
    return offset


def _append(stream: IO[bytes], blocks: Sequence[_Array]) -> None:
    stream.write(b'<AppendedData encoding="raw">\n_')
    for block in blocks:
        stream.write(block.nbytes.to_bytes(8, "little"))
        for chunk in block.chunks:
            stream.write(chunk.reshape(-1).view(np.uint8).data)
    stream.write(b"\n</AppendedData>\n</VTKFile>\n")


def _extent(shape: tuple[int, ...]) -> str:
    return " ".join(f"0 {n - 1}" for n in reversed(shape))


def _numbers(values: NDArray[np.float64]) -> str:
    return " ".join(f"{value:.9g}" for value in values)
