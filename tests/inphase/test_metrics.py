"""Each metric against its definition in a loop, or an analytic value."""

import numpy as np
import pytest
from scipy.ndimage import convolve
from scipy.stats import poisson
from skimage.metrics import structural_similarity

from inphase import metrics as metrics_module
from inphase.errors import DataError
from inphase.fourier import forward
from inphase.metrics import amplitude_variation, measure, noise_chi2, phase_error, poisson_llk, sqrt_variance, ssim
from inphase.pattern import Domain, MaskState

SHAPE = (8, 6, 10)


@pytest.fixture
def case():
    """An object, Poisson counts of ten times its pattern, a mask of all states, free voxels."""
    rng = np.random.default_rng(0)
    obj = (rng.standard_normal(SHAPE) + 1j * rng.standard_normal(SHAPE)).astype(np.complex64)
    counts = rng.poisson(10 * np.abs(forward(obj)) ** 2).astype(np.float32)
    mask = rng.integers(0, 3, SHAPE).astype(np.uint8)
    counts[mask != MaskState.VALID] = 0
    free = (mask == MaskState.VALID) & (rng.random(SHAPE) < 0.2)
    return obj, counts, mask, free


def test_a_large_grid_has_the_modulus_of_any_other(monkeypatch):
    """Lines of zeros are left out, wherever the object lies; an empty object has none."""
    obj = np.zeros((12, 10, 14), np.complex64)
    obj[1:4, 5:10, 6:9] = np.random.default_rng(0).standard_normal((3, 5, 3)) + 1j
    monkeypatch.setattr(metrics_module, "SLAB", 100)
    np.testing.assert_allclose(metrics_module.far_field_modulus(obj), np.abs(forward(obj)), atol=1e-6)
    assert not metrics_module.far_field_modulus(np.zeros_like(obj)).any()


@pytest.mark.parametrize("slab", [metrics_module.SLAB, 60])
def test_measure_equals_the_definitions_summed_voxel_by_voxel(case, slab, monkeypatch):
    """chi2, R, llk and free llk of a loop over voxels in Python floats; single-precision FFT: 1e-5. So do those of a
    large grid, which is taken in slabs.
    """
    monkeypatch.setattr(metrics_module, "SLAB", slab)
    obj, counts, mask, free = case
    modulus = np.sqrt(counts)
    metrics = measure(obj, np.ones(SHAPE, bool), modulus, mask, free=free)
    f = np.abs(forward(obj.astype(np.complex128)))
    valid = [i for i in np.ndindex(SHAPE) if mask[i] == MaskState.VALID]

    def scale(voxels):
        return sum(f[i] * modulus[i] for i in voxels) / sum(f[i] ** 2 for i in voxels)

    def llk(voxels, s):
        terms = []
        for i in voxels:
            n, rate = float(counts[i]), max(s * s * f[i] ** 2, 1e-2)
            terms.append(poisson.logpmf(n, n) - poisson.logpmf(n, rate) if n else rate)
        return sum(terms) / len(terms)

    s = scale(valid)
    measured = sum(float(counts[i]) for i in valid)
    chi2 = sum((s * f[i] - modulus[i]) ** 2 for i in valid) / measured
    r_factor = sum(abs(s * f[i] - modulus[i]) for i in valid) / sum(modulus[i] for i in valid)
    assert metrics.scale == pytest.approx(s, rel=1e-5)
    assert metrics.chi2 == pytest.approx(chi2, rel=1e-5)
    assert metrics.r_factor == pytest.approx(r_factor, rel=1e-5)
    assert metrics.support_voxels == np.prod(SHAPE)
    amplitudes = [abs(complex(obj[i])) for i in np.ndindex(SHAPE)]
    mean = sum(amplitudes) / len(amplitudes)
    deviation = (sum((a - mean) ** 2 for a in amplitudes) / len(amplitudes)) ** 0.5
    assert metrics.amplitude_cv == pytest.approx(deviation / mean, rel=1e-5)
    assert metrics.llk == pytest.approx(llk(valid, s), rel=1e-4)
    hidden = [i for i in valid if free[i]]
    seen = [i for i in valid if not free[i]]
    assert metrics.free_llk == pytest.approx(llk(hidden, scale(seen)), rel=1e-4)
    assert metrics.free_llk_reason is None


