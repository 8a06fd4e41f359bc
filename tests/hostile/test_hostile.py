"""Damaged and crafted files never end, stop or mislead a reader or the service."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.hostile import campaign, child, crafted, doors
from tests.hostile.honest import write_all
from tests.hostile.outcome import wrong

# of them were the files that once ended the service (crashes of filters and of MATLAB, loops, patterns), or led it away
HARMFUL = (
    "h5-laughs", "h5-soft-loop-0", "h5-filter-5", "h5-filter-4", "mat-cells", "mat-inner", "tif-loop", "tif-ome-0",
    "yaml-text-1", "yaml-text-2", "h5-name",
)  # fmt: skip


def test_honest_files_are_read(tmp_path: Path) -> None:
    """What is damaged below is whole before, so that a refusal tells of the damage."""
    assert {path.name: child.outcome(path) for path in write_all(tmp_path)} == dict.fromkeys(
        os.listdir(tmp_path), "read"
    )


def test_damaged_files_are_read_or_refused_by_the_library(tmp_path: Path) -> None:
    """300 of them: no other exception, none held up for 10 s, none refused as a fault of inphase.

    libhdf5 and the decoders of its filters may end the process: the sandbox makes a refusal of that.
    """
    found = campaign.run(tmp_path, campaign.prepare(tmp_path, 1, 300, 0), [doors.library])
    counts = found.counts["library"]
    assert found.faults == []
    assert sum(counts.values()) == 300
    assert set(counts) <= {"read", "refused", "signal"}
    crashed = {each.name for each in found.outcomes if each.kind == "signal"}
    assert all(name.endswith((".h5", ".nxs", ".cxi", ".mat")) for name in crashed), crashed


@pytest.mark.system
def test_a_running_service_outlives_damaged_and_crafted_files(tmp_path: Path) -> None:
    """300 of them, named or sent: answered within 10 s, none with a 5xx, with a byte of a file outside of the data root
    or with where that lies; the service lives, has not grown, and has left nothing in its store nor any process.
    """
    cases = campaign.prepare(tmp_path, 2, 100, 200)
    found = campaign.run(tmp_path, cases, [doors.either])
    assert found.faults == []
    assert sum(found.counts["either"].values()) == 301  # and the service


def test_the_sandbox_ends_what_harms_its_reader(tmp_path: Path) -> None:
    """The families whose members have ended a reader, stopped it, or led it away: each is refused or read in time."""
    root = tmp_path / "root"
    root.mkdir()
    cases = crafted.write_all(root, 1, begin=HARMFUL)
    assert {family for family in HARMFUL for case in cases if case.name.startswith(family)} == set(HARMFUL)
    found = campaign.run(tmp_path, cases, [doors.reader])
    assert found.faults == []
    assert set(found.counts["reader"]) <= {"read", "refused", "ended"}


def test_crafted_files_are_many_and_the_same_for_the_same_seed(tmp_path: Path) -> None:
    """At least 300, each under a name of its own; a sample is drawn from all families."""
    names = [name for family in crafted.families() for name, _ in family.cases()]
    assert len(names) == len(set(names)) >= 300
    for folder in "ab":
        (tmp_path / folder / "root").mkdir(parents=True)
    one, other = (crafted.write_all(tmp_path / folder / "root", 5, 30) for folder in "ab")
    assert [case.name for case in one] == [case.name for case in other]
    assert len(one) == 30


@pytest.mark.parametrize(
    ("seconds", "texts", "value", "leads_out", "found"),
    [
        (1.0, "read", 3, False, ""),
        (1.0, "refused", None, True, ""),
        (11.0, "read", 3, False, "late"),
        (1.0, f"title {crafted.TOKEN}", None, False, "leak"),
        (1.0, "read", 3, True, "leak"),
        (1.0, "read", crafted.SECRET_COUNT, False, "leak"),
        (1.0, "This is a fault of inphase, not of the request", None, False, "unforeseen"),
    ],
)
def test_what_must_not_be_is_seen(seconds: float, texts: str, value: int | None, leads_out: bool, found: str) -> None:
    """The judge of an answer."""
    counts = None if value is None else np.full((2, 3, 4), value)
    assert wrong(seconds, texts, counts, leads_out).partition(":")[0] == found


def test_the_same_seed_damages_alike(tmp_path: Path) -> None:
    """A text, npy or TIFF file that did harm can be made again from its name; HDF5 and MATLAB files hold the time."""
    for name in "ab":
        (tmp_path / name / "root").mkdir(parents=True)
        campaign.write_damaged(tmp_path / name / "root", 5, 45)
    one, other = (sorted((tmp_path / name / "root" / "damaged").iterdir()) for name in "ab")
    text = [path for path in one if path.suffix in (".yaml", ".spec", ".fio", ".npy", ".tif")]
    assert len(text) > 10
    assert all(path.read_bytes() == (other[0].parent / path.name).read_bytes() for path in text)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("import time; time.sleep(60)", "hang"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "signal SIGSEGV"),
        ("raise KeyError('x')", "escaped KeyError: 'x'"),
        ("bytearray(2**33)", "escaped MemoryError"),
        ("import os; os._exit(3)", "escaped: ended itself with code 3"),
    ],
)
def test_what_a_reader_does_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, outcome: str) -> None:
    """The judge itself: a reader that hangs, crashes, raises or takes all memory is told from one that refuses."""
    monkeypatch.setattr(child, "LONGEST_S", 0.5)
    monkeypatch.setitem(child.READERS, "bad", lambda _: exec(code))
    assert child.apart(tmp_path / "bad-1.x").startswith(outcome)
