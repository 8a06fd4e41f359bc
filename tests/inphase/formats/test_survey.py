"""inphase.formats.survey: the Bragg peak of a large measurement, whatever else is bright on the detector."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inphase.errors import DataError, TooLargeError
from inphase.formats import FileReading, Limits, Reading, survey
from inphase.formats.frames import ArrayFrames
from inphase.formats.region import Region, Surveyed
from inphase.pattern import Domain
from tests import eiger

AWAY = (30, 240, 90)  # of another crystal


def surveyed(frames: NDArray[np.generic], bad: NDArray[np.bool_] | None = None) -> tuple[Region, Surveyed]:
    """The region that is found."""
    region = survey.found(ArrayFrames(frames), bad)
    assert region.surveyed is not None
    return region, region.surveyed


def holds(region: Region, peak: tuple[int, int, int] = eiger.PEAK, reach: int = eiger.REACH) -> bool:
    """Whether all of a crystal's light lies in the region."""
    spans = zip((region.rows, region.columns), peak[1:], strict=True)
    return all(first <= at - reach and at + reach <= end for (first, end), at in spans)


def near(found: Surveyed, peak: tuple[int, int, int] = eiger.PEAK) -> bool:
    """Whether it is this peak, to a block."""
    return all(abs(at - p) <= side for at, p, side in zip(found.peak, peak, (4, 8, 8), strict=True))


def test_the_region_holds_the_light_of_the_crystal() -> None:
    """And little more than that of the detector, though a hot pixel is brighter in every frame."""
    region, found = surveyed(eiger.measurement())
    assert near(found)
    assert holds(region)
    assert np.prod(region.shape_of(eiger.SHAPE)) < 0.4 * np.prod(eiger.SHAPE)
    assert found.second is None
    assert found.light > 0.999


@pytest.mark.parametrize("dtype", ["uint32", "int32", "int64", "float32"])
def test_it_does_not_depend_on_the_type(dtype: str) -> None:
    """Whatever a detector writes where it does not measure."""
    frames = eiger.measurement()
    other = frames.astype(dtype)
    gap = frames == eiger.FULL
    other[gap] = {"uint32": 2**32 - 1, "int32": -1, "int64": -2, "float32": np.nan}[dtype]
    assert surveyed(other) == surveyed(frames)


def test_counts_are_shared_out_by_hand() -> None:
    """The shares are those of the frames without what does not measure."""
    frames = eiger.measurement()
    region, found = surveyed(frames)
    clean = frames.astype(np.float64)
    clean[frames == eiger.FULL] = 0
    clean[:, 40, 60] = 0
    assert found.counts == pytest.approx(region.of(clean).sum() / clean.sum(), rel=1e-6)


def test_a_full_counter_is_no_light() -> None:
    """A pixel that stood at the end of its counter in a few frames, beside the others that stand there in all."""
    frames = eiger.measurement()
    frames[3:6, 250, 250] = eiger.FULL
    assert surveyed(frames) == surveyed(eiger.measurement())


@pytest.mark.parametrize("frames_lit", [1, 3])
def test_a_flash_in_one_pixel_is_no_peak(frames_lit: int) -> None:
    """A cosmic ray is brighter than the crystal, in a frame that the first samples do not see."""
    frames = eiger.measurement()
    frames[21 : 21 + frames_lit, 260, 40] = 60_000
    region, found = surveyed(frames)
    assert near(found)
    assert holds(region)


def test_a_peak_on_a_gap_between_modules() -> None:
    """Its middle is not seen; the region still lies around it."""
    peak = (20, 154, 205)
    region, found = surveyed(eiger.measurement(peak=peak))
    assert abs(found.peak[1] - 154) <= 12
    assert holds(region, peak)


def test_pixels_that_the_file_names_do_not_count() -> None:
    """A patch that shines in every frame, too large to be told from light: the pixel mask knows it."""
    frames = eiger.measurement()
    frames[:, 240:260, 30:50] = 20_000
    bad = np.zeros(frames.shape[1:], bool)
    bad[240:260, 30:50] = True
    assert not near(surveyed(frames)[1])
    region, found = surveyed(frames, bad)
    assert near(found)
    assert holds(region)


def test_the_brighter_of_two_crystals_and_a_word_on_the_other() -> None:
    """The other one lies outside of the region, and is told with its share."""
    frames = eiger.measurement()
    eiger.add(frames, eiger.crystal(5e5, seed=1), AWAY)
    region, found = surveyed(frames)
    assert near(found)
    assert found.second is not None
    assert abs(found.second[1] - AWAY[1]) <= 16
    assert abs(found.second[2] - AWAY[2]) <= 16
    assert found.second_light == pytest.approx(0.2, abs=0.07)  # 5e5 of 2.5e6 photons
    assert found.light == pytest.approx(2e6 / 2.5e6, abs=0.05)
    doubt = region.report().doubts[0]
    assert "a second peak" in doubt
    assert "region=" in doubt


