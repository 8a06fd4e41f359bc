"""The q of a scan by brute force: rotation matrices written out, every frame by itself, differences for derivatives."""

from collections.abc import Mapping

import numpy as np

from inphase.diffractometer import Circle, Diffractometer

HC_KEV_M = 12.39841984e-10


def matrix(axis: tuple[float, float, float], degrees: float) -> np.ndarray:
    """Rodrigues' formula."""
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def chain(circles: tuple[Circle, ...], angles: Mapping[str, float]) -> np.ndarray:
    """The outermost circle carries the others."""
    product = np.eye(3)
    for circle in circles:
        product = product @ matrix(circle.axis, angles[circle.name])
    return product


def brute_q(
    described: Diffractometer,
    angles: Mapping[str, float],
    steps: Mapping[str, float],
    voxel: np.ndarray,
    *,
    energy_kev: float,
    energy_step: float = 0.0,
    distance: float,
    pixel: tuple[float, float],
    beam: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """Q in 1/m at a voxel from N // 2: of that frame's angles and energy,
    turned into the crystal and out as at N // 2.
    """
    frame, row, column = voxel
    at = {name: angle + frame * steps.get(name, 0.0) for name, angle in angles.items()}
    plane = (
        np.array([0, 0, distance])
        + (row - beam[0]) * pixel[0] * np.array(described.row)
        + (column - beam[1]) * pixel[1] * np.array(described.column)
    )
    seen = chain(described.detector, at) @ plane
    k = 2 * np.pi * (energy_kev + frame * energy_step) / HC_KEV_M
    q = k * (seen / np.linalg.norm(seen) - np.array([0, 0, 1]))
    return chain(described.sample, angles) @ chain(described.sample, at).T @ q


def brute_steps(peak: np.ndarray, *args: object, **kwargs: object) -> np.ndarray:
    """(3, 3): central differences of `brute_q` along frame, row and column at the peak."""
    rows = []
    for axis in range(3):
        h = 0.01 * np.eye(3)[axis]
        ends = [brute_q(*args[:3], peak + sign * h, *args[3:], **kwargs) for sign in (1, -1)]  # type: ignore[arg-type]
        rows.append((ends[0] - ends[1]) / 0.02)
    return np.array(rows)
