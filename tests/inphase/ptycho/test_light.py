"""How much of the beam falls on what is known."""

import numpy as np
import torch

from inphase.ptycho.light import LIT, Light
from inphase.ptycho.scan import Scan, State
from tests.inphase.ptycho.scenes import measured, small


def test_shares_are_those_of_a_sum_over_the_window() -> None:
    """Of some of the frames, at every corner that was asked for: whole pixels, and fractions as the nearest of them."""
    of = small(frames=5)
    scan = Scan.of(measured(of), np.arange(12), 16, torch.device("cpu"), lambda: False)
    state = State(
        torch.from_numpy(of.object.astype(np.complex64)),
        torch.from_numpy(of.probe.astype(np.complex64)),
        torch.from_numpy(np.round(of.positions)),
    )
    light = Light.of(scan, state)
    power = np.square(np.abs(of.probe)).sum(axis=0)
    lit = np.zeros(of.object.shape)
    for row, column in np.round(of.positions[12:]).astype(int):
        lit[row : row + 32, column : column + 32] += power
    known = lit > LIT * lit.max()
    asked = np.array([[0.0, 0.0], [3.4, 11.0], [14.0, 8.6], [20.0, 20.0]])
    for position, share in zip(asked, light.share(torch.from_numpy(asked)).tolist(), strict=True):
        row, column = np.round(position).astype(int)
        expected = (known[row : row + 32, column : column + 32] * power).sum() / power.sum()
        np.testing.assert_allclose(share, expected, atol=1e-5)
    assert light.shares.min() < 0.5 < 0.99 < light.shares.max()
