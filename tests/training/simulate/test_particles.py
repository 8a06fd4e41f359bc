"""training.simulate.particles: shape and phase as the paper's equations have them, the pattern as a central slice."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from inphase import fourier
from training.simulate.crystals import rotations
from training.simulate.particles import (
    ParticleSettings,
    correlated,
    densities,
    fields,
    half_lengths,
    particles,
    projected,
)
from training.transform import far_modulus

FRAME, BOX = (64, 64), (32, 32)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def lines(n: int, batch: int = 1) -> list[torch.Tensor]:
    return [(torch.arange(n, dtype=torch.float32) - n // 2).expand(batch, n) for _ in range(3)]


def test_the_central_slice_is_the_far_field_of_the_projection() -> None:
    """The plane q = 0 along the beam of the three-dimensional transform, voxel by voxel: single precision."""
    found = fields(2, BOX, ParticleSettings(), generator())
    moduli = far_modulus(projected(found), FRAME)
    for density, phase, modulus in zip(found.density, found.phase, moduli, strict=True):
        volume = np.zeros((24, *FRAME), complex)
        volume[:, 16:48, 16:48] = density.numpy() * np.exp(1j * phase.numpy())
        central = np.abs(fourier.forward(volume))[12]
        np.testing.assert_allclose(modulus / modulus.max(), central / central.max(), atol=2e-6)


def test_a_particle_is_the_superellipsoid_of_equation_2() -> None:
    """Inside and outside by the equation itself, in coordinates turned back one by one; all five numbers differ."""
    axes, roundness = torch.tensor([[9.0, 6.0, 12.0]]), torch.tensor([[0.4, 1.7]])
    turns = rotations(1, generator(1), torch.device("cpu"))
    density = densities(lines(32), axes, roundness, turns, torch.full((1, 1, 1, 1), 1e-3))[0].numpy()
    places = np.stack(np.meshgrid(*[np.arange(32) - 16.0] * 3, indexing="ij"), -1)
    x, y, z = np.moveaxis(np.abs(places @ turns[0].numpy().astype(float)), -1, 0) / axes[0].numpy()[:, None, None, None]
    e, n = 0.4, 1.7
    value = (x ** (2 / e) + y ** (2 / e)) ** (e / n) + z ** (2 / n)
    clear = np.abs(value - 1) > 0.02  # single precision decides the others
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(density[clear] > 0.5, value[clear] < 1)


def test_an_edge_is_as_smooth_as_asked() -> None:
    """Of a sphere of radius 10: half a voxel's density falls off as a Gaussian of 1.5 voxels integrated."""
    sphere = torch.full((1, 3), 10.0), torch.ones(1, 2), torch.eye(3)[None]
    profile = densities(lines(32), *sphere, torch.full((1, 1, 1, 1), 1.5))[0, 16, 16, 16:]
    expected = [0.5 * math.erfc((r - 10) / (1.5 * math.sqrt(2))) for r in range(16)]
    np.testing.assert_allclose(profile, expected, atol=1e-5)


def test_half_lengths_reach_to_the_farthest_surface_point() -> None:
    """Against the extent of the particle drawn on voxels: less than one beyond it, and half a voxel more where a tip is
    narrower than a voxel.
    """
    axes, turns = torch.tensor([[9.0, 6.0, 12.0]] * 4), rotations(4, generator(2), torch.device("cpu"))
    roundness = torch.tensor([[0.3, 0.3], [1.0, 1.0], [2.0, 2.0], [0.5, 1.8]])
    density = densities(lines(40, 4), axes, roundness, turns, torch.full((4, 1, 1, 1), 1e-3))
    inside = density > 0.5
    for axis in range(3):
        others = tuple(a for a in (1, 2, 3) if a != axis + 1)
        reached = (inside.any(others[1]).any(others[0]) * lines(40)[0].abs()).amax(1)
        assert ((half_lengths(axes, roundness, turns)[:, axis] - reached - 0.5).abs() < 1.0).all()


def test_the_phase_is_correlated_along_the_axes_of_the_particle() -> None:
    """The mean product at distance d is exp(-d^2 / 4 L^2), the square of eq. 3's Gaussian: 4 and 9 voxels, turned."""
    batch, lengths = 300, torch.tensor([4.0, 9.0, 9.0])
    turns = rotations(1, generator(3), torch.device("cpu")).expand(batch, 3, 3)
    reach = torch.full((batch, 3), 10.0)
    along = {axis: turns[0, :, axis] * 6.0 for axis in (0, 1)}  # six voxels along one axis of the particle
    for axis, length in ((0, 4.0), (1, 9.0)):
        at = [torch.stack([torch.zeros(()), along[axis][i]]).expand(batch, 2) for i in range(3)]
        field = correlated(at, reach, lengths.expand(batch, 3), turns, generator(axis))
        a, b = field[:, 0, 0, 0], field[:, 1, 1, 1]
        found = float((a * b).mean() / (a.square().mean() * b.square().mean()).sqrt())
        assert found == pytest.approx(math.exp(-36 / (4 * length**2)), abs=0.1)  # 300 fields: 0.05


def test_the_phase_spans_what_is_asked() -> None:
    """From -pi to pi where the span is one turn, within the particle; the middle is zero."""
    found = fields(3, BOX, replace(ParticleSettings(), span=(1.0, 1.0)), generator())
    for density, phase in zip(found.density, found.phase, strict=True):
        inside = phase[density > 0.5]
        assert float(inside.max()) == pytest.approx(math.pi, rel=1e-4)
        assert float(inside.min()) == pytest.approx(-math.pi, rel=1e-4)


def test_projections_are_centred_within_their_box_and_so_are_their_patterns() -> None:
    """Nothing at the border, the longer half length within the settings, the brightest pixel in the middle."""
    objects = particles(32, FRAME, BOX, ParticleSettings(), generator(4))
    amplitude = objects.abs()
    np.testing.assert_allclose(amplitude.amax((1, 2)), 1.0, rtol=1e-5)
    assert float(amplitude[:, 0].max()) < 1e-2
    assert float(amplitude[:, :, -1].max()) < 1e-2
    brightest = far_modulus(objects, FRAME).flatten(1).argmax(1)
    assert (brightest == 32 * 64 + 32).all()
    occupied = amplitude > 0.02
    half = torch.maximum(occupied.any(2).sum(1), occupied.any(1).sum(1)) / 2
    assert float(half.min()) > 6
    assert float(half.max()) < 15.5


def test_samples_along_the_beam_are_enough() -> None:
    """Four times as many give the same projection to 4 %, most of it from the span, which is that of the samples."""
    coarse, fine = (
        projected(fields(8, BOX, replace(ParticleSettings(), depth=depth), generator(5))) for depth in (24, 96)
    )
    assert float((coarse - fine).norm() / fine.norm()) < 0.04
