"""A result to write."""

import json

import numpy as np
import pytest

from inphase import fourier

SHAPE = (10, 8, 6)


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """A small result on an orthogonal grid; no symmetry and unequal sides,
    so that no mistaken axis or sign goes unseen.
    """
    rng = np.random.default_rng(1)
    field = (rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE)).astype(np.complex64)
    return {
        "object": field,
        "amplitude": np.abs(field),
        "phase": np.angle(field),
        "phase_flat": np.angle(field * np.exp(0.1j)).astype(np.float32),
        "support": np.abs(field) > 1,
        "modulus": np.abs(fourier.forward(field)).astype(np.float32),
        "mask": rng.integers(0, 3, SHAPE, np.uint8),
        "free": rng.integers(0, 2, SHAPE).astype(bool),
        "strain": rng.normal(size=SHAPE).astype(np.float32),
        "displacement": np.where(np.abs(field) > 1, 1e-11 * np.angle(field), np.nan).astype(np.float32),
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
