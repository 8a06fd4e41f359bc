"""Reconstructions of other programs (and our own), in our axes and phase sign: for comparison, or as a start."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError, TooLargeError
from inphase.formats import cohere, cxi, hdf5, npy, npz
from inphase.formats.boundary import boundary
from inphase.formats.regular import open_regular
from inphase.formats.scan import Limits, in_words, native
from inphase.formats.tree import Tree, opened, type_of

_OBJECTS: Final = (f"{cxi.IMAGE}/data", "entry_1/data_1/data")
_SUFFIXES: Final = (*hdf5.SUFFIXES, ".cxi")
_DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True)
class Reconstruction:
    """An object: (N0, N1, N2) complex64, axes (rocking, row, column), far field with exp(-i q.r), centre at N // 2.

    support: bool, None where the file has none. origin: which program's conventions were undone, and what was taken.
    """

    object: NDArray[np.complex64]
    support: NDArray[np.bool_] | None
    source: str
    origin: str


def read_reconstruction(path: Path, *, limits: Limits = _DEFAULT_LIMITS) -> Reconstruction:
    """Reads a folder of cohere (image.npy, support.npy), a CXI or modes file of PyNX,
    or a result of inphase (npz, CXI).

    cohere's axes are reversed and its phase sign is turned; PyNX shares ours. Of several modes the first is taken.
    Raises DataError, TooLargeError before allocating; nothing else.
    """
    with boundary(path):
        return _read(path, limits)


def _read(path: Path, limits: Limits) -> Reconstruction:
    if path.is_dir():
        return _from_cohere(path, limits)
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder")
    if path.suffix.lower() in _SUFFIXES:
        return _from_cxi(path, limits)
    if path.suffix.lower() == ".npz":
        result = npz.read_result(path, limits)
        return Reconstruction(result.object, result.support, str(path), "inphase result")
    raise DataError(
        f"{path}: no reconstruction is read from '{path.suffix}': known are a folder of cohere with {cohere.IMAGE}, "
        f"{', '.join(_SUFFIXES)} (PyNX, inphase) and .npz (inphase)"
    )


def _from_cohere(folder: Path, limits: Limits) -> Reconstruction:
    image = cohere.from_cohere(_array(folder / cohere.IMAGE, limits, "c"))
    support = None
    if (folder / cohere.SUPPORT).is_file():
        support = cohere.turned(_array(folder / cohere.SUPPORT, limits, "biuf")) != 0
        _check(image, support, str(folder))
    return Reconstruction(image, support, str(folder), "cohere: axes reversed, complex conjugate taken")


def _array(path: Path, limits: Limits, kinds: str) -> NDArray[Any]:
    if not path.is_file():
        raise DataError(f"{path}: is missing")
    with open_regular(path) as stream:
        shape, dtype, _ = npy.header(stream, str(path))
        _admit(shape, dtype, kinds, str(path), limits)
        stream.seek(0)
        return native(npy.decode_any(stream, os.fstat(stream.fileno()).st_size, str(path), limits.max_bytes))


def _from_cxi(path: Path, limits: Limits) -> Reconstruction:
    with opened(path) as tree:
        for name in _OBJECTS:
            item = tree.get(name)
            if isinstance(item, h5py.Dataset):
                break
        else:
            raise DataError(f"{path}: holds no reconstruction ({' or '.join(_OBJECTS)}); {tree.listing()}")
        shape: tuple[int, ...] = item.shape or ()
        modes = len(shape) == 4
        _admit(shape[1:] if modes else shape, item.dtype, "c", f"{path}, '{name}'", limits)
        tree.check_sources(item)
        image = native(item[0] if modes else item[()])
        support = _support(tree, limits)
        shifted = tree.small(f"{cxi.IMAGE}/is_fft_shifted", 1)
    if shifted is not None and shifted.reshape(-1)[0] == 1:
        image = np.fft.fftshift(image)
        support = None if support is None else np.fft.fftshift(support)
    if support is not None:
        _check(image, support, str(path))
    taken = f"CXI '{name}'{f', the first of {shape[0]} modes' if modes else ''}: axes and phase sign as ours"
    return Reconstruction(image.astype(np.complex64), support, str(path), taken)


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
