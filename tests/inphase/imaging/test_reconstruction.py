"""A finished reconstruction: what it says of itself, and how it is stored."""

import numpy as np
from numpy.typing import NDArray

from inphase.geometry import Geometry
from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.report import Report
from inphase.imaging.way import begin, judge
from inphase.models.session import Sessions
from tests.inphase.imaging.whole_way import raw
from tests.toy import crystal


def test_the_document_in_the_file_is_the_document(sessions: Sessions, pattern: NDArray[np.uint32]) -> None:
    """The file carries what the caller was told."""
    prepared, report = begin(raw(pattern), Options(refine="none"), sessions.get(None), Clock())
    finished = judge(prepared, report, prepared.guess, Clock())
    assert Report.from_json(str(finished.with_document(finished.report.to_json())["document"])) == finished.report


def test_its_repr_says_what_matters(sessions: Sessions, pattern: NDArray[np.uint32]) -> None:
    """Voxels with their size, the fit beside the noise, support and trust."""
    known = raw(pattern, Geometry(1e6 * np.eye(3)))
    prepared, report = begin(known, Options(refine="none"), sessions.get(None), Clock())
    text = repr(judge(prepared, report, prepared.guess, Clock()))
    assert text.startswith("<Reconstruction of test: 64 x 64 x 64 voxels of 98.2 x 98.2 x 98.2 nm; chi2 ")
    assert f"support of {int((np.abs(crystal()) > 0.1).sum())} voxels" in text
    assert "; trust medium (right with a probability of " in text
    assert text.endswith("a network's prediction, not refined: give a recipe, such as refine=fast>")
