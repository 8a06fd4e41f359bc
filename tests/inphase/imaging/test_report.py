"""The report of a reconstruction as JSON."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.geometry import Geometry
from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.report import GridGeometry, Report
from inphase.imaging.way import begin
from tests.inphase.imaging.whole_way import raw

STEPS = 1e6 * np.array([[1.0, 0.2, 0], [0, 2, 0], [0.1, 0, 3]])


@pytest.fixture
def report(pattern: NDArray[np.uint32]) -> Report:
    """Of a pattern that is not refined yet."""
    geometry = Geometry(STEPS, np.array([1e10, 0, 2e10]))
    return begin(raw(pattern, geometry), Options(start="random"), None, Clock())[1]


def test_a_report_comes_back_from_json(report: Report) -> None:
    """Equal in every part."""
    assert Report.from_json(report.to_json()) == report


def test_a_report_of_another_version_is_read(report: Report) -> None:
    """What it lacks has a default, what this version does not know is left out; what is no report is refused."""
    stored = json.loads(report.to_json())
    del stored["phase_sign"], stored["strain_reason"]
    assert Report.from_json(json.dumps(stored | {"unheard": {"of": 1}})) == report
    for other in ("{}", "[]", "no json", json.dumps(stored | {"recipe": 3})):
        with pytest.raises(DataError, match="no report of a reconstruction"):
            Report.from_json(other)


def test_what_is_not_finite_is_null(report: Report) -> None:
    """JSON has no NaN."""
    stored = json.loads(replace(report, timings_ms={"infer": math.nan}).to_json())
    assert stored["timings_ms"] == {"infer": None}


def test_a_geometry_comes_back_as_it_was() -> None:
    """The steps of reciprocal space and the momentum transfer; the voxel basis is dual to the steps."""
    geometry = Geometry(STEPS, np.array([1e10, 0, 2e10]))
    found = GridGeometry.of(geometry, (64, 48, 32))
    again = found.geometry()
    np.testing.assert_array_equal(again.q_steps, STEPS)
    np.testing.assert_array_equal(again.q_centre, geometry.q_centre)
    assert again.sample_rotation is None
    dual = np.array(found.voxel_basis_m) @ STEPS.T / (2 * np.pi) * np.array([64, 48, 32])
    np.testing.assert_allclose(dual, np.eye(3), atol=1e-12)
