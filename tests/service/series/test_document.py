"""A series as a document."""

import csv
import io
import json
from typing import Any, cast

from service.intake.sources import FileSource
from service.jobs.entry import JobRecord, Origin
from service.jobs.record import Records
from service.jobs.series import SeriesRecord
from service.jobs.state import JobState, Priority
from service.series.document import SeriesDocument, SeriesOrder, SeriesSummary

ORDER = SeriesOrder(name="heating", refine="50*ER", sources=[FileSource(path=f"scan_{n}.h5") for n in range(3)])
ALIGNMENT = {
    "reference": "a" * 32, "twin": False, "shift": [0, 1, 2], "score": 0.98, "score_other": 0.9, "margin": 0.08,
    "undecided": False,
}  # fmt: skip


class Known:
    """The records of these jobs."""

    def __init__(self, *jobs: JobRecord) -> None:
        self.jobs = {job.job_id: job for job in jobs}

    def existing(self, ids: Any) -> list[JobRecord]:
        """Those that have not expired."""
        return [self.jobs[name.decode()] for name in ids if name.decode() in self.jobs]


def job(letter: str, state: JobState, document: Any = None, reason: str = "") -> JobRecord:
    """A job's record."""
    return JobRecord(
        letter * 32, 1, state, reason, 1, Priority.LOW, "ada", 0.0, None, None, "", False, None, "",
        json.dumps(document).encode(),
    )  # fmt: skip


def read(jobs: dict[int, str], *known: JobRecord, cancelled: bool = False) -> SeriesDocument:
    """The series as it stands."""
    record = SeriesRecord("f" * 32, 1, Origin("ada"), 0.0, 3, ORDER.model_dump_json().encode(), cancelled, jobs)
    return SeriesDocument.read(record, cast(Records, Known(*known)))


def test_every_scan_says_what_became_of_it() -> None:
    """Succeeded with its figures, failed with its reason, expired, and not yet a job."""
    result = {
        "metrics": {"final": {"chi2": 0.01, "r_factor": 0.1, "support_voxels": 700}, "noise_chi2": 0.008},
        "trust": {"level": "medium", "reasons": ["thin"], "probability": 0.75},
        "start": {"kind": "network"},
        "series": {"frame": True},
    }
    failed = job("b", JobState.FAILED, reason="no frames")
    found = read({0: "a" * 32, 1: "b" * 32}, job("a", JobState.SUCCEEDED, result), failed)
    one, other, last = found.scans
    assert (one.chi2, one.noise_chi2, one.support_voxels, one.free_llk) == (0.01, 0.008, 700, None)
    assert (one.trust, one.trust_reasons, one.start, one.frame) == ("medium", ["thin"], "network", True)
    assert one.probability == 0.75
    assert one.links["result"] == f"/v1/jobs/{'a' * 32}/result"
    assert (other.state, other.reason, "result" in other.links) == (JobState.FAILED, "no frames", False)
    assert (last.state, last.job) == (JobState.ACCEPTED, None)
    assert (found.done, found.frame, found.refine) == (False, "a" * 32, "50*ER")
    assert {state: n for state, n in found.states.items() if n} == {"succeeded": 1, "failed": 1, "accepted": 1}
    expired = read({0: "c" * 32}, cancelled=True)
    assert (expired.scans[0].state, expired.scans[0].reason) == (JobState.FAILED, "its job has expired")
    assert expired.scans[1].state is JobState.CANCELLED
    assert expired.done


def test_a_document_of_another_version_does_not_end_the_list() -> None:
    """Its scan has succeeded, and its figures are not known."""
    broken = JobRecord(**{**vars(job("a", JobState.SUCCEEDED)), "document": b"no json"})
    (one, *_) = read({0: "a" * 32}, broken).scans
    assert (one.state, one.chi2) == (JobState.SUCCEEDED, None)


def test_the_table_has_one_line_a_scan() -> None:
    """With the likeness to the frame; text with commas and quotes stays one cell."""
    result = {"metrics": {"final": {"chi2": 0.01}}, "series": {"frame": False, "alignment": ALIGNMENT}}
    failed = job("b", JobState.FAILED, reason='frame 3, "bad"')
    found = read({0: "a" * 32, 1: "b" * 32}, job("a", JobState.SUCCEEDED, result), failed)
    lines = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [line["source"] for line in lines] == ["scan_0.h5", "scan_1.h5", "scan_2.h5"]
    assert (lines[0]["chi2"], lines[0]["score"], lines[0]["undecided"]) == ("0.01", "0.98", "False")
    assert (lines[1]["reason"], lines[1]["score"]) == ('frame 3, "bad"', "")


def test_an_order_becomes_one_submission_a_scan() -> None:
    """Each with its own source and the options of all."""
    submissions = ORDER.submissions()
    assert [submission.source.path for submission in submissions if isinstance(submission.source, FileSource)] == [
        "scan_0.h5", "scan_1.h5", "scan_2.h5",
    ]  # fmt: skip
    assert {submission.options.refine for submission in submissions} == {"50*ER"}
    summary = SeriesSummary.of(
        SeriesRecord("f" * 32, 1, Origin("ada"), 0.0, 3, ORDER.model_dump_json().encode(), False, {})
    )
    assert (summary.name, summary.created) == ("heating", "1970-01-01T00:00:00.000+00:00")
