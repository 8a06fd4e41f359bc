"""What was not measured is masked or cut; what was measured and is dark stays."""

from itertools import product

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.geometry import Geometry
from inphase.pattern import Domain, MaskState, Pattern
from inphase.preprocess.lost import measured
from inphase.preprocess.pipeline import preprocess
from inphase.preprocess.recipe import PRESETS
from inphase.preprocess.validate import pattern_from_array
from tests.inphase.preprocess.simulated import counts, crystal, pattern

SHAPE = (48, 64, 56)
FULL = {"measured_frames": [0, 48], "measured_rows": [0, 64], "measured_columns": [0, 56]}


@pytest.fixture(scope="module")
def curve() -> np.ndarray:
    return counts(crystal(4, SHAPE, (4.0, 4.0, 4.0)).intensity, 1e6)


def found(raw: np.ndarray, domain: Domain = Domain.COUNTS) -> dict[str, object]:
    mask = np.zeros(raw.shape, np.uint8)
    return dict(measured(Pattern(raw.astype(np.float32), mask, domain))[1].numbers)


@pytest.mark.parametrize("lost", [[24], [22, 26], [25, 26], [23, 24, 25, 40]])
def test_a_frame_without_counts_between_bright_ones_is_masked_and_named(curve: np.ndarray, lost: list[int]) -> None:
    """Exactly the frames that were emptied, and the share of the counts that they held to within a third of it (the
    peak's own frame is guessed from its neighbours).
    """
    raw = curve.copy()
    raw[lost] = 0
    made, report = measured(pattern(raw))
    assert report.numbers["frames"] == lost
    assert {key: report.numbers[key] for key in FULL} == FULL
    assert report.numbers["counts_share"] == pytest.approx(curve[lost].sum() / curve.sum(), rel=0.35)
    masked = (made.pattern.mask == MaskState.MASKED).all(axis=(1, 2))
    assert np.flatnonzero(masked).tolist() == lost
    assert made.pattern.valid[~masked].all()
    assert report.doubts
    assert all(str(frame) in report.doubts[0] for frame in lost)


def test_a_lost_frame_of_moduli(curve: np.ndarray) -> None:
    """The evidence is the number of lit voxels, so the unit of the numbers does not matter."""
    raw = curve * 1e-7
    raw[24] = 0
    assert found(raw, Domain.MODULUS)["frames"] == [24]


def test_a_lost_frame_in_the_far_wing_is_named_but_no_doubt(curve: np.ndarray) -> None:
    """It held less than 1 % of the counts."""
    raw = curve.copy()
    raw[10] = 0
    report = measured(pattern(raw))[1]
    assert report.numbers["frames"] == [10]
    assert report.doubts == ()


@pytest.mark.parametrize(("axis", "last"), list(product((0, 1, 2), (False, True))))
def test_an_empty_end_is_cut_along_each_axis(curve: np.ndarray, axis: int, last: bool) -> None:
    """Six planes from the border are empty, as where the file was laid out before the scan stopped,
    or the frames reach beyond the chip.
    """
    raw, n = curve.copy(), SHAPE[axis]
    keep = slice(0, n - 6) if last else slice(6, n)
    np.moveaxis(raw, axis, 0)[n - 6 :] = 0 if last else np.moveaxis(raw, axis, 0)[n - 6 :]
    if not last:
        np.moveaxis(raw, axis, 0)[:6] = 0
    made, report = measured(pattern(raw))
    name = ("measured_frames", "measured_rows", "measured_columns")[axis]
    assert report.numbers == {"frames": [], "counts_share": 0.0} | FULL | {name: [keep.start, keep.stop]}
    assert made.start[axis] == keep.start
    np.testing.assert_array_equal(
        made.pattern.intensity, raw[tuple(keep if a == axis else slice(None) for a in range(3))]
    )


