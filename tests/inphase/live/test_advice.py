"""What an unfinished curve says, against curves whose peak is known."""

import numpy as np
import pytest

from inphase.live.advice import Advice, FrameSummary, Seen, advise, ranges

SHAPE = (40, 50)
PEAK = 30
VALID = np.ones(SHAPE, bool)


def frame(place: int, light: float = 1000.0, spot: tuple[int, int] = (20, 25)) -> np.ndarray:
    """A rocking curve's Gaussian, 8 frames in standard deviation, with a spot of 3 pixels, and a hot pixel."""
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    away = ((place - PEAK) / 8) ** 2 + ((rows - spot[0]) / 3) ** 2 + ((columns - spot[1]) / 3) ** 2
    found = (light * np.exp(-away / 2)).astype(np.uint16)
    found[3, 3] = 60_000
    return found


def advice(places: list[int], frames: int | None = 80, images: tuple[Seen, ...] = (), **more: object) -> Advice:
    """On the frames at these places."""
    summaries = [FrameSummary.of(place, frame(place, **more), VALID, None) for place in places]  # type: ignore[arg-type]
    return advise(summaries, frames, SHAPE, images)


def test_a_summary_sees_the_peak_and_no_hot_pixel() -> None:
    """The brightest place is the spot's, and counts leave masked and saturated pixels out."""
    made = frame(PEAK)
    valid = VALID.copy()
    valid[3, 3] = False
    made[30, 30:33] = 65535
    found = FrameSummary.of(7, made, valid, None)
    assert (found.place, found.full) == (7, 3)
    assert abs(found.row - 20) <= 1
    assert abs(found.column - 25) <= 1
    made[30, 30:33], made[3, 3] = 0, 0
    assert found.counts == made.sum()
    assert FrameSummary.of(7, made, valid, 990.0).full == np.count_nonzero(made >= 990)


@pytest.mark.parametrize(
    ("last", "peak", "worth"),
    [(25, "not reached", False), (34, "near", False), (45, "falling", True), (50, "passed", True)],
)
def test_the_peak_is_told_when_it_is_known(last: int, peak: str, worth: bool) -> None:
    """A maximum in the last frame is none; one after which the light falls may be the peak."""
    found = advice(list(range(last + 1)))
    assert (found.peak, found.worth_a_look) == (peak, worth)
    assert found.peak_place == min(last, PEAK)
    assert found.more is None


def test_a_steep_peak_is_not_looked_at_before_there_are_enough_frames_for_an_image() -> None:
    """Of a scan in coarse steps it is passed within five; a preparation refuses less than eight planes."""
    places = [14, 22, PEAK, 38, 46]
    steep = [
        FrameSummary.of(number, frame(place, light), VALID, None)
        for number, (place, light) in enumerate(zip(places, (100, 1000, 10_000, 1000, 100), strict=True))
    ]
    few = advise(steep, 80, SHAPE)
    assert (few.peak, few.worth_a_look, few.worth_another(0)) == ("passed", False, False)
    dark = [FrameSummary.of(place, frame(0), VALID, None) for place in range(5, 8)]
    assert not advise(steep + dark[:2], 80, SHAPE).worth_a_look
    assert advise(steep + dark, 80, SHAPE).worth_a_look
    assert advise(steep + dark[2:], 80, SHAPE).worth_a_look  # what is missing between is masked


def test_another_look_needs_a_quarter_of_a_fringe() -> None:
    """One frame where nobody knows how wide a fringe is, and the peak inside of what is measured."""
    assert not advice(list(range(20))).worth_another(0)
    assert advice(list(range(41))).worth_another(40)
    assert not advice(list(range(41))).worth_another(41)
    seen = (Seen(40, None, (6.0, 3.0, 3.0)),)
    assert not advice(list(range(41)), images=seen).worth_another(40)
    assert advice(list(range(42)), images=seen).worth_another(40)


def test_fringes_in_the_wings_are_no_peak() -> None:
    """A maximum that stands out of its surroundings as side maxima do is not taken for the Bragg peak."""
    light = [23.0, 42, 52, 25, 60, 30, 58, 31, 100, 51, 195, 74]

    def summary(place: int, brightest: float) -> FrameSummary:
        return FrameSummary(place, 1e4, brightest, 20, 25, 0)

    wings = [summary(place, brightest) for place, brightest in enumerate(light)]
    assert advise(wings, 201, SHAPE).peak == "unknown"
    rest = [summary(len(light) + n, brightest) for n, brightest in enumerate((4e3, 1.3e5, 8e4, 5e4, 9e3))]
    found = [advise([*wings, *rest[:n]], 201, SHAPE).peak for n in range(1, 6)]
    assert found == ["not reached", "not reached", "near", "falling", "passed"]


