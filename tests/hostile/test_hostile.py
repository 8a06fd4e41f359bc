"""Damaged files never escape a reader's boundary, and never hold it up."""

import os
from pathlib import Path

import pytest

from tests.hostile import campaign, child
from tests.hostile.honest import write_all


def test_honest_files_are_read(tmp_path: Path) -> None:
    """What is damaged below is whole before, so that a refusal tells of the damage."""
    assert {path.name: child.outcome(path) for path in write_all(tmp_path)} == dict.fromkeys(
        os.listdir(tmp_path), "read"
    )


def test_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    """300 of them: no other exception, none held up for 10 s, none refused as a fault of inphase.

    libhdf5 and the decoders of its filters may end the process: the sandbox makes a refusal of that.
    """
    found = campaign.run(tmp_path, 300, seed=1)
    assert len(found.outcomes) == 300
    assert found.ended("escaped", "hang", "unforeseen") == {}
    crashed = found.ended("signal")
    assert all(name.endswith((".h5", ".nxs", ".cxi", ".mat")) for name in crashed), crashed
    assert all(told.startswith("refused") for told in campaign.contained(tmp_path / "damaged", crashed).values())
    assert found.counts["read"] + found.counts["refused"] + len(crashed) == 300


def test_the_same_seed_damages_alike(tmp_path: Path) -> None:
    """A text, npy or TIFF file that did harm can be made again from its name; HDF5 and MATLAB files hold the time."""
    for name in "ab":
        (tmp_path / name).mkdir()
        campaign.run(tmp_path / name, 45, seed=5)
    one, other = (sorted((tmp_path / name / "damaged").iterdir()) for name in "ab")
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
