"""A result to write."""

import json

import numpy as np
import pytest

from inphase import ambiguity, fourier

SHAPE = (10, 8, 6)


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """A small result on an orthogonal grid; no symmetry and unequal sides,
    so that no mistaken axis or sign goes unseen.
    """
    rng = np.random.default_rng(1)
    field = (rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE)).astype(np.complex64)
    inside = np.abs(field) > 1.3  # above 0.3 of the largest, so that the maps are known in all of the support
    flat, _ = ambiguity.flattened(field)
    return {
        "object": field,
        "amplitude": np.abs(field),
        "phase": np.angle(field),
        "phase_flat": np.where(inside, np.angle(flat), 0).astype(np.float32),
        "support": inside,
        "modulus": np.abs(fourier.forward(field)).astype(np.float32),
        "mask": rng.integers(0, 3, SHAPE, np.uint8),
        "free": rng.integers(0, 2, SHAPE).astype(bool),
        "strain": np.where(inside, rng.normal(size=SHAPE), np.nan).astype(np.float32),
        "displacement": np.where(inside, 1e-11 * np.angle(field), np.nan).astype(np.float32),
        "voxel_size_m": np.array([1e-9, 2e-9, 3e-9]),
        "voxel_basis_m": np.array([[0, 0, 1e-9], [0, -2e-9, 0], [3e-9, 0, 0]]),
        "q_centre": np.array([1e10, 0.0, 2e10]),
        "document": np.array(
            json.dumps(
                {
                    "id": "x",
                    "created": "2026-01-01T00:00:00Z",
                    "recipe": {"preprocess": "auto", "refine": "50*ER"},
                    "metrics": {"final": {"chi2": 0.01, "llk": 1.5, "free_llk": None}},
                }
            )
        ),
    }
