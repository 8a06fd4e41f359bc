"""Shards: HDF5 files of atomistic crystals with their seeds, what each was, and all settings."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from training.simulate.atomistic.settings import AtomisticSettings

SETTINGS = "settings"  # attribute: JSON of AtomisticSettings


@dataclass(frozen=True)
class Crystal:
    """One crystal; a dataset of a shard is a field of this, stacked.

    objects: (box, box, box) complex64: density in units of the bulk's and phase in radians (-G.u), peak on the DC
    voxel.
    seeds: what it was drawn from. atoms: their number.
    peaks: (3,) where the peak was (voxels.Voxels.peak). distances: (26,) angstrom, of the planes (crystal.Planes).
    deformations: (3, 3), the deformation gradient that was applied.
    remaining: (3, 3), the affine part of the displacement after relaxation (least squares over all atoms).
    energies: (3,) eV: relaxed without strain, strained, strained and relaxed.
    seconds: processor time it took.
    """

    objects: NDArray[np.complex64]
    seeds: int
    atoms: int
    peaks: NDArray[np.int64]
    distances: NDArray[np.float64]
    deformations: NDArray[np.float64]
    remaining: NDArray[np.float64]
    energies: NDArray[np.float64]
    seconds: float


def rounded(objects: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """To half precision, which is 3e-4 of a value and far below any photon noise: a shard is then half as large."""
    parts = objects.view(np.float32).astype(np.float16).astype(np.float32)
    return parts.view(np.complex64)


def write(path: Path, crystals: Sequence[Crystal], settings: AtomisticSettings) -> None:
    """Write a shard, whole or not at all: a reader never sees half a file."""
    part = path.with_suffix(".part")
    with h5py.File(part, "w") as file:
        file.attrs[SETTINGS] = json.dumps(asdict(settings))
        for field in fields(Crystal):
            values = np.stack([np.asarray(getattr(crystal, field.name)) for crystal in crystals])
            if field.name == "objects":
                file.create_dataset(
                    "objects", data=rounded(values), chunks=(1, *values.shape[1:]), shuffle=True, compression="gzip"
                )
            else:
                file[field.name] = values
    os.replace(part, path)


def read(path: Path) -> NDArray[np.complex64]:
    """The objects (n, box, box, box) complex64 of a shard."""
    with h5py.File(path) as file:
        objects: NDArray[np.complex64] = file["objects"][()]
    return objects


def seeds(path: Path) -> list[int]:
    """What the crystals of a shard were drawn from."""
    with h5py.File(path) as file:
        return [int(seed) for seed in file["seeds"]]


def strain_free(objects: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """The twin set of 3D-CDI-NN: the same densities with the strain taken out."""
    return np.abs(objects).astype(np.complex64)


def crystals(path: Path) -> list[Crystal]:
    """Everything that a shard holds."""
    with h5py.File(path) as file:
        columns = {field.name: file[field.name][()] for field in fields(Crystal)}
    return [Crystal(**{name: values[i] for name, values in columns.items()}) for i in range(len(columns["objects"]))]


def settings(path: Path) -> AtomisticSettings:
    """What the crystals of a shard were made of."""
    with h5py.File(path) as file:
        stored: dict[str, Any] = json.loads(file.attrs[SETTINGS])
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
    return AtomisticSettings(**values)
