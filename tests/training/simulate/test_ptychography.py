"""The simulation is what it says it is."""

import numpy as np
import pytest

from training.simulate.ptychography import beam, sample, scene


@pytest.mark.parametrize("fresnel_number", [None, 0.3])
def test_photons_are_those_of_the_exit_wave(fresnel_number: float | None) -> None:
    """Energy is conserved on the way to the detector; at whole pixels the exit wave is a plain product."""
    of = scene(side=24, frames=3, jitter=0.0, noise=False, fresnel_number=fresnel_number, photons=1e4)
    for counts, (row, column) in zip(of.counts, of.positions.astype(int), strict=True):
        exit_wave = of.probe[0] * of.object[row : row + 24, column : column + 24]
        assert counts.sum() == pytest.approx(np.square(np.abs(exit_wave)).sum())
    assert np.square(np.abs(of.probe)).sum() == pytest.approx(1e4)


def test_far_field_is_the_fourier_sum() -> None:
    """One pixel of one frame, written out; DC at N // 2."""
    of = scene(side=16, frames=2, jitter=0.0, noise=False)
    row, column = of.positions[3].astype(int)
    wave = of.probe[0] * of.object[row : row + 16, column : column + 16]
    x = np.arange(16)
    factor = np.exp(-2j * np.pi * (3 * x[:, None] - 2 * x) / 16)
    assert of.counts[3, 8 + 3, 8 - 2] == pytest.approx(np.abs((wave * factor).sum() / 16) ** 2)


def test_object_and_beam_have_no_symmetry() -> None:
    """None of the eight turns, nor the twin, is nearly the object itself."""
    obj = sample(64, np.random.default_rng(0))
    for image in (obj - obj.mean(), beam(32)[0]):
        turns = [np.rot90(flipped, k) for flipped in (image, image.T) for k in range(4)]
        for other in [*turns[1:], image[::-1, ::-1].conj()]:
            assert abs(np.vdot(other, image)) < 0.97 * np.vdot(image, image).real


def test_modes_are_orthogonal_to_each_other_and_share_the_photons() -> None:
    """0.6, 0.2, 0.2."""
    modes = beam(32, 3).reshape(3, -1)
    np.testing.assert_allclose(np.square(np.abs(modes)).sum(axis=1), [0.6, 0.2, 0.2])
