"""inphase.imaging.halves: the resolution that the photons carry, against the known crystal."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from inphase.ambiguity import align
from inphase.geometry import Geometry
from inphase.imaging.clock import Clock
from inphase.imaging.halves import halves
from inphase.imaging.options import Options
from inphase.imaging.retrievals import Retrievals
from inphase.imaging.way import begin
from inphase.models.session import Sessions
from inphase.pattern import Domain
from inphase.resolution import Shells, fsc
from tests.inphase.imaging.whole_way import raw, run
from tests.toy import counts, crystal

HALF_BIT = 0.54  # correlation with the truth of an image whose halves carry half a bit: sqrt(2 c / (1 + c)), c = 0.172


@pytest.mark.parametrize("photons", [3e4, 3e6])
def test_the_resolution_is_that_of_the_truth(sessions: Sessions, photons: float) -> None:
    """The halves fall below half a bit about where the image ceases to correlate with the known crystal: within 40 %,
    which is two to three shells, and more photons never give less.
    """
    found = run(counts(photons), Options(refine="20*ER"), sessions.get(None))
    detail = found.report.detail
    assert detail is not None
    assert detail.method == "half-photon FSC"
    aligned, _ = align(found.object, crystal())
    truth = fsc(aligned, crystal(), Shells.of(crystal().shape)).resolution("truth", HALF_BIT)
    assert detail.overall.q == pytest.approx(truth.q, rel=0.4)
    assert len(detail.along) == 3
    assert all(0.5 < axis.q / detail.overall.q < 2 for axis in detail.along)
    assert found.report.history[-1][1] == found.report.metrics.final.chi2  # type: ignore[union-attr]


def test_metres_where_the_geometry_is_known(sessions: Sessions, pattern: NDArray[np.uint32]) -> None:
    """And the same seed gives the same figures; a modulus has no photons to divide."""
    geometry = Geometry(np.diag([2e6, 5e6, 4e6]), np.array([0.0, 2.7e10, 0.0]))
    prepared, _ = begin(raw(pattern, geometry), Options(), sessions.get(None), Clock())
    one, two = (halves(prepared, prepared.guess, 7, Retrievals()) for _ in range(2))
    assert one is not None
    assert two is not None
    assert np.array_equal(one.overall.values, two.overall.values)
    assert one.overall.unit == "1/m"
    assert one.overall.values[1] > 0.9
    assert halves(replace(prepared, domain=Domain.MODULUS), prepared.guess, 7, Retrievals()) is None
