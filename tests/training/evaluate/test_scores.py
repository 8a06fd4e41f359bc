"""What is called good is what the formulas say, modulo twin, shift and global phase."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import convolve

from inphase import ambiguity
from inphase.fourier import forward
from inphase.pattern import MaskState
from inphase.retrieval.problem import Problem
from training.evaluate.scores import Against, Score, best, compared, free_chi2
from training.evaluate.sets import Truth

N = 32


@pytest.fixture
def truth():
    """A lopsided block with a curved phase."""
    z, y, x = np.ogrid[:N, :N, :N]
    obj = np.zeros((N, N, N), np.complex64)
    obj[10:22, 11:20, 12:21] = 1
    obj[10:14, 11:15, 12:21] = 0
    obj *= np.exp(1j * ((z - 16) / 6) ** 2 + 0.3j * (y - 15) * (x - 16) / 16)
    return Truth(obj, (np.abs(forward(obj)) ** 2).astype(np.float32))


def test_the_truth_twinned_shifted_and_turned_is_still_the_truth(truth):
    """Every figure is perfect: nothing that a pattern cannot tell counts against an image."""
    moved = np.roll(ambiguity.twin(truth.object), (3, -2, 1), (0, 1, 2)) * np.exp(1.1j).astype(np.complex64)
    against, aligned = compared(moved.astype(np.complex64), np.abs(moved) > 0.5, truth)
    assert against.ssim == pytest.approx(1, abs=1e-4)
    assert against.phase_error == pytest.approx(0, abs=1e-3)
    assert against.clean_chi2 == pytest.approx(0, abs=1e-9)
    assert against.support_ratio == pytest.approx(1)
    assert against.correlation == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(aligned, truth.object, atol=2e-3)


def test_a_known_error_is_found(truth):
    """A phase of +-0.2 rad in halves is an error of 0.2 rad rms; a support twice the crystal has ratio 2."""
    generator = np.random.default_rng(3)
    signs = generator.permuted(np.where(np.arange(N**3) % 2, 1, -1)).reshape(N, N, N)
    wrong = (truth.object * np.exp(0.2j * signs)).astype(np.complex64)
    support = truth.crystal.copy()
    support.reshape(-1)[np.flatnonzero(~support.reshape(-1))[: support.sum()]] = True
    against, _ = compared(wrong, support, truth)
    assert against.phase_error == pytest.approx(0.2, abs=0.01)
    assert against.support_ratio == pytest.approx(2)


def test_free_chi2_is_the_formula_over_the_hidden_voxels():
    """sum (s |F| - m)^2 / sum m^2 over the hidden voxels, with s from the visible ones alone."""
    generator = np.random.default_rng(0)
    obj = (generator.normal(size=(8, 8, 8)) + 1j * generator.normal(size=(8, 8, 8))).astype(np.complex64)
    modulus = generator.random((8, 8, 8), dtype=np.float32) + 0.5
    mask = np.where(generator.random((8, 8, 8)) < 0.1, MaskState.MASKED, MaskState.VALID).astype(np.uint8)
    free = generator.random((8, 8, 8)) < 0.2
    shifted = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(obj), norm="ortho"))
    above = below = over = under = 0.0
    for index in np.ndindex(8, 8, 8):
        if mask[index] == MaskState.VALID and not free[index]:
            above += abs(shifted[index]) * modulus[index]
            below += abs(shifted[index]) ** 2
    for index in np.ndindex(8, 8, 8):
        if mask[index] == MaskState.VALID and free[index]:
            over += (above / below * abs(shifted[index]) - modulus[index]) ** 2
            under += modulus[index] ** 2
    assert free_chi2(obj, Problem(modulus, mask, free)) == pytest.approx(over / under, rel=1e-5)
    assert free_chi2(obj, Problem(modulus, mask)) is None


def test_free_chi2_of_a_blurred_pattern_is_taken_under_its_kernel():
    """What the object gives under a lopsided kernel leaves nothing with it, to single precision, and much without."""
    generator = np.random.default_rng(0)
    obj = (generator.normal(size=(8, 8, 8)) + 1j * generator.normal(size=(8, 8, 8))).astype(np.complex64)
    kernel = generator.random((3, 3, 3)).astype(np.float32)
    kernel /= kernel.sum()
    modulus = np.sqrt(convolve(np.abs(forward(obj)) ** 2, kernel, mode="wrap"))
    problem = Problem(modulus.astype(np.float32), np.zeros((8, 8, 8), np.uint8), generator.random((8, 8, 8)) < 0.2)
    assert free_chi2(obj, problem, kernel) < 1e-10
    assert free_chi2(obj, problem) > 0.01


@pytest.mark.parametrize(
    ("change", "keeps_up"),
    [
        ({}, True),
        ({"ssim": 0.8951, "phase_error": 0.119, "clean_chi2": 0.0109}, True),
        ({"ssim": 0.894}, False),
        ({"phase_error": 0.121}, False),
        ({"clean_chi2": 0.0111}, False),
        ({"support_ratio": 3.0, "correlation": 0.1}, True),
    ],
)
def test_no_worse_means_within_all_three_tolerances(change, keeps_up):
    """SSIM 0.005 lower, phase error 0.02 rad higher, clean chi2 10 % higher; each of them alone decides."""
    other = Against(clean_chi2=0.01, ssim=0.9, phase_error=0.1, support_ratio=1.5, correlation=0.9)
    assert replace(other, **change).keeps_up(other) is keeps_up


def test_the_best_start_is_chosen_without_the_truth():
    """By chi2 on the measured data, whatever its free log-likelihood."""
    scores = [Score(chi2, 0.1, 100, None, llk, None, None) for chi2, llk in ((0.02, 1.0), (0.01, 9.0), (0.03, 0.5))]
    assert best(tuple(scores)) is scores[1]
