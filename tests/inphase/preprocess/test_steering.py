"""Every step that a caller can steer, through the whole of preprocessing: what it does, and what it says it did."""

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.geometry import Geometry
from inphase.pattern import Domain, MaskState
from inphase.preprocess import Corrections, Prepared, pattern_from_array, preprocess, preset
from inphase.preprocess.report import StepReport
from tests.toy import counts

GEOMETRY = Geometry(np.diag([2e6, 5e6, 4e6]), np.array([0.0, 2.7e10, 0.0]))


def prepared(text: str, array: np.ndarray | None = None, **more: object) -> Prepared:
    """The toy's counts, or others, by a text."""
    pattern = pattern_from_array(counts() if array is None else array, Domain.COUNTS, GEOMETRY, **more)  # type: ignore[arg-type]
    return preprocess(pattern, preset(text, Domain.COUNTS))


def step(found: Prepared, name: str) -> StepReport:
    """What a step said."""
    (said,) = (each for each in found.steps if each.name == name)
    return said


def test_binning_and_centre_are_obeyed() -> None:
    """The counts of each bin are those of the array's, about the voxel that was asked for."""
    found = prepared("none: binning(factors=1x2x1) centring(voxel=32x31x32) background(off)")
    assert found.transform.bins == (1, 2, 1)
    array = counts().astype(float)
    # bins of two rows, of which number 31 is the first of the bin that becomes the DC voxel
    assert found.pattern.intensity[32, 32, 32] == array[32, 31, 32] + array[32, 32, 32]
    said = step(found, "centring").numbers
    assert said["reference"] == "voxel"
    assert said["centre"] == [32, 31, 32]
    geometry, again = found.pattern.geometry, found.transform.geometry(GEOMETRY)
    assert geometry is not None
    # of every step in its turn, and of all at once
    assert geometry.q_centre == pytest.approx(again.q_centre)
    assert geometry.q_steps == pytest.approx(again.q_steps)
    with pytest.raises(DataError, match="was not measured"):
        prepared("none: centring(voxel=64x1x1)")
    with pytest.raises(DataError, match="has 3 axes"):
        prepared("none: binning(factors=2x2)")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("auto: binning(factors=1000x1x1)", "leaves 0 voxels of 64 frames"),
        ("auto: binning(factors=1x1x9)", "leaves 7 voxels of 64 columns"),
        # 512^3 voxels of a window, of which 64^3 were measured
        ("auto: binning(factors=8x8x8)", "bin less"),
        ("auto: background(level=1e9)", "on average"),
    ],
)
def test_what_leaves_nothing_to_reconstruct_is_refused(text: str, words: str) -> None:
    """Before the memory for a window of it is asked for, and with the numbers that say why."""
    with pytest.raises(DataError, match=words):
        prepared(text)


def test_a_background_above_the_far_field_is_doubted() -> None:
    """Half of the mean takes away the fringes; the level that is estimated anyway, or a little more, does not."""
    estimated = step(prepared("auto: binning(off)"), "background").numbers["level"]
    assert isinstance(estimated, float)
    said = step(prepared(f"auto: binning(off) background(level={counts().mean() / 2})"), "background")
    assert "above the far field" in said.doubts[0]
    assert not step(prepared(f"auto: binning(off) background(level={1.1 * estimated})"), "background").doubts


