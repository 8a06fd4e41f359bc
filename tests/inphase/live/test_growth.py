"""Looks at a scan that grows, against the truth of a simulation."""

from dataclasses import replace

import numpy as np
import pytest

from inphase.live.growth import BEGIN, BESIDE, MOST, chosen, look, passing
from inphase.ptycho.measurement import from_arrays
from inphase.ptycho.options import Options
from inphase.ptycho.reconstruction import Reconstruction
from inphase.ptycho.scores import compared
from tests.inphase.ptycho.scenes import small, truth

SCENE = small()
OPTIONS = Options("60*EPIE", turn=False)


@pytest.mark.parametrize("order", [np.arange(49), np.random.default_rng(3).permutation(49)], ids=["rows", "shuffled"])
def test_an_object_that_grows_is_the_object(order: np.ndarray) -> None:
    """In looks of a few new frames each, by rows or in any order; 60 iterations with all frames reach 0.9999."""
    grown: Reconstruction | None = None
    for end in (20, 27, 34, 42, 49):
        seen = np.empty(0, np.int64) if grown is None else grown.ids
        some = chosen(np.sort(order[:end]), seen, end)
        measured = from_arrays(SCENE.counts[some], SCENE.positions[some], probe=SCENE.probe, ids=some, part=True)
        found = look(measured, OPTIONS, grown)
        assert (found.similarity is None) == (grown is None)
        grown = found.image
    assert grown is not None
    assert grown.ids.tolist() == list(range(49))
    score = compared(grown.object, truth(SCENE, grown.object.shape, grown.origin_px), grown.coverage > 0.2)
    assert score.correlation > 0.998


def test_a_look_is_bounded_whatever_has_come() -> None:
    """New frames first, as many as one look may have; some of those that are known hold it where it is."""
    everything = np.arange(10_000)
    assert len(chosen(everything, np.empty(0, int), 1)) == BEGIN
    some = chosen(everything, everything[:9000], 1)
    assert np.count_nonzero(some >= 9000) == MOST
    assert np.count_nonzero(some < 9000) == BESIDE[1]
    one = chosen(np.arange(101), np.arange(100), 1)
    assert (one[-1], len(one)) == (100, 1 + BESIDE[0])
    assert chosen(np.arange(101), np.arange(100), 1).tolist() == one.tolist()
    assert chosen(np.arange(5), np.arange(3), 1).tolist() == [0, 1, 2, 3, 4]


def test_looks_hold_nothing_out_and_move_no_position() -> None:
    """The recipe is short, and that of the caller is for the last image."""
    asked = replace(OPTIONS, positions_start=3, search_px=2.0, hold_out=0.1, modes=2)
    first, later = passing(asked, first=True), passing(asked, first=False)
    for short in (first, later):
        assert (short.positions_start, short.search_px, short.hold_out, short.modes) == (None, 0.0, 0.0, 2)
    assert later.parsed.iterations < first.parsed.iterations < asked.parsed.iterations
    assert (first.probe_start, later.probe_start) == (2, 0)
