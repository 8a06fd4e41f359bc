"""What becomes a measurement, and what is said of what does not."""

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.pattern import MaskState
from inphase.ptycho.engine import reconstruct
from inphase.ptycho.measurement import from_arrays
from inphase.ptycho.optics import FarField
from inphase.ptycho.options import Options
from tests.inphase.ptycho.scenes import measured, small

GRID = 4.0 * np.stack(np.meshgrid(np.arange(5), np.arange(5), indexing="ij"), -1).reshape(-1, 2)
COUNTS = np.random.default_rng(0).poisson(20.0, (25, 16, 16)).astype(np.uint16)
FAR = FarField(1e-10, 2.0, (50e-6, 50e-6))


def test_arrays_that_are_whole_stay_as_they_are() -> None:
    """Nothing is copied, altered or noted."""
    found = from_arrays(COUNTS, GRID)
    assert np.shares_memory(found.patterns, COUNTS)
    assert found.notes == ()
    assert len(found) == 25
    assert not found.mask.any()
    assert found.pixel_m is None
    assert found.positions_m is None


def test_metres_and_pixels_are_one_scan() -> None:
    """1 A, 2 m, 16 pixels of 50 um: 250 nm."""
    found = from_arrays(COUNTS, GRID * 250e-9, unit="m", optics=FAR)
    np.testing.assert_allclose(found.positions_px, GRID)
    assert found.positions_m is not None
    np.testing.assert_allclose(found.positions_m, GRID * 250e-9)


def test_ids_follow_their_frames() -> None:
    """Also where one is left out."""
    counts = COUNTS.copy()
    counts[3] = 0
    found = from_arrays(counts, GRID, ids=100 + np.arange(25))
    assert list(found.ids) == [100, 101, 102, *range(104, 125)]
    np.testing.assert_array_equal(found.positions_px[3], GRID[4])
    assert "103" in " ".join(found.notes)


def test_masked_pixels_are_zero_and_known_as_such() -> None:
    """One mask for all frames."""
    mask = np.zeros((16, 16), bool)
    mask[2, 3] = True
    found = from_arrays(COUNTS, GRID, mask=mask)
    assert (found.mask[:, 2, 3] == MaskState.MASKED).all()
    assert not found.patterns[:, 2, 3].any()
    assert np.count_nonzero(found.mask) == 25


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"patterns": COUNTS[0]}, "axes"),
        ({"patterns": COUNTS.astype(complex)}, "real numbers"),
        ({"positions": GRID[:-1]}, "25 positions"),
        ({"positions": GRID.T}, "25 positions"),
        ({"unit": "m"}, "give energy"),
        ({"unit": "um"}, "give energy"),
        ({"unit": "furlong"}, "not 'furlong'"),
        ({"mask": np.ones((16, 16))}, "inverted"),
        ({"mask": np.zeros((16, 15))}, "fits neither"),
        ({"mask": 1 - np.eye(16)}, "masks 93.8% of the voxels"),
        ({"mask": np.full((16, 16), "bad")}, "true or not zero"),
        ({"positions": GRID + 1j}, "real numbers"),
        ({"positions": GRID.astype(str)}, "real numbers"),
        ({"positions": np.full((25, 2), np.nan)}, "only 0 of 25 positions are finite"),
        ({"probe": np.full((16, 16), "x")}, "complex numbers"),
        ({"probe": np.ones((15, 16))}, "shape of a pattern"),
        ({"probe": np.full((16, 16), np.nan)}, "not finite"),
        ({"probe": np.zeros((16, 16))}, "empty"),
        ({"ids": np.zeros(25)}, "different ids"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(change: dict[str, object], says: str) -> None:
    """Shapes, types, units."""
    whole: dict[str, object] = {"patterns": COUNTS, "positions": GRID} | change
    with pytest.raises(DataError, match=says):
        from_arrays(whole.pop("patterns"), whole.pop("positions"), **whole)  # type: ignore[arg-type]


def test_the_order_in_memory_does_not_matter() -> None:
    """Arrays of another order, or views, become those of C order: what is computed is the same to the last bit."""
    probe = np.random.default_rng(1).normal(size=(2, 16, 16)) + 1j
    found = from_arrays(np.asfortranarray(COUNTS), GRID, probe=np.asfortranarray(probe))
    assert found.probe is not None
    assert found.patterns.flags.c_contiguous
    assert found.probe.flags.c_contiguous
    np.testing.assert_array_equal(found.patterns, COUNTS)
    np.testing.assert_array_equal(found.probe, probe.astype(np.complex64))


def test_the_beam_of_a_reconstruction_is_that_of_its_frames() -> None:
    """Probe and positions are its own; of other frames it is refused."""
    of = measured(small(frames=4))
    found = reconstruct(of, Options("1*EPIE", turn=False, positions_start=0))
    lit = of.in_beam_of(found)
    assert lit.probe is not None
    np.testing.assert_array_equal(lit.probe, found.probe)
    np.testing.assert_array_equal(lit.positions_px, found.positions_px)
    assert not np.array_equal(lit.positions_px, of.positions_px)
    np.testing.assert_array_equal(lit.patterns, of.patterns)
    with pytest.raises(DataError, match="is of other frames"):
        of.only(np.arange(15)).in_beam_of(found)