def test_a_crop_takes_its_part_and_keeps_its_place() -> None:
    """Voxels outside are padding; Q at the DC voxel is the one of the uncropped measurement there."""
    whole = prepared("none: centring(reference=peak) background(off)")
    found = prepared("none: crop(frames=10:60, columns=8:64) centring(reference=peak) background(off)")
    said = step(found, "crop").numbers
    assert (said["frames"], said["rows"], said["columns"]) == ([10, 60], [0, 64], [8, 64])
    array = counts().astype(float)
    assert said["counts_share"] == pytest.approx(array[10:60, :, 8:].sum() / array.sum())
    assert found.transform.offset == whole.transform.offset
    inside = found.pattern.mask == MaskState.VALID
    assert np.array_equal(found.pattern.intensity[inside], whole.pattern.intensity[inside])
    assert (found.pattern.mask[:10] == MaskState.PADDING).all()
    assert found.pattern.geometry is not None
    assert whole.pattern.geometry is not None
    assert found.pattern.geometry.q_centre == pytest.approx(whole.pattern.geometry.q_centre)
    with pytest.raises(DataError, match="at least 8"):
        prepared("none: crop(rows=3:9)")
    with pytest.raises(DataError, match="has 64 rows"):
        prepared("none: crop(rows=3:90)")


def test_a_threshold_and_a_background_say_what_they_took() -> None:
    """Counts of one are gone, and their share is told; a level is per measured voxel, so eight times on bins of 2."""
    array = counts()
    found = prepared("none: threshold(least=2)")
    said = step(found, "threshold")
    assert said.numbers["voxels"] == int((array == 1).sum())
    assert said.numbers["removed_share"] == pytest.approx((array == 1).sum() / array.sum())
    assert not (found.pattern.intensity == 1).any()
    assert "the log-likelihoods" in said.doubts[0]
    level = step(prepared("none: background(level=0.5) binning(factors=2x2x2)"), "background").numbers["level"]
    assert level == pytest.approx(0.5 * 8)


def test_limits_of_hot_pixels_and_saturation() -> None:
    """A spike goes by the default limit and stays by a higher one; voxels from the level on are masked."""
    array = counts()
    array[5, 5, 5] = 400
    assert step(prepared("auto", array), "hot_pixels").numbers["voxels"] == 1
    assert step(prepared("auto: hot_pixels(least=1000)", array), "hot_pixels").numbers["voxels"] == 0
    top = int(np.sort(array.ravel())[-3])
    assert step(prepared(f"auto: saturation({top})", array), "saturation").numbers["voxels"] >= 3


def test_alien_light_is_removed_only_when_asked() -> None:
    """A second crystal is named with its voxel; `aliens()` masks what surrounds it, and then there is none."""
    array = counts()
    alien = np.roll(array, (22, -20, 20), (0, 1, 2)) // 20
    both = array + alien
    shown = step(prepared("auto", both), "second_peak")
    assert shown.doubts or shown.faults
    assert "aliens()" in (*shown.doubts, *shown.faults)[0]
    found = prepared("auto: aliens()", both)
    said = step(found, "aliens").numbers
    assert said["spots"] >= 1
    assert np.abs(np.array(said["spot_1"]) - [54, 12, 52]).max() <= 2
    assert found.pattern.mask[54, 12, 52] == MaskState.MASKED
    assert step(found, "second_peak").numbers["share"] == 0
    # the Bragg peak keeps its light
    peak = (slice(28, 37),) * 3
    assert (found.pattern.mask[peak] == MaskState.VALID).all()


def test_a_map_that_is_usual_is_missed() -> None:
    """Where the beamline's detector comes with maps, their absence is a doubt that names the options."""
    told = {"beamline": "34-ID-C", "usual_maps": "dark, flat"}
    said = step(prepared("auto", metadata=told), "missing_maps")
    assert said.numbers["missing"] == "dark and flat"
    assert "--dark and --flat" in said.doubts[0]
    pattern = pattern_from_array(counts(), Domain.COUNTS, None, told)
    maps = Corrections(np.zeros((64, 64)), np.ones((64, 64)))
    full = preprocess(pattern, preset("auto", Domain.COUNTS), corrections=maps)
    assert not [each for each in full.steps if each.name == "missing_maps"]
    half = preprocess(pattern, preset("auto", Domain.COUNTS), corrections=Corrections(dark=np.zeros((64, 64))))
    assert step(half, "missing_maps").numbers["missing"] == "flat"
