"""The benchmark of the 2D network: what its page says of given figures, and its measures by hand."""

import numpy as np
import pytest

from benchmarks.wu2d import neighbours_section, quality_table, randomised, residue, ways_section
from inphase import fourier
from tests.flat import crystal


def test_a_residue_is_eq_5_after_the_best_scale() -> None:
    """Of the object itself, whatever its scale, nothing; of another, the least of many scales."""
    obj, other = crystal((64, 64)), np.roll(crystal((64, 64)), 3, 0) * 0.5
    other[:30] = 0
    modulus = np.abs(fourier.forward(obj)).astype(np.float32)
    assert residue(3 * obj, modulus) == pytest.approx(0, abs=1e-6)
    far = np.abs(fourier.forward(other))
    scales = np.linspace(0.1, 10, 2000)
    errors = [np.sum((s * far - modulus) ** 2) / np.sum(modulus**2) for s in scales]
    assert residue(other, modulus) == pytest.approx(min(errors), abs=1e-4)


def test_random_starts_differ_in_their_phases_alone() -> None:
    """Unit amplitude within the support, no phase twice."""
    support = np.zeros((8, 8), bool)
    support[2:6, 2:6] = True
    starts = randomised(support, 3)
    np.testing.assert_allclose(np.abs(starts.objects), np.broadcast_to(support, (3, 8, 8)), atol=1e-6)
    assert not np.allclose(starts.objects[0], starts.objects[1])


def test_the_sections_hold_the_figures() -> None:
    """The power law is fitted to the table, the repeats are a mean and a deviation, the paper stands beside ours."""
    search = {"curve": [[1000, 0.04], [4000, 0.02]], "ms_per_pattern": 3.0}
    text = " ".join(neighbours_section(search))
    assert "power -0.500" in text
    assert f"{0.04 * 150**-0.5:.3f}" in text
    ways = [
        {"(i)": {"begin": 0.5, "final": [0.1, 0.3]}, "(ii)": {"begin": 0.3, "final": [0.3]}},
        {"(i)": {"begin": 0.7, "final": [0.4, 0.4]}, "(ii)": {"begin": 0.1, "final": [0.1]}},
    ]
    section = ways_section([{"pattern": i, "ways": way} for i, way in enumerate(ways)])
    assert "| (i) | 4 | 0.6 | 0.3 +- 0.07 | 1 of 2 |" in section
    assert "| (ii) | 2 | 0.2 | 0.2 +- 0.07 | 1 of 2 |" in section
    figures = dict.fromkeys(("modulus", "modulus_median", "amplitude", "phase", "phase_median"), 0.5)
    rows = quality_table({"clean": figures, "as trained": figures}, figures)
    assert "| the paper | 0.019 | - | 0.005 | 0.029 | - |" in rows