@pytest.mark.parametrize("fill", [0, -1, np.nan, 65535])
def test_a_scan_with_an_empty_tail_gives_what_its_measured_frames_alone_give(curve: np.ndarray, fill: float) -> None:
    """Stopped in frame 34 of 48: pattern, oversampling, way back and Q at the DC voxel are those of the 34 frames."""
    steps = np.diag([2e6, 3e6, 4e6])
    stopped = curve.astype(np.float64)
    stopped[34:] = fill
    alone = pattern_from_array(curve[:34].astype(np.float64), geometry=Geometry(steps, np.array([1e10, 0.0, 0.0])))
    moved = (np.array([48 // 2 - 34 // 2, 0, 0])) @ steps  # the same frame has another place from N // 2
    laid_out = pattern_from_array(stopped, geometry=Geometry(steps, np.array([1e10, 0.0, 0.0]) + moved))
    one, two = (preprocess(each, PRESETS["auto"]) for each in (alone, laid_out))
    np.testing.assert_array_equal(one.pattern.intensity, two.pattern.intensity)
    np.testing.assert_array_equal(one.pattern.mask, two.pattern.mask)
    assert one.oversampling_measured == two.oversampling_measured
    assert one.valid_fraction == two.valid_fraction
    assert one.transform.offset == two.transform.offset
    assert two.transform.shape_in == SHAPE
    assert one.pattern.geometry is not None
    assert two.pattern.geometry is not None
    np.testing.assert_allclose(one.pattern.geometry.q_centre, two.pattern.geometry.q_centre)


def test_an_empty_head_moves_the_way_back_along(curve: np.ndarray) -> None:
    """The window begins as many voxels later in the file as frames are empty."""
    late = curve.copy()
    late[:9] = 0
    one, two = (preprocess(pattern_from_array(raw), PRESETS["auto"]) for raw in (curve[9:], late))
    np.testing.assert_array_equal(one.pattern.intensity, two.pattern.intensity)
    assert [b - a for a, b in zip(one.transform.offset, two.transform.offset, strict=True)] == [9, 0, 0]
    centres = [step.numbers["centre"] for made in (one, two) for step in made.steps if step.name == "centring"]
    assert centres[1][0] - centres[0][0] == 9  # type: ignore[index, operator]


def test_a_scan_stopped_at_its_peak_is_refused_as_the_frames_alone_are(curve: np.ndarray) -> None:
    """The border is that of what was measured; voxels are those of the file."""
    end = int(curve.sum(axis=(1, 2)).argmax()) + 1
    stopped = curve.copy()
    stopped[end:] = 0
    messages = []
    for raw in (curve[:end], stopped):
        with pytest.raises(DataError, match=f"border of axis 0.*0 to {end - 1} were measured") as refusal:
            preprocess(pattern_from_array(raw), PRESETS["auto"])
        messages.append(str(refusal.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("photons", [1e3, 1e4, 1e5, 1e7])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_dark_wings_are_measured(photons: float, seed: int) -> None:
    """Without background the far frames, rows and columns of weak curves hold nothing;
    nor do those of rounded ones without noise.
    """
    truth = crystal(seed, SHAPE).intensity
    nothing = {"frames": [], "counts_share": 0.0} | FULL
    assert found(counts(truth, photons, seed)) == nothing
    assert found(np.rint(truth * photons)) == nothing


@pytest.mark.parametrize("width", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("photons", [1e5, 1e7, 1e9])
def test_a_steep_curve_is_dark_beside_its_peak(width: float, photons: float) -> None:
    """A Gaussian falls from thousands of counts in a frame to none within two frames, and faster the farther out."""
    shape = (96, 64, 56)
    i, j, k = (np.arange(n).reshape([-1 if a == b else 1 for b in range(3)]) - n // 2 for a, n in enumerate(shape))
    bell = np.exp(-(i**2) / (2 * width**2) - (j**2 + k**2) / (2 * 6.0**2))
    raw = np.random.default_rng(3).poisson(photons * bell / bell.sum())
    assert (raw.sum(axis=(1, 2)) == 0).any()
    assert found(raw) == {"frames": [], "counts_share": 0.0} | FULL | {"measured_frames": [0, 96]}


@pytest.mark.parametrize(
    ("emptied", "left"),
    [(slice(22, 23), ([22], [0, 48])), (slice(40, 48), ([], [0, 40])), (slice(0, 5), ([], [5, 48]))],
)
def test_where_noise_is_everywhere_a_silent_frame_was_not_measured(
    curve: np.ndarray, emptied: slice, left: tuple[list[int], list[int]]
) -> None:
    """Background was subtracted before: noise of both signs, also in the darkest wing,
    but none in frames that were not measured.
    """
    raw = curve + np.random.default_rng(4).normal(-0.05, 0.3, SHAPE)
    raw[emptied] = 0
    report = found(raw)
    assert (report["frames"], report["measured_frames"]) == left


def test_hits_in_the_dark_are_no_light(curve: np.ndarray) -> None:
    """Two frames of a dark wing with a cosmic ray each: what lies between and beyond them is dark, not lost."""
    raw = counts(crystal(4, SHAPE, (4.0, 4.0, 4.0)).intensity, 2e3)
    raw[:8] = raw[-8:] = 0
    raw[[2, 6], 10, 20:24] = 5000
    assert found(raw) == {"frames": [], "counts_share": 0.0} | FULL


def test_what_the_file_masks_is_not_measured_either(curve: np.ndarray) -> None:
    """A masked frame is named, masked ends of each axis are cut: they are no part of the measured range."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[20], mask[40:], mask[:, :5], mask[:, :, 50:] = 1, 1, 2, 1
    made, report = measured(pattern_from_array(curve, mask=mask))
    assert report.numbers["frames"] == [20]
    assert [report.numbers[key] for key in FULL] == [[0, 40], [5, 64], [0, 50]]
    assert made.pattern.shape == (40, 59, 50)


def test_too_few_measured_frames_are_refused(curve: np.ndarray) -> None:
    """Seven frames are as few in a file laid out for 48 as in one of seven."""
    raw = curve.copy()
    raw[:21] = raw[28:] = 0
    with pytest.raises(DataError, match="only frames 21 to 27 of 48 were measured"):
        measured(pattern(raw))
