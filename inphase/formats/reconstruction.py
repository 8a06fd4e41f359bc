"""Reconstructions of other programs (and our own), in our axes and phase sign: to compare, to rank, to convert, or as
a start.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError, TooLargeError
from inphase.formats import cohere, cxi, hdf5, npy, npz
from inphase.formats.boundary import boundary
from inphase.formats.cubic import ORTHOGONALISED, frame_of
from inphase.formats.regular import open_regular
from inphase.formats.result import Arrays, Result
from inphase.formats.scan import Limits, native
from inphase.formats.tree import Tree, is_real, opened, type_of
from inphase.geometry import Geometry
from inphase.preprocess.placement import Placement
from inphase.sizes import in_words

Program = Literal["inphase", "cohere", "PyNX", "cdiutils", "unknown"]

_OBJECTS: Final = (f"{cxi.IMAGE}/data", "entry_1/data_1/data")
_SUFFIXES: Final = (*hdf5.SUFFIXES, ".cxi")
_DEFAULT_LIMITS: Final = Limits()
_MOST_RESULTS: Final = 20  # groups result_1, result_2, ... of cdiutils that are looked at
_NM, _PER_ANGSTROM = 1e-9, 1e10


@dataclass(frozen=True)
class Reconstruction:
    """An object: (N0, N1, N2) complex64, axes (rocking, row, column), far field with exp(-i q.r), centre at N // 2.

    support: bool, None where the file has none. origin: which program's conventions were undone, and what was taken.
    geometry: of the object's grid in `frame`, None where the file does not tell.
    pattern_shape: of the pattern that the object was made from; the object's own, where only its surroundings were
        stored; () where the object was brought onto cubic voxels since, which are those of no pattern.
    pattern_told: whether the file tells that shape.
    placement: how that pattern lies on the measurement; None where the file does not tell.
    figures: what the program itself says of it, under our names: llk, free_llk, chi2, r_factor, support_voxels.
    free: (pattern_shape) bool, the voxels that the program hid; None where it does not tell.
    arrays: every array of a result of inphase, None of other programs.
    Raises DataError where a voxel of the object is not finite: of such a one nothing can be said, nor of its phase.
    """

    object: NDArray[np.complex64]
    support: NDArray[np.bool_] | None
    source: str
    origin: str
    program: Program = "unknown"
    geometry: Geometry | None = None
    frame: str = "laboratory"
    pattern_shape: tuple[int, ...] = ()
    pattern_told: bool = True
    placement: Placement | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    free: NDArray[np.bool_] | None = None
    arrays: Arrays | None = None

    def __post_init__(self) -> None:
        wrong = self.object.size - int(np.count_nonzero(np.isfinite(self.object)))
        if wrong:
            raise DataError(
                f"{self.source}: {wrong} of {self.object.size} voxels of the object are not finite: the run that made "
                "it went astray; take another one"
            )


def read_reconstruction(path: Path, *, limits: Limits = _DEFAULT_LIMITS) -> Reconstruction:
    """Reads a folder of cohere (image.npy, support.npy), a CXI or modes file of PyNX, a post-processed CXI of cdiutils,
    or a result of inphase (npz, CXI).

    cohere's axes are reversed and its phase sign is turned; PyNX shares ours; cdiutils' phase is turned, and its voxels
    are (z, y, x) of the laboratory. Of several modes the first is taken.
    Raises DataError, TooLargeError before allocating; nothing else.
    """
    with boundary(path):
        return _read(path, limits)


def of_result(arrays: Arrays, source: str, origin: str) -> Reconstruction:
    """A result of inphase by its arrays. Raises KeyError, ValueError where they are none."""
    result = Result.of(arrays)
    final = (result.document.get("metrics") or {}).get("final") or {}
    return Reconstruction(
        result.object,
        result.support,
        source,
        origin,
        program="inphase",
        geometry=result.geometry,
        frame=frame_of(result.document),
        pattern_shape=() if ORTHOGONALISED in result.document else result.object.shape,
        placement=_placement(result),
        figures={name: float(final[name]) for name in cxi.METRICS if final.get(name) is not None},
        free=arrays.get("free"),
        arrays=arrays,
    )


def _placement(result: Result) -> Placement | None:
    """By the document; None for what was made from no measurement of three axes, or brought onto cubic voxels since."""
    preprocess, shape = result.document.get("preprocess") or {}, result.object.shape
    told = ((result.document.get("input") or {}).get("shape"), preprocess.get("offset"), preprocess.get("binning"))
    whole, offset, bins = (tuple(int(number) for number in side or ()) for side in told)
    if ORTHOGONALISED in result.document or not len(whole) == len(offset) == len(bins) == len(shape):
        return None
    return Placement(whole, offset, bins, shape)


def _read(path: Path, limits: Limits) -> Reconstruction:
    if path.is_dir():
        return _from_cohere(path, limits)
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder")
    if path.suffix.lower() in _SUFFIXES:
        with opened(path) as tree:
            return _from_tree(tree, limits)
    if path.suffix.lower() == ".npz":
        npz.read_result(path, limits)  # which says where it is none
        return of_result(npz.read_arrays(path, limits), str(path), "inphase result")
    raise DataError(
        f"{path}: no reconstruction is read from '{path.suffix}': known are a folder of cohere with {cohere.IMAGE}, "
        f"{', '.join(_SUFFIXES)} (PyNX, cdiutils, inphase) and .npz (inphase)"
    )


def _from_cohere(folder: Path, limits: Limits) -> Reconstruction:
    image = cohere.from_cohere(_array(folder / cohere.IMAGE, limits, "c"))
    support = None
    if (folder / cohere.SUPPORT).is_file():
        support = cohere.turned(_array(folder / cohere.SUPPORT, limits, "biuf")) != 0
        _check(image, support, str(folder))
    origin = "cohere: axes reversed, complex conjugate taken"
    return Reconstruction(image, support, str(folder), origin, "cohere", pattern_shape=image.shape)


def _array(path: Path, limits: Limits, kinds: str) -> NDArray[Any]:
    if not path.is_file():
        raise DataError(f"{path}: is missing")
    with open_regular(path) as stream:
        shape, dtype, _ = npy.header(stream, str(path))
        _admit(shape, dtype, kinds, str(path), limits)
        stream.seek(0)
        return native(npy.decode_any(stream, os.fstat(stream.fileno()).st_size, str(path), limits.max_bytes))


def _from_tree(tree: Tree, limits: Limits) -> Reconstruction:
    if tree.text(cxi.DOCUMENT) is not None:
        return of_result(cxi.read_result(tree, limits), str(tree.path), "CXI of inphase")
    if is_real(tree.get("entry_1/amplitude/data")) and is_real(tree.get("entry_1/phase/data")):
        return _from_cdiutils(tree, limits)
    for name in _OBJECTS:
        item = tree.get(name)
        if isinstance(item, h5py.Dataset):
            break
    else:
        raise DataError(f"{tree.path}: holds no reconstruction ({' or '.join(_OBJECTS)}); {tree.listing()}")
    shape: tuple[int, ...] = item.shape or ()
    modes = len(shape) == 4
    _admit(shape[1:] if modes else shape, item.dtype, "c", f"{tree.path}, '{name}'", limits)
    tree.check_sources(item)
    image = native(item[0] if modes else item[()])
    support = _support(tree, limits)
    shifted = tree.small(f"{cxi.IMAGE}/is_fft_shifted", 1)
    if shifted is not None and shifted.reshape(-1)[0] == 1:
        image = np.fft.fftshift(image)
        support = None if support is None else np.fft.fftshift(support)
    if support is not None:
        _check(image, support, str(tree.path))
    taken = f"CXI '{name}'{f', the first of {shape[0]} modes' if modes else ''}: axes and phase sign as ours"
    pattern_shape = _pattern_shape(tree, image.shape)
    return Reconstruction(
        image.astype(np.complex64),
        support,
        str(tree.path),
        taken,
        program="PyNX" if (tree.text("entry_1/program_name") or "").startswith("PyNX") else "unknown",
        pattern_shape=pattern_shape or image.shape,
        pattern_told=pattern_shape is not None,
        figures=_figures(tree),
        free=_free(tree, pattern_shape or image.shape, limits),
    )


def _support(tree: Tree, limits: Limits) -> NDArray[np.bool_] | None:
    item = tree.get(f"{cxi.IMAGE}/support")
    if isinstance(item, h5py.Dataset):
        return np.asarray(tree.array(item, limits) != 0)
    item = tree.get(f"{cxi.IMAGE}/mask")
    dtype = type_of(item)
    if isinstance(item, h5py.Dataset) and dtype is not None and dtype.kind in "ui":
        bits = tree.array(item, limits)
        inside = np.bitwise_and(bits.view(f"u{bits.dtype.itemsize}").astype(np.uint64), cxi.INSIDE_SUPPORT) != 0
        return inside if inside.any() else None
    return None


def _pattern_shape(tree: Tree, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Of the pattern that PyNX was given: with crop_output it stores only what surrounds the support. None where the
    file does not tell.
    """
    told = tree.small(f"{cxi.PROCESS}/configuration/iobs_shape", 3)
    if told is None or told.shape != (len(shape),) or told.dtype.kind not in "ui":
        return None
    sides = tuple(int(side) for side in told)
    return sides if all(whole >= side for whole, side in zip(sides, shape, strict=True)) else None


