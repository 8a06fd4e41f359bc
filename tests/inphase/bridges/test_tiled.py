"""Runs in Tiled, and results into it, against containers in memory; tests/system/test_bluesky.py has the real ones."""

from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from inphase.bridges import tiled
from inphase.bridges.tiled import TiledError
from inphase.client import Result
from inphase.errors import DataError
from tests.inphase.bridges.containers import Memory, Stored, run_of

COUNTS = np.arange(5 * 4 * 6, dtype=np.uint16).reshape(5, 4, 6)


def test_frames_are_read_slice_by_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    """None larger than what Tiled answers, and together all of them; an event may hold several frames."""
    monkeypatch.setattr(tiled, "SLICE_BYTES", 2 * COUNTS[0].nbytes)
    stored = Stored(COUNTS)
    np.testing.assert_array_equal(tiled.frames_of(run_of(stored, events=5), "primary", "eiger"), COUNTS)
    assert stored.slices == [(0, 2), (2, 4), (4, 5)]
    several = Stored(COUNTS.reshape(5, 1, 4, 6).repeat(3, axis=1))
    found = tiled.frames_of(run_of(several, events=5), "primary", "eiger")
    np.testing.assert_array_equal(found, COUNTS.repeat(3, axis=0))


@pytest.mark.parametrize(
    ("stored", "events", "names", "reason"),
    [
        (COUNTS, 6, ("primary", "eiger"), "Tiled has 5 frames, and the run made 6 events"),
        (COUNTS[:0], 0, ("primary", "eiger"), "Tiled has 0 frames"),
        (COUNTS[0], 4, ("primary", "eiger"), r"has the shape \(4, 6\)"),
        (COUNTS, 5, ("primary", "pilatus"), "connected, no data: .*no data key 'pilatus', but eiger"),
        (COUNTS, 5, ("baseline", "eiger"), "connected, no data: .*no stream 'baseline', but primary"),
    ],
)
def test_a_run_without_the_frames_says_what_it_has(
    stored: NDArray[Any], events: int, names: tuple[str, str], reason: str
) -> None:
    """Too few are never taken for all."""
    with pytest.raises(DataError, match=reason):
        tiled.frames_of(run_of(Stored(stored), events), *names)


def test_a_run_is_waited_for_until_it_has_stopped() -> None:
    """A run that is not there, and one whose writer has not come to its end."""
    runs = Memory("runs")
    with pytest.raises(DataError, match="connected, no data: Tiled at runs has no such run after 0 s"):
        tiled.finished_run(runs, "u", 0)
    runs["u"] = Memory("runs/u", {"start": {}})
    with pytest.raises(DataError, match="without its stop document"):
        tiled.finished_run(runs, "u", 0)
    asked: list[str] = []

    class Slow(Memory):
        def __getitem__(self, key: str) -> Any:
            asked.append(key)
            return run_of(Stored(COUNTS), 5) if len(asked) > 2 else super().__getitem__(key)

    slow = Slow("runs")
    slow["u"] = Memory("runs/u", {"start": {}})
    assert tiled.finished_run(slow, "u", 20).metadata["stop"]
    assert len(asked) == 3


def test_results_are_written_once_and_completed() -> None:
    """By the names of their arrays; what was cut off is written when it comes again."""
    arrays = {"object": np.ones((2, 2, 2), np.complex64), "support": np.ones((2, 2, 2), bool), "said": np.array("text")}
    result, results = Result(arrays, {"id": "j", "trust": {"level": "high"}}), Memory("results")
    assert tiled.put(results, "u", "j", result) == "results/u/j"
    made = results["u"]["j"]
    assert made.metadata == {"run": "u", "document": result.document}
    assert sorted(made) == ["object", "support"]
    np.testing.assert_array_equal(made["object"], arrays["object"])
    del made["support"]
    assert tiled.put(results, "u", "j", result) == "results/u/j"
    assert sorted(made) == ["object", "support"]


def _refused() -> httpx.HTTPStatusError:
    request = httpx.Request("GET", "http://tiled/x")
    return httpx.HTTPStatusError("403: not yours", request=request, response=httpx.Response(403, request=request))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (lambda: httpx.ConnectError("refused"), "cannot connect: Tiled at http://tiled does not answer: refused"),
        (lambda: httpx.ReadTimeout(""), "cannot connect: Tiled at http://tiled does not answer: ReadTimeout"),
        (_refused, "Tiled at http://tiled refuses: 403: not yours"),
    ],
)
def test_who_does_not_answer_and_who_refuses_are_told_apart(error: Callable[[], Exception], said: str) -> None:
    """Whatever is asked."""

    class Away(Memory):
        def __iter__(self) -> Any:
            raise error()

        def __contains__(self, key: object) -> bool:
            raise error()

    away = Away("http://tiled")
    with pytest.raises(TiledError) as check:
        tiled.check(away)
    with pytest.raises(TiledError) as wait:
        tiled.finished_run(away, "u", 0)
    with pytest.raises(TiledError) as put:
        tiled.put(away, "u", "j", Result({}, {}))
    assert {str(each.value) for each in (check, wait, put)} == {said}
