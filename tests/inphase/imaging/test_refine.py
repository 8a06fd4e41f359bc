"""The refinement with its escalation to random starts."""

import numpy as np
import pytest
from numpy.typing import NDArray

from inphase.ambiguity import align
from inphase.errors import CancelledError
from inphase.imaging.clock import Clock
from inphase.imaging.options import CONVENTIONAL, Options
from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.reconstruction import Reconstruction
from inphase.imaging.refine import refine
from inphase.imaging.retrievals import Retrievals
from inphase.imaging.way import begin
from inphase.metrics import phase_error
from inphase.models.session import Sessions
from inphase.retrieval import recipe as recipes
from tests.inphase.imaging.whole_way import raw, run
from tests.toy import counts, crystal


def test_a_sane_start_is_refined(sessions: Sessions, pattern: NDArray[np.uint32]) -> None:
    """The toy network knows the crystal: its start is accepted, stays the start, and the result is the crystal."""
    finished = run(pattern, Options(refine="10*ER"), sessions.get(None))
    report = finished.report
    assert (report.start.kind, report.start.why) == ("network", "the network's start is sane")
    assert report.recipe.refine == "10*ER"
    assert report.metrics.random_start is None
    assert report.trust is not None
    assert report.trust.level == "high"
    aligned, _ = align(finished.arrays["object"], crystal())
    # radians; the noise of 3e6 photons in 7504 voxels leaves a few hundredths
    assert phase_error(aligned, crystal(), np.abs(crystal()) > 0) < 0.1


def test_the_networks_own_image_is_kept_where_fast_fits_noise(sessions: Sessions) -> None:
    """Few photons, and a network that knows the crystal: refined, hidden voxels fit worse, and so does the crystal.

    What the refinement came to is told, and the image is not doubted for want of one. start=network is obeyed, and so
    is a recipe that is written out.
    """
    faint, session = counts(photons=2e4), sessions.get(None)
    kept, obeyed = (run(faint, Options(refine="fast", start=start), session) for start in ("auto", "network"))
    report, scores = kept.report, kept.report.metrics
    assert report.recipe.refine == "none"
    assert "the network's own image was kept: refined by " in report.start.why
    assert scores.final == scores.network
    assert scores.refined == obeyed.report.metrics.final
    assert scores.final is not None
    assert scores.refined is not None
    assert scores.final.free_llk is not None
    assert scores.refined.free_llk is not None
    assert scores.final.free_llk < scores.refined.free_llk
    assert report.trust is not None
    assert not any("not refined" in reason for reason in report.trust.reasons)
    assert obeyed.report.recipe.refine == recipes.resolve("fast").text
    assert run(faint, Options(refine="30*ER"), session).report.recipe.refine == "30*ER"
    likeness = [align(finished.arrays["object"], crystal())[1].score for finished in (kept, obeyed)]
    assert likeness[0] > 0.999  # the toy network's is the crystal itself
    assert likeness[1] < 0.99


@pytest.mark.usefixtures("quick")
def test_an_insane_start_escalates(sessions: Sessions, pattern: NDArray[np.uint32]) -> None:
    """`blind` predicts a full box: the conventional recipe runs from random starts, and the document says so."""
    report = run(pattern, Options(model="blind", refine="10*ER", starts=2), sessions.get("blind")).report
    assert report.start.kind == "random"
    assert "the network's start is not sane" in report.start.why
    assert "fills 100%" in report.start.why
    assert report.recipe.refine == recipes.resolve(CONVENTIONAL).text
    assert report.metrics.network is not None
    assert report.metrics.random_start == report.metrics.final
    assert report.metrics.final is not None
    assert report.metrics.final.chi2 < 0.2 * report.metrics.network.chi2


