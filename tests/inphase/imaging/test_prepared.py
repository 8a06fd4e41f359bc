"""A pattern on its grid, and its way to a worker."""

import numpy as np
from numpy.typing import NDArray

from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.report import Report
from inphase.imaging.way import begin
from inphase.models.session import Sessions
from tests.inphase.imaging.whole_way import raw


def test_a_prepared_pattern_survives_the_store(sessions: Sessions, pattern: NDArray[np.uint32]) -> None:
    """What the worker reads back from arrays and document is what the API process had."""
    prepared, report = begin(raw(pattern), Options(), sessions.get(None), Clock())
    again = PreparedPattern.from_arrays(prepared.to_arrays(), Report.from_json(report.to_json()))
    assert again.problem.padding_bound == prepared.problem.padding_bound
    assert again.guess.metrics == prepared.guess.metrics
    assert (again.oversampling, again.noise_chi2, again.domain) == (
        prepared.oversampling,
        prepared.noise_chi2,
        prepared.domain,
    )
