"""Adam and L-BFGS with both likelihoods."""

import numpy as np
import pytest

from inphase.ptycho.engine import reconstruct
from inphase.ptycho.options import Options
from inphase.ptycho.scores import compared
from tests.inphase.ptycho.scenes import measured, small, truth


@pytest.mark.parametrize("loss", ["amplitude", "poisson"])
@pytest.mark.parametrize("solver", ["40*ADAM", "40*LBFGS"])
def test_known_object_comes_back(solver: str, loss: str) -> None:
    """Within what 1e7 photons a frame leave; the misfit falls."""
    of = small()
    found = reconstruct(measured(of), Options(f"{solver}(loss={loss})", turn=False))
    score = compared(found.object, truth(of, found.object.shape, found.origin_px), found.coverage > 0.2)
    assert score.correlation > 0.995  # the steps of Adam have one length, so that it does not settle
    assert found.report.history[-1] < 0.15 * found.report.history[0]


def test_poisson_is_better_than_amplitude_with_few_photons() -> None:
    """As a finish from the same start, at 300 photons a frame, where the root of the counts is biased."""
    of = small(photons=300.0, frames=10)
    errors = {}
    for loss in ("amplitude", "poisson"):
        found = reconstruct(measured(of), Options(f"10*EPIE+30*LBFGS(loss={loss})", turn=False, probe_start=99))
        score = compared(found.object, truth(of, found.object.shape, found.origin_px), found.coverage > 0.3)
        errors[loss] = 1 - score.correlation
    assert errors["poisson"] < errors["amplitude"]
    assert np.isfinite(errors["poisson"])
