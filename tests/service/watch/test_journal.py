"""What was done, across restarts."""

from pathlib import Path

from service.watch.arrivals import State
from service.watch.journal import Entry, Journal

STATE = State(1, 100, 5)


def test_what_was_done_is_known_after_a_restart(tmp_path: Path) -> None:
    """As it stood then; changed, it is another measurement. The last entry of a name counts."""
    path = tmp_path / "journal"
    first = Journal(path)
    first.add(Entry("a.h5", STATE, reason="no peak"))
    first.add(Entry("a.h5", State(1, 200, 6), "a.npz", job="j"))
    second = Journal(path)
    assert second.knows("a.h5", State(1, 200, 6))
    assert not second.knows("a.h5", STATE)
    assert not second.knows("b.h5", STATE)
    assert (second.source_of("a.npz"), second.source_of("b.npz")) == ("a.h5", "")


def test_a_line_that_was_cut_off_harms_no_other(tmp_path: Path) -> None:
    """Neither those before it nor the next one."""
    path = tmp_path / "journal"
    Journal(path).add(Entry("a.h5", STATE, "a.npz"))
    whole = path.read_bytes()
    path.write_bytes(whole + whole.replace(b"a.", b"b.")[:-20])
    Journal(path).add(Entry("c.h5", STATE, "c.npz"))
    found = Journal(path)
    assert [found.knows(f"{name}.h5", STATE) for name in "abc"] == [True, False, True]
    path.write_bytes(b"[1, 2]\n\xff\n" + whole)
    assert Journal(path).knows("a.h5", STATE)
