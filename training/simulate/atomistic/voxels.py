"""From atoms to the complex object of a Bragg peak: number density and displacement, binned.

With F(q) = sum o exp(-i q.r) (inphase.fourier) an atom of site R displaced by u scatters exp(-i (G + q).(R + u)). G.R
is a multiple of 2 pi for every lattice site R, so its phase in the object is -G.u. With G = 2 pi (h, k, l) / a that is
2 pi (h, k, l).u / a: for (111), where the planes stand a / sqrt 3 apart, 2 pi sqrt 3 times the component of u along the
unit vector [111] in lattice parameters. The papers "project along [111] and scale by 2 pi": the same if their [111] is
the vector (1, 1, 1) itself, too small by sqrt 3 if it is the unit vector.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inphase import fourier
from training.simulate.atomistic.settings import AtomisticSettings

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Voxels:
    """The object (box, box, box) complex64: density in units of the bulk's, phase in radians.

    peak: (3,) where the brightest voxel of the far field lay, in voxels of a grid of 2 box from its centre, before
    `turned` brought it to the DC voxel, as a measurement is centred. A uniform strain or rotation moves the peak and
    does no more.
    """

    object: NDArray[np.complex64]
    peak: NDArray[np.int64]


def centre(sites: Floats, settings: AtomisticSettings) -> Floats:
    """Where the middle of voxel (box // 2, ...)
    goes: the middle of the bounding box of sites (n, 3), to a quarter cell.

    Voxel borders then fall midway between lattice planes: every voxel of the bulk holds the same number of atoms. With
    borders elsewhere, or voxels of 1.9 cells as in the papers, the density beats with a period of a few voxels.
    """
    plane = 0.5 * settings.lattice_parameter
    origin = sites[0]
    middle = 0.5 * (sites.max(0) + sites.min(0))
    result: Floats = origin + (np.floor((middle - origin) / plane) + 0.5) * plane
    return result


def lattice_phase(displacement: Floats, settings: AtomisticSettings) -> Floats:
    """-G.u in radians of displacements (n, 3) angstrom: (n,)."""
    phase: Floats = displacement @ (-2 * np.pi * np.array(settings.reflection, float) / settings.lattice_parameter)
    return phase


def binned(sites: Floats, displacement: Floats, settings: AtomisticSettings) -> NDArray[np.complex128]:
    """Density times exp(i mean phase) per voxel, (box, box, box), of sites (n, 3) with displacements (n,
    3), angstrom.
    """
    box, cells = settings.box, settings.cells_per_voxel
    voxel = cells * settings.lattice_parameter
    index = np.floor((sites - centre(sites, settings)) / voxel + 0.5).astype(np.int64) + box // 2
    flat = np.ravel_multi_index(tuple(index.T), (box, box, box))
    count = np.bincount(flat, minlength=box**3)
    total = np.bincount(flat, lattice_phase(displacement, settings), box**3)
    phase = total / np.maximum(count, 1)
    density = count / (4 * cells**3)
    result: NDArray[np.complex128] = (density * np.exp(1j * phase)).reshape(box, box, box)
    return result


def far_field(obj: NDArray[np.complexfloating]) -> NDArray[np.complexfloating]:
    """Far field of the object in the middle of a grid of twice its size."""
    return fourier.forward(np.pad(obj, [(n // 2, n // 2) for n in obj.shape]))


def turned(obj: NDArray[np.complexfloating], peak: NDArray[np.int64]) -> NDArray[np.complex128]:
    """The object with its far field moved by -peak voxels of a grid of twice its size.
    A second time with -peak: undone.
    """
    result = obj.astype(np.complex128)
    for axis, (n, offset) in enumerate(zip(obj.shape, peak, strict=True)):
        line = np.exp(-1j * np.pi * offset / n * (np.arange(n) - n // 2))
        result *= np.expand_dims(line, [a for a in range(obj.ndim) if a != axis])
    return result


def voxels(sites: Floats, displacement: Floats, settings: AtomisticSettings) -> Voxels:
    """The object of atoms that were displaced (n, 3) from their sites (n, 3), angstrom, its peak on the DC voxel."""
    obj = binned(sites, displacement, settings)
    pattern = np.abs(far_field(obj))
    peak = np.array(np.unravel_index(pattern.argmax(), pattern.shape)) - settings.box
    return Voxels(turned(obj, peak).astype(np.complex64), peak)
