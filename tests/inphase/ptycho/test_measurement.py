"""What becomes a measurement, and what is said of what does not."""

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.pattern import MaskState
from inphase.preprocess.corrections import Corrections
from inphase.ptycho.engine import reconstruct
from inphase.ptycho.measurement import from_arrays
from inphase.ptycho.optics import FarField
from inphase.ptycho.options import Options
from inphase.ptycho.reconstruction import Reconstruction
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


SCENE = small()
UNEVEN = np.random.default_rng(3)
FLAT = UNEVEN.uniform(0.7, 1.3, (32, 32))
FLAT[4, 5] = 0
OFFSET = UNEVEN.uniform(30, 60, (32, 32))
HOT = np.where(UNEVEN.random((32, 32)) < 0.02, 3000, 0)


def shown(dark: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """The scene on a detector that answers so, whole numbers."""
    counts: np.ndarray = np.rint(SCENE.counts * flat / flat[flat > 0].mean() + dark).astype(np.uint32)
    return counts


def image(frames: np.ndarray, corrections: Corrections | None = None) -> Reconstruction:
    """Some iterations of them."""
    found = from_arrays(frames, SCENE.positions, probe=SCENE.probe, corrections=corrections)
    return reconstruct(found, Options("20*RPIE", turn=False))


@pytest.mark.parametrize(("dark", "flat"), [(OFFSET, FLAT), (HOT, np.ones((32, 32)))], ids=["integrating", "counting"])
def test_dark_and_flat_give_the_object_of_the_clean_scan(dark: np.ndarray, flat: np.ndarray) -> None:
    """It differs by no more than another measurement with the same photons would, and without the maps by far more."""
    clean, raw = image(SCENE.counts), shown(dark, flat)
    lit = clean.coverage > 0.1

    def away(found: Reconstruction) -> float:
        return float(np.sqrt((np.abs(found.object - clean.object)[lit] ** 2).mean()))

    again = away(image(np.random.default_rng(1).poisson(SCENE.counts)))
    assert away(image(raw, Corrections(dark, flat))) < again
    assert away(image(raw)) > 5 * again


def test_raw_frames_stay_and_counts_are_corrected() -> None:
    """The verdict does not take what was subtracted or divided for photons; bad pixels alone change no count."""
    raw = shown(OFFSET, FLAT)
    found = from_arrays(raw, SCENE.positions, corrections=Corrections(OFFSET, FLAT))
    known = found.mask[0] == MaskState.VALID
    assert (np.count_nonzero(~known), found.patterns.dtype) == (1, np.uint32)
    np.testing.assert_array_equal(found.patterns[:, known], raw[:, known])
    np.testing.assert_allclose(found.counts()[:, known], SCENE.counts[:, known], atol=1.5)  # rounded, and divided
    np.testing.assert_array_equal(found.only([3, 1]).counts(), found.counts(np.array([3, 1])))
    assert not found.counts_photons
    assert from_arrays(raw, SCENE.positions).counts_photons
    counting = from_arrays(shown(HOT, np.ones((32, 32))), SCENE.positions, corrections=Corrections(HOT))
    assert counting.counts_photons
    assert np.shares_memory(counting.counts(), counting.patterns)
    told = reconstruct(found, Options("1*EPIE", turn=False)).report
    assert (told.r_noise, told.deviance) == (None, None)
    assert "dark" in told.verdict[0]
    assert any("flat field was divided out" in note for note in told.notes)


def test_a_frame_without_beam_is_left_out_whatever_its_offset() -> None:
    """Its counts are none when the dark has been subtracted."""
    raw = shown(OFFSET, FLAT)
    raw[7] = np.rint(OFFSET)
    found = from_arrays(raw, SCENE.positions, corrections=Corrections(OFFSET, FLAT))
    assert 7 not in found.ids
    assert any("Frames left out (7)" in note for note in found.notes)


def test_a_mask_is_asked_for_the_light_above_the_dark() -> None:
    """An offset lies everywhere: a mask of good pixels would hide no more of it than of the detector."""
    gaps = np.zeros((32, 32), bool)
    gaps[:, np.arange(32) % 10 > 5] = True
    raw, maps = shown(10 * OFFSET, FLAT), Corrections(10 * OFFSET, FLAT)
    raw[:, gaps] = 0
    with pytest.raises(DataError, match=r"which hold 100\.0% of the light.* good pixels"):
        from_arrays(raw, SCENE.positions, mask=~gaps, corrections=maps)
    assert "which hold 0.0% of the light" in " ".join(
        from_arrays(raw, SCENE.positions, mask=gaps, corrections=maps).notes
    )


@pytest.mark.parametrize(
    ("maps", "words"),
    [
        (Corrections(np.zeros((32, 31))), r"the dark map is \(32, 31\).* but the frames are \(32, 32\)"),
        (Corrections(flat=np.zeros((64, 64))), "the flat map"),
        (Corrections(np.full((32, 32), np.nan)), "every pixel of the frames bad"),
        (Corrections(flat=np.eye(32)), "call 96.9% of the pixels bad"),
        (Corrections(np.eye(32, dtype=bool)), "the dark map holds bool.* named by the mask"),
        (Corrections(flat=np.ones((32, 32), complex)), "the flat map holds complex128"),
    ],
)
def test_maps_of_other_frames_are_refused(maps: Corrections, words: str) -> None:
    """With the source and what to do."""
    with pytest.raises(DataError, match=f"scan.npz: .*{words}"):
        from_arrays(SCENE.counts, SCENE.positions, corrections=maps, source="scan.npz")
