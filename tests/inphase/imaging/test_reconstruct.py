"""The library's door."""

import numpy as np
import pytest
from numpy.typing import NDArray

import inphase
from inphase.errors import CancelledError, DataError, RecipeError
from inphase.imaging.options import Options
from inphase.imaging.reconstruct import carry_out
from inphase.models.session import Sessions
from inphase.pattern import MaskState
from tests.inphase.imaging.whole_way import raw


def test_an_array_is_a_scan(sessions: Sessions, pattern: NDArray[np.uint32]) -> None:
    """The same image from an array and from what a reader gives, by networks that stay loaded."""
    found = [inphase.reconstruct(scan, refine="none", models=sessions) for scan in (pattern, raw(pattern))]
    np.testing.assert_array_equal(found[0].object, found[1].object)
    assert (found[0].report.input.source, found[1].report.input.source) == ("array", "test")


def test_the_mask_of_a_masked_array_counts(sessions: Sessions, pattern: NDArray[np.uint32]) -> None:
    """Voxels under it are masked, whatever stands there; what is no array is refused before anything is computed."""
    hidden = np.zeros(pattern.shape, bool)
    hidden[20:22, 30:33, 40] = True
    scan = np.ma.masked_array(np.where(hidden, 10**6, pattern), hidden)
    found = inphase.reconstruct(scan, refine="none", preprocess="none", models=sessions)
    assert (found.arrays["mask"][hidden] == MaskState.MASKED).all()
    with pytest.raises(TypeError, match=r"read a file with inphase\.read"):
        inphase.reconstruct("scan.h5", models=sessions)


def test_what_cannot_be_carried_out_is_refused_first() -> None:
    """Before the data are looked at."""
    with pytest.raises(DataError, match="start is one of"):
        inphase.reconstruct(np.zeros(1), start="anywhere")  # type: ignore[arg-type]
    with pytest.raises(RecipeError):
        inphase.reconstruct(np.zeros(1), refine="50*")


def test_stages_are_told_as_they_begin(sessions: Sessions, pattern: NDArray[np.uint32]) -> None:
    """For people; nothing is refined where nobody asks for it."""
    told: list[str] = []
    carry_out(raw(pattern), Options(refine="none"), sessions, stage=told.append)
    assert told == ["loading the model", "preprocessing and predicting"]
    told.clear()
    carry_out(raw(pattern), Options(refine="ER", start="random", starts=1), None, stage=told.append)
    assert told == ["preprocessing and predicting", "loading torch", "refining"]


def test_a_cancelled_reconstruction_ends(pattern: NDArray[np.uint32]) -> None:
    """The question is asked before the first iteration."""
    with pytest.raises(CancelledError):
        inphase.reconstruct(pattern, start="random", starts=1, refine="1000*ER", cancelled=lambda: True)
