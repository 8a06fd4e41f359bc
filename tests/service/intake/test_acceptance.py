"""What makes two requests the same."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inphase.formats import RawScan
from inphase.imaging import report as parts
from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.report import Report
from inphase.imaging.way import begin
from service.intake.acceptance import fingerprint, new_document
from service.intake.options import JobOptions
from service.intake.submission import Submission, Upload
from service.jobs.entry import Origin
from service.jobs.state import JobState, Priority
from tests.flat import counts

SCAN = RawScan(counts(), None, "scan.npy", "all of it")


def read(**options: Any) -> tuple[PreparedPattern, Report]:
    """The scan, prepared."""
    return begin(SCAN, Options(start="random", **options), None, Clock())


@pytest.fixture(scope="module")
def known() -> tuple[PreparedPattern, Report, str]:
    """The scan, its report and their fingerprint."""
    prepared, report = read()
    return prepared, report, fingerprint(prepared, report, "ada")


def test_what_differs_from_call_to_call_does_not_count(known: tuple[PreparedPattern, Report, str]) -> None:
    """Names of files, times, what a network answered and where it ran, and the series."""
    prepared, report, expected = known
    model = parts.Model("a", 1, "0" * 64, "CPUExecutionProvider", 0.1)
    named = fingerprint(prepared, replace(report, model=model), "ada")
    assert named != expected
    assert named == fingerprint(prepared, replace(report, model=replace(model, provider="CUDA")), "ada")
    for same in (
        replace(report, input=replace(report.input, source="copy.npy", chosen="some of it")),
        replace(report, created="2026-01-01T00:00:00.000Z", timings_ms={"infer": 1.0}),
        replace(report, start=replace(report.start, kind="network", why="because")),
        replace(report, series=parts.Series("0" * 32, 3)),
        replace(report, metrics=replace(report.metrics, noise_chi2=None)),
    ):
        assert fingerprint(prepared, same, "ada") == expected


def test_whatever_changes_the_result_counts(known: tuple[PreparedPattern, Report, str]) -> None:
    """The owner, the recipe, the starts, the seed, and every voxel of counts, mask and free voxels."""
    prepared, report, expected = known
    others = [fingerprint(prepared, report, "bob")]
    others += [fingerprint(*read(**options), "ada") for options in ({"refine": "50*ER"}, {"starts": 3}, {"seed": 1})]
    problem = prepared.problem
    assert problem.free is not None
    for name in ("modulus", "mask", "free"):
        array = np.array(getattr(problem, name))
        array[3, 4] = not array[3, 4] if array.dtype == bool else array[3, 4] + 1
        others.append(fingerprint(replace(prepared, problem=replace(problem, **{name: array})), report, "ada"))
    assert len({expected, *others}) == len(others) + 1


def test_a_new_document_says_what_is_known() -> None:
    """Accepted, whose it is, how urgent, and an id of its own."""
    submission = Submission(options=JobOptions(priority=Priority.HIGH), source=Upload())
    one, other = (new_document(submission, Origin("ada")) for _ in range(2))
    assert (one.state, one.owner, one.priority, one.report) == (JobState.ACCEPTED, "ada", Priority.HIGH, None)
    assert one.id != other.id
    assert new_document(submission, Origin("ada"), "0" * 32).id == "0" * 32