@pytest.mark.usefixtures("quick")
def test_an_insane_result_is_compared_with_random_starts(
    sessions: Sessions, pattern: NDArray[np.uint32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result that fails the rules is compared with the conventional recipe;
    the better by free log-likelihood stays.
    """
    monkeypatch.setattr(PreparedPattern, "shortfalls", lambda prepared, candidate: ["made up"])
    report = run(pattern, Options(refine="10*ER", starts=1), sessions.get(None)).report
    assert "made up" in report.start.why
    assert report.metrics.random_start is not None
    assert report.metrics.final is not None
    assert report.metrics.final.free_llk is not None
    assert report.metrics.random_start.free_llk is not None
    assert report.metrics.final.free_llk <= report.metrics.random_start.free_llk
    kept = report.start.kind
    assert report.recipe.refine == ("10*ER" if kept == "network" else recipes.resolve(CONVENTIONAL).text)


@pytest.mark.usefixtures("quick")
def test_what_became_of_the_networks_image_is_shown_before_random_starts_are_tried(
    sessions: Sessions, pattern: NDArray[np.uint32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, with the bits that it has as a result of its own, and with what is tried next; then it is compared."""
    alone = run(pattern, Options(refine="10*ER", start="network"), sessions.get(None))
    monkeypatch.setattr(PreparedPattern, "shortfalls", lambda prepared, candidate: ["made up"])
    shown: list[Reconstruction] = []
    clock = Clock()
    prepared, report = begin(raw(pattern), Options(refine="10*ER", starts=1), sessions.get(None), clock)
    last = refine(prepared, report, clock, revised=shown.append)
    (first,) = shown
    np.testing.assert_array_equal(first.object, alone.object)
    assert first.report.metrics.final == alone.report.metrics.final
    assert (first.report.start.kind, first.report.ensemble) == ("network", None)
    assert first.report.start.why.endswith("made up; standard from random starts is tried now")
    assert last.report.start.why.endswith("made up; compared with standard from random starts")
    assert last.report.ensemble is not None


@pytest.mark.usefixtures("quick")
def test_a_refinement_that_fits_noise_is_never_shown(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the network's own image fits the hidden voxels better, that is the one to be seen meanwhile."""
    monkeypatch.setattr(PreparedPattern, "shortfalls", lambda prepared, candidate: ["made up"])
    shown: list[Reconstruction] = []
    clock = Clock()
    prepared, report = begin(raw(counts(2e4)), Options(starts=1), sessions.get(None), clock)
    refine(prepared, report, clock, revised=shown.append)
    (first,) = shown
    assert first.report.metrics.final == first.report.metrics.network
    assert first.report.recipe.refine == "none"
    assert "random starts is tried now; the network's own image was kept" in first.report.start.why


def test_start_network_is_obeyed(sessions: Sessions, pattern: NDArray[np.uint32]) -> None:
    """Asked for the network's start, no rule changes it; the trust tells the truth."""
    report = run(pattern, Options(model="blind", refine="ER", start="network"), sessions.get("blind")).report
    assert (report.start.kind, report.start.why) == ("network", "as requested")
    assert report.trust is not None
    assert report.trust.level == "low"


@pytest.mark.usefixtures("quick")
def test_start_random_asks_no_network(pattern: NDArray[np.uint32]) -> None:
    """Without a network: random starts, no network's score, the conventional recipe by default."""
    report = run(pattern, Options(start="random", starts=1), None).report
    assert report.model is None
    assert report.metrics.network is None
    assert report.start.kind == "random"
    assert report.recipe.refine == recipes.resolve(CONVENTIONAL).text


@pytest.mark.usefixtures("quick")
def test_mixed_starts_refine_the_networks_image_as_alone(sessions: Sessions, pattern: NDArray[np.uint32]) -> None:
    """The same recipe as without the others, so never worse; the others take the conventional one; all is told."""
    alone = run(pattern, Options(start="network"), sessions.get(None)).report
    found = run(pattern, Options(start="mixed", starts=3), sessions.get(None)).report
    assert found.ensemble is not None
    assert alone.metrics.final is not None
    assert [member.kind for member in found.ensemble.members] == ["network", "jittered", "autocorrelation"]
    assert found.ensemble.members[0].chi2 == pytest.approx(alone.metrics.final.chi2, rel=1e-4)
    assert found.recipe.conventional == recipes.resolve(CONVENTIONAL).text
    words = {"network": "the network's image", "jittered": "disturbed", "autocorrelation": "a flat image"}
    best = found.ensemble.members[found.ensemble.best].kind
    assert found.start.why.startswith("the best of 3 starts of every kind began from")
    assert found.start.why.endswith(words[best])
    expected = found.recipe.conventional if best == "autocorrelation" else alone.recipe.refine
    assert found.recipe.refine == expected


def test_the_seed_makes_a_run_repeatable(pattern: NDArray[np.uint32]) -> None:
    """The same seed gives the same object, bit for bit; another gives another."""
    found = [run(pattern, Options(start="random", refine="5*ER", starts=1, seed=s), None) for s in (3, 3, 4)]
    assert (found[0].arrays["object"] == found[1].arrays["object"]).all()
    assert (found[0].arrays["object"] != found[2].arrays["object"]).any()


def test_cancelling_stops_the_iterations(sessions: Sessions, pattern: NDArray[np.uint32]) -> None:
    """The flag is asked before every iteration."""
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    prepared, report = begin(raw(pattern), Options(refine="1000*ER"), sessions.get(None), Clock())
    with pytest.raises(CancelledError):
        refine(prepared, report, Clock(), retrievals=Retrievals(cancelled=cancelled))
    assert asked == 4
