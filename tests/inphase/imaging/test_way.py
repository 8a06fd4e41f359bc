"""The way of one pattern, and the refinement with its escalation."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.formats.result import Result
from inphase.formats.scan import Saturation
from inphase.geometry import Geometry
from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.reconstruction import write
from inphase.imaging.report import Report
from inphase.imaging.way import begin, judge
from inphase.metrics import measure
from inphase.models.session import Session, Sessions
from tests.inphase.imaging.whole_way import raw, run
from tests.inphase.preprocess import simulated

Change = Callable[[NDArray[np.float64]], NDArray[np.float64]]
PAGE = Path(__file__).parents[3] / "docs/how-to/check-a-result.md"


@pytest.mark.usefixtures("quick")
def test_the_arrays_alone_give_the_chi2(sessions: Sessions, pattern: NDArray[np.uint32]) -> None:
    """Where the refinement found how coherent the light was, the kernel is among them;
    to what canonical form costs in single precision.
    """
    finished = run(pattern, Options(refine="10*ER | PC(start=0,kernel=gauss)"), sessions.get(None))
    result = Result.of(finished.with_document(finished.report.to_json()))
    assert result.coherence_kernel is not None
    found = measure(result.object, result.support, result.modulus, result.mask, kernel=result.coherence_kernel)
    assert finished.report.metrics.final is not None
    assert found.chi2 == pytest.approx(finished.report.metrics.final.chi2, rel=1e-3)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("recipe", ["10*ER", "10*ER | PC(start=0,kernel=gauss)"])
def test_the_lines_of_the_documentation_give_the_chi2(
    recipe: str, sessions: Sessions, pattern: NDArray[np.uint32], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a kernel and without: numpy and scipy alone, on the file."""
    finished = run(pattern, Options(refine=recipe), sessions.get(None))
    write(finished, tmp_path / "result.npz")
    (block,) = (b for b in PAGE.read_text().split("```python\n")[1:] if "np.load" in b)
    monkeypatch.chdir(tmp_path)
    names: dict[str, float] = {}
    exec(block.split("```")[0], names)
    assert finished.report.metrics.final is not None
    assert names["chi2"] == pytest.approx(finished.report.metrics.final.chi2, rel=1e-3)


@pytest.mark.usefixtures("quick")
def test_random_starts_with_a_named_network_are_random(sessions: Sessions, pattern: NDArray[np.uint32]) -> None:
    """The network gives the grid, and no start: the image is that of random starts without it."""
    session = sessions.get(None)
    named, alone = (
        run(pattern, Options(model=model, refine="10*ER", start="random"), session if model else None)
        for model in (session.version.label, None)
    )
    assert named.report.start.kind == "random"
    assert named.report.model is None
    np.testing.assert_array_equal(named.object, alone.object)


