"""Several starts of one job: what the document says of each, and what the result keeps."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inphase.ambiguity import align
from inphase.geometry import Geometry
from inphase.imaging.arrays import names
from inphase.imaging.clock import Clock
from inphase.imaging.options import CONVENTIONAL, Options
from inphase.imaging.refine import refine
from inphase.imaging.way import begin
from inphase.models.repository import Repository
from inphase.models.session import Session, Sessions
from inphase.retrieval import recipe as recipes
from tests.inphase.imaging.whole_way import raw, run
from tests.toy import crystal

SHORT = "50*HIO+10*ER+15*AER | SW(every=10,threshold=0.2,sigma=2..1)"  # most random starts find the crystal


@pytest.fixture(scope="module")
def session(models_dir: Path) -> Session:
    """Knows the crystal."""
    return Sessions(Repository(models_dir, "inphase-bcdi"), threads=1).get(None)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(recipes.PRESETS, CONVENTIONAL, SHORT)


def test_random_starts_leave_an_ensemble(pattern: NDArray[np.uint32]) -> None:
    """Each start is told with its score and fate; the object is the best single one; average and modes lie on it."""
    finished = run(pattern, Options(start="random", starts=3), None)
    part, arrays = finished.report.ensemble, finished.arrays
    assert part is not None
    assert [member.kind for member in part.members] == ["random"] * 3
    assert part.ranked_by == "free_llk"
    assert part.accepted == sum(member.accepted for member in part.members) >= 2
    assert all(member.accepted != bool(member.rejected) for member in part.members)
    final = finished.report.metrics.final
    assert final is not None
    assert part.members[part.best].free_llk == final.free_llk
    assert part.members[part.best].correlation == 1
    assert part.mode_weights is not None
    assert len(part.mode_weights) == part.accepted
    assert sum(part.mode_weights) == pytest.approx(1)
    # in the frame and the units of the object, without any alignment
    average, obj = arrays["average"], arrays["object"]
    scale = np.vdot(obj, average) / np.vdot(obj, obj)
    assert abs(scale - 1) < 0.05
    assert np.linalg.norm(average - obj) < 0.35 * np.linalg.norm(obj)
    assert align(average, crystal())[1].score > 0.95
    assert arrays["modes"].shape == (min(3, part.accepted), *obj.shape)
    assert arrays["prtf"].shape[1] == arrays["fsc"].shape[1] == 2
    assert part.resolutions is not None
    assert [found.criterion for found in part.resolutions] == ["1/e", "0.143", "half-bit"]
    assert all(found.voxels is not None and found.metres is None for found in part.resolutions)


def test_a_mixed_ensemble_has_every_kind_of_start(session: Session, pattern: NDArray[np.uint32]) -> None:
    """The network's start beside disturbed, flat and random ones;
    metrics tell the best of those that no network made.
    """
    report = run(pattern, Options(start="mixed", starts=4, refine=SHORT), session).report
    assert report.ensemble is not None
    assert [member.kind for member in report.ensemble.members] == ["network", "jittered", "autocorrelation", "random"]
    assert report.metrics.random_start is not None
    assert report.metrics.random_start.free_llk == min(member.free_llk for member in report.ensemble.members[2:])
    assert report.start.kind == ("network" if report.ensemble.best < 2 else "random")
    assert report.recipe.refine == recipes.resolve(SHORT).text


def test_one_start_is_no_ensemble(session: Session, pattern: NDArray[np.uint32]) -> None:
    """Neither in the document nor in the file."""
    finished = run(pattern, Options(refine="2*ER"), session)
    assert finished.report.ensemble is None
    assert not {"average", "modes", "prtf", "fsc"} & finished.arrays.keys()


def test_resolutions_are_in_metres_where_the_geometry_is_known(pattern: NDArray[np.uint32]) -> None:
    """The rest of the way is the same."""
    geometry = Geometry(1e6 * np.eye(3))
    prepared, report = begin(raw(pattern, geometry), Options(start="random", starts=2), None, Clock())
    finished = refine(prepared, report, Clock())
    part = finished.report.ensemble
    assert part is not None
    assert set(names("ensemble")) <= finished.arrays.keys()
    assert part.resolutions is not None
    assert all(found.metres == pytest.approx(2 * np.pi / found.q) for found in part.resolutions)
