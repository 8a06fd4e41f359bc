"""Faceted crystals and their far fields, written for these tests alone:
the training simulator is not used to test with.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import HalfspaceIntersection

from inphase import fourier
from inphase.pattern import Domain, MaskState, Pattern

DIRECTIONS = np.array([d for d in product((-1.0, 0.0, 1.0), repeat=3) if any(d)])


@dataclass(frozen=True)
class Crystal:
    """object: complex64, centred. oversampling: box over the extents of the polyhedron's bounding box, per axis."""

    object: NDArray[np.complex64]
    oversampling: NDArray[np.float64]

    @property
    def intensity(self) -> NDArray[np.float32]:
        """Far field for a total of one photon."""
        field = np.abs(fourier.forward(self.object)) ** 2
        return np.asarray(field / field.sum(dtype=np.float64), np.float32)


def crystal(
    seed: int,
    shape: tuple[int, int, int] = (64, 64, 64),
    oversampling: tuple[float, float, float] | None = None,
    strain: float = 0.5,
    peak: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Crystal:
    """A turned block cut by 4 to 20 high-symmetry planes at random distances.

    strain: rms phase in rad of a smooth field inside. peak: where the Bragg peak lies, in voxels from N // 2.
    """
    random = np.random.default_rng(seed)
    sigma = np.asarray(oversampling if oversampling is not None else random.uniform(2.3, 5.0, 3))
    extent = np.asarray(shape) / sigma
    unit = DIRECTIONS / np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
    cuts = random.choice(len(unit), int(random.integers(4, 21)), replace=False)
    block = np.flatnonzero(np.abs(DIRECTIONS).sum(axis=1) == 1)
    planes = np.concatenate([unit[block], unit[cuts]]) @ np.linalg.qr(random.normal(size=(3, 3)))[0]
    distance = np.concatenate([np.ones(6), random.uniform(0.35, 1.0, len(cuts))])
    corners = HalfspaceIntersection(np.column_stack([planes, -distance]), np.zeros(3)).intersections
    low, high = corners.min(axis=0), corners.max(axis=0)
    step = (high - low) / extent  # of the polyhedron's units per voxel
    axes = [(np.arange(n) - n // 2) * s + m for n, s, m in zip(shape, step, (low + high) / 2, strict=True)]
    points = np.meshgrid(*(axis.astype(np.float32) for axis in axes), indexing="ij", sparse=True)
    inside = np.ones(shape, np.float32)
    for normal, d in zip(planes, distance, strict=True):
        signed = d - sum(np.float32(n) * p for n, p in zip(normal, points, strict=True))
        np.minimum(inside, np.clip(signed / np.linalg.norm(normal * step) + 0.5, 0, 1), out=inside)
    phase = sum(
        np.sin(sum(np.float32(k) * p for k, p in zip(wave, points, strict=True)) + random.uniform(0, 2 * np.pi))
        for wave in random.normal(size=(4, 3)) * 2.0
    )
    held = inside > 0.5
    phase = (phase - phase[held].mean()) / phase[held].std() * strain
    ramp = sum(
        2 * np.pi * p / n * (np.arange(n) - n // 2).reshape([-1 if a == axis else 1 for a in range(3)])
        for axis, (p, n) in enumerate(zip(peak, shape, strict=True))
    )
    return Crystal((inside * np.exp(1j * (phase + ramp))).astype(np.complex64), sigma)


def counts(intensity: NDArray[np.float32], photons: float, seed: int = 0, background: float = 0.0) -> NDArray[np.int32]:
    """Poisson counts of an intensity that sums to one."""
    return np.random.default_rng(seed).poisson(intensity * photons + background).astype(np.int32)


def pattern(intensity: NDArray[np.generic], masked: NDArray[np.bool_] | None = None) -> Pattern:
    """A Pattern of counts, masked where asked (bool, or broadcast to the shape)."""
    mask = np.zeros(intensity.shape, np.uint8)
    if masked is not None:
        mask[np.broadcast_to(masked, mask.shape)] = MaskState.MASKED
    return Pattern(np.where(mask == 0, intensity, 0).astype(np.float32), mask, Domain.COUNTS)
