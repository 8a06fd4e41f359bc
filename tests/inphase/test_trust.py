"""When a start is accepted and how a result is judged."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from inphase.metrics import Metrics
from inphase.trust import (
    RULES,
    Estimate,
    Evidence,
    Finding,
    Level,
    Support,
    final_faults,
    judge,
    shortfalls,
    start_faults,
)

SANE = Support(volume=0.15, largest_part=1.0, extent=(1.0, 1.1, 0.9))
FIT = Metrics(
    chi2=0.002,
    r_factor=0.1,
    support_voxels=4000,
    llk=0.5,
    free_llk=0.6,
    free_llk_reason=None,
    scale=1.0,
    amplitude_cv=0.2,
)


def box(side: int, n: int = 32) -> NDArray[np.bool_]:
    """A cube in the middle of n^3 voxels."""
    support = np.zeros((n, n, n), bool)
    support[(slice(n // 2 - side // 2, n // 2 + side // 2),) * 3] = True
    return support


def test_a_support_is_measured() -> None:
    """A cube of 8 in 32 voxels fills (8 / 16)^3, is whole, and has the extent that an oversampling of 4 gives."""
    support = Support.of(box(8), (4.0, 4.0, 2.0))
    assert support == Support(0.125, 1.0, (1.0, 1.0, 0.5))


def test_stray_voxels_make_no_crystal_longer() -> None:
    """A few voxels at the edge of the frame, as a network leaves them, cost their share and leave the extent alone."""
    support = box(8)
    support[1, 2, 3] = support[16, 30, 30] = True
    found = Support.of(support, (4.0, 4.0, 4.0))
    assert found.extent == (1.0, 1.0, 1.0)
    assert found.largest_part == pytest.approx(512 / 514)


def test_touching_corners_are_one_piece() -> None:
    """Voxels that touch at a corner belong together; distant ones do not."""
    support = np.zeros((8, 8, 8), bool)
    support[1, 1, 1] = support[2, 2, 2] = support[6, 6, 6] = True
    assert Support.of(support).largest_part == pytest.approx(2 / 3)


def test_an_empty_support_is_a_fault() -> None:
    """An empty support is measured without an error and found wanting."""
    assert Support.of(np.zeros((8, 8, 8), bool), (3.0, 3.0, 3.0)).faults() == [
        "the support is empty or tiny (0.00% of what sampling allows)"
    ]


@pytest.mark.parametrize(
    ("support", "word"),
    [
        (replace(SANE, volume=1.0), "fills"),
        (replace(SANE, volume=1e-4), "tiny"),
        (replace(SANE, largest_part=0.5), "pieces"),
        (replace(SANE, extent=(1.0, 3.0, 1.0)), "axis 1"),
        (replace(SANE, extent=(1.0, 1.0, 0.1)), "axis 2"),
    ],
)
def test_each_fault_of_a_support_is_named(support: Support, word: str) -> None:
    """One fault, one reason that names it; a start with it is refused, and so is a result."""
    (fault,) = support.faults()
    assert word in fault
    assert start_faults(FIT, 1e-3, support) == [fault]
    (finding,) = support.findings()
    assert (finding.what, bool(finding.remedy)) == (fault, True)
    assert judge(FIT, 1e-3, support, refined=True, valid_fraction=1.0).level is Level.LOW


def test_the_noise_raises_the_bound() -> None:
    """A chi2 that no start may have with many photons is accepted where the noise alone leaves as much."""
    poor = replace(FIT, chi2=2 * RULES.start_floor)
    assert start_faults(poor, 1e-5, SANE)
    assert start_faults(poor, None, SANE)
    assert not start_faults(poor, RULES.start_floor, SANE)
    assert final_faults(replace(FIT, chi2=2 * RULES.final_floor), 1e-5, SANE)


def test_a_result_falls_short_before_it_is_insane() -> None:
    """Between the good and the final bound a result is kept but compared with random starts; a bad support is both."""
    between = replace(FIT, chi2=0.5 * (RULES.good_floor + RULES.final_floor))
    assert shortfalls(between, 1e-5, SANE)
    assert not final_faults(between, 1e-5, SANE)
    assert not shortfalls(FIT, 1e-3, SANE)
    assert shortfalls(FIT, 1e-3, replace(SANE, largest_part=0.5))


def test_a_good_fit_is_trusted() -> None:
    """Nothing against it: high, without reasons."""
    trust = judge(FIT, 1e-3, SANE, refined=True, valid_fraction=1.0)
    assert (trust.level, trust.reasons) == (Level.HIGH, ())


@pytest.mark.parametrize(
    ("metrics", "refined", "valid", "word"),
    [
        (FIT, False, 1.0, "not refined"),
        (FIT, True, 0.5, "valid"),
        (replace(FIT, free_llk=5.0), True, 1.0, "hidden"),
        (replace(FIT, free_llk=None, free_llk_reason="the input is a modulus"), True, 1.0, "a modulus"),
        (replace(FIT, chi2=0.02), True, 1.0, "chi2"),
    ],
)
def test_doubts_make_it_medium(metrics: Metrics, refined: bool, valid: float, word: str) -> None:
    """A doubt is named and lowers the trust by one level."""
    trust = judge(metrics, 1e-3, SANE, refined=refined, valid_fraction=valid)
    assert trust.level is Level.MEDIUM
    assert len(trust.reasons) == 1
    assert word in trust.reasons[0]


def test_a_support_that_crosses_the_border_is_measured_whole() -> None:
    """The grid is periodic: where retrieval has left the object does not change what is said of it."""
    support = np.zeros((32, 32, 32), bool)
    support[10:22, 12:20, 11:21] = True
    here = Support.of(support, (3.0, 3.0, 3.0))
    assert Support.of(np.roll(support, (16, -14, 13), (0, 1, 2)), (3.0, 3.0, 3.0)) == here
    assert here.largest_part == 1


def test_what_was_found_in_the_data_lowers_the_trust() -> None:
    """However well the fit: a doubt makes it medium, a fault low;
    where the fit is bad too the data's reasons come first.
    """
    doubt, fault = Evidence(doubts=("scaled",)), Evidence(faults=("two crystals",), doubts=("scaled",))
    trust = judge(FIT, 1e-3, SANE, refined=True, valid_fraction=1.0, evidence=doubt)
    assert (trust.level, trust.reasons) == (Level.MEDIUM, ("scaled",))
    trust = judge(FIT, 1e-3, SANE, refined=True, valid_fraction=1.0, evidence=fault)
    assert (trust.level, trust.reasons) == (Level.LOW, ("two crystals", "scaled"))
    bad = judge(replace(FIT, chi2=0.5), 1e-3, SANE, refined=True, valid_fraction=1.0, evidence=doubt)
    assert bad.level is Level.LOW
    assert bad.reasons[0] == "scaled"
    assert "chi2" in bad.reasons[1]


@pytest.mark.parametrize(
    ("starts", "accepted", "level"),
    [(1, 1, Level.HIGH), (5, 2, Level.HIGH), (5, 1, Level.MEDIUM), (2, 1, Level.MEDIUM), (5, 0, Level.MEDIUM)],
)
def test_a_solution_that_no_other_start_confirms_is_never_trusted_highly(
    starts: int, accepted: int, level: Level
) -> None:
    """One start alone says nothing; of several at least one other has to come to the same solution."""
    trust = judge(
        FIT, 1e-3, SANE, refined=True, valid_fraction=1.0, evidence=Evidence(starts=starts, accepted=accepted)
    )
    assert trust.level is level
    assert all(f"of {starts} starts no other" in reason for reason in trust.reasons)


@pytest.mark.parametrize(
    ("accepted", "rivals", "level"), [(3, 2, Level.HIGH), (3, 3, Level.MEDIUM), (2, 4, Level.MEDIUM)]
)
def test_another_solution_that_fits_as_well_is_a_doubt(accepted: int, rivals: int, level: Level) -> None:
    """Where as many starts come to others as to the best, it was chosen by chance; starts that failed do not count."""
    evidence = Evidence(starts=8, accepted=accepted, rivals=rivals)
    trust = judge(FIT, 1e-3, SANE, refined=True, valid_fraction=1.0, evidence=evidence)
    assert trust.level is level
    assert all(f"{rivals} to others" in reason for reason in trust.reasons)


@pytest.mark.parametrize(
    ("probability", "level"),
    [(0.95, Level.HIGH), (0.9, Level.HIGH), (0.89, Level.MEDIUM), (0.5, Level.MEDIUM), (0.49, Level.LOW)],
)
def test_the_level_follows_from_the_probability(probability: float, level: Level) -> None:
    """However well it fits; what lowers the probability most is among the reasons, with its remedy."""
    estimate = Estimate(probability, against=(Finding("uneven", "more starts"),))
    trust = judge(FIT, 1e-3, SANE, refined=True, valid_fraction=1.0, estimate=estimate)
    assert (trust.level, trust.probability, trust.probability_reason) == (level, probability, None)
    assert [("uneven: more starts" in reason) for reason in trust.reasons] == ([] if level is Level.HIGH else [True])


@pytest.mark.parametrize("evidence", [Evidence(doubts=("undersampled",)), Evidence(starts=5, accepted=1)])
def test_no_probability_lifts_a_rule(evidence: Evidence) -> None:
    """A doubt about the data and starts that disagree stand whatever the model says."""
    certain = Estimate(1.0)
    trust = judge(FIT, 1e-3, SANE, refined=True, valid_fraction=1.0, evidence=evidence, estimate=certain)
    assert trust.level is Level.MEDIUM
    insane = judge(replace(FIT, chi2=0.5), 1e-3, SANE, refined=True, valid_fraction=1.0, estimate=certain)
    assert insane.level is Level.LOW


def test_an_unknown_probability_says_why() -> None:
    """The level is then that of the rules."""
    unknown = Estimate(None, "a projection")
    trust = judge(FIT, 1e-3, SANE, refined=True, valid_fraction=1.0, estimate=unknown)
    assert (trust.level, trust.probability, trust.probability_reason) == (Level.HIGH, None, "a projection")
