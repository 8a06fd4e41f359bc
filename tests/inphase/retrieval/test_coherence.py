"""Partial coherence: the convolution against brute force, and kernels that are found again."""

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve
from scipy.optimize import minimize
from scipy.special import erf

from inphase.fourier import forward
from inphase.metrics import measure
from inphase.pattern import MaskState
from inphase.retrieval.coherence import Coherence
from inphase.retrieval.engine import retrieve
from inphase.retrieval.fft import Transform
from inphase.retrieval.problem import Problem
from inphase.retrieval.recipe import parse
from inphase.retrieval.starts import from_prediction
from inphase.retrieval.terms import PartialCoherence


def _gaussian(sigma, side=9):
    """Product of Gaussians of these widths in voxels, normalised."""
    axes = np.meshgrid(*(np.arange(side) - side // 2 for _ in sigma), indexing="ij")
    kernel = np.exp(-0.5 * sum((axis / s) ** 2 for axis, s in zip(axes, sigma, strict=True)))
    return (kernel / kernel.sum()).astype(np.float32)


def _operator(kernel):
    clause = PartialCoherence(size=kernel.shape[0])
    return Coherence(clause, Transform(kernel.ndim), torch.from_numpy(kernel[None].copy()))


def test_the_convolution_is_periodic():
    """Against scipy's convolution voxel by voxel, for a lopsided kernel."""
    rng = np.random.default_rng(0)
    kernel = rng.random((3, 3, 3)).astype(np.float32)
    kernel /= kernel.sum()
    volume = rng.random((1, 8, 6, 10)).astype(np.float32)
    blurred = _operator(kernel).forward(torch.from_numpy(volume)).numpy()
    np.testing.assert_allclose(blurred[0], convolve(volume[0], kernel, mode="wrap"), atol=1e-6)


def _crystal(n=32):
    z, y, x = np.indices((n, n, n)) - n // 2
    shape = (abs(z) < 5) & (y > -5) & (y < 6) & (abs(x) < 5) & (x + y - z < 6)
    return (shape * np.exp(0.7j * np.sin(0.4 * x + 0.3 * y))).astype(np.complex64)


def _measured(obj, kernel, photons=1e8):
    """Counts of a partially coherent beam, with Poisson noise."""
    rate = np.clip(convolve(np.abs(forward(obj)) ** 2, kernel, mode="wrap"), 0, None)
    return np.random.default_rng(1).poisson(rate * (photons / rate.sum()))


@pytest.mark.parametrize(("kind", "tolerance"), [("gauss", 0.05), ("lucy", 0.1)])
def test_the_kernel_is_found_from_the_object(kind, tolerance):
    """From the true far field with a tenth of the voxels masked; widths (second moments) within 5 and 10 %."""
    sigma = (0.6, 0.9, 0.7)
    kernel = _gaussian(sigma)
    truth = _crystal()
    counts = _measured(truth, kernel)
    hidden = np.random.default_rng(2).random(counts.shape) < 0.1
    scale = counts.sum() / (np.abs(forward(truth)) ** 2).sum()
    intensity = (np.abs(forward(truth)) ** 2 * scale).astype(np.float32)
    constraint = np.where(hidden, -np.inf, np.sqrt(counts)).astype(np.float32)
    intensity, constraint = (torch.from_numpy(np.fft.ifftshift(a).copy()) for a in (intensity, constraint))
    clause = PartialCoherence(kernel=kind, iterations=50)
    coherence = Coherence.gaussian(clause, Transform(3), 1, counts.shape, torch.device("cpu"))
    for _ in range(3):
        coherence.update(intensity[None], constraint)
    found = coherence.kernels[0].numpy()
    assert found.sum() == pytest.approx(1, abs=1e-5)
    assert found.min() >= 0
    for axis, expected in enumerate(sigma):
        profile = found.sum(axis=tuple(a for a in range(3) if a != axis))
        position = np.arange(len(profile)) - len(profile) // 2
        assert np.sqrt((profile * position**2).sum()) == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("begun", [0.2, 0.5, 2.0])
def test_the_widths_are_those_of_the_least_misfit(begun):
    """Against scipy's minimum of the same misfit on the central half, wherever the search begins:
    to 0.005 of the kernel.
    """
    truth = _crystal()
    counts = _measured(truth, _gaussian((0.6, 0.9, 0.7)), 1e6)
    intensity = np.abs(forward(truth)) ** 2 * (counts.sum() / (np.abs(forward(truth)) ** 2).sum())
    inner, side = (slice(8, 24),) * 3, 9

    def misfit(widths):
        edges = np.arange(side + 1) - side / 2
        profiles = [np.diff(erf(edges / (np.sqrt(2) * abs(w)))) for w in widths]
        kernel = np.einsum("i,j,k", *(profile / profile.sum() for profile in profiles))
        blurred = convolve(intensity[inner], kernel, mode="wrap")
        return ((np.sqrt(np.clip(blurred, 0, None)) - np.sqrt(counts[inner])) ** 2).sum()

    expected = minimize(misfit, [0.6, 0.9, 0.7], method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-3}).x
    clause = PartialCoherence(kernel="gauss", sigma=begun)
    coherence = Coherence.gaussian(clause, Transform(3), 1, counts.shape, torch.device("cpu"))
    uncentred = (np.fft.ifftshift(a).astype(np.float32) for a in (intensity, np.sqrt(counts)))
    field, constraint = (torch.from_numpy(a.copy()) for a in uncentred)
    for _ in range(2):
        coherence.update(field[None], constraint)
    kernel = coherence.kernels[0].numpy()
    for axis, width in enumerate(expected):
        profile = kernel.sum(axis=tuple(a for a in range(3) if a != axis))
        edges = np.arange(side + 1) - side / 2
        wanted = np.diff(erf(edges / (np.sqrt(2) * width)))
        np.testing.assert_allclose(profile, wanted / wanted.sum(), atol=0.005)


def test_starts_have_widths_of_their_own():
    """Two far fields at once, seen under one blur: each finds what it finds alone."""
    counts = _measured(_crystal(), _gaussian((0.6, 0.9, 0.7)), 1e6)
    fields = np.stack([np.abs(forward(x)) ** 2 for x in (_crystal(), np.roll(_crystal(), 1, 0) * _crystal())])
    fields *= counts.sum() / fields.sum((1, 2, 3), keepdims=True)
    fields = torch.from_numpy(np.fft.ifftshift(fields, (1, 2, 3)).astype(np.float32))
    constraint = torch.from_numpy(np.fft.ifftshift(np.sqrt(counts)).astype(np.float32))

    def found(intensity):
        clause = PartialCoherence(kernel="gauss")
        coherence = Coherence.gaussian(clause, Transform(3), len(intensity), counts.shape, torch.device("cpu"))
        coherence.update(intensity, constraint)
        return coherence.kernels

    together, alone = found(fields), torch.cat([found(fields[:1]), found(fields[1:])])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-3)
    assert (together[0] - together[1]).abs().max() > 0.01