def test_wide_wings_of_a_strong_peak_are_not_taken_for_it() -> None:
    """The known object of a real crystal (S11, its detector binned): a fringe of the wings is 150 times as bright as
    the darkest frame and the light falls to half behind it, 55 frames before the peak, which is 20,000 times brighter.
    """
    light = [3.0, 9, 23, 10, 5, 16, 92, 31, 18, 24, 71, 54, 86, 94, 73, 96, 89, 221, 440, 283, 205, 239, 196]
    rest = [285.0, 379, 732, 948, 1656, 5432, 24512, 205868, 3673243, 9691464, 3194954, 434779]
    curve = [FrameSummary(place, 1e4, brightest, 20, 25, 0) for place, brightest in enumerate((*light, *rest))]
    found = [advise(curve[:n], 252, SHAPE) for n in range(1, len(curve) + 1)]
    assert not any(advice.worth_a_look for advice in found[: len(light)])
    assert found[len(light) - 1].peak == "near"
    assert "whether this is the peak is not certain yet" in found[len(light) - 1].words[-1]
    assert [advice.peak for advice in found[-3:]] == ["not reached", "falling", "passed"]


def test_nothing_is_said_of_what_is_not_known() -> None:
    """Without frames, without light, and with the brightest frame first."""
    nothing = advise([], 80, SHAPE)
    assert (nothing.frames, nothing.peak, nothing.peak_place, nothing.steady) == (0, "unknown", None, None)
    assert advice(list(range(60)), light=5.0).peak == "unknown"
    assert advice([30, 31]).peak == "unknown"
    late = advice(list(range(35, 70)))
    assert late.peak == "at the first frame"
    assert any("begin the scan earlier" in words for words in late.words)


def test_the_order_of_arrival_does_not_matter_and_holes_are_told() -> None:
    """Missing are places between the first and the last."""
    places = [place for place in range(5, 50) if place not in (12, 20, 21, 22)]
    shuffled = list(np.random.default_rng(0).permutation(places))
    found = advice([int(place) for place in shuffled])
    assert found == advice(places)
    assert found.missing == (12, 20, 21, 22)
    assert any("4 between them are missing (12, 20 to 22)" in words for words in found.words)


def test_more_frames_are_asked_for_until_two_fringes_are_measured() -> None:
    """A fringe of 6 frames: 12 beyond the peak, never more than the scan has left."""
    seen = (Seen(38, None, (6.0, 3.0, 3.0)),)
    places = list(range(38 + 4))
    assert advice(places, images=seen).more == 30 + 12 - 41
    assert advice(list(range(43)), images=seen).more == 0
    assert advice(list(range(41)), 41, images=seen).more == 0
    short = advice(list(range(41)), 41, images=seen)
    assert not any("Two fringes" in words for words in short.words)
    assert any("Two fringes" in words for words in advice(list(range(43)), images=seen).words)


def test_an_image_is_steady_after_a_fringe_without_change() -> None:
    """Looks that follow each other closely are alike before anything is known."""
    sigma = (6.0, 3.0, 3.0)
    close = (Seen(40, None, sigma), Seen(41, 0.999, sigma))
    assert advice(list(range(42)), images=close).steady is None
    along = (Seen(38, None, sigma), Seen(42, 0.95, sigma), Seen(46, 0.99, sigma), Seen(49, 0.985, sigma))
    assert advice(list(range(50)), images=along).steady is True
    restless = advice(list(range(50)), images=(*along, Seen(50, 0.9, sigma)))
    assert restless.steady is False
    assert any("may change the image" in words for words in restless.words)
    assert not any("little" in words for words in restless.words)
    assert any("will change the image little" in words for words in advice(list(range(50)), images=along).words)


def test_the_border_and_saturation_are_told() -> None:
    """A gap of the detector, at its end in every frame, is no saturation."""
    assert advice(list(range(50)), spot=(2, 25)).border == ("rows",)
    assert advice(list(range(50)), spot=(20, 46), images=(Seen(40, None, (6.0, 3.0, 3.0)),)).border == ("columns",)
    assert advice(list(range(50))).border == ()
    summaries = []
    for place in range(50):
        made = frame(place)
        made[10:12] = 65535
        if place == PEAK:
            made[20, 25] = 65535
        summaries.append(FrameSummary.of(place, made, VALID, None))
    found = advise(summaries, 80, SHAPE)
    assert found.saturated == 1
    assert any("attenuate" in words for words in found.words)


def test_places_for_people() -> None:
    """Runs are named by their ends, and not all of many."""
    assert ranges([]) == ""
    assert ranges([1, 2, 3, 7]) == "1 to 3, 7"
    assert ranges(list(range(0, 60, 2))).endswith("22 and more")
