"""What a job knows that tells right images from wrong ones, on a crystal whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from inphase.ambiguity import mirrored, twin
from inphase.errors import DataError
from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.signs import Signs, estimate
from inphase.imaging.way import begin
from inphase.models.session import Sessions
from inphase.pattern import Domain
from inphase.retrieval.ensemble import Candidate, assess
from tests.inphase.imaging.whole_way import raw, run
from tests.toy import crystal


@pytest.fixture(scope="module")
def prepared(sessions: Sessions, pattern: NDArray[np.uint32]) -> PreparedPattern:
    """The toy's pattern, with the network that knows its crystal."""
    return begin(raw(pattern), Options(), sessions.get(None), Clock())[0]


def candidate(prepared: PreparedPattern, obj: NDArray[np.complex64], support: NDArray[np.bool_]) -> Candidate:
    """An image with its score."""
    return Candidate(obj, support, prepared.measure(obj, support), "network")


def speckled(prepared: PreparedPattern) -> Candidate:
    """Random numbers in the crystal's own support: what a retrieval that has failed leaves."""
    draw = np.random.default_rng(0)
    support = np.abs(crystal()) > 0
    noise = draw.normal(size=(2, *support.shape)).astype(np.float32)
    return candidate(prepared, np.where(support, noise[0] + 1j * noise[1], 0).astype(np.complex64), support)


def test_the_truth_has_the_signs_of_the_truth(prepared: PreparedPattern) -> None:
    """Even, as long as the autocorrelation says, as near to the network's image as can be, and noise alone is left."""
    support = np.abs(crystal()) > 0
    signs = Signs.of(prepared, candidate(prepared, crystal(), support), counts_inside=1.0)
    assert signs.plateau == pytest.approx(1, abs=1e-3)
    assert signs.misfit == pytest.approx(0, abs=0.05)
    assert signs.free_excess == pytest.approx(0, abs=0.05)
    assert signs.extent < 0.25
    assert signs.outside == -3
    assert signs.likeness == pytest.approx(1, abs=1e-3)
    assert (signs.incoherence, signs.agreement) == (0.0, None)


def test_speckles_have_other_signs(prepared: PreparedPattern) -> None:
    """The median of a Rayleigh distribution above 0.2 of its 99.9th percentile, 3.72: 1.30 / 3.72 or a little more."""
    signs = Signs.of(prepared, speckled(prepared), counts_inside=1.0)
    assert signs.plateau == pytest.approx(1.30 / 3.72, abs=0.03)
    assert signs.misfit > 1
    assert signs.likeness is not None
    assert signs.likeness < 0.2


def test_the_phase_step_is_that_of_neighbours_about_the_ramp(prepared: PreparedPattern) -> None:
    """A box of ones with a wall at which the sign changes: pi for its 16 x 16 pairs of all; a ramp changes nothing.
    Independent phases differ by pi / 2 on average.
    """
    support = np.zeros((64, 64, 64), bool)
    support[24:40, 24:40, 24:40] = True
    index = np.arange(64)
    signs = (index // 32 * np.pi)[:, None, None]
    ramp = 0.3 * index[None, :, None] - 0.2 * index[None, None, :]
    obj = np.where(support, np.exp(1j * (signs + ramp)), 0).astype(np.complex64)
    found = Signs.of(prepared, candidate(prepared, obj, support), 1.0).phase_step
    assert found == pytest.approx(np.pi * 16 * 16 / (3 * 15 * 16 * 16), rel=1e-3)
    assert Signs.of(prepared, speckled(prepared), 1.0).phase_step == pytest.approx(np.pi / 2, abs=0.05)


def test_central_light_is_what_lies_around_the_peak(prepared: PreparedPattern) -> None:
    """A sum by brute force over an ellipsoid of 1.5 fringes; a masked centre leaves none of it."""
    best = speckled(prepared)
    places = np.argwhere(prepared.problem.modulus >= 0) - 32
    near = ((places / np.array(prepared.oversampling)) ** 2).sum(axis=1) < 1.5**2
    light = prepared.problem.modulus.ravel().astype(float) ** 2
    found = Signs.of(prepared, best, 1.0).central_light
    assert found == pytest.approx(np.log10(light[near].sum() / light.sum()), abs=1e-6)
    mask = prepared.problem.mask.copy()
    mask[tuple(places[near].T + 32)] = 1
    hidden = replace(prepared, problem=replace(prepared.problem, mask=mask))
    assert Signs.of(hidden, best, 1.0).central_light == -6


def test_the_probability_tells_the_truth_from_speckles(prepared: PreparedPattern) -> None:
    """The one is probable; the other is not, and two signs say why, each with a remedy."""
    support = np.abs(crystal()) > 0
    right = estimate(prepared, candidate(prepared, crystal(), support), 1.0, None, refined=True)
    wrong = estimate(prepared, speckled(prepared), 1.0, None, refined=True)
    assert right.value is not None
    assert right.value > 0.9
    assert wrong.value is not None
    assert wrong.value < 0.1
    assert 0 < len(wrong.against) <= 2
    assert all(finding.remedy for finding in wrong.against)
    named = " ".join(finding.what for finding in wrong.against)
    assert "unlike the network's" in named
    assert "chi2 is far above what noise leaves" in named


def test_a_sign_that_a_job_does_not_have_is_not_named(prepared: PreparedPattern) -> None:
    """Without a network there is no likeness to its image, and with a single start no agreement: both lower the
    probability of a right image, and there is nothing to say of them.
    """
    right = candidate(prepared, crystal(), np.abs(crystal()) > 0)
    known = estimate(prepared, right, 1.0, None, refined=True)
    alone = estimate(replace(prepared, prediction=None), right, 1.0, None, refined=True)
    assert known.value is not None
    assert alone.value is not None
    assert 0.5 < alone.value < known.value
    assert alone.against == ()


def test_what_was_not_calibrated_has_no_probability(prepared: PreparedPattern) -> None:
    """A modulus, and a result without free voxels: none, and why; never a guess."""
    best = speckled(prepared)
    modulus = replace(prepared, domain=Domain.MODULUS, noise_chi2=None)
    unfree = replace(best, metrics=replace(best.metrics, free_llk=None, free_llk_reason="no voxels were set free"))
    for case, image, word in ((modulus, best, "modulus"), (prepared, unfree, "no voxels were set free")):
        found = estimate(case, image, 1.0, None, refined=True)
        assert found.value is None
        assert found.why is not None
        assert word in found.why
        with pytest.raises(DataError, match=word):
            Signs.of(case, image, 1.0)


def test_a_projection_has_no_probability(pattern: NDArray[np.uint32]) -> None:
    """One frame gives the image of a projection, which the calibration does not know: said in the report."""
    report = run(pattern[32], Options(refine="10*ER", start="random", starts=1), None).report
    assert report.trust is not None
    assert report.trust.probability is None
    assert report.trust.probability_reason is not None
    assert "projection" in report.trust.probability_reason


def test_the_best_other_start_is_the_agreement(prepared: PreparedPattern) -> None:
    """Of the truth, its twin and speckles: the twin is the same solution."""
    support = np.abs(crystal()) > 0
    truth = candidate(prepared, crystal(), support)
    other = candidate(prepared, twin(crystal()), mirrored(support))
    ensemble = assess(prepared.problem, [truth, speckled(prepared), other])
    found = Signs.of(prepared, truth, 1.0, ensemble).agreement
    assert found == pytest.approx(1, abs=1e-3)
    alone = assess(prepared.problem, [truth, speckled(prepared)])
    assert Signs.of(prepared, truth, 1.0, alone).agreement == alone.members[1].correlation < 0.2