def test_amplitude_variation_of_known_distributions():
    """Two equal halves of amplitude 1 and 3: 1 / 2. Complex Gaussian speckle:
    sqrt(4 / pi - 1), 1e5 voxels give it to 1 %.

    What lies outside the support does not count, nor does the phase.
    """
    support = np.zeros((4, 6), bool)
    support[1:3] = True
    obj = np.full((4, 6), 7.0, complex)
    obj[1], obj[2] = 1j, -3
    assert amplitude_variation(obj, support) == pytest.approx(0.5, rel=1e-12)
    rng = np.random.default_rng(0)
    speckle = rng.standard_normal(100_000) + 1j * rng.standard_normal(100_000)
    assert amplitude_variation(speckle, np.ones(speckle.shape, bool)) == pytest.approx(np.sqrt(4 / np.pi - 1), rel=0.01)
    with pytest.raises(DataError, match="empty"):
        amplitude_variation(obj * support, ~support)


def test_measure_does_not_depend_on_the_objects_scale_or_global_phase(case):
    """The scale is fitted, the phase is not seen."""
    obj, counts, mask, free = case
    one = measure(obj, np.ones(SHAPE, bool), np.sqrt(counts), mask, free=free)
    other = measure(obj * np.complex64(3e3j), np.ones(SHAPE, bool), np.sqrt(counts), mask, free=free)
    assert other.chi2 == pytest.approx(one.chi2, rel=1e-5)
    assert other.free_llk == pytest.approx(one.free_llk, rel=1e-4)


def test_masked_and_padded_values_are_never_looked_at(case):
    """NaN under the mask changes nothing."""
    obj, counts, mask, _ = case
    modulus = np.sqrt(counts)
    expected = measure(obj, np.ones(SHAPE, bool), modulus, mask)
    modulus[mask != MaskState.VALID] = np.nan
    assert measure(obj, np.ones(SHAPE, bool), modulus, mask) == expected


def test_free_llk_is_null_with_a_reason(case):
    """A modulus has no counts; a job without free voxels says so."""
    obj, counts, mask, free = case
    modulus = measure(obj, np.ones(SHAPE, bool), np.sqrt(counts), mask, free=free, domain=Domain.MODULUS)
    assert (modulus.llk, modulus.free_llk) == (None, None)
    assert "modulus" in modulus.free_llk_reason
    without = measure(obj, np.ones(SHAPE, bool), np.sqrt(counts), mask)
    assert without.free_llk is None
    assert "free" in without.free_llk_reason


def test_the_far_field_of_a_plane_is_two_dimensional():
    """2D patterns are measured with a 2D transform."""
    obj = np.zeros((8, 8), np.complex64)
    obj[4, 4] = 1
    assert measure(obj, obj != 0, np.full((8, 8), 5.0, np.float32), np.zeros((8, 8), np.uint8)).chi2 == pytest.approx(
        0, abs=1e-12
    )


def test_nothing_to_compare_is_an_error():
    """An empty object or a fully masked pattern has no chi2."""
    zero, ones = np.zeros((4, 4, 4), np.complex64), np.ones((4, 4, 4), np.float32)
    with pytest.raises(DataError):
        measure(zero, ones > 0, ones, np.zeros((4, 4, 4), np.uint8))
    with pytest.raises(DataError):
        measure(zero + 1, ones > 0, ones, np.ones((4, 4, 4), np.uint8))


def test_llk_of_noise_alone_is_a_half():
    """Half the deviance of a Poisson variable with a large mean is chi^2_1 / 2, mean 1/2 (1e5 voxels:
    standard error 0.0022).
    """
    rate = np.full(100_000, 1000.0)
    counts = np.random.default_rng(0).poisson(rate).astype(float)
    assert poisson_llk(rate, counts) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("rate", [1e-3, 0.05, 0.5, 1.0, 3.0, 20.0, 140.0, 1e4])
def test_expected_square_of_the_root_difference(rate):
    """E[(sqrt n - sqrt lambda)^2] against scipy's Poisson distribution; 5e-4 covers the table's end."""
    n = np.arange(0, int(rate + 20 * np.sqrt(rate) + 30))
    expected = float((poisson.pmf(n, rate) * (np.sqrt(n) - np.sqrt(rate)) ** 2).sum())
    assert float(sqrt_variance(np.array([rate]))[0]) == pytest.approx(expected, abs=5e-4, rel=5e-3)


