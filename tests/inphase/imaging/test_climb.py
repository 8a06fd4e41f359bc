"""From the refined image on the model grid to finer ones. The toy network knows the crystal on 64^3 voxels; here it was
measured on 80 x 64 x 72.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inphase.ambiguity import align
from inphase.errors import CancelledError, DataError, RecipeError
from inphase.geometry import Geometry
from inphase.imaging import climb
from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.reconstruction import Reconstruction
from inphase.imaging.refine import refine
from inphase.imaging.report import Detail, Resolution
from inphase.imaging.retrievals import Retrievals
from inphase.imaging.way import begin
from inphase.models.session import Sessions
from inphase.pattern import Domain
from inphase.preprocess.placement import Placement
from inphase.retrieval import ladder
from tests.inphase.imaging.whole_way import raw
from tests.toy import counts, crystal

SHAPE = (80, 64, 72)
GEOMETRY = Geometry(np.diag([1e5, 2e5, 3e5]), np.array([0.0, 0.0, 2.7e10]))


@pytest.fixture(scope="module")
def curve() -> NDArray[np.uint32]:
    """Three million photons, of which 2 % lie outside of the model's window."""
    return counts(3e6, shape=SHAPE)


@dataclass(frozen=True)
class Climbed:
    """What came of it, and the images before."""

    last: Reconstruction
    before: tuple[Reconstruction, ...]


def climbed(
    sessions: Sessions,
    array: NDArray[np.uint32],
    grid: str = "auto",
    retrievals: Retrievals | None = None,
    seconds: float = climb.SECONDS,
) -> Climbed:
    """The whole way, with a recipe for the model grid that costs little, and no random starts beside it."""
    before: list[Reconstruction] = []
    clock, options = Clock(), Options(refine="10*ER", start="network", grid=grid)
    prepared, report = begin(raw(array, GEOMETRY), options, sessions.get(None), clock)
    last = refine(prepared, report, clock, retrievals=retrievals, revised=before.append, seconds=seconds)
    return Climbed(last, tuple(before))


@pytest.fixture(scope="module")
def found(sessions: Sessions, curve: NDArray[np.uint32]) -> Climbed:
    """The way that nothing disturbs."""
    return climbed(sessions, curve)