def test_two_crystals_in_one_region_are_left_to_the_preprocessing() -> None:
    """It looks at all that was read."""
    frames = eiger.measurement()
    eiger.add(frames, eiger.crystal(1e6, seed=1), (20, 150, 240))
    region, found = surveyed(frames)
    assert holds(region)
    assert found.second is None


def test_frames_without_a_count_change_nothing() -> None:
    """Dark wings of a curve, and frames lost in between."""
    frames = eiger.measurement()
    frames[:3], frames[15], frames[37:] = 0, 0, 0
    region, found = surveyed(frames)
    assert near(found)
    assert holds(region)


def test_a_bright_wide_background_does_not_decide() -> None:
    """Light that is the same in all frames is summed in a few of them only."""
    frames = eiger.measurement(background=2.0)
    region, found = surveyed(frames)
    assert near(found)
    assert region.rows[0] <= eiger.PEAK[1] - 40
    assert found.second is None


@pytest.mark.parametrize("value", [0, eiger.FULL])
def test_nothing_measured(value: int) -> None:
    """No frame holds a count."""
    with pytest.raises(DataError, match="none of the 40 frames of"):
        surveyed(np.full(eiger.SHAPE, value, np.uint16))


@pytest.mark.parametrize("corner", [(20, 50, 50), (20, 250, 270)])
def test_a_peak_near_the_detectors_border(corner: tuple[int, int, int]) -> None:
    """The region ends there."""
    region, found = surveyed(eiger.measurement(peak=corner))
    assert near(found, corner)
    assert holds(region, corner)
    assert region.fits(region.shape_of(eiger.SHAPE))


def test_memory_bounds_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody asked for stays small, and that light reaches farther is told."""
    monkeypatch.setattr(survey, "MOST_VOXELS", 40 * 144 * 144)
    monkeypatch.setattr(survey, "LEAST_HALF", 32)
    region, found = surveyed(eiger.measurement())
    assert found.reaches
    assert np.prod(region.shape_of(eiger.SHAPE)) <= 40 * 144 * 144
    assert holds(region, reach=48)
    assert "reaches farther" in region.told


@pytest.mark.parametrize("most", [40 * 32 * 32, 40 * 64 * 100])
def test_memory_bounds_the_region_of_any_number_of_frames(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """What is declared before is never exceeded, though the region is less than the least that one would like."""
    monkeypatch.setattr(survey, "MOST_VOXELS", most)
    region, found = surveyed(eiger.measurement())
    assert found.reaches
    assert np.prod(region.shape_of(eiger.SHAPE)) <= most
    assert region.rows[0] < eiger.PEAK[1] < region.rows[1]
    assert region.columns[0] < eiger.PEAK[2] < region.columns[1]


def test_what_is_no_number_beside_counts() -> None:
    """Infinite and missing values, in some frames only, in any float; sums beyond what half precision holds."""
    frames = eiger.measurement()
    frames[:, 40, 60] = 0  # hot beyond half precision
    lost = np.zeros(frames.shape[1:], bool)
    lost[240:260, 30:50] = True
    for dtype in (np.float16, np.float32, np.float64):
        values = np.where(frames == eiger.FULL, 0, frames).astype(dtype)
        values[frames == eiger.FULL] = np.nan
        values[3::4, lost] = np.inf
        values[1::4, lost] = -np.inf
        region, found = surveyed(values, lost)
        assert near(found)
        assert holds(region)
        assert surveyed(values)[0].rows == region.rows
    total = np.where(frames == eiger.FULL, 0, frames).sum(axis=0).max()
    assert total > np.finfo(np.float16).max  # so that a sum in half precision would be infinite


def test_when_a_region_is_found() -> None:
    """Of a large curve of counts, unless one is asked for."""
    large = (300, 2167, 2070)
    request = FileReading(Path("a.h5"))
    assert survey.wanted(request, large)
    assert survey.kept(request, large) == survey.MOST_VOXELS
    assert not survey.wanted(request, (512, 512, 512))
    assert survey.kept(request, (512, 512, 512)) == 512**3
    assert not survey.wanted(request, (20_000, 20_000))
    assert not survey.wanted(replace(request, domain=Domain.MODULUS), large)
    whole = replace(request, reading=Reading(region="whole"))
    assert not survey.wanted(whole, large)
    assert survey.kept(whole, large) == 300 * 2167 * 2070
    asked = replace(request, reading=Reading(region="0:100,100:300"))
    assert not survey.wanted(asked, large)
    assert survey.kept(asked, large) == 300 * 100 * 200


def test_how_much_is_looked_at_is_bounded() -> None:
    """A few bytes may declare any number of frames."""
    told: list[tuple[int, int]] = []
    limits = Limits(3 * 2**30, declared=lambda voxels, nbytes: told.append((voxels, nbytes)))
    survey.admit((300, 3269, 3110), np.dtype("u4"), "a.h5", limits)
    assert [voxels for voxels, _ in told] == [survey.MOST_VOXELS]
    assert told[0][1] < 2**31
    with pytest.raises(TooLargeError, match=r"above the limit of 3 GiB, and 4 times"):
        survey.admit((600, 3269, 3110), np.dtype("u4"), "a.h5", limits)
