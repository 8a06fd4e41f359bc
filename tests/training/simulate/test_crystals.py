"""training.simulate.crystals: shapes, sizes, phases."""

import numpy as np
import pytest
import torch

from training.simulate.crystals import (
    CrystalSettings,
    bounding_boxes,
    crystals,
    densities,
    facet_planes,
    high_symmetry_directions,
    rotations,
)

FRAME = (64, 64, 64)
BOX = (32, 32, 32)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_directions_are_the_three_cubic_families() -> None:
    """6 of {100}, 12 of {110}, 8 of {111}, all of unit length and none twice."""
    directions = high_symmetry_directions()
    nonzero = (directions.abs() > 1e-6).sum(1)
    assert [(nonzero == k).sum().item() for k in (1, 2, 3)] == [6, 12, 8]
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(26))
    assert len({tuple(d) for d in directions.numpy().round(4)}) == 26


def test_rotations_are_proper() -> None:
    """R R^T = 1 and det R = +1 for every draw."""
    r = rotations(50, generator(), torch.device("cpu")).double()
    torch.testing.assert_close(r @ r.transpose(1, 2), torch.eye(3).double().expand(50, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(r), torch.ones(50).double(), atol=1e-5, rtol=0)


def test_between_four_and_twenty_planes_cut_the_block() -> None:
    """Besides the block's own six faces, 4 to 20 directions are drawn nearer than the block's half edge."""
    _, distance = facet_planes(200, CrystalSettings(), generator(), torch.device("cpu"))
    cuts = (distance < 1.0).sum(1)
    assert cuts.min() >= 4
    assert cuts.max() <= 20


def test_extent_is_frame_over_oversampling() -> None:
    """The bounding box at half density is N / sigma voxels per axis, to the voxel that a sharp corner may lose."""
    oversampling = torch.tensor([[2.3, 3.0, 5.0], [4.0, 2.5, 3.3]])
    extent = 64 / oversampling
    density = densities(BOX, extent, CrystalSettings(), generator(3)).numpy()
    for crystal, wanted in zip(density, extent.numpy(), strict=True):
        for axis in range(3):
            inside = np.flatnonzero((crystal > 0.5).any(tuple(a for a in range(3) if a != axis)))
            assert wanted[axis] - 3.0 <= np.ptp(inside) + 1 <= wanted[axis] + 1.5


def test_bounding_box_is_that_of_all_samples() -> None:
    """The lines' intervals give the corners that testing every one of the 48^3 samples gives, for 50 crystals."""
    normals, distance = facet_planes(50, CrystalSettings(), generator(8), torch.device("cpu"))
    lower, upper = bounding_boxes(normals, distance)
    step = torch.linspace(-1.75, 1.75, 48)
    points = torch.stack(torch.meshgrid(step, step, step, indexing="ij")).view(3, -1)
    half = float(step[1] - step[0]) / 2
    for n, d, low, high in zip(normals, distance, lower, upper, strict=True):
        inside = points[:, ((n @ points) <= d[:, None]).all(0)]
        torch.testing.assert_close(low, inside.amin(1) - half, atol=1e-5, rtol=0)
        torch.testing.assert_close(high, inside.amax(1) + half, atol=1e-5, rtol=0)


def test_density_matches_brute_force_volume() -> None:
    """The summed density is the polyhedron's volume as a Monte Carlo count of n.x <= d gives it (2 %:
    200,000 points).
    """
    settings = CrystalSettings()
    extent = torch.tensor([[26.0, 24.0, 22.0]])
    planes = facet_planes(1, settings, generator(5), torch.device("cpu"))
    lower, upper = bounding_boxes(*planes)
    density = densities(BOX, extent, settings, generator(5))
    points = torch.rand(200_000, 3, generator=generator(1)) * (upper - lower) + lower
    share = ((points @ planes[0][0].T) <= planes[1][0]).all(1).float().mean()
    assert density.sum().item() == pytest.approx(share.item() * extent.prod().item(), rel=0.02)


def test_strain_free_crystals_have_only_the_ramp_of_their_peak() -> None:
    """Without strain and with a centred peak the phase is zero;
    with an offset the phase gradient is 2 pi offset / N.
    """
    flat = CrystalSettings(strain_free=1.0, peak_offset=0.0, amplitude_variation=0.0)
    obj = crystals(2, FRAME, BOX, flat, generator(2))
    assert torch.angle(obj).abs().max() < 1e-6
    ramped = CrystalSettings(strain_free=1.0, peak_offset=0.6)
    one = crystals(1, FRAME, BOX, ramped, generator(2))[0]
    step = torch.angle(one[17:, 16, 16] * one[16:-1, 16, 16].conj())[:3]
    assert step.std() < 1e-5
    assert step.abs().max() <= 2 * np.pi * 0.6 / 64 + 1e-6


def test_phase_rms_is_as_drawn() -> None:
    """The density-weighted rms of the strain phase is the wanted value (ramp switched off)."""
    settings = CrystalSettings(strain_free=0.0, phase_rms=(0.5, 0.5), peak_offset=0.0, amplitude_variation=0.0)
    obj = crystals(3, FRAME, BOX, settings, generator(4))
    weight, phase = obj.abs(), torch.angle(obj)  # 0.5 rad rms of a smooth field stays within (-pi, pi]
    rms = ((phase**2 * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))).sqrt()
    torch.testing.assert_close(rms, torch.full((3,), 0.5), atol=1e-4, rtol=0)


def test_same_seed_same_crystals() -> None:
    """A seed is a crystal, bit for bit."""
    a, b = (crystals(2, FRAME, BOX, CrystalSettings(), generator(9)) for _ in range(2))
    assert torch.equal(a, b)
