"""Measurements of known objects."""

import numpy as np

from inphase.ptycho.measurement import Measurement, from_arrays
from inphase.ptycho.optics import NearField
from training.simulate.ptychography import Scene, scene

FRESNEL_NUMBER = 0.2


def measured(of: Scene, *, guess: bool = True, near: bool = False) -> Measurement:
    """The measurement; guess: with the probe that made it."""
    return from_arrays(
        of.counts, of.positions, probe=of.probe if guess else None, optics=near_field() if near else None
    )


def near_field() -> NearField:
    """Pixels of one micrometre at which p^2 / (lambda z) is FRESNEL_NUMBER."""
    return NearField(1e-10, 1e-12 / (FRESNEL_NUMBER * 1e-10), (1e-6, 1e-6))


def truth(of: Scene, shape: tuple[int, ...], origin: np.ndarray) -> np.ndarray:
    """The part of the object that a reconstruction of `shape` with its origin there shows."""
    row, column = np.round(origin).astype(int)
    return of.object[row : row + shape[0], column : column + shape[1]]


def small(**options: object) -> Scene:
    """A scene that reconstructs in a fraction of a second."""
    return scene(**({"side": 32, "frames": 7, "photons": 1e7} | options))  # type: ignore[arg-type]
