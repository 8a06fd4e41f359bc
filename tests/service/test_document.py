"""The job document: stored, read again, and read by another version."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from inphase.errors import DataError
from inphase.formats import RawScan
from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.way import begin
from inphase.ptycho import options as ptycho
from service.document import JobDocument, JobProgress, JobRevision, Ptychography
from service.jobs.errors import DocumentError
from service.jobs.state import JobState, Priority, RecordedProgress
from tests.flat import counts

DATA = Path(__file__).parent / "data"
STORED = DATA / "job-document-before-revisions.json"


def test_a_document_of_an_earlier_version_is_read_whole() -> None:
    """Every figure of it."""
    stored = json.loads(STORED.read_bytes())
    document = JobDocument.from_json(STORED.read_bytes())
    report = document.reported
    assert (document.state, document.attempt, document.owner) == (JobState.SUCCEEDED, 1, "admin")
    assert (report.start.kind, report.start.random_starts) == ("network", stored["start"]["random_starts"])
    assert report.metrics.final is not None
    assert report.metrics.final.chi2 == stored["metrics"]["final"]["chi2"]
    assert report.trust is not None
    assert report.trust.level == "high"
    assert (report.trust.probability, report.trust.probability_reason) == (None, None)  # nobody estimated it then
    assert report.strain is not None
    assert report.ensemble is not None
    assert [member.kind for member in report.ensemble.members] == ["network", "jittered"]
    again = json.loads(document.to_json())
    for name in ("input", "recipe", "metrics", "canonical", "strain", "timings_ms"):
        assert {key: again[name][key] for key in stored[name]} == stored[name], name


@pytest.fixture
def document() -> JobDocument:
    """Of a running job, with everything that one can have."""
    _, report = begin(RawScan(counts(), None, "test", "all"), Options(start="random"), None, Clock())
    progress = JobProgress.of(RecordedProgress(10, 50, 0.01, 700, "ER", preview=True), "/v1/jobs/x/preview")
    revision = JobRevision(1, "network", False, "2026-01-01T00:00:01.000Z", "/v1/jobs/x/result?revision=1")
    return JobDocument(
        "0" * 32, JobState.RUNNING, report.created, "", 2, "ada", Priority.HIGH, None, True, progress,
        name="particle 3", started="2026-01-01T00:00:02.000Z", links={"self": "/v1/jobs/x"}, revisions=(revision,),
        report=report,
    )  # fmt: skip


def test_a_stored_document_comes_back(document: JobDocument) -> None:
    """Equal in every part, with its report and without one."""
    assert JobDocument.from_json(document.to_json()) == document
    unread = replace(document, report=None, state=JobState.ACCEPTED)
    assert JobDocument.from_json(unread.to_json()) == unread


def test_a_document_is_flat(document: JobDocument) -> None:
    """The report's parts stand beside the envelope's; they are null until the pattern has been read."""
    content = document.to_builtins()
    assert "report" not in content
    assert content["input"]["source"] == "test"
    assert content["progress"]["preview"] == "/v1/jobs/x/preview"
    unread = replace(document, report=None).to_builtins()
    assert unread.keys() == content.keys()
    assert (unread["input"], unread["metrics"], unread["trust"]) == (None, None, None)


def test_a_document_of_the_first_version_is_read() -> None:
    """What it lacks has a default."""
    stored = (DATA / "job-document-of-the-first-version.json").read_bytes()
    document = JobDocument.from_json(stored)
    assert document.id == json.loads(stored)["id"]
    assert (document.revisions, document.recorded) == ((), True)
    assert document.reported.recipe.refine == "5*ER"


@pytest.mark.parametrize("stored", [b"no json", b"[]", b"{}", b'{"id": 1, "state": "queued", "created": ""}'])
def test_what_is_no_document_is_said_to_be_none(stored: bytes) -> None:
    """With where the result still is."""
    with pytest.raises(DocumentError, match="the result file, where there is one, can still be fetched"):
        JobDocument.from_json(stored)


def test_a_succeeded_job_has_the_new_report(document: JobDocument) -> None:
    """And is otherwise as it was."""
    report = replace(document.reported, strain_reason="no geometry")
    done = document.succeeded(report)
    assert (done.state, done.reported.strain_reason) == (JobState.SUCCEEDED, "no geometry")
    assert replace(done, state=document.state, report=document.report) == document


@pytest.mark.parametrize(("why", "ends"), [("it has other frames", "it has other frames."), ("is it?", "is it?")])
def test_a_look_without_its_network_says_why_in_a_sentence(why: str, ends: str) -> None:
    """Whatever the error ends with."""
    told = Ptychography(ptycho.Options(), model="ptychonn@1").unbegun("ptychonn@1", DataError(why))
    assert told.model is None
    assert told.note == f"The image was begun from nothing, and not from the network ptychonn@1: {ends}"
