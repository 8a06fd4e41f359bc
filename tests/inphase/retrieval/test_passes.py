"""The compiled sweeps against their definitions in numpy, and against the torch expressions that other devices use."""

import numpy as np
import pytest
import torch

from inphase.retrieval import passes

SHAPE = (2, 6, 4, 8)  # two starts


class Volumes:
    """Random complex volumes, a support, and a constraint holding every kind of voxel."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.a, self.b, self.c, self.d = (
            (rng.standard_normal(SHAPE) + 1j * rng.standard_normal(SHAPE)).astype(np.complex64) for _ in range(4)
        )
        self.support = rng.random(SHAPE) < 0.4
        self.constraint = rng.random(SHAPE[1:]).astype(np.float32) * 3
        self.constraint[0] = -np.inf
        self.constraint[1] = -1.0
        self.constraint[2] = 0.0


@pytest.fixture
def v():
    return Volumes()


def _tensors(*arrays):
    return [torch.from_numpy(a.copy()) for a in arrays]


@pytest.fixture(params=["compiled", "expressions"])
def path(request, monkeypatch):
    """Both code paths; the second is what a GPU runs."""
    if request.param == "expressions":
        monkeypatch.setattr(passes, "_on_cpu", lambda tensor: False)


@pytest.mark.usefixtures("path")
def test_modulus_projection(v):
    """|F| becomes the modulus, is cut at the bound, or stays; the phase always stays. Single precision: 1e-6."""
    (field,) = _tensors(v.a)
    projected = passes.project_modulus(field, torch.from_numpy(v.constraint)).numpy()
    modulus, phase = np.abs(v.a), np.angle(v.a)
    target = np.broadcast_to(v.constraint, SHAPE).copy()
    target[:, 0] = modulus[:, 0]
    target[:, 1] = np.minimum(modulus[:, 1], 1.0)
    np.testing.assert_allclose(projected, target * np.exp(1j * phase), atol=3e-6)


@pytest.mark.usefixtures("path")
def test_an_empty_voxel_stays_finite(v):
    """F = 0 has no phase: it stays zero under every constraint instead of becoming NaN."""
    field = torch.zeros(SHAPE, dtype=torch.complex64)
    assert not passes.project_modulus(field, torch.from_numpy(v.constraint)).any()


@pytest.mark.usefixtures("path")
def test_confinement(v):
    """S P_M o."""
    projected, support = _tensors(v.a, v.support)
    np.testing.assert_array_equal(passes.confine(projected, support).numpy(), v.a * v.support)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(("keep", "mix"), [(1.0, -0.9), (0.8, 1 - 1.6)])
def test_feedback(v, keep, mix):
    """P_M o inside, keep o + mix P_M o outside."""
    obj, projected, support = _tensors(v.a, v.b, v.support)
    result = passes.feed_back(obj, projected, support, keep, mix).numpy()
    np.testing.assert_allclose(result, np.where(v.support, v.b, keep * v.a + mix * v.b), atol=1e-6)
    np.testing.assert_array_equal(obj.numpy(), v.a)


@pytest.mark.usefixtures("path")
def test_difference_map(v):
    """(1 + beta) P_M o inside, o outside, less beta times the second projection."""
    obj, projected, second, support = _tensors(v.a, v.b, v.c, v.support)
    result = passes.difference_map(obj, projected, second, support, 0.7).numpy()
    np.testing.assert_allclose(result, np.where(v.support, 1.7 * v.b, v.a) - 0.7 * v.c, atol=1e-6)


def test_projection_under_partial_coherence(v):
    """F times c / sqrt(blurred); with |F|^2 for the blurred intensity it is the coherent projection."""
    field, same = _tensors(v.a, v.a)
    constraint = torch.from_numpy(v.constraint)
    blurred = torch.from_numpy(np.abs(v.a) ** 2)
    coherent = passes.project_modulus(same, constraint).numpy()
    np.testing.assert_allclose(passes.project_blurred(field, blurred, constraint).numpy(), coherent, atol=3e-6)
    (field,) = _tensors(v.a)
    quarter = passes.project_blurred(field, 4 * blurred, constraint).numpy()
    np.testing.assert_allclose(quarter[:, 3:], coherent[:, 3:] / 2, atol=3e-6)


@pytest.mark.usefixtures("path")
def test_gradient_and_its_products(v):
    """g = S (o - P_M o) and the three inner products per start."""
    obj, projected, support, previous, direction = _tensors(v.a, v.b, v.support, v.c, v.d)
    sums = passes.gradient(obj, projected, support, previous, direction).numpy()
    g = v.support * (v.a - v.b)
    np.testing.assert_allclose(projected.numpy() * v.support, g, atol=1e-6)
    for b in range(2):
        expected = [np.vdot(g[b], other[b]).real for other in (g, g - v.c, v.d)]
        np.testing.assert_allclose(sums[b], expected, rtol=1e-5, atol=1e-4)


@pytest.mark.usefixtures("path")
def test_curvature_is_the_second_derivative_of_the_loss(v):
    """Against finite differences of 1/2 ||F - P_M F||^2 in double precision; voxels at a kink of the bound are avoided by the step."""
    sums = passes.curvature(*_tensors(v.a, v.b, v.constraint)).numpy()

    def loss(t):
        modulus = np.abs(v.a.astype(np.complex128) + t * v.b)
        target = np.where(v.constraint >= 0, v.constraint, np.minimum(modulus, -v.constraint))
        return 0.5 * ((modulus - target) ** 2).sum(axis=(1, 2, 3))

    h = 1e-4
    second = (loss(h) - 2 * loss(0) + loss(-h)) / h**2
    np.testing.assert_allclose(sums[:, 0], second, rtol=1e-3)
    np.testing.assert_allclose(sums[:, 1], (np.abs(v.b) ** 2).sum(axis=(1, 2, 3)), rtol=1e-5)


@pytest.mark.usefixtures("path")
def test_projection_into_another_volume(v):
    """With `out` the field itself stays."""
    (field,) = _tensors(v.a)
    constraint = torch.from_numpy(v.constraint)
    projected = passes.project_modulus(field, constraint, torch.empty_like(field))
    np.testing.assert_array_equal(field.numpy(), v.a)
    np.testing.assert_array_equal(projected.numpy(), passes.project_modulus(field, constraint).numpy())


@pytest.mark.usefixtures("path")
def test_steps_of_each_start_have_their_own_length(v):
    """direction = S (ratio * direction - gradient), obj += length * direction, one number per start."""
    factors = np.array([0.5, -2.0])
    direction, grad, obj, support = _tensors(v.a, v.b, v.c, v.support)
    passes.redirect(direction, grad, support, torch.from_numpy(factors))
    expected = v.support * (factors[:, None, None, None] * v.a - v.b)
    np.testing.assert_allclose(direction.numpy(), expected, atol=1e-6)
    passes.step(obj, direction, torch.from_numpy(factors))
    np.testing.assert_allclose(obj.numpy(), v.c + factors[:, None, None, None] * expected, atol=1e-5)


@pytest.mark.usefixtures("path")
def test_overlap_counts_visible_voxels_only(v):
    """sum |F| m and sum |F|^2 where the constraint is a measurement (zero included)."""
    sums = passes.overlap(*_tensors(v.a, v.constraint)).numpy()
    seen = v.constraint >= 0
    for b in range(2):
        modulus = np.abs(v.a[b][seen]).astype(float)
        np.testing.assert_allclose(sums[b], [modulus @ v.constraint[seen], modulus @ modulus], rtol=1e-5)


@pytest.mark.usefixtures("path")
def test_amplitude_reference_and_threshold(v):
    """|o| with no imaginary part, sqrt(sum a^4 / sum a^2), and the voxels above a cut with their number."""
    smooth, mean = passes.amplitude(torch.from_numpy(v.a))
    a = np.abs(v.a)
    np.testing.assert_allclose(mean.numpy(), a.mean((1, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(smooth.numpy(), a, atol=1e-6)
    reference = passes.intensity_weighted_amplitude(smooth, mean).numpy()
    np.testing.assert_allclose(reference, np.sqrt((a**4).sum((1, 2, 3)) / (a**2).sum((1, 2, 3))), rtol=1e-5)
    support, counts = passes.above(smooth, torch.tensor([0.5, 1.5], dtype=torch.float64))
    expected = a >= np.array([0.5, 1.5]).reshape(-1, 1, 1, 1)
    np.testing.assert_array_equal(support.numpy(), expected)
    assert counts == expected.sum((1, 2, 3)).tolist()


@pytest.mark.usefixtures("path")
def test_weights(v):
    """One weight per voxel, the same for every start."""
    (volume,) = _tensors(v.a)
    weights = np.abs(v.b[0]).astype(np.float32)
    np.testing.assert_allclose(passes.weigh(volume, torch.from_numpy(weights)).numpy(), v.a * weights, atol=1e-6)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("scale", [1e-15, 1e15])
def test_the_reference_amplitude_has_the_scale_of_the_data(v, scale):
    """Fourth powers of any data stay within single precision."""
    smooth, mean = passes.amplitude(torch.from_numpy(v.a * np.float32(scale)))
    a = np.abs(v.a.astype(complex))
    expected = scale * np.sqrt((a**4).sum((1, 2, 3)) / (a**2).sum((1, 2, 3)))
    np.testing.assert_allclose(passes.intensity_weighted_amplitude(smooth, mean).numpy(), expected, rtol=1e-5)
