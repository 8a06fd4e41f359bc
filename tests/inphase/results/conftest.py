"""A strained crystal, known everywhere, on any grid."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from inphase.formats.reconstruction import Reconstruction
from inphase.geometry import Geometry

Q = np.array([0.4e10, 2.6e10, -0.835e10])  # that scatters photons of 9 keV
BASIS = np.array([[0, 1e-9, 6e-9], [0, -5e-9, 0], [5e-9, 0, 0]])  # sheared, metres

Crystal = Callable[..., Reconstruction]


def crystal_at(r: NDArray[np.float64]) -> NDArray[np.complex64]:
    """At places (..., 3) in metres: a faceted crystal with soft edges and no centre of symmetry; its phase bends."""
    x, y, z = np.moveaxis(r, -1, 0) * 1e9
    reach = np.stack([abs(x) - 40, abs(y) - 30, abs(z) - 36, 0.6 * (x + y + z) - 34, 0.7 * (x - z) - 38])
    amplitude = 1 / (1 + np.exp(np.maximum.reduce(reach) / 3))
    phase = 1.2 * np.sin(x / 30) * np.cos(y / 40) + 0.6 * np.sin((z + y) / 28)
    return (amplitude * np.exp(1j * phase)).astype(np.complex64)


def on_grid(shape: tuple[int, ...], basis: NDArray[np.float64], offset_m: tuple[float, ...] = (0, 0, 0)) -> NDArray:
    """The crystal on voxels of a basis."""
    index = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"), axis=-1)
    return crystal_at(index @ basis - np.array(offset_m))


@pytest.fixture
def crystal() -> Crystal:
    """A reconstruction of it."""

    def make(obj: NDArray | None = None, basis: NDArray | None = BASIS, **more: object) -> Reconstruction:
        obj = on_grid((32, 36, 34), BASIS) if obj is None else obj
        inside = np.abs(obj) > 0.2 * max(float(np.abs(obj).max()), 1e-9)
        geometry = None if basis is None else Geometry.of_voxels(basis, obj.shape, Q)
        made = {"program": "PyNX", "geometry": geometry, "pattern_shape": obj.shape} | more
        return Reconstruction(np.where(inside, obj, 0), inside, str(made.pop("source", "made")), "here", **made)  # type: ignore[arg-type]

    return make
