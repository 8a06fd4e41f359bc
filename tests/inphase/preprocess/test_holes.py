"""Holes of any shape, filled from where the pattern is known."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import find_objects, label

from inphase.pattern import MaskState
from inphase.preprocess import oversampling
from inphase.preprocess.core import core
from inphase.preprocess.holes import FILL, FILL_REACH, _Band, _bridged, _outside, _solved, _thick, filled
from inphase.preprocess.pipeline import preprocess
from inphase.preprocess.recipe import PRESETS
from inphase.preprocess.validate import pattern_from_array
from tests.inphase.preprocess.simulated import counts, crystal

SHAPE = (80, 72, 70)
SIGMA = (6.5, 5.0, 5.0)
Voxel = tuple[int, ...]
Hole = Callable[[Voxel], np.ndarray]


def box(*sides: slice | int) -> np.ndarray:
    hole = np.zeros(SHAPE, bool)
    hole[sides] = True
    return hole


def oblique(peak: Voxel) -> np.ndarray:
    i, j, k = np.indices(SHAPE, sparse=True)
    return (i - peak[0]) + (j - peak[1]) + 0 * k == 2


EVERY = slice(None)
HOLES: dict[str, Hole] = {
    "frame of the peak": lambda p: box(p[0]),
    "frame beside it": lambda p: box(p[0] + 1),
    "frame on the slope": lambda p: box(p[0] - 6),
    "row": lambda p: box(EVERY, p[1] + 1),
    "column": lambda p: box(EVERY, EVERY, p[2] - 1),
    "block of rows in some frames": lambda p: box(slice(p[0] - 8, p[0] + 8), slice(p[1] + 2, p[1] + 4)),
    "block of frames in some rows": lambda p: box(slice(p[0] + 1, p[0] + 3), slice(p[1] - 6, p[1] + 6)),
    "oblique": oblique,
    "frame and row": lambda p: box(p[0] + 1) | box(EVERY, p[1] + 1),
    "pixel": lambda p: box(EVERY, p[1] + 1, p[2] + 1),
}


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return crystal(8, SHAPE, SIGMA, peak=(3.0, -5.0, 4.0)).intensity


@pytest.mark.parametrize("name", HOLES)
def test_filled_counts_are_within_a_few_per_cent(truth: np.ndarray, name: str) -> None:
    """Sum of the differences inside the hole over the counts there, with 1e8 photons: 3 %. Zeros would be at 100 %, the
    mean of what is near in the frame at 20 % and more.
    """
    raw = counts(truth, 1e8).astype(np.float32)
    peak = np.unravel_index(int(raw.argmax()), SHAPE)
    hole = HOLES[name](peak)
    full = filled(np.where(hole, np.float32(0), raw), ~hole, peak, poisson=True)
    np.testing.assert_array_equal(full[~hole], raw[~hole])
    assert np.abs(full - raw)[hole].sum() < 0.03 * raw[hole].sum()


@pytest.mark.parametrize("name", HOLES)
@pytest.mark.parametrize("photons", [1e5, 1e7])
def test_a_bin_whose_holes_were_filled_is_right_within_its_own_noise(
    truth: np.ndarray, name: str, photons: float
) -> None:
    """Against the counts of the scan without a mask. At least half of a valid bin is measured; the guess of the rest
    has about the noise that the rest has itself, so the difference has at most about the noise of the bin.
    """
    raw = counts(truth, photons)
    hole = HOLES[name](np.unravel_index(int(raw.argmax()), SHAPE))
    whole, made = (
        preprocess(pattern_from_array(raw, mask=mask.astype(np.uint8)), PRESETS["auto"])
        for mask in (np.zeros(SHAPE, bool), hole)
    )
    assert made.transform.bins == whole.transform.bins == (2, 2, 2)
    np.testing.assert_allclose(made.oversampling_measured, whole.oversampling_measured, rtol=0.05)
    bins, start = made.transform.bins, made.transform.offset
    positions = [(np.arange(n) - s) // b for n, s, b in zip(SHAPE, start, bins, strict=True)]
    inside = [(p >= 0) & (p < 64) for p in positions]
    source, target = np.ix_(*inside), np.ix_(*(p[i] for p, i in zip(positions, inside, strict=True)))
    unmasked, touched = np.zeros((64, 64, 64)), np.zeros((64, 64, 64))
    np.add.at(unmasked, target, raw[source])
    np.add.at(touched, target, hole[source])
    level = next(step.numbers["level"] for step in made.steps if step.name == "background")
    judged = made.pattern.valid & (touched > 0) & (unmasked > 10)
    assert judged.sum() > 5
    off = (made.pattern.intensity + level - unmasked)[judged] / np.sqrt(unmasked[judged])
    assert np.sqrt(np.mean(off**2)) < 1.25  # between 0.5 and 1.2; one where every bin is off by its own noise


def test_what_is_known_nowhere_near_stays_a_guess(truth: np.ndarray) -> None:
    """Half of the frames are unknown: finite values, nothing raised."""
    raw = counts(truth, 1e6).astype(np.float32)
    hole = box(slice(40, 80))
    full = filled(np.where(hole, np.float32(0), raw), ~hole, (39, 31, 36), poisson=True)
    assert np.isfinite(full).all()
    assert MaskState.MASKED not in pattern_from_array(full).mask


@pytest.mark.parametrize(("fringes", "voxels", "share"), [(1.5, (1, 1, 1), 0.02), (2.6, (4.2, 6.0, 6.0), 0.15)])
def test_a_saturated_core_does_not_move_the_peak(fringes: float, voxels: tuple[float, ...], share: float) -> None:
    """A core of one and a half fringes is filled: the peak is found, and the oversampling to 2 %. A wider one is
    bridged: the peak is found within a fringe, the oversampling to 15 %; values filled by what sampling allows would be
    invented there, and made it 31 % too small.
    """
    raw = counts(crystal(3, (64, 96, 96), (4.2, 6.0, 6.0)).intensity, 1e8).astype(np.uint32)
    expected = core(pattern_from_array(raw))
    extent = fringes * np.array([4.2, 6.0, 6.0])
    axes = zip(np.ogrid[:64, :96, :96], expected.peak, extent, strict=True)
    inside = sum(((axis - p) / (0.5 * e)) ** 2 for axis, p, e in axes) <= 1
    found = core(pattern_from_array(raw, mask=np.asarray(inside).astype(np.uint8)))
    assert (np.abs(np.subtract(found.peak, expected.peak)) <= voxels).all()
    ratio = np.divide(oversampling.measure(found).sigma, oversampling.measure(expected).sigma)
    assert np.abs(ratio - 1).max() < share


@pytest.mark.parametrize("shape", [(24, 30, 28), (30, 40)])
def test_thick_holes_are_those_that_a_search_of_the_whole_volume_finds(shape: tuple[int, ...]) -> None:
    """Balls, pixels dead in every frame, and single voxels, which meet over corners: the same holes, each whole."""
    draw = np.random.default_rng(6)
    holes = draw.random(shape) < 0.01
    holes[..., draw.integers(0, shape[-2], 4), draw.integers(0, shape[-1], 4)] = True
    for _ in range(4):
        middle = [draw.integers(3, n - 3) for n in shape]
        holes |= sum((x - m) ** 2 for x, m in zip(np.indices(shape), middle, strict=True)) <= 5
    labels, number = label(holes, np.ones((3,) * len(shape)))
    boxes = find_objects(labels)
    expected = {
        tuple(np.flatnonzero(labels == k + 1).tolist())
        for k in range(number)
        if min(part.stop - part.start for part in boxes[k]) > 2
    }
    found = set()
    for box, hole in _thick(holes):
        where = np.zeros(shape, bool)
        where[box] = hole
        found.add(tuple(np.flatnonzero(where).tolist()))
    assert found == expected
    assert len(found) >= 2


def test_a_gap_through_all_frames_is_one_thick_hole() -> None:
    """Beside a ball, a search of the whole volume finds the same two."""
    holes = np.zeros((12, 30, 28), bool)
    holes[:, 4:8] = True
    holes[3:8, 15:20, 10:15] = True
    holes[5, 13, 12] = True  # hangs together with nothing
    labels, number = label(holes, np.ones((3, 3, 3)))
    assert number == 3
    found = list(_thick(holes))
    assert [spot for spot, _ in found] == [spot for spot in find_objects(labels) if spot[0].stop - spot[0].start > 2]
    assert all(hole.all() for _, hole in found)


def test_holes_are_bridged_by_the_gaussian_mean_of_their_frame() -> None:
    """Against sums over every pair of voxels; where nothing is known within reach it is zero."""
    draw = np.random.default_rng(4)
    counts = draw.poisson(5, (20, 24, 30)).astype(np.float32)
    valid = draw.random(counts.shape) > 0.2
    valid[:, 9:12] = valid[3] = False
    valid[7, 2, 4:20] = True
    counts[~valid] = 0
    row, column = np.indices(counts.shape[1:])
    expected = counts.astype(np.float64)
    for frame, r, c in np.argwhere(~valid):
        near = (abs(row - r) <= FILL_REACH) & (abs(column - c) <= FILL_REACH) & valid[frame]
        weight = np.exp(-((row - r) ** 2 + (column - c) ** 2) / (2 * FILL**2)) * near
        expected[frame, r, c] = (weight * counts[frame]).sum() / max(weight.sum(), 1e-6)
    np.testing.assert_allclose(_bridged(counts, valid), expected, rtol=1e-5, atol=1e-4)  # sums of 169 float32


def test_lines_that_are_solved_together_are_solved_as_each_alone() -> None:
    """The energy outside of the band and the distance from the first values, minimised line by line by least squares
    over the unknown voxels; values below zero are zero.
    """
    draw = np.random.default_rng(5)
    lines = draw.random((24, 40)) * 10
    known = draw.random(lines.shape) > 0.2
    known[:, :15] = known[:, [15]]  # the same holes in many lines
    known[:, 20] = True
    band = _Band(0.2, 0.01)
    found = _solved(lines, known, band)
    projector = _outside(24, band.half_width)
    for line in range(40):
        gap = ~known[:, line]
        kept = np.where(gap, 0.0, lines[:, line])
        rows = np.concatenate([projector[:, gap], np.sqrt(band.prior) * np.eye(gap.sum())])
        aim = np.concatenate([-projector @ kept, np.sqrt(band.prior) * lines[gap, line]])
        expected = np.maximum(np.linalg.lstsq(rows, aim)[0], 0)
        np.testing.assert_allclose(found[gap, line], expected, atol=1e-9)
        np.testing.assert_array_equal(found[~gap, line], lines[~gap, line])
