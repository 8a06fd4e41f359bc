"""The common frame of a series."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inphase import ambiguity
from inphase.formats import RawScan
from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.report import Report, Series
from inphase.imaging.way import begin
from inphase.trust import Level
from service.jobs.store import Store
from service.series.frame import Frame
from tests.flat import counts, crystal

SERIES, ONE, OTHER = "f" * 32, "a" * 32, "b" * 32
OBJECT = crystal((64, 64))


@pytest.fixture
def report() -> Report:
    """Of a scan of the series."""
    _, found = begin(RawScan(counts(), None, "test", "all"), Options(start="random"), None, Clock())
    return replace(found, series=Series(SERIES, 0))


def form(obj: np.ndarray) -> ambiguity.Canonical:
    """The canonical form of an object."""
    return ambiguity.canonical(obj.astype(np.complex64), np.abs(obj) > 0.5)


def test_the_first_result_that_can_be_trusted_is_the_frame(tmp_path: Path, report: Report) -> None:
    """One of low trust is left as it is and says why; a repeated attempt of the frame meets itself."""
    store = Store(tmp_path)
    own = form(OBJECT)
    kept, series = Frame(store, SERIES, ONE).join(own, report, Level.LOW)
    assert kept is own
    assert (series.frame, "no result of the series that can be trusted" in series.why) == (False, True)
    kept, series = Frame(store, SERIES, ONE).join(own, report, Level.MEDIUM)
    assert kept is own
    assert (series.frame, series.alignment, series.why) == (True, None, "")
    _, again = Frame(store, SERIES, ONE).join(own, report, Level.MEDIUM)
    assert again.frame
    assert again.alignment is not None
    assert again.alignment.score == pytest.approx(1, abs=1e-4)


def test_a_twin_elsewhere_is_brought_into_the_frame(tmp_path: Path, report: Report) -> None:
    """The conjugate mirror image, shifted and turned in phase, comes to lie on the frame's object."""
    store = Store(tmp_path)
    own = form(OBJECT)
    Frame(store, SERIES, ONE).join(own, report, Level.HIGH)
    twin = np.roll(np.conj(np.roll(OBJECT[::-1, ::-1], (1, 1), (0, 1))), (3, -2), (0, 1)) * np.exp(1j)
    # put into the other form on purpose: a canonical form would have chosen the twin by itself
    other = replace(own, object=twin.astype(np.complex64), support=np.abs(twin) > 0.5)
    moved, series = Frame(store, SERIES, OTHER).join(other, report, Level.LOW)
    assert series.alignment is not None
    assert (series.frame, series.alignment.reference, series.alignment.twin) == (False, ONE, True)
    assert not series.alignment.undecided
    correlation = abs(np.vdot(moved.object, own.object)) / np.linalg.norm(moved.object) / np.linalg.norm(own.object)
    assert correlation > 0.999


def test_scans_that_cannot_be_laid_on_each_other_say_why(tmp_path: Path, report: Report) -> None:
    """Another grid, other voxels, another binning: the result stays as it is."""
    store = Store(tmp_path)
    done = report.preprocess
    sized = replace(report, preprocess=replace(done, voxel_size_m=(1e-8, 1e-8)))
    Frame(store, SERIES, ONE).join(form(OBJECT), sized, Level.HIGH)
    unlike = {
        "its grid has": (form(crystal((64, 80))), sized),
        "its voxels measure": (form(OBJECT), replace(report, preprocess=replace(done, voxel_size_m=(2e-8, 1e-8)))),
        "its binning is": (form(OBJECT), replace(report, preprocess=replace(done, binning=(9, 9)))),
    }
    for words, (own, told) in unlike.items():
        kept, series = Frame(store, SERIES, OTHER).join(own, told, Level.HIGH)
        assert kept is own
        assert series.alignment is None
        assert series.why.startswith(f"not aligned to job {ONE}: {words}")
