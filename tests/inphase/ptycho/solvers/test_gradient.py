"""Adam and L-BFGS with both likelihoods."""

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
    assert found.report.history[-1] < 0.25 * found.report.history[0]
