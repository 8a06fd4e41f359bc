"""training.losses against the formulas and against inphase.metrics."""

import numpy as np
import torch

from inphase import metrics
from training.losses import modulus_error, modulus_errors, outside_extent, unevenness
from training.simulate.detector import Measurement
from training.transform import embed, far_modulus, forward


def objects(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return torch.rand(2, 8, 8, 8, generator=g), torch.rand(2, 8, 8, 8, generator=g)


def test_true_object_of_any_scale_and_phase_has_no_error() -> None:
    """R and chi2 vanish for the object itself, its scaled and phase-shifted copy, and its twin."""
    amplitude, phase = objects()
    frame = (16, 16, 16)
    target = forward(embed(torch.polar(amplitude, phase), frame)).abs()
    known = torch.ones_like(target, dtype=torch.bool)
    mirrored = [torch.roll(t.flip((1, 2, 3)), (1, 1, 1), (1, 2, 3)) for t in (amplitude, -phase)]
    # voxel 0 of the box has no mirror image inside it: compare objects that are empty there
    inner = torch.zeros_like(amplitude)
    inner[:, 1:, 1:, 1:] = 1
    twin_target = far_modulus(torch.polar(amplitude * inner, phase), frame)
    for a, p, t in (
        (amplitude, phase, target),
        (0.3 * amplitude, phase + 1.0, target),
        (mirrored[0] * inner, mirrored[1], twin_target),
    ):
        for error in modulus_error(far_modulus(torch.polar(a, p), frame), t, known):
            assert error.abs().max() < 1e-5


def test_errors_are_those_of_the_service() -> None:
    """chi2 and R of a wrong object equal inphase.metrics.measure on the same voxels (single against double
    precision).
    """
    amplitude, phase = objects(1)
    other, _ = objects(2)
    frame = (16, 16, 16)
    measured = far_modulus(torch.polar(amplitude, phase), frame)
    known = torch.rand(2, *frame, generator=torch.Generator().manual_seed(3)) > 0.2
    r_factor, chi2 = modulus_error(far_modulus(torch.polar(other, phase), frame), measured, known)
    for i in range(2):
        obj = embed(torch.polar(other, phase), frame)[i].numpy()
        found = metrics.measure(obj, np.abs(obj) > 0, measured[i].numpy(), (~known[i]).numpy().astype(np.uint8))
        np.testing.assert_allclose([r_factor[i], chi2[i]], [found.r_factor, found.chi2], rtol=1e-4)


def test_an_object_that_underflows_has_a_gradient() -> None:
    """Amplitudes whose squares vanish in single precision, and zeros, do not make the gradient NaN."""
    objects = torch.full((1, 8, 8, 8), 1e-30 + 0j, dtype=torch.complex64)
    objects[:, 2:5, 2:5, 2:5] = 1.0
    objects[:, 7] = 0
    objects.requires_grad_()
    measured = far_modulus(objects.detach(), (16, 16, 16))
    nothing = torch.zeros(measured.shape, dtype=torch.bool)
    measurement = Measurement(1.3 * measured.square(), measured.square(), nothing.to(torch.uint8), nothing)
    modulus_errors(objects, measurement)[0].sum().backward()
    assert objects.grad is not None
    assert objects.grad.isfinite().all()


def test_unevenness_tells_a_crystal_from_a_blob() -> None:
    """0 for a binary density of any scale, 1 - (3/4)^(3/2) = 0.35 for a Gaussian (the integrals of its powers)."""
    axis = torch.arange(32) - 16.0
    r2 = axis.square()[:, None, None] + axis.square()[:, None] + axis.square()
    crystal, blob = 0.4 * (r2 < 60).float(), torch.exp(-r2 / 18)
    even, gaussian = unevenness(torch.stack([crystal, blob]))
    assert abs(even) < 1e-6
    assert abs(gaussian - (1 - 0.75**1.5)) < 1e-3


def test_outside_extent_counts_what_lies_beyond_the_box() -> None:
    """A voxel inside the extent and an equally bright one outside: half of the intensity is outside."""
    amplitude = torch.zeros(1, 32, 32, 32)
    amplitude[0, 16, 16, 16 + 5] = 0.7
    extent = torch.tensor([[20.0, 20.0, 10.0]])
    assert outside_extent(amplitude, extent).item() == 0.0
    amplitude[0, 16, 16, 16 - 8] = 0.7
    np.testing.assert_allclose(outside_extent(amplitude, extent).item(), 0.5)