def test_the_finer_image_is_nearer_to_the_crystal(
    sessions: Sessions, curve: NDArray[np.uint32], found: Climbed
) -> None:
    """On its own voxels, hidden ones predicted better; the image of the model grid came before, with the same bits as
    without a finer one; the report tells of the grid that the result lies on.
    """
    model = climbed(sessions, curve, "model")
    (first,) = found.before
    assert model.before == ()
    for name, array in model.last.arrays.items():
        np.testing.assert_array_equal(first.arrays[name], array, err_msg=name)
    report, grid = found.last.report, found.last.report.grid
    assert grid is not None
    (level,) = grid.levels
    shape = found.last.object.shape
    assert shape == level.shape == report.preprocess.shape
    assert shape[0] > 64
    assert (level.kept, grid.stopped) == (True, "")
    assert level.free_llk is not None
    assert level.start_free_llk is not None
    assert level.free_llk < level.start_free_llk
    assert report.metrics.final is not None
    assert report.metrics.final.chi2 == level.chi2
    assert type(report).from_json(report.to_json()) == report
    assert report.trust is not None
    assert first.report.trust is not None
    assert report.trust.level == "high"
    assert report.trust.probability == first.report.trust.probability  # finer images were not calibrated
    assert first.report.trust.probability_reason is None
    assert report.trust.probability_reason is not None
    assert "the grid of the model" in report.trust.probability_reason
    assert first.report.preprocess.voxel_size_m is not None
    expected = [size * 64 / n for size, n in zip(first.report.preprocess.voxel_size_m, shape, strict=True)]
    assert report.preprocess.voxel_size_m == pytest.approx(expected)
    truth = Placement(shape, tuple((n - k) // 2 for n, k in zip(shape, SHAPE, strict=True)), (1, 1, 1), SHAPE)
    fine = truth.to_measured(crystal(SHAPE))
    coarse = Placement(shape, tuple((n - 64) // 2 for n in shape), (1, 1, 1), (64, 64, 64)).to_measured(first.object)
    assert align(found.last.object, fine)[1].score > align(coarse, fine)[1].score


def test_the_resolution_is_that_of_the_model_grid(found: Climbed) -> None:
    """In metres, which both grids share: the finer image was refined from the one that the halves were taken of."""
    (first,) = found.before
    assert first.report.detail is not None
    assert found.last.object.shape != first.object.shape
    assert found.last.report.detail == first.report.detail
    assert all(part.metres for part in (first.report.detail.overall, *first.report.detail.along))


@pytest.mark.parametrize(
    ("grid", "apart", "shape", "stopped"),
    [
        ("auto", (True, False, False), (64, 64, 72), "along axis 0: refined on the central 64 x 64 x 72"),
        ("auto", (True, True, True), (64, 64, 64), "along axis 0, 1, 2: the measurement determines no more"),
        ("measured", (True, True, True), SHAPE, ""),
    ],
)
def test_a_window_grows_where_the_photons_determine_more(
    sessions: Sessions,
    curve: NDArray[np.uint32],
    monkeypatch: pytest.MonkeyPatch,
    grid: str,
    apart: tuple[bool, ...],
    shape: tuple[int, ...],
    stopped: str,
) -> None:
    """apart: whether the halves of the photons part within the model's window, along each axis."""
    overall, *along = (Resolution("half-bit", crossed, 1.0, None, None) for crossed in (False, *apart))
    detail = Detail("half-photon FSC", overall, tuple(along))
    monkeypatch.setattr("inphase.imaging.refine._detail", lambda halves: detail)
    last = climbed(sessions, curve, grid).last
    assert last.object.shape == shape
    assert last.report.grid is not None
    assert last.report.grid.stopped.endswith(stopped)


def test_a_measurement_of_the_models_size_is_answered_as_before(
    sessions: Sessions, pattern: NDArray[np.uint32]
) -> None:
    """No revision, no level, the same bits; the report says why."""
    results = [climbed(sessions, pattern, grid) for grid in ("model", "auto", "measured")]
    assert all(result.before == () for result in results)
    for result in results[1:]:
        np.testing.assert_array_equal(result.last.object, results[0].last.object)
    grid = results[1].last.report.grid
    assert grid is not None
    assert (grid.levels, grid.finest) == ((), None)
    assert "the grid of the model holds them" in grid.why


def test_a_level_that_predicts_hidden_voxels_worse_is_not_kept(
    sessions: Sessions, curve: NDArray[np.uint32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With grid=auto the ladder stops and the image before is the answer, with its own probability; a grid that was
    asked for is given, and the trust says what speaks against it.
    """
    monkeypatch.setattr(ladder, "recipe", lambda **_: "5*ER | SW(every=1,threshold=0.9,sigma=3)")
    auto = climbed(sessions, curve).last
    assert auto.report.grid is not None
    (level,) = auto.report.grid.levels
    assert (level.kept, level.better) == (False, False)
    assert "no better" in auto.report.grid.stopped
    assert auto.report.trust is not None
    assert auto.report.trust.probability_reason is None
    assert not any("no better" in reason for reason in auto.report.trust.reasons)
    assert auto.object.shape == auto.report.preprocess.shape == (64, 64, 64)
    asked = climbed(sessions, curve, "72").last
    assert asked.report.grid is not None
    assert asked.report.grid.levels[0].kept
    assert max(asked.object.shape) == 72
    assert asked.report.trust is not None
    assert any("72 x 64 x 72" in reason and "was asked for" in reason for reason in asked.report.trust.reasons)


def test_where_nothing_is_hidden_no_level_is_taken_for_better(sessions: Sessions, curve: NDArray[np.uint32]) -> None:
    """A modulus has no hidden voxels: a grid that was asked for is given, and the trust says that nothing tells."""
    clock, options = Clock(), Options(domain=Domain.MODULUS, refine="5*ER", start="network", grid="measured")
    prepared, report = begin(raw(np.sqrt(curve), GEOMETRY), options, sessions.get(None), clock)
    found = refine(prepared, report, clock).report
    assert found.grid is not None
    (level,) = found.grid.levels
    assert (level.kept, level.better) == (True, None)
    assert found.trust is not None
    assert any("no hidden voxels tell" in reason for reason in found.trust.reasons)
    assert replace(found.grid, levels=(replace(level, kept=False),)).doubts() == []


def test_the_time_is_bounded(sessions: Sessions, curve: NDArray[np.uint32]) -> None:
    """A level for which there is no time is given up, and the image before is the answer."""
    found = climbed(sessions, curve, seconds=0.0).last
    assert found.report.grid is not None
    assert "0 s are over" in found.report.grid.stopped
    assert found.object.shape == (64, 64, 64)


def test_what_the_memory_does_not_hold_is_reduced_or_refused(
    sessions: Sessions, curve: NDArray[np.uint32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default the central part that fits, and the report says so; a grid that was asked for fails with a way out."""
    room = 8 * 8 * 76 * 64 * 70
    monkeypatch.setattr(climb, "free_bytes", lambda device: room)
    found = climbed(sessions, curve).last
    assert found.report.grid is not None
    assert ladder.needed_bytes(found.object.shape) <= room
    assert found.object.shape[0] > 64
    assert "refined on the central" in found.report.grid.stopped
    monkeypatch.setattr(climb, "free_bytes", lambda device: 1000)
    none = climbed(sessions, curve).last
    assert none.report.grid is not None
    assert "stays on the grid of the model" in none.report.grid.stopped
    assert none.object.shape == (64, 64, 64)
    with pytest.raises(DataError, match=r"GiB are free.*grid=auto"):
        climbed(sessions, curve, "measured")


def test_an_interrupted_level_goes_on(sessions: Sessions, curve: NDArray[np.uint32], found: Climbed) -> None:
    """A cancelled level gives no answer. It goes on from its checkpoint, with the model grid's retrieval taken as it
    was: the object of an uninterrupted run.
    """
    kept: dict[str, NDArray[Any]] = {}

    def keep(make: Callable[[], Mapping[str, NDArray[Any]]]) -> None:
        kept.clear()
        kept.update(make())

    asked = iter(range(1000))
    at_work = Retrievals(keep=keep, cancelled=lambda: kept.get("ended") == 1 and next(asked) > 12)
    with pytest.raises(CancelledError):
        climbed(sessions, curve, retrievals=at_work)
    again = Retrievals(resume=kept)
    resumed = climbed(sessions, curve, retrievals=again).last
    assert (again.resumed_from or 0) > 1
    assert align(resumed.object, found.last.object)[1].score > 0.9999  # a descent begins anew where it was interrupted


def test_a_network_image_alone_is_not_made_finer(sessions: Sessions, curve: NDArray[np.uint32]) -> None:
    """refine=none stays on the model grid by default, and refuses another one."""
    assert begin(raw(curve), Options(refine="none"), sessions.get(None), Clock())[0].ladder is None
    with pytest.raises(RecipeError, match="refine=none"):
        Options(refine="none", grid="measured").check()
