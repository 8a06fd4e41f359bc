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
    """S P_M o takes the object's place, where whole runs of voxels are outside too."""
    v.support[1] = False
    obj, projected, support = _tensors(v.a, v.b, v.support)
    passes.confine(obj, projected, support)
    np.testing.assert_array_equal(obj.numpy(), v.b * v.support)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(("keep", "mix"), [(1.0, -0.9), (0.8, 1 - 1.6)])
def test_feedback(v, keep, mix):
    """P_M o inside, keep o + mix P_M o outside."""
    obj, projected, support = _tensors(v.a, v.b, v.support)
    passes.feed_back(obj, projected, support, keep, mix)
    np.testing.assert_allclose(obj.numpy(), np.where(v.support, v.b, keep * v.a + mix * v.b), atol=1e-6)
    np.testing.assert_array_equal(projected.numpy(), v.b)


@pytest.mark.usefixtures("path")
def test_the_flipped_amplitude(v):
    """2 r - a, or 0, with the phase of the projection, where a >= 0.7 r;
    below that it stays, and outside is nothing. A start without any stays so.
    """
    v.b[1] = 0
    v.b[0, 1, 1, 1] = 6  # more than 2 r
    v.support[0, 1:] = True
    obj, projected, support = _tensors(v.a, v.b, v.support)
    passes.flip_amplitude(obj, projected, support)
    a = np.abs(v.b[0] * v.support[0])
    r = np.sqrt((a**4).sum() / (a**2).sum())
    assert 2 * r < 6
    assert 0.1 < np.mean(a >= 0.7 * r) < 0.9
    turned = np.where(a >= 0.7 * r, np.maximum(2 * r - a, 0), a)
    np.testing.assert_allclose(obj[0].numpy(), turned * np.exp(1j * np.angle(v.b[0])), rtol=1e-5, atol=1e-5)
    assert not obj[1].any()


@pytest.mark.usefixtures("path")
def test_a_stripe_changes_sides_of_the_far_field():
    """A homogeneous crystal with a stripe, 1 + e exp(i q r), becomes 1 - e exp(-i q r)
    up to e^2 (r is 1 + 1.5 e^2): its phase stays, its amplitude turns.
    """
    size, wave = 0.05, np.exp(2j * np.pi * np.arange(16) * 3 / 16)
    striped = np.broadcast_to(1 + size * wave, (1, 4, 4, 16)).astype(np.complex64)
    obj, projected = _tensors(striped, striped)
    passes.flip_amplitude(obj, projected, torch.ones(obj.shape, dtype=torch.bool))
    np.testing.assert_allclose(obj.numpy(), np.broadcast_to(1 - size * wave.conj(), obj.shape), atol=4 * size**2)


@pytest.mark.usefixtures("path")
def test_difference_map(v):
    """f_S o is o / beta outside; then (1 + beta) P_M o inside, o outside, less beta times the second projection."""
    obj, projected, second, support = _tensors(v.a, v.b, v.c, v.support)
    passes.relax(obj, support, 0.7)
    np.testing.assert_allclose(obj.numpy(), np.where(v.support, v.a, v.a / 0.7), atol=1e-6)
    passes.difference_map(obj, projected, second, support, 0.7)
    np.testing.assert_allclose(obj.numpy(), np.where(v.support, 1.7 * v.b, v.a) - 0.7 * v.c, atol=2e-6)


@pytest.mark.usefixtures("path")
def test_projection_under_partial_coherence(v):
    """c |F| / sqrt(blurred) where c is measured, c elsewhere; the projection takes it for each start."""
    field, blurred = _tensors(v.a, (np.abs(v.b) ** 2).astype(np.float32))
    np.testing.assert_allclose(passes.intensity(field).numpy(), np.abs(v.a) ** 2, rtol=1e-6)
    coherent = passes.coherent(field, blurred, torch.from_numpy(v.constraint))
    expected = np.where(v.constraint >= 0, v.constraint * np.abs(v.a) / np.abs(v.b), v.constraint)
    np.testing.assert_allclose(coherent.numpy(), expected, rtol=1e-5)
    projected = passes.project_modulus(field, coherent).numpy()
    np.testing.assert_allclose(np.abs(projected[:, 2:]), expected[:, 2:], rtol=1e-5)
    np.testing.assert_allclose(projected[:, 0], v.a[:, 0])


@pytest.mark.usefixtures("path")
def test_the_quotient_of_richardson_and_lucy(v):
    """m^2 / i over the visible voxels, 0 elsewhere."""
    intensity, constraint = _tensors((np.abs(v.b) ** 2 + 0.1).astype(np.float32), v.constraint)
    expected = np.where(v.constraint >= 0, v.constraint**2 / intensity.numpy(), 0)
    np.testing.assert_allclose(passes.quotient(intensity, constraint).numpy(), expected, rtol=1e-5)


@pytest.mark.usefixtures("path")
def test_curvature_is_the_second_derivative_of_the_loss(v):
    """Against finite differences of 1/2 ||F - P_M F||^2 in double precision;
    voxels at a kink of the bound are avoided by the step.
    """
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
    """field += length * along, one number per start."""
    factors = np.array([0.5, -2.0])
    field, along = _tensors(v.a, v.b)
    passes.step(field, along, torch.from_numpy(factors))
    np.testing.assert_allclose(field.numpy(), v.a + factors[:, None, None, None] * v.b, atol=1e-6)


@pytest.mark.usefixtures("path")
def test_overlap_counts_visible_voxels_only(v):
    """sum |F| m and sum |F|^2 where the constraint is a measurement (zero included);
    a blurred intensity takes the place of |F|^2.
    """
    field, constraint = _tensors(v.a, v.constraint)
    sums = passes.overlap(field, constraint).numpy()
    np.testing.assert_allclose(passes.overlap(2 * field, constraint, passes.intensity(field)).numpy(), sums, rtol=1e-6)
    seen = v.constraint >= 0
    for b in range(2):
        modulus = np.abs(v.a[b][seen]).astype(float)
        np.testing.assert_allclose(sums[b], [modulus @ v.constraint[seen], modulus @ modulus], rtol=1e-5)


@pytest.mark.usefixtures("path")
def test_amplitude_reference_and_threshold(v):
    """|o| with no imaginary part, sqrt(sum a^4 / sum a^2), and the voxels above a cut with their number."""
    (obj,) = _tensors(v.a)
    smooth = torch.empty_like(obj)
    mean = passes.amplitude(obj, smooth)
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
    """The product of one window per axis, the same for every start."""
    (volume,) = _tensors(v.a)
    windows = [np.random.default_rng(n).random(n).astype(np.float32) for n in SHAPE[1:]]
    expected = v.a * np.einsum("i,j,k", *windows)
    np.testing.assert_allclose(passes.weigh(volume, _tensors(*windows)).numpy(), expected, atol=1e-6)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("scale", [1e-15, 1e15])
def test_the_reference_amplitude_has_the_scale_of_the_data(v, scale):
    """Fourth powers of any data stay within single precision."""
    smooth = torch.empty(SHAPE, dtype=torch.complex64)
    mean = passes.amplitude(torch.from_numpy(v.a * np.float32(scale)), smooth)
    a = np.abs(v.a.astype(complex))
    expected = scale * np.sqrt((a**4).sum((1, 2, 3)) / (a**2).sum((1, 2, 3)))
    np.testing.assert_allclose(passes.intensity_weighted_amplitude(smooth, mean).numpy(), expected, rtol=1e-5)