@pytest.mark.parametrize("photons", [1e4, 1e5, 1e7])
def test_noise_chi2_predicts_what_the_truth_scores(photons):
    """Over a simulated crystal's pattern: with the known rate to 3 % (statistics),
    estimated from the counts to 10 % (bias of the estimator).
    """
    obj = np.zeros((32, 32, 32), np.complex64)
    obj[11:21, 10:22, 12:21] = 1
    rate = np.abs(forward(obj)) ** 2
    rate *= photons / rate.sum()
    counts = np.random.default_rng(1).poisson(rate).astype(np.float32)
    mask = np.zeros(rate.shape, np.uint8)
    mask[:, 20:22] = MaskState.MASKED
    valid = mask == MaskState.VALID
    truth = float(((np.sqrt(counts) - np.sqrt(rate))[valid] ** 2).sum() / counts[valid].sum())
    assert noise_chi2(counts, mask, rate=rate) == pytest.approx(truth, rel=0.03)
    assert noise_chi2(counts, mask) == pytest.approx(truth, rel=0.10)


def test_ssim_is_scikit_images_in_the_box_of_the_supports():
    """Equal to scikit-image on the box by hand; equal objects score 1 whatever their scale."""
    rng = np.random.default_rng(0)
    support = np.zeros((24, 24, 24), bool)
    support[6:16, 7:17, 8:18] = True
    other = np.roll(support, 2, axis=0)
    b = (support * (1 + 0.2 * rng.random(support.shape))).astype(np.complex64)
    a = (other * (1 + 0.2 * rng.random(support.shape))).astype(np.complex64)
    assert ssim(7j * b, b, support, support) == pytest.approx(1, abs=1e-6)
    top = np.percentile(np.abs(b[support]), 99.9)
    box = (slice(4, 20), slice(5, 19), slice(6, 20))
    y = np.abs(b).astype(float) / top
    x = np.abs(a).astype(float)
    x *= (x * y).sum() / (x * x).sum()
    assert ssim(a, b, other, support) == pytest.approx(structural_similarity(x[box], y[box], data_range=1.0), abs=1e-6)


def test_ssim_of_a_support_at_the_border_and_of_a_thin_plate():
    """The box is cut at the border and the window shrinks to what fits."""
    support = np.zeros((16, 16, 16), bool)
    support[0:2] = True
    obj = support.astype(np.complex64)
    assert ssim(obj, obj, support, support) == pytest.approx(1, abs=1e-6)


def test_phase_error_of_known_differences():
    """A global phase costs nothing; +-0.3 rad in halves costs 0.3; a wrap by 2 pi is none."""
    support = np.ones((4, 4, 4), bool)
    phase = np.random.default_rng(0).uniform(-3, 3, support.shape)
    reference = np.exp(1j * phase)
    half = np.where(np.arange(4)[:, None, None] < 2, 0.3, -0.3)
    assert phase_error(reference * np.exp(2.5j), reference, support) == pytest.approx(0, abs=1e-12)
    assert phase_error(np.exp(1j * (phase + half)), reference, support) == pytest.approx(0.3, rel=1e-12)
    with pytest.raises(DataError, match="intersect"):
        phase_error(reference, reference, ~support)


def test_a_coherence_kernel_blurs_the_intensity_first():
    """Against scipy's convolution voxel by voxel, for a lopsided kernel."""
    rng = np.random.default_rng(3)
    obj = (rng.random((8, 6, 10)) + 1j * rng.random((8, 6, 10))).astype(np.complex64)
    kernel = rng.random((3, 3, 3))
    kernel /= kernel.sum()
    blurred = np.sqrt(convolve(np.abs(forward(obj)) ** 2, kernel, mode="wrap"))
    everywhere = np.zeros(obj.shape, np.uint8)
    support = np.ones(obj.shape, bool)
    assert measure(obj, support, blurred, everywhere, kernel=kernel).chi2 < 1e-10
    assert measure(obj, support, blurred, everywhere).chi2 > 1e-3