def test_a_partially_coherent_pattern_is_fitted():
    """From a start near the truth: with PC chi2 (with the found kernel) comes to the noise;
    without, the blur's misfit stays.
    """
    truth = _crystal()
    counts = _measured(truth, _gaussian((0.6, 0.6, 0.6)), 1e7)
    modulus = np.sqrt(counts).astype(np.float32)
    problem = Problem(modulus, np.zeros(modulus.shape, np.uint8))
    start = from_prediction(np.abs(truth), np.angle(truth))
    (blind,) = retrieve(problem, parse("80*ER"), start)
    (seeing,) = retrieve(problem, parse("80*ER | PC(start=5,every=10)"), start)
    valid = np.full(modulus.shape, MaskState.VALID, np.uint8)
    left, fitted = (measure(s.object, s.support, modulus, valid, kernel=s.kernel).chi2 for s in (blind, seeing))
    assert fitted < left / 5


WIDE = "20*RAAR(beta=0.75)+10*SF+6*AER | PC(start=0,every=20,kernel=gauss"


@pytest.mark.parametrize("hold", [1, 5, 10])
def test_a_bright_pattern_does_not_run_away(hold):
    """Seven decades of intensity: in single precision the blurred fringes' minima are noise of the peak,
    and F was divided by it.
    """
    truth = _crystal()
    counts = _measured(truth, _gaussian((0.4, 0.5, 0.4)), 1e10)
    modulus = np.sqrt(counts).astype(np.float32)
    start = from_prediction(np.abs(truth), np.angle(truth))
    (found,) = retrieve(Problem(modulus, np.zeros(modulus.shape, np.uint8)), parse(f"{WIDE},hold={hold})"), start)
    valid = np.full(modulus.shape, MaskState.VALID, np.uint8)
    assert measure(found.object, found.support, modulus, valid, kernel=found.kernel).chi2 < 1e-3


@pytest.mark.parametrize("hold", [1, 5])
@pytest.mark.parametrize("operation", ["ER", "AER"])
def test_the_coherent_modulus_may_be_kept_for_a_while(operation, hold):
    """From a start near the truth either way comes to a tenth of the misfit that the blur leaves,
    conjugate gradients as well.
    """
    truth = _crystal()
    counts = _measured(truth, _gaussian((0.6, 0.6, 0.6)), 1e7)
    modulus = np.sqrt(counts).astype(np.float32)
    problem = Problem(modulus, np.zeros(modulus.shape, np.uint8))
    start = from_prediction(np.abs(truth), np.angle(truth))
    (blind,) = retrieve(problem, parse(f"60*{operation}"), start)
    (seeing,) = retrieve(problem, parse(f"60*{operation} | PC(start=0,every=20,hold={hold},kernel=gauss)"), start)
    valid = np.full(modulus.shape, MaskState.VALID, np.uint8)
    left, fitted = (measure(s.object, s.support, modulus, valid, kernel=s.kernel).chi2 for s in (blind, seeing))
    assert fitted < left / 5
