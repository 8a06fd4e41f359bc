"""The operator against brute force, and its adjoints against the inner product."""

import numpy as np
import pytest
import torch

from inphase.ptycho.operator import ExitWaves
from inphase.ptycho.propagation import FarFieldPropagation, NearFieldPropagation, Propagation
from tests.inphase.ptycho.scenes import FRESNEL_NUMBER, small

SHAPE = (12, 10)
POSITIONS = torch.tensor([[3.0, 2.0], [4.3, 5.9], [0.2, 7.45], [8.0, 0.0]], dtype=torch.float64)


def propagations() -> list[Propagation]:
    """Far and near."""
    return [FarFieldPropagation(), NearFieldPropagation((0.2, 0.3), SHAPE, torch.device("cpu"))]


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    """complex64."""
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("onwards", propagations())
@pytest.mark.parametrize("positions", [POSITIONS, POSITIONS.round()])
def test_adjoints_are_adjoints(onwards: Propagation, positions: torch.Tensor) -> None:
    """<A o, g> = <o, A^H g> for the object, and the same for the probe, of two modes and at fractions of pixels."""
    operator = ExitWaves(onwards, SHAPE)
    obj, probe, field = random(24, 22), random(2, *SHAPE, seed=1), random(4, 2, *SHAPE, seed=2)
    waves = operator.forward(obj, probe, positions)
    exits = operator.exit(waves, field)
    forward = complex(torch.vdot(field.flatten(), waves.field.flatten()))
    back = torch.zeros_like(obj)
    operator.to_object(waves, exits, back)
    assert complex(torch.vdot(back.flatten(), obj.flatten())) == pytest.approx(forward, rel=1e-4)
    given = operator.to_probe(waves, exits)
    assert complex(torch.vdot(given.flatten(), probe.flatten())) == pytest.approx(forward, rel=1e-4)


@pytest.mark.parametrize("near", [False, True])
def test_intensities_are_those_of_the_textbook(near: bool) -> None:
    """|D[P(x) O(x + r)]|^2 of a band-limited, asymmetric object at fractions of a pixel, two modes; the fraction costs
    what the probe has left at the window's edge. Negated positions, or fractions moved the wrong way, fail by far.
    """
    of = small(frames=3, modes=2, noise=False, fresnel_number=FRESNEL_NUMBER if near else None)
    side = of.probe.shape[-1]
    onwards = (
        NearFieldPropagation((FRESNEL_NUMBER,) * 2, (side, side), torch.device("cpu"))
        if near
        else FarFieldPropagation()
    )
    operator = ExitWaves(onwards, (side, side))
    obj, probe = (torch.from_numpy(a.astype(np.complex64)) for a in (of.object, of.probe))

    def error(positions: np.ndarray) -> float:
        modulus = onwards.arranged(np.sqrt(of.counts).astype(np.float32))
        found = operator.forward(obj, probe, torch.from_numpy(positions)).intensity.sqrt().numpy()
        return float(np.abs(found - modulus).sum() / modulus.sum())

    assert error(of.positions) < 0.01
    assert error(2 * np.round(of.positions) - of.positions) > 0.02
    assert error(of.positions.mean(axis=0) * 2 - of.positions) > 0.1


@pytest.mark.parametrize("onwards", propagations())
def test_slopes_are_differences(onwards: Propagation) -> None:
    """Derivative of the field by the position, against central differences of it."""
    operator = ExitWaves(onwards, SHAPE)
    obj, probe = random(24, 22), random(2, *SHAPE, seed=1)
    rows, columns = operator.slopes(operator.forward(obj, probe, POSITIONS[1:3]), probe)
    for axis, slope in ((0, rows), (1, columns)):
        step = torch.zeros(2, dtype=torch.float64)
        step[axis] = 5e-3
        up, down = (operator.forward(obj, probe, POSITIONS[1:3] + sign * step).field for sign in (1, -1))
        difference = (up - down) / 1e-2
        # far: 1e-4 of single precision over a step of 1e-2, and a curvature of (pi * 5e-3)^2 / 6
        assert float((slope - difference).norm() / difference.norm()) < 2e-3


def test_illumination_and_scattering_count_every_window() -> None:
    """Against a loop in numpy; pixel by pixel, as a GPU does it, gives the same."""
    operator = ExitWaves(FarFieldPropagation(), SHAPE)
    probe = random(2, *SHAPE, seed=1)
    waves = operator.forward(random(24, 22), probe, POSITIONS.round())
    lit = torch.zeros(24, 22)
    operator.illumination(waves, lit)
    expected = np.zeros((24, 22), np.float32)
    for row, column in POSITIONS.round().long().tolist():
        expected[row : row + SHAPE[0], column : column + SHAPE[1]] += (np.abs(probe.numpy()) ** 2).sum(0)
    np.testing.assert_allclose(lit, expected, rtol=1e-5)
    for windows in (random(4, *SHAPE, seed=3), random(4, *SHAPE, seed=3).real):
        ours, pixelwise = (torch.zeros(24, 22, dtype=windows.dtype) for _ in range(2))
        operator.add(ours, waves.corners, windows)
        operator.scatter(pixelwise, waves.corners, windows)
        torch.testing.assert_close(ours, pixelwise)
