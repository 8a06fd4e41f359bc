"""Ensembles of solutions made by hand, where it is known which are the same, and of real runs."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from inphase.ambiguity import align, twin
from inphase.errors import DataError
from inphase.fourier import backward, forward
from inphase.free import free_voxels
from inphase.geometry import Geometry
from inphase.metrics import measure
from inphase.pattern import Domain
from inphase.retrieval.engine import retrieve
from inphase.retrieval.ensemble import RULES, Candidate, assess, best_of
from inphase.retrieval.problem import Problem
from inphase.retrieval.recipe import parse
from inphase.retrieval.starts import flat, jittered, random, together

N = 32


def _crystal():
    """A strained, faceted crystal without a centre of symmetry, and its support."""
    z, y, x = np.indices((N, N, N)) - N // 2
    shape = (abs(z) < 5) & (y > -5) & (y < 6) & (x > -5) & (x < 6) & (x + y - z < 6)
    return (shape * np.exp(0.7j * np.sin(0.4 * x + 0.3 * y))).astype(np.complex64), shape


@pytest.fixture(scope="module")
def case():
    """The truth, its support, and the problem of its pattern with 1e6 photons."""
    truth, support = _crystal()
    rate = np.abs(forward(truth)) ** 2
    counts = np.random.default_rng(0).poisson(1e6 * rate / rate.sum()).astype(np.float32)
    mask = np.zeros(counts.shape, np.uint8)
    return truth, support, Problem(np.sqrt(counts), mask, free_voxels(mask, 0))


def _candidate(problem, obj, support=None, kind="random", domain=Domain.COUNTS):
    support = np.abs(obj) > 0.3 * np.abs(obj).max() if support is None else support
    obj = obj.astype(np.complex64)
    return Candidate(
        obj, support, measure(obj, support, problem.modulus, problem.mask, free=problem.free, domain=domain), kind
    )


def _noisy(truth, support, seed, level=0.2):
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(truth.shape) + 1j * rng.standard_normal(truth.shape)
    return (truth + level * noise * support).astype(np.complex64)


def _moved(obj, shift, phase):
    return (np.roll(obj, shift, (0, 1, 2)) * np.exp(1j * phase)).astype(np.complex64)


def test_twins_and_moved_copies_are_averaged_in_one_frame(case):
    """Eight noisy copies, half of them twins, each elsewhere and with another phase and scale: none is rejected.

    Independent noise of 0.28 per voxel falls by sqrt(8) in the mean, so the average is nearer to the truth than any of
    them; a mean without alignment is not even close.
    """
    truth, support, problem = case
    noisy = [_noisy(truth, support, seed) for seed in range(8)]
    copies = [
        _moved(twin(o) if k % 2 else o, (k - 3, 2 - k, 1), 0.7 * k) * np.float32(1 + k) for k, o in enumerate(noisy)
    ]
    ensemble = assess(problem, [_candidate(problem, o) for o in copies])
    assert ensemble.accepted == 8
    assert ensemble.consensus is not None
    average = ensemble.consensus.average
    error = 1 - align(average, truth)[1].score
    assert error < 0.25 * min(1 - align(o, truth)[1].score for o in noisy)
    assert align(np.mean(copies, axis=0), truth)[1].score < 0.8
    best = ensemble.best
    flipped = [member.alignment is not None and member.alignment.twin for member in ensemble.members]
    turned = flipped[best - 1] != flipped[best - 2]  # neighbours are each other's twins, whichever way the frame looks
    assert turned
    # in the canonical frame and its units
    assert np.percentile(np.abs(average)[support_of(average)], 99.9) == pytest.approx(1, abs=0.3)


def support_of(obj):
    return np.abs(obj) > 0.3 * np.abs(obj).max()


def test_the_weights_and_modes_are_those_of_the_singular_value_decomposition(case):
    """Copies in one frame: weights s^2 / sum s^2 of numpy's SVD, orthogonal modes,
    sum |mode|^2 = mean |o|^2 when all are kept.
    """
    truth, support, problem = case
    objects = [_noisy(truth, support, seed) for seed in range(3)]
    candidates = [_candidate(problem, o, support) for o in objects]
    consensus = assess(problem, candidates, rules=replace(RULES, modes=3)).consensus
    assert consensus is not None
    scaled = [align(o * np.float32(c.metrics.scale), objects[0])[0] for o, c in zip(objects, candidates, strict=True)]
    singular = np.linalg.svd(np.reshape(scaled, (3, -1)), compute_uv=False)
    # aligned onto another frame here than there, to a hundredth of a voxel
    np.testing.assert_allclose(consensus.weights, singular**2 / (singular**2).sum(), atol=2e-3)
    rows = consensus.modes.reshape(3, -1)
    products = rows.conj() @ rows.T
    powers = np.diag(products).real
    np.testing.assert_allclose(products, np.diag(powers), atol=1e-4 * powers[0])
    np.testing.assert_allclose(powers / powers.sum(), consensus.weights, atol=1e-4)
    assert abs(np.vdot(consensus.modes[0], consensus.average)) > 0.99 * np.sqrt(powers[0]) * np.linalg.norm(
        consensus.average
    )


def test_what_is_not_the_same_solution_is_rejected_with_its_reason(case):
    """One fault each, among good copies: the reason names it, and the average is that of the good ones alone."""
    truth, support, problem = case
    good = [_candidate(problem, _noisy(truth, support, seed), support) for seed in range(3)]
    other = np.where(support, np.exp(1j * np.random.default_rng(9).uniform(-2, 2, truth.shape)), 0)
    everywhere = np.ones(support.shape, bool)
    tiny = np.zeros(support.shape, bool)
    tiny[16, 16, 16:19] = True
    speckle = _noisy(truth, support, 5, level=0.75)
    shared = good[0].metrics
    bad = {
        "another solution": replace(_candidate(problem, other, support), metrics=shared),
        "touches the border": replace(good[0], support=everywhere),
        "tiny": replace(good[0], support=tiny),
        "log-likelihood": replace(good[0], metrics=replace(shared, free_llk=2 * shared.free_llk)),
        "uneven": replace(_candidate(problem, speckle, support), metrics=replace(shared, amplitude_cv=0.55)),
        "diverged": replace(good[0], metrics=replace(shared, chi2=0.9)),
    }
    ensemble = assess(problem, [*good, *bad.values()])
    for member, reason in zip(ensemble.members[3:], bad, strict=True):
        assert any(reason in why for why in member.rejected), (reason, member.rejected)
    assert [member.rejected for member in ensemble.members[:3]] == [(), (), ()]
    alone = assess(problem, good)
    assert ensemble.best == alone.best
    assert ensemble.consensus is not None
    np.testing.assert_array_equal(ensemble.consensus.average, alone.consensus.average)


def test_a_twin_that_cannot_be_told_apart_is_not_averaged(case):
    """A real, centrosymmetric object is its own twin:
    which enantiomorph noise has chosen is unknown, so only the best remains.
    """
    _, _, problem = case
    z, y, x = np.indices((N, N, N)) - N // 2
    box = (abs(z) < 5) & (abs(y) < 6) & (abs(x) < 4)
    objects = [_noisy(box.astype(np.complex64), box, seed, level=0.05) for seed in range(3)]
    candidates = [_candidate(problem, o, box) for o in objects]
    candidates = [replace(c, metrics=replace(candidates[0].metrics, chi2=0.01)) for c in candidates]
    ensemble = assess(problem, candidates)
    assert ensemble.accepted == 1
    assert ensemble.consensus is None
    assert all("twin" in m.rejected[0] for i, m in enumerate(ensemble.members) if i != ensemble.best)


def test_the_best_is_chosen_by_what_was_hidden_and_never_for_a_loose_support(case):
    """Lower chi2 loses against lower free log-likelihood; faults lose against none;
    without counts chi2 decides, and says why.
    """
    truth, support, problem = case
    sound = _candidate(problem, _noisy(truth, support, 0), support)
    overfitted = replace(sound, metrics=replace(sound.metrics, chi2=sound.metrics.chi2 / 2, free_llk=9.0))
    loose = replace(sound, support=np.ones(support.shape, bool), metrics=replace(sound.metrics, free_llk=1e-3))
    assert best_of([overfitted, loose, sound]) == 2
    assert best_of([loose]) == 0
    modulus = [
        replace(c, metrics=replace(c.metrics, free_llk=None, free_llk_reason="a modulus")) for c in (sound, overfitted)
    ]
    ensemble = assess(problem, modulus)
    assert (ensemble.best, ensemble.ranked_by) == (1, "chi2")
    assert "a modulus" in ensemble.why
    with pytest.raises(DataError):
        assess(problem, [])


def test_resolution_of_solutions_that_agree_at_low_q_only(case):
    """Phases made random beyond half of Nyquist: the transfer function and the correlation end there,
    4 voxels or 20 nm of 5 nm each.
    """
    truth, support, problem = case
    field = forward(truth)
    offsets = np.meshgrid(*[np.arange(N) - N // 2] * 3, indexing="ij")
    beyond = np.sqrt(sum(o**2 for o in offsets)) > N // 4
    noise = [np.exp(2j * np.pi * np.random.default_rng(k).random(field.shape)) for k in range(12)]
    objects = [backward(np.where(beyond, field * e, field)).astype(np.complex64) for e in noise]
    strong = Problem(np.abs(field).astype(np.float32), problem.mask)
    candidates = [
        replace(_candidate(strong, o, support), metrics=measure(truth, support, strong.modulus, strong.mask))
        for o in objects
    ]
    voxel = 5e-9
    lenient = replace(RULES, correlation=0.0)
    geometry = Geometry(np.eye(3) * 2 * np.pi / (N * voxel))
    known = assess(strong, candidates, geometry=geometry, rules=lenient).consensus
    unknown = assess(strong, candidates, rules=lenient).consensus
    assert known is not None
    assert unknown is not None
    assert [r.criterion for r in known.resolutions] == ["1/e", "0.143", "half-bit"]
    for metres, voxels in zip(known.resolutions, unknown.resolutions, strict=True):
        assert metres.crossed
        assert voxels.voxels == pytest.approx(4, rel=0.15)
        assert metres.metres == pytest.approx(voxels.voxels * voxel, rel=1e-6)


def test_runs_from_every_kind_of_start(case):
    """A batch of disturbed, flat and random starts:
    the best is the crystal, and the accepted average is at least as near to it.
    """
    truth, support, problem = case
    prediction = np.where(support, 1.0, 0.02), np.where(support, 0.5 * np.angle(truth), 0)
    batch = together([jittered(*prediction, 2, 0), flat(problem, 1, 0), random(problem, 2, 0)])
    kinds = ["jittered"] * 2 + ["autocorrelation"] + ["random"] * 2
    recipe = parse("2*(10*ER+60*HIO)+30*ER | SW(every=10,threshold=0.3)")
    candidates = [
        _candidate(problem, s.object, s.support, kind)
        for s, kind in zip(retrieve(problem, recipe, batch), kinds, strict=True)
    ]
    ensemble = assess(problem, candidates)
    assert [member.kind for member in ensemble.members] == kinds
    best = candidates[ensemble.best]
    score = align(best.object, truth)[1].score
    assert score > 0.95
    assert ensemble.accepted >= 2
    assert align(ensemble.consensus.average, truth)[1].score > score - 0.005
    for member, candidate in zip(ensemble.members, candidates, strict=True):
        if not member.rejected:
            assert align(candidate.object, truth)[1].score > 0.9


def test_two_objects_with_one_pattern_are_rivals():
    """Three points convolved with three others, and with the others' mirror image, are two objects with the same |F|
    (homometric): two starts at each of them are rivals, and none of two that have failed is one.
    """
    near, far = np.zeros((N, N, N), np.complex64), np.zeros((N, N, N), np.complex64)
    near[16, 16, 16], near[16, 17, 18], near[18, 15, 16] = 1.0, 0.9, 0.9j
    far[16, 16, 16], far[16, 22, 18], far[21, 15, 18] = 1.0, 0.9, 0.9j
    one, other = (backward(forward(near) * forward(p)).astype(np.complex64) * 200 for p in (far, twin(far)))
    assert align(one, other)[1].score < RULES.correlation
    rate = np.abs(forward(one)) ** 2
    counts = np.random.default_rng(0).poisson(1e6 * rate / rate.sum()).astype(np.float32)
    mask = np.zeros(counts.shape, np.uint8)
    problem = Problem(np.sqrt(counts), mask, free_voxels(mask, 0))
    failed = [_noisy(one, np.abs(one) > 0.1, seed, level=3.0) for seed in (1, 2)]
    supports = [binary_dilation(np.abs(o) > 0.1, iterations=4) for o in (one, one, other, other, *failed)]
    candidates = [_candidate(problem, o, s) for o, s in zip((one, one, other, other, *failed), supports, strict=True)]
    ensemble = assess(problem, candidates)
    assert (ensemble.accepted, ensemble.rivals) == (2, 2)
