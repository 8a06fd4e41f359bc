"""PIE against the articles' updates, written out."""

import numpy as np
import pytest
import torch

from inphase.ptycho.scan import Scan, State
from inphase.ptycho.solvers.pie import PIE
from tests.inphase.ptycho.scenes import measured, small


@pytest.mark.parametrize("alpha", [1.0, 0.2])
def test_one_frame_is_the_article_s_update(alpha: float) -> None:
    """o += conj(P) (psi' - psi) / ((1 - alpha)|P|^2 + alpha max|P|^2), and the same for the probe, in numpy."""
    of = small(frames=3, noise=False)
    whole = measured(of)
    scan = Scan.of(whole, np.arange(1, 9), 1, torch.device("cpu"), lambda: False)
    corner = np.round(of.positions[0]).astype(int)
    size = of.object.shape
    obj, probe = np.ones(size, np.complex128), of.probe[0].copy()
    state = State(
        torch.ones(size, dtype=torch.complex64),
        torch.from_numpy(of.probe.astype(np.complex64)),
        torch.from_numpy(np.round(of.positions)),
    )
    PIE(scan, state, alpha, 1.0).advance(True, np.random.default_rng(0))
    window = np.s_[corner[0] : corner[0] + 32, corner[1] : corner[1] + 32]
    before = obj[window].copy()
    field = np.fft.fft2(probe * before, norm="ortho")
    modulus = np.fft.ifftshift(np.sqrt(of.counts[0]))
    change = np.fft.ifft2(modulus * np.exp(1j * np.angle(field)) - field, norm="ortho")
    lit, seen = np.abs(probe) ** 2, np.abs(before) ** 2
    obj[window] += probe.conj() * change / ((1 - alpha) * lit + alpha * lit.max())
    probe += before.conj() * change / ((1 - alpha) * seen + alpha * seen.max())
    np.testing.assert_allclose(state.object.numpy(), obj, atol=2e-3)
    np.testing.assert_allclose(
        state.probe[0].numpy(), probe, atol=3e-3 * np.abs(probe).max()
    )  # dark pixels have phases of rounding


def test_frames_that_do_not_overlap_are_updated_as_if_alone() -> None:
    """A batch of two far apart is one after the other, where both are lit alike."""
    of = small(frames=3, step=16.0, jitter=0.0, noise=False)
    whole = measured(of)
    results = []
    for batch in (1, 2):
        scan = Scan.of(whole, np.arange(1, 8), batch, torch.device("cpu"), lambda: False)
        state = State(
            torch.ones(of.object.shape, dtype=torch.complex64),
            torch.from_numpy(of.probe.astype(np.complex64)),
            torch.from_numpy(np.round(of.positions)),
        )
        PIE(scan, state).advance(False, np.random.default_rng(0))
        results.append(state.object)
    torch.testing.assert_close(results[0], results[1])