def _figures(tree: Tree) -> dict[str, float]:
    found = {}
    for ours, theirs in cxi.METRICS.items():
        number = tree.small(f"{cxi.PROCESS}/results/{theirs}", 1)
        if number is not None and np.isfinite(value := float(number.reshape(-1)[0])):
            found[ours] = value
    return found


def _free(tree: Tree, shape: tuple[int, ...], limits: Limits) -> NDArray[np.bool_] | None:
    item = tree.get(cxi.FREE)
    if not isinstance(item, h5py.Dataset) or item.shape != shape:
        return None
    return np.asarray(tree.array(item, limits) != 0)


def _from_cdiutils(tree: Tree, limits: Limits) -> Reconstruction:
    """Amplitude and phase apart, on axes of the laboratory; its phase is G.u, the opposite of ours."""
    where = str(tree.path)
    volumes = {}
    for name in ("amplitude", "phase"):
        item = tree.dataset(f"entry_1/{name}/data")
        _admit(item.shape or (), item.dtype, "f", f"{where}, 'entry_1/{name}/data'", limits)
        volumes[name] = np.nan_to_num(tree.array(item, limits))
    if volumes["amplitude"].shape != volumes["phase"].shape or volumes["phase"].ndim != 3:
        raise DataError(f"{where}: amplitude and phase differ in shape, or are no volumes")
    image = volumes["amplitude"] * np.exp(-1j * volumes["phase"])
    item = tree.get("entry_1/support/data")
    support = np.nan_to_num(tree.array(item, limits)) != 0 if isinstance(item, h5py.Dataset) else None
    convention = (tree.text("entry_1/parameters_1/orientation_convention") or "cxi").lower()
    size = _voxel_size_nm(tree)
    note = "as they are"
    if convention == "xu":  # x along the beam, y outboard, z up
        image, note = image.swapaxes(1, 2), "from x along the beam, z up"
        support = None if support is None else support.swapaxes(1, 2)
        size = None if size is None else size[[0, 2, 1]]
    if support is not None:
        _check(image, support, where)
    geometry = None
    if size is not None:
        q = tree.small("entry_1/parameters_1/q_lab_ref", 3)  # 1/angstrom, x along the beam, z up
        centre = None if q is None or q.shape != (3,) else np.asarray(q, np.float64)[[1, 2, 0]] * _PER_ANGSTROM
        geometry = Geometry.of_voxels(np.diag(size * _NM)[:, ::-1], image.shape, centre)
    return Reconstruction(
        np.ascontiguousarray(image, np.complex64),
        None if support is None else np.ascontiguousarray(support),
        where,
        f"cdiutils, post-processed: its phase is turned, its axes {note}",
        program="cdiutils",
        geometry=geometry,
    )


def _voxel_size_nm(tree: Tree) -> NDArray[np.float64] | None:
    for number in range(1, _MOST_RESULTS + 1):
        size = tree.small(f"entry_1/result_{number}/voxel_size", 3)
        edges = None if size is None or size.shape != (3,) else np.asarray(size, np.float64)
        if edges is not None and np.isfinite(edges).all() and (edges > 0).all():
            return edges
    return None


def _admit(shape: tuple[int, ...], dtype: np.dtype[Any], kinds: str, where: str, limits: Limits) -> None:
    if dtype.kind not in kinds or len(shape) not in (2, 3):
        what = "complex volume or image" if kinds == "c" else "volume or image"
        raise DataError(f"{where}: {shape} of {dtype} is no {what}")
    nbytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if nbytes > limits.max_bytes:
        raise TooLargeError(f"{where}: {in_words(nbytes)}, above the limit of {in_words(limits.max_bytes)}")


def _check(image: NDArray[Any], support: NDArray[Any], where: str) -> None:
    if image.shape != support.shape:
        raise DataError(f"{where}: the support {support.shape} has another shape than the object {image.shape}")
