"""training.simulate.domains: outlines, Voronoi cells, what the resolution makes of them, and their patterns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from inphase import fourier
from training.simulate.domains import FINER, Cells, DomainSettings, cells, domain_crystals, outlines, smoothed
from training.simulate.frames import extents
from training.transform import far_modulus

FRAME, SIDE = (64, 64), 32


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("count", [2, 10, 20])
def test_a_crystal_has_as_many_domains_as_asked(count: int) -> None:
    """Each of them is there, and nothing else but the outside."""
    found = cells(8, SIDE, replace(DomainSettings(), domains=(count, count)), generator())
    for labels in found.labels:
        assert labels.unique().tolist() == list(range(-1, count))


def test_the_number_of_domains_is_drawn_from_the_whole_range() -> None:
    """Of 300 crystals with 2 to 5 domains each number is had by a quarter: 38 at the least by four sigma."""
    found = cells(300, SIDE, replace(DomainSettings(), domains=(2, 5)), generator())
    counts = torch.bincount(found.labels.flatten(1).amax(1) + 1)
    assert counts[:2].sum() == 0
    assert len(counts) == 6
    assert counts[2:].min() > 38


def test_a_domain_is_a_voronoi_cell() -> None:
    """Convex: the middle of two samples of one domain, where it is a sample, belongs to it as well."""
    labels = cells(1, SIDE, replace(DomainSettings(), domains=(6, 6)), generator(3)).labels[0]
    pick = np.random.default_rng(0)
    for domain in range(6):
        places = torch.nonzero(labels == domain).numpy()
        one, other = places[pick.integers(0, len(places), (2, 200))]
        even = ((one + other) % 2 == 0).all(1)
        middle = (one + other)[even] // 2
        assert (labels[middle[:, 0], middle[:, 1]] == domain).all()


def test_phases_fill_the_whole_turn() -> None:
    """Uniform from -pi to pi: mean and variance of 4,000 numbers by four sigma."""
    phases = cells(200, SIDE, DomainSettings(), generator()).phases
    assert phases.abs().max() <= np.pi
    assert abs(float(phases.mean())) < 4 * np.pi / np.sqrt(3 * phases.numel())
    assert abs(float(phases.var()) / (np.pi**2 / 3) - 1) < 0.06


def test_an_outline_is_the_polygon_of_its_facets_or_the_superellipse() -> None:
    """The gauge against the planes and the equation one by one, at random points: single precision."""
    found = outlines(40, DomainSettings(), generator(1))
    assert 8 < int(found.faceted.sum()) < 32
    points = torch.randn(40, 50, 2, generator=generator(2))
    values = found.gauge(points)
    for i in range(40):
        for point, value in zip(points[i].numpy(), values[i].tolist(), strict=True):
            if found.faceted[i]:
                expected = max(n @ point / d for n, d in zip(found.normals[i].numpy(), found.distances[i], strict=True))
            else:
                x, y = np.abs(point @ found.turns[i].numpy()) / found.axes[i].numpy()
                p = float(found.exponents[i])
                expected = (x**p + y**p) ** (1 / p)
            assert value == pytest.approx(float(expected), rel=1e-4, abs=1e-4)


def test_crystals_lie_in_the_middle_and_are_as_long_as_asked() -> None:
    """The longer axis is twice the half length, and what is left on either side is alike: one pixel."""
    settings = replace(DomainSettings(), half_length=(11.0, 11.0), span=0.0)
    drawn = domain_crystals(40, FRAME, SIDE, settings, generator())
    inside = drawn.abs() > 0.5
    for one in inside:
        rows, columns = (np.flatnonzero(one.any(axis)) - 16 for axis in (1, 0))
        assert abs(max(len(rows), len(columns)) - 22) <= 1
        assert abs(rows[0] + rows[-1]) <= 1
        assert abs(columns[0] + columns[-1]) <= 1


def test_the_pattern_is_oversampled() -> None:
    """Whatever is drawn by default fills no more than half of the frame along either axis, edges and all."""
    drawn = domain_crystals(100, FRAME, SIDE, DomainSettings(), generator())
    assert float(extents(drawn, 0.01).max()) <= 32
    assert float(drawn[:, [0, -1]].abs().max()) < 0.02
    assert float(drawn[:, :, [0, -1]].abs().max()) < 0.02


def test_walls_are_waves_added_up() -> None:
    """Samples smoothed as complex numbers by scipy, taken at the pixels: half a turn between two domains is a crack."""
    labels = torch.full((1, 48 * FINER, 48 * FINER), -1)
    labels[:, 30:115, 30:73], labels[:, 30:115, 73:115] = 0, 1
    phases = torch.tensor([[0.5, 0.5 + np.pi]])
    found = smoothed(Cells(labels, phases), torch.tensor([0.7]))[0]
    sharp = np.where(labels[0] >= 0, np.exp(1j * phases[0].numpy()[labels[0].clamp_min(0)]), 0)
    smooth = [gaussian_filter(part, 0.7 * FINER, mode="constant", truncate=8) for part in (sharp.real, sharp.imag)]
    expected = (smooth[0] + 1j * smooth[1])[FINER // 2 :: FINER, FINER // 2 :: FINER]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert float(found[24].abs()[20:28].min()) < 0.3
    assert float(found[24, 15].abs()) == pytest.approx(1, abs=1e-3)


def test_the_pattern_is_the_square_of_the_transform_with_its_peak_in_the_middle() -> None:
    """By numpy, of the object in its frame; the brightest pixel is the DC pixel, as the preprocessing lays it."""
    drawn = domain_crystals(3, FRAME, SIDE, DomainSettings(), generator(5))
    moduli = far_modulus(drawn, FRAME)
    for obj, modulus in zip(drawn.numpy(), moduli.numpy(), strict=True):
        framed = np.zeros(FRAME, complex)
        framed[16:48, 16:48] = obj
        np.testing.assert_allclose(modulus, np.abs(fourier.forward(framed)), atol=1e-5 * modulus.max())
        assert np.unravel_index(modulus.argmax(), FRAME) == (32, 32)
