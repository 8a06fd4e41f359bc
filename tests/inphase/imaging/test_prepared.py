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
from tests.toy import counts


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


def test_the_finest_grid_survives_the_store(sessions: Sessions) -> None:
    """With its hidden voxels, its bound of the padding and the way from the model grid."""
    prepared, report = begin(raw(counts(shape=(96, 64, 72))), Options(), sessions.get(None), Clock())
    again = PreparedPattern.from_arrays(prepared.to_arrays(), Report.from_json(report.to_json()))
    assert prepared.ladder is not None
    assert again.ladder is not None
    assert again.ladder.way == prepared.ladder.way
    one, other = again.ladder.problem, prepared.ladder.problem
    assert one.padding_bound == other.padding_bound
    for name in ("modulus", "mask", "free"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
