"""Plans of replays; tests/system/test_scans.py sends them to a service."""

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.formats import RawScan
from inphase.geometry import wavelength_m
from inphase.live.replay import Plan, _marked, given_of, template_of
from inphase.ptycho.measurement import from_arrays
from inphase.ptycho.optics import FarField, NearField


def test_a_plan_sends_what_it_says() -> None:
    """Every frame once in order; shares of them twice or never, the first and the last always; the same ones again."""
    assert Plan().places(5) == [0, 1, 2, 3, 4]
    rough = Plan(shuffle=True, drop=0.2, duplicate=0.1, seed=3)
    places = rough.places(1000)
    assert places == rough.places(1000) != sorted(places)
    assert {0, 999} <= set(places)
    assert len(set(places)) == pytest.approx(800, abs=60)  # five standard deviations
    assert len(places) - len(set(places)) == pytest.approx(80, abs=45)
    assert sorted(place for batch in rough.batches(1000) for place in batch) == sorted(places)
    assert {len(batch) for batch in Plan(rate=200).batches(201)} == {10, 1}


@pytest.mark.parametrize(
    "wrong", [{"rate": 0}, {"rate": float("inf")}, {"rate": float("nan")}, {"drop": 1}, {"duplicate": -0.1}]
)
def test_plans_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    """Before anything is sent."""
    with pytest.raises(DataError, match="shares of frames"):
        Plan(**wrong)  # type: ignore[arg-type]


def test_the_template_is_the_first_frame_with_the_mask_of_all() -> None:
    """A mask that differs from frame to frame holds for no template."""
    array, mask = np.zeros((3, 4, 5)), np.zeros((3, 4, 5), np.uint8)
    mask[:, 1, 1] = 1
    found = template_of(RawScan(array, None, "", "", mask=mask))
    assert found.mask is not None
    assert (found.array.shape, found.mask.shape) == ((1, 4, 5), (1, 4, 5))
    mask[2, 0, 0] = 1
    with pytest.raises(DataError, match="differs from frame to frame"):
        template_of(RawScan(array, None, "", "", mask=mask))
    with pytest.raises(DataError, match="no rocking curve"):
        template_of(RawScan(array[0], None, "", ""))


@pytest.mark.parametrize("dtype", ["float64", "float32", "int16", "int32", "uint16", "uint32", "uint64"])
def test_what_single_frames_lack_is_sent_as_no_count(dtype: str) -> None:
    """So that the service masks it again; numbers of a type that holds none are refused."""
    counts = np.arange(1, 49).reshape(3, 4, 4).astype(dtype)
    frames = np.zeros((3, 4, 4), np.uint8)
    frames[:, 0, 0] = frames[1, 2, 3] = 1
    measured = from_arrays(counts, [[0, 0], [0, 2], [2, 0]], mask=frames)
    mask = measured.mask.min(axis=0)
    sent = _marked(measured, mask)
    assert sent.dtype == counts.dtype
    again = from_arrays(sent, measured.positions_px, mask=mask)
    np.testing.assert_array_equal(again.patterns, measured.patterns)
    np.testing.assert_array_equal(again.mask, measured.mask)
    whole = from_arrays(counts.astype(np.uint8), [[0, 0], [0, 2], [2, 0]], mask=frames)
    with pytest.raises(DataError, match="hold no number"):
        _marked(whole, whole.mask.min(axis=0))


def test_optics_are_told_as_an_operator_tells_them() -> None:
    """keV and metres; the focus of the near field only there."""
    far = FarField(wavelength_m(9.0), 2.0, (55e-6, 55e-6))
    assert given_of(far) == pytest.approx({"energy_kev": 9.0, "distance_m": 2.0, "detector_pixel_m": 55e-6})
    assert given_of(NearField(far.wavelength_m, 2.0, (1e-6, 1e-6)))["focus_m"] == np.inf
    assert given_of(None) == {}
    with pytest.raises(DataError, match="square"):
        given_of(FarField(far.wavelength_m, 2.0, (55e-6, 50e-6)))