def test_an_empty_prediction(sessions: Sessions, pattern: NDArray[np.uint32], monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that predicts nothing: start=auto goes on from random starts,
    start=network and refine=none are refused.
    """
    session = sessions.get(None)
    nothing = np.zeros((64, 64, 64), np.float32)
    monkeypatch.setattr(session, "infer", lambda tensors: {"amplitude": nothing[None], "phase": nothing[None]})
    prepared, report = begin(raw(pattern), Options(), session, Clock())
    assert report.start.kind == "random"
    assert "empty" in report.start.why
    for options in (Options(start="network"), Options(refine="none")):
        with pytest.raises(DataError, match="empty"):
            begin(raw(pattern), options, session, Clock())
    assert prepared.prediction is not None


def test_a_model_for_another_domain_is_refused(sessions: Sessions, pattern: NDArray[np.uint32]) -> None:
    """The card says what the network takes."""
    session = sessions.get(None)
    card = msgspec.structs.replace(session.version.card, domain=["modulus"])
    other = object.__new__(Session)
    other.__dict__ |= session.__dict__ | {"version": replace(session.version, card=card)}
    with pytest.raises(DataError, match="takes modulus, not counts"):
        begin(raw(pattern), Options(), other, Clock())


def test_the_geometry_gives_voxel_sizes(sessions: Sessions, pattern: NDArray[np.uint32]) -> None:
    """With dq per voxel known, the voxel is 2 pi / (N dq); q_steps of 1e6 / m give 98.2 nm on 64 voxels."""
    prepared, report = begin(
        raw(pattern, Geometry(1e6 * np.eye(3))), Options(refine="none"), sessions.get(None), Clock()
    )
    finished = judge(prepared, report, prepared.guess, Clock())
    np.testing.assert_allclose(finished.arrays["voxel_size_m"], 2 * np.pi / (64 * 1e6))
    assert report.preprocess.voxel_size_m is not None


def test_a_second_crystal_is_in_the_report_and_in_the_trust(sessions: Sessions, pattern: NDArray[np.uint32]) -> None:
    """Half of the light again, 21 columns and 12 rows away: the step names voxel and share, the stored report keeps its
    reason, and the trust is low for that reason, before and after the report was stored.
    """
    both = pattern + np.roll(pattern // 2, (0, 12, -21), (0, 1, 2))
    report = run(both.astype(np.uint32), Options(refine="10*ER", start="network"), sessions.get(None)).report
    again = Report.from_json(report.to_json())
    (step,) = (step for step in again.preprocess.steps if step.name == "second_peak")
    assert np.abs(np.array(step.numbers["voxel"]) - (32, 44, 11)).max() <= 1
    assert step.numbers["share"] == pytest.approx(1 / 3, abs=0.02)
    assert again.trust is not None
    assert again.trust.level == "low"
    assert again.trust.reasons[0] == step.faults[0]


def test_starts_of_which_none_confirms_the_best_are_a_doubt(sessions: Sessions, pattern: NDArray[np.uint32]) -> None:
    """Four starts of ten iterations: where no other one agrees with the best the trust says so or is low."""
    report = run(pattern, Options(refine="10*ER", start="mixed", starts=4, seed=3), sessions.get(None)).report
    assert report.ensemble is not None
    assert report.trust is not None
    told = any("no other one confirms" in reason for reason in report.trust.reasons)
    assert told == (report.ensemble.accepted < 2 and report.trust.level != "low")


def test_a_modulus_taken_for_counts_is_refused(pattern: NDArray[np.uint32]) -> None:
    """Before anything is computed, and the way out is named."""
    modulus = np.sqrt(pattern).astype(np.float32)
    with pytest.raises(DataError, match="domain=modulus"):
        run(modulus / modulus.max(), Options(start="random", refine="ER"), None)


def test_where_the_file_says_that_the_detector_saturates(pattern: NDArray[np.uint32]) -> None:
    """Counts clipped at the level are masked like voxels that a mask names, and recipe and report say so."""
    level = float(np.sort(pattern, axis=None)[-60])
    clipped = np.minimum(pattern, np.uint32(level))
    told = replace(raw(clipped), saturation=Saturation(level, "'count_cutoff'"))
    named = replace(raw(clipped), mask=(clipped >= level).astype(np.uint8))
    by_level, report = begin(told, Options(start="random"), None, Clock())
    by_mask, _ = begin(named, Options(start="random"), None, Clock())
    np.testing.assert_array_equal(by_level.problem.modulus, by_mask.problem.modulus)
    np.testing.assert_array_equal(by_level.problem.mask, by_mask.problem.mask)
    assert report.recipe.preprocess.startswith(f"auto: saturation({level}) ")
    steps = {step.name: step.numbers for step in report.preprocess.steps}
    assert steps["saturation"] == {"voxels": int((clipped >= level).sum()), "level": level}


def refined(counts: NDArray[np.generic]) -> Report:
    """The report on ten iterations from one random start."""
    return run(counts, Options(refine="10*ER", start="random", starts=1), None).report


def told(report: Report, word: str) -> str:
    """The reason with that word, in a report whose trust is not high."""
    assert report.trust is not None
    assert report.trust.level != "high"
    (reason,) = (reason for reason in report.trust.reasons if word in reason)
    return reason


@pytest.mark.parametrize(
    ("axis", "name", "remedy"), [(0, "frames", "rock in steps"), (1, "rows", "detector"), (2, "columns", "detector")]
)
def test_an_axis_that_is_sampled_below_two_is_never_trusted_highly(axis: int, name: str, remedy: str) -> None:
    """1.6 voxels per fringe along one axis: it is named, and so is what helps."""
    sampling = [3.5, 3.5, 3.5]
    sampling[axis] = 1.6
    light = simulated.crystal(8, (64, 64, 64), (sampling[0], sampling[1], sampling[2])).intensity
    reason = told(refined(simulated.counts(light, 3e6)), "voxels per fringe")
    assert f"axis {axis} ({name})" in reason
    assert remedy in reason


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("end", ["first", "last"])
def test_a_peak_that_the_border_cuts_is_never_trusted_highly(pattern: NDArray[np.uint32], axis: int, end: str) -> None:
    """Two voxels beside the maximum, where a fringe has three: the axis is named, at either end."""
    part = slice(30, None) if end == "first" else slice(None, 36 if axis == 0 else 35)
    cut = pattern[tuple(part if a == axis else slice(None) for a in range(3))]
    reason = told(refined(cut), "cuts the Bragg peak")
    assert f"axis {axis}" in reason
    assert "middle of the range" in reason


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n: n * 0.37, "divide them by 0.37"),
        (lambda n: (n + np.roll(n, 1, 0)) / 2, "divide them by 0.5"),
        (lambda n: n / n.max(), "refused"),
        (lambda n: np.minimum(n, 1), "refused"),
        (lambda n: np.where(n > 0.2 * n.max(), n / 7.3, 0), "as they were measured"),
        (lambda n: np.where(n > 0.2 * n.max(), n / n.max(), 0), "as they were measured"),
    ],
    ids=["scaled", "average", "largest is 1", "ones and zeros", "few fractions", "few, largest is 1"],
)
def test_counts_that_are_none_are_never_trusted_highly(pattern: NDArray[np.uint32], change: Change, words: str) -> None:
    """They are refused, or doubted; either names the way out."""
    numbers = change(pattern.astype(np.float64)).astype(np.float32)
    if words == "refused":
        with pytest.raises(DataError, match="domain=modulus"):
            refined(numbers)
    else:
        told(refined(numbers), words)


def test_a_second_peak_of_comparable_light_is_never_trusted_highly(pattern: NDArray[np.uint32]) -> None:
    """A third, a half and as much of the light, near the peak and far from it."""
    for share, away in ((0.5, (0, 0, 14)), (1.0, (14, 9, 0)), (0.9, (-20, 0, 21))):
        both = pattern + np.roll((share * pattern).astype(np.uint32), away, (0, 1, 2))
        assert "crop the measurement" in told(refined(both), "second peak")
