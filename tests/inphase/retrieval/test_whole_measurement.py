"""From a binned crop to the whole measurement."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inphase.ambiguity import align
from inphase.free import free_voxels
from inphase.metrics import measure
from inphase.pattern import Domain
from inphase.preprocess.pipeline import Prepared, preprocess
from inphase.preprocess.placement import Placement
from inphase.preprocess.recipe import preset
from inphase.preprocess.validate import pattern_from_array
from inphase.retrieval.engine import retrieve
from inphase.retrieval.problem import Problem
from inphase.retrieval.recipe import parse
from inphase.retrieval.starts import random
from inphase.retrieval.whole_measurement import WholeMeasurement
from tests.inphase.preprocess.simulated import counts, crystal, pattern

AUTO = preset("auto", Domain.COUNTS)


def _best(prepared: Prepared, free, recipe: str):
    """The best of three random starts on the model grid, by free log-likelihood, and its problem."""
    problem = Problem(prepared.pattern.modulus, prepared.pattern.mask, free, prepared.padding_bound)
    solutions = retrieve(problem, parse(recipe), random(problem, 3, 0))

    def misfit(s):
        return measure(s.object, s.support, problem.modulus, problem.mask, free=free).free_llk

    return min(solutions, key=misfit)


def _score(whole: WholeMeasurement, obj, support):
    problem = whole.problem
    return measure(obj, support, problem.modulus, problem.mask, free=problem.free)


@pytest.fixture(scope="module")
def case():
    """A crystal of oversampling 6 and 1e7 photons on 64 x 60 x 62 voxels, its peak off the middle;
    found on 24^3 voxels, binned by 2.
    """
    truth = crystal(4, (64, 60, 62), (6.0, 6.0, 6.0), strain=0.6, peak=(2.0, -3.0, 1.0))
    measured = pattern(counts(truth.intensity, 1e7))
    model = preprocess(measured, AUTO, (24, 24, 24))
    assert model.transform.bins == (2, 2, 2)
    free = free_voxels(model.pattern.mask, 0)
    found = _best(model, free, "60*HIO+20*ER+15*AER | SW(every=10,threshold=0.25,sigma=1.5..0.8)")
    return truth, measured, model, free, found


def test_the_grid_holds_the_whole_measurement_with_the_peak_in_its_middle(case):
    """No count is lost, nothing is binned, every side is even;
    what was hidden on the model grid is hidden here, and no more.
    """
    _, measured, model, free, _ = case
    whole = WholeMeasurement.of(measured, AUTO, model, free)
    assert all(n % 2 == 0 for n in whole.problem.modulus.shape)
    assert whole.prepared.transform.bins == (1, 1, 1)
    assert whole.prepared.counts_inside == pytest.approx(1, abs=1e-3)
    peak = np.unravel_index(whole.problem.modulus.argmax(), whole.problem.modulus.shape)
    assert all(abs(p - n // 2) <= 1 for p, n in zip(peak, whole.problem.modulus.shape, strict=True))
    assert whole.problem.free is not None
    assert whole.problem.free.sum() == pytest.approx(8 * free.sum(), rel=0.02)  # a few lie where nothing was measured


def test_the_start_predicts_the_measurement_and_refinement_resolves_more(case):
    """On the measured voxels the start fits (with the peak one voxel further it would not),
    and lacks what lies outside its window.

    Refined there, chi2 and the free log-likelihood fall to less than 0.6 of the start's, hidden voxels never seen on
    either grid, and the object is nearer to the truth at full resolution.
    """
    truth, measured, model, free, found = case
    whole = WholeMeasurement.of(measured, AUTO, model, free)
    start = whole.start(found.object, found.support)
    recipe = parse("20*AER + 10*LBFGS(loss=poisson) | SW(every=10,threshold=0.2,sigma=1)")
    (refined,) = retrieve(whole.problem, recipe, start)
    before = _score(whole, start.objects[0], start.supports[0])
    after = _score(whole, refined.object, refined.support)
    plane = np.arange(start.objects.shape[1])[:, None, None]
    further = (start.objects[0] * np.exp(2j * np.pi * plane / len(plane))).astype(np.complex64)
    assert _score(whole, further, start.supports[0]).chi2 > 2 * before.chi2
    assert after.chi2 < 0.6 * before.chi2
    assert after.free_llk < 0.6 * before.free_llk
    full = Placement(
        whole.prepared.transform.shape_out,
        tuple(-o for o in whole.prepared.transform.offset),
        (1, 1, 1),
        truth.object.shape,
    ).to_measured(truth.object)
    scores = [align(o, full)[1].score for o in (start.objects[0], refined.object)]
    assert scores[1] > scores[0]
    assert scores[1] > 0.95


def test_the_support_covers_the_same_part_of_real_space():
    """A ball on 16 x 20 x 18 model voxels binned by (2, 1, 3):
    the same ball in units of the object, to a voxel at its surface.
    """
    shape, bins, full = (16, 20, 18), (2, 1, 3), (50, 30, 64)
    way = Placement(full, (3, -2, 5), bins, shape)
    size = [n * b for n, b in zip(shape, bins, strict=True)]  # model voxels measure 1 / size, measured ones 1 / full

    def ball(sides, steps):
        axes = np.meshgrid(
            *[(np.arange(n) - n // 2) / s for n, s in zip(sides, steps, strict=True)], indexing="ij", sparse=True
        )
        return sum((a * s / 5) ** 2 for a, s in zip(axes, size, strict=True)) < 1

    support = ball(shape, size)
    here = way.support_to_measured(support)
    expected = ball(full, full)
    assert here.sum() == pytest.approx(
        support.sum() * np.prod([f / s for f, s in zip(full, size, strict=True)]), rel=0.1
    )
    assert (here & expected).sum() > 0.9 * max(here.sum(), expected.sum()) * 0.95


def test_another_grid_must_be_unbinned_and_of_the_same_measurement():
    """`onto` maps between two windows of one measurement: what it cannot map it refuses."""
    model = Placement((64, 64, 64), (8, 8, 8), (2, 2, 2), (24, 24, 24))
    with pytest.raises(ValueError, match="unbinned"):
        model.onto(replace(model, offset=(0, 0, 0)))
    with pytest.raises(ValueError, match="unbinned"):
        model.onto(Placement((60, 64, 64), (0, 0, 0), (1, 1, 1), (64, 64, 64)))


def test_scan_54(real_data: Path) -> None:
    """The real crystal, cut to 96^3 detector voxels around its peak:
    found on 32^3 (binned by 3, the rest cut off), refined on all.

    Hidden voxels are predicted better than by the start, and the object stays the same one (correlation above 0.9).
    """
    with np.load(real_data / "aps34idc_scan54" / "S0054_raw_int32.npz") as archive:
        raw = archive["data"]
    peak = np.unravel_index(raw.argmax(), raw.shape)
    box = tuple(
        slice(max(0, min(int(p) - 48, n - 96)), max(0, min(int(p) - 48, n - 96)) + 96)
        for p, n in zip(peak, raw.shape, strict=True)
    )
    measured = pattern_from_array(raw[box].astype(np.int32), Domain.COUNTS)
    model = preprocess(measured, AUTO, (32, 32, 32))
    free = free_voxels(model.pattern.mask, 0)
    found = _best(model, free, "3*(20*ER+60*HIO)+20*ER+15*AER | SW(every=10,threshold=0.2,sigma=1.5..1)")
    whole = WholeMeasurement.of(measured, AUTO, model, free)
    start = whole.start(found.object, found.support)
    recipe = parse("30*HIO+20*AER | SW(every=10,threshold=0.15,sigma=1.5..1)")
    (refined,) = retrieve(whole.problem, recipe, start)
    before, after = _score(whole, start.objects[0], start.supports[0]), _score(whole, refined.object, refined.support)
    assert after.free_llk < before.free_llk
    assert after.chi2 < before.chi2
    assert align(refined.object, start.objects[0])[1].score > 0.9
