"""From a binned crop to the finest grid, level by level."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from inphase.ambiguity import align
from inphase.fourier import embedded, forward
from inphase.free import free_voxels
from inphase.metrics import measure
from inphase.pattern import Domain
from inphase.preprocess.pipeline import Prepared, cleaned
from inphase.preprocess.placement import Placement
from inphase.preprocess.reach import finest
from inphase.preprocess.recipe import preset
from inphase.preprocess.validate import pattern_from_array
from inphase.retrieval.engine import retrieve
from inphase.retrieval.ladder import GROWTH, MARGIN, Ladder, needed_bytes, recipe, width
from inphase.retrieval.problem import Problem
from inphase.retrieval.recipe import parse
from inphase.retrieval.starts import random
from tests.inphase.preprocess.simulated import counts, crystal, pattern

AUTO = preset("auto", Domain.COUNTS)


def _best(prepared: Prepared, free, recipe: str):
    """The best of three random starts on the model grid, by free log-likelihood, and its problem."""
    problem = Problem(prepared.pattern.modulus, prepared.pattern.mask, free, prepared.padding_bound)
    solutions = retrieve(problem, parse(recipe), random(problem, 3, 0))

    def misfit(s):
        return measure(s.object, s.support, problem.modulus, problem.mask, free=free).free_llk

    return min(solutions, key=misfit)


def _score(problem: Problem, obj, support):
    obj, support = (embedded(each, problem.modulus.shape) for each in (obj, support))
    return measure(obj, support, problem.modulus, problem.mask, free=problem.free)


def _ladder(measured, shape) -> tuple[Prepared, Prepared, np.ndarray, Ladder]:
    """The measurement on a model grid and on all its voxels, the free voxels of the former, and the way up."""
    clean = cleaned(measured, AUTO)
    model = clean.on(shape)
    window = finest(clean, model.transform, "measured").window
    assert window is not None
    whole = clean.in_window(window)
    free = free_voxels(model.pattern.mask, 0)
    return model, whole, free, Ladder.of(whole, model, free, 0)


@pytest.fixture(scope="module")
def case():
    """A crystal of oversampling 6 and 1e7 photons on 64 x 60 x 62 voxels, its peak off the middle;
    found on 24^3 voxels, binned by 2.
    """
    truth = crystal(4, (64, 60, 62), (6.0, 6.0, 6.0), strain=0.6, peak=(2.0, -3.0, 1.0))
    model, whole, free, ladder = _ladder(pattern(counts(truth.intensity, 1e7)), (24, 24, 24))
    assert model.transform.bins == (2, 2, 2)
    found = _best(model, free, "60*HIO+20*ER+15*AER | SW(every=10,threshold=0.25,sigma=1.5..0.8)")
    return truth, model, whole, free, ladder, found


def test_the_finest_grid_holds_the_whole_measurement_with_the_peak_in_its_middle(case):
    """No count is lost, nothing is binned, every side is even; what was hidden on the model grid is hidden here, and
    where no model has looked 5 % of the voxels are.
    """
    _, model, whole, free, ladder, _ = case
    assert all(n % 2 == 0 for n in ladder.problem.modulus.shape)
    assert whole.transform.bins == (1, 1, 1)
    assert whole.counts_inside == pytest.approx(1, abs=1e-3)
    peak = np.unravel_index(ladder.problem.modulus.argmax(), ladder.problem.modulus.shape)
    assert all(abs(p - n // 2) <= 1 for p, n in zip(peak, ladder.problem.modulus.shape, strict=True))
    hidden = ladder.problem.free
    assert hidden is not None
    seen = ladder.way.place(np.ones(model.pattern.shape, bool))
    assert hidden[seen].sum() == pytest.approx(8 * free.sum(), rel=0.02)  # a few lie where nothing was measured
    valid = whole.pattern.valid & ~seen
    assert hidden[valid].mean() == pytest.approx(0.05, abs=0.01)
    assert not hidden[~whole.pattern.valid].any()


def test_the_start_predicts_the_measurement_and_refinement_resolves_more(case):
    """On the measured voxels the start fits (with the peak one voxel further it would not),
    and lacks what lies outside its window.

    Refined there by the recipe of a last level, chi2 and the free log-likelihood fall to less than 0.6 of the start's,
    hidden voxels never seen on either grid, and the object is nearer to the truth at full resolution.
    """
    truth, _, whole, _, ladder, found = case
    (shape,) = ladder.shapes
    problem = ladder.level(shape)
    start = ladder.start(found.object, found.support, shape)
    (refined,) = retrieve(problem, parse(recipe(last=True, sigma=None)), start)
    before = _score(problem, start.objects[0], start.supports[0])
    after = _score(problem, refined.object, refined.support)
    plane = np.arange(start.objects.shape[1])[:, None, None]
    further = (start.objects[0] * np.exp(2j * np.pi * plane / len(plane))).astype(np.complex64)
    assert _score(problem, further, start.supports[0]).chi2 > 2 * before.chi2
    assert after.chi2 < 0.6 * before.chi2
    assert after.free_llk < 0.6 * before.free_llk
    way = whole.transform
    full = Placement(way.shape_out, tuple(-o for o in way.offset), (1, 1, 1), truth.object.shape).to_measured(
        truth.object
    )
    scores = [align(embedded(o, full.shape), full)[1].score for o in (start.objects[0], refined.object)]
    assert scores[1] > scores[0]
    assert scores[1] > 0.95


def test_levels_grow_by_one_ratio_from_the_model_grid_to_the_finest():
    """Each is the centre of the next, even-sided, at most sixteen times as large; where a level begins, the one before
    predicts the same far field.
    """
    modulus = np.random.default_rng(0).random((60, 100, 96), np.float32) + 1
    way = Placement(modulus.shape, (24, 44, 42), (1, 1, 1), (12, 12, 12))
    ladder = Ladder(Problem(modulus, np.zeros(modulus.shape, np.uint8)), way)
    shapes = ((12, 12, 12), *ladder.shapes)
    middle, last = shapes[-2:]
    assert (len(ladder.shapes), last) == (3, modulus.shape)  # 333 times as many voxels
    for one, other in pairwise(shapes):
        assert all(n % 2 == 0 and n >= m for n, m in zip(other, one, strict=True))
        assert np.prod(other) < 1.3 * GROWTH * np.prod(one)  # sides are rounded to even numbers
    part = tuple(slice((n - k) // 2, (n + k) // 2) for n, k in zip(last, middle, strict=True))
    np.testing.assert_array_equal(ladder.level(middle).modulus, modulus[part])
    obj = crystal(1, middle, (3.0, 3.0, 3.0)).object
    start = ladder.start(obj, np.ones(middle, bool), last)
    np.testing.assert_allclose(np.abs(forward(start.objects[0]))[part], np.abs(forward(obj)), atol=1e-3)


@pytest.mark.parametrize("shift", [(0, 0, 0), (20, -3, 9)])
def test_a_start_is_a_box_around_the_support_wherever_that_lies(shift):
    """What is left out is empty, so that the far field is that of the whole object; there is room around the support,
    and less than half of the grid's voxels are left.
    """
    modulus = np.ones((40, 60, 64), np.float32)
    way = Placement(modulus.shape, (4, 6, 8), (1, 2, 2), (32, 24, 24))
    ladder = Ladder(Problem(modulus, np.zeros(modulus.shape, np.uint8)), way)
    z, y, x = np.indices((32, 24, 24)) - np.array([16, 12, 12]).reshape(3, 1, 1, 1)
    support = (abs(z) < 6) & (abs(y) < 4) & (abs(x + 0.3 * y) < 5)
    obj = np.where(support, np.exp(0.2j * y), 0).astype(np.complex64)
    moved = (np.roll(each, shift, (0, 1, 2)) for each in (obj, support))
    start = ladder.start(*moved, modulus.shape)
    boxed, there = start.objects[0], start.supports[0]
    assert all(n % 2 == 0 for n in boxed.shape)
    assert boxed.size < modulus.size / 2
    whole = np.where(way.support_to_measured(support), way.to_measured(obj), 0)
    far, expected = np.abs(forward(embedded(boxed, modulus.shape))), np.abs(forward(whole))
    np.testing.assert_allclose(far, expected, atol=1e-4 * expected.max())
    for axis in range(3):
        inside = np.flatnonzero(there.any(axis=tuple(a for a in range(3) if a != axis)))
        assert inside[0] >= MARGIN
        assert inside[-1] < there.shape[axis] - MARGIN


def test_a_kernel_gets_narrower_with_the_voxels_and_a_narrow_one_is_none():
    """A Gaussian of 1.5 voxels is one of 3 on voxels half as large; what a bin alone smears is no coherence."""
    x = np.arange(9) - 4
    profile = np.exp(-0.5 * (x / 1.5) ** 2)
    kernel = profile[:, None, None] * profile[:, None] * profile
    kernel = (kernel / kernel.sum()).astype(np.float32)
    assert width(kernel, (1, 1, 1)) == pytest.approx(1.5, rel=0.03)  # its tails are cut off
    assert width(kernel, (2, 2, 2)) == pytest.approx(3.0, rel=0.06)
    assert width(None, (1, 1, 1)) is None
    point = np.zeros((9, 9, 9), np.float32)
    point[4, 4, 4] = 1
    assert width(point, (4, 4, 4)) is None


def test_what_is_done_on_a_level_can_be_parsed_and_keeps_the_coherence():
    """A kernel is searched for where one was found; the last level has the fewest iterations."""
    for sigma in (None, 1.2, 4.0):
        below, last = (parse(recipe(last=last, sigma=sigma)) for last in (False, True))
        assert last.iterations < below.iterations / 3
        for found in (below, last):
            assert (None if found.coherence is None else found.coherence.sigma) == sigma


def test_memory_is_known_before_and_smaller_parts_hold_the_models_window():
    """Eight volumes of 8 bytes a voxel, eleven with partial coherence; parts shrink in even sides, all axes alike."""
    assert needed_bytes((252, 420, 392)) == 64 * 252 * 420 * 392
    assert needed_bytes((252, 420, 392), coherent=False) == 88 * 252 * 420 * 392
    shape = (24, 60, 96)
    ladder = Ladder(
        Problem(np.ones(shape, np.float32), np.zeros(shape, np.uint8)),
        Placement(shape, (0, 14, 32), (1, 2, 2), (24, 16, 16)),
    )
    assert ladder.first == (24, 32, 32)
    found = list(ladder.parts())
    assert found[0] == shape
    for one, other in pairwise(found):
        assert all(k % 2 == 0 and a <= k <= n for a, k, n in zip(ladder.first, other, one, strict=True))
    assert (24, 46, 64) in found  # half-way
    assert ladder.reduced((24, 46, 64)).shapes[-1] == (24, 46, 64)
    assert ladder.reduced((24, 46, 64)).first == ladder.first


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


def test_another_grid_must_have_voxels_that_make_up_the_bins_of_this_one():
    """`onto` maps between two windows of one measurement: what it cannot map it refuses."""
    model = Placement((64, 64, 64), (8, 8, 8), (4, 2, 2), (12, 24, 24))
    assert model.onto(Placement((64, 64, 64), (-2, 3, 0), (2, 1, 1), (40, 64, 64))) == Placement(
        (40, 64, 64), (5, 5, 8), (2, 2, 2), (12, 24, 24)
    )
    for other in (
        replace(model, bins=(3, 2, 2)),
        Placement((64, 64, 64), (-3, 3, 0), (2, 1, 1), (40, 64, 64)),
        Placement((60, 64, 64), (0, 0, 0), (1, 1, 1), (64, 64, 64)),
    ):
        with pytest.raises(ValueError, match="no voxels that the bins"):
            model.onto(other)


def test_scan_54(real_data: Path) -> None:
    """The real crystal, cut to 96^3 detector voxels around its peak:
    found on 32^3 (binned by 3, the rest cut off), refined on all by what the ladder does on its only level.

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
    model, _, free, ladder = _ladder(measured, (32, 32, 32))
    found = _best(model, free, "3*(20*ER+60*HIO)+20*ER+15*AER | SW(every=10,threshold=0.2,sigma=1.5..1)")
    assert ladder.shapes == ((96, 96, 96),)
    problem = ladder.problem
    start = ladder.start(found.object, found.support, problem.modulus.shape)
    (refined,) = retrieve(problem, parse(recipe(last=True, sigma=None)), start)
    before, after = (
        _score(problem, start.objects[0], start.supports[0]),
        _score(problem, refined.object, refined.support),
    )
    assert after.free_llk < before.free_llk
    assert after.chi2 < before.chi2
    assert align(refined.object, start.objects[0])[1].score > 0.9
