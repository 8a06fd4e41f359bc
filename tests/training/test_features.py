"""One definition of what a network sees: training and service agree."""

import numpy as np
import pytest
import torch

from inphase import features
from inphase.features import FEATURES
from training.data import sample
from training.features import reduce, volume_features
from training.settings import FitSettings, from_dict


@pytest.mark.parametrize("axes", [2, 3])
def test_batched_features_equal_those_of_the_service(axes: int) -> None:
    """For every crystal of a batch, torch on the batch gives what numpy gives for the single pattern (single
    precision).
    """
    settings = from_dict({"frame": [64] * axes, "box": [32] * axes, "frames": {"stop_share": 1.0, "free_share": 1.0}})
    m = sample(settings, 5, 0, 3, torch.device("cpu")).measurement
    names = [name for name in FEATURES if axes == 3 or name != "reduced"]
    batched = volume_features(m.intensity, m.mask, m.hidden, names)
    for i in range(3):
        single = features.volume_features(m.intensity[i].numpy(), m.mask[i].numpy(), m.hidden[i].numpy(), names)
        assert batched.keys() == single.keys()
        for name, value in single.items():
            np.testing.assert_allclose(batched[name][i].numpy(), value[0], atol=2e-5, err_msg=name)


def test_autocorrelation_is_hermitian_and_one_at_its_centre() -> None:
    """AC(-r) = conj AC(r) and AC(0) = 1: it is the transform of a real intensity."""
    m = sample(FitSettings(), 6, 0, 1, torch.device("cpu")).measurement
    ac = features.volume_features(m.intensity[0].numpy(), m.mask[0].numpy())["autocorrelation"][0]
    np.testing.assert_allclose(ac[0, 32, 32, 32], 1.0, rtol=2e-7)  # single precision: one rounding of the quotient
    inner = ac[:, 1:, 1:, 1:]
    mirrored = inner[:, ::-1, ::-1, ::-1]
    np.testing.assert_allclose(inner[0], mirrored[0], atol=1e-5)
    np.testing.assert_allclose(inner[1], -mirrored[1], atol=1e-5)


def test_an_empty_pattern_reduces_to_a_finite_one() -> None:
    """The pattern of an empty object, as a young network predicts it, leaves finite values and finite gradients."""
    empty = torch.zeros(1, 16, 16, 16, requires_grad=True)
    reduce(empty).sum().backward()
    assert empty.grad is not None
    assert empty.grad.isfinite().all()
