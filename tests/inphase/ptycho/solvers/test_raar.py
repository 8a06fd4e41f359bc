"""RAAR and the difference map."""

import numpy as np
import pytest
import torch

from inphase.ptycho.engine import reconstruct
from inphase.ptycho.options import Options
from inphase.ptycho.scan import Scan, State
from inphase.ptycho.scores import compared
from inphase.ptycho.solvers.raar import RAAR
from tests.inphase.ptycho.scenes import measured, small, truth


@pytest.mark.parametrize("recipe", ["50*DM", "50*RAAR", "30*RAAR+20*RPIE"])
def test_known_object_comes_back(recipe: str) -> None:
    """Within what 1e7 photons a frame leave."""
    of = small()
    found = reconstruct(measured(of), Options(recipe, turn=False))
    score = compared(found.object, truth(of, found.object.shape, found.origin_px), found.coverage > 0.2)
    assert score.correlation > 0.999
    assert found.report.r_factor < 0.03


def test_solution_is_a_fixed_point() -> None:
    """Exit waves of the truth satisfy both projections: an iteration leaves the lit object as it is."""
    of = small(frames=4, noise=False, jitter=0.0)
    scan = Scan.of(measured(of), np.arange(0), 16, torch.device("cpu"), lambda: False)
    obj = torch.from_numpy(of.object.astype(np.complex64))
    state = State(obj.clone(), torch.from_numpy(of.probe.astype(np.complex64)), torch.from_numpy(of.positions))
    solver = RAAR(scan, state, 0.9)
    for _ in range(3):
        met = solver.advance(True, np.random.default_rng(0))
        assert met.r_factor < 1e-4
    torch.testing.assert_close(state.object, obj, rtol=0, atol=2e-3)
