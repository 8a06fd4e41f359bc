"""training.simulate.scan: a raw curve with its faults and its truth."""

from pathlib import Path

import h5py
import numpy as np

from inphase import formats, fourier
from training.simulate.scan import SATURATED, ScanSettings, simulate_scan, write

SMALL = ScanSettings(
    shape=(41, 64, 72),
    oversampling=(3.0, 4.0, 4.0),
    peak=(2.3, -5.0, 7.0),
    gap_rows=(50, 53),
    photons=1e6,
    phase_rms=0.05,
)


def test_peak_gap_and_photons_are_where_they_should_be() -> None:
    """The brightest good voxel lies at the set offset, the gap is saturated,
    the photons are the set number within faults.
    """
    scan = simulate_scan(1, SMALL)
    assert (scan.frames[:, 50:53] == SATURATED).all()
    clean = np.abs(fourier.forward(scan.truth)) ** 2
    peak = np.unravel_index(np.argmax(clean), clean.shape)
    centre = np.array(SMALL.shape) // 2
    assert np.abs(np.array(peak) - centre - np.array(SMALL.peak)).max() <= 1.0
    expected = clean / clean.sum() * SMALL.photons
    near = tuple(slice(p - 4, p + 5) for p in peak)
    ratio = scan.frames[near].sum() / expected[near].sum()
    assert 0.9 < ratio < 1.1  # the flux drifts by up to 5 %, a bad pixel may lie in the box


def test_file_is_read_back_with_its_geometry(tmp_path: Path) -> None:
    """The written file gives the same frames through inphase.formats, and the q-steps of the beam."""
    scan = simulate_scan(2, SMALL)
    write(scan, tmp_path / "scan.h5")
    raw = formats.read(tmp_path / "scan.h5")
    np.testing.assert_array_equal(raw.array, scan.frames)
    assert raw.geometry is not None
    np.testing.assert_allclose(raw.geometry.q_steps, SMALL.beam.geometry().q_steps)
    with np.load(tmp_path / "scan.truth.npz") as truth:
        assert tuple(truth["shape"]) == SMALL.shape
    with h5py.File(tmp_path / "scan.h5") as file:
        assert file["q_steps"].attrs["units"] == "1/m"


def test_same_seed_same_scan() -> None:
    """A seed is a scan."""
    a, b = simulate_scan(5, SMALL), simulate_scan(5, SMALL)
    np.testing.assert_array_equal(a.frames, b.frames)
