"""The objective of PtychoPINN (Hoidn et al., Sci. Rep. 13:22789, 2023): the measured patterns alone."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, polar

from training.groups import Groups
from training.networks import predict
from training.networks.network import Network
from training.objectives.objective import Objective
from training.overlap import DIM, Overlap, room
from training.transform import centre, far_modulus

NEAR = 0.5  # relative difference up to which ln(x / y) is taken as ln(1 + (x - y) / y), to all digits
DARK = 1e-6  # photons: added to the calculated intensity, so that no logarithm is infinite


def excess(expected: Tensor, counts: Tensor) -> Tensor:
    """-ln of the Poisson probability of counts over that of the counts as their own mean, of every pixel.

    The paper's loss (eq. 3) less a constant, which single precision could not hold beside 1e9 photons.
    """
    expected = expected + DARK
    seen = counts.clamp_min(1.0)  # where nothing was counted the logarithm is multiplied by 0
    relative = (expected - counts) / seen
    near = relative.abs() < NEAR
    logarithm = torch.where(near, torch.log1p(relative.clamp(-NEAR, NEAR)), torch.log(expected / seen))
    return (expected - counts) - counts * logarithm


@dataclass(frozen=True)
class Diffraction(Objective[Groups]):
    """Unsupervised: how well the patterns follow from one object of each group, Fd(Fc(G(x))).

    loss: "poisson", the negative log-likelihood of the counts per photon (eq. 3, `excess`), or "mae", the mean absolute
    difference of the amplitudes, which the paper's table 2 was made with. by_light: whether the parts of a group count
    in their object by the light that each pixel was in, for networks that draw whole windows; in the paper all pixels
    of half a window count alike.
    """

    loss: Literal["poisson", "mae"] = "poisson"
    by_light: bool = False

    def __call__(
        self, network: Network, features: dict[str, Tensor], batch: Groups
    ) -> tuple[Tensor, dict[str, Tensor]]:
        drawn = polar(*predict(network, features))
        side = drawn.shape[-1]
        boxes = drawn.reshape(*batch.counts.shape[:2], side, side)
        beam = centre(batch.probe, (side, side))
        canvas = max(batch.window[0], room(batch.offsets, side))
        light = beam.abs().square() / beam.abs().square().max() + DIM if self.by_light else None
        parts = Overlap(batch.offsets, canvas, side, light).constrained(boxes)
        calculated = far_modulus(parts * beam, batch.window)
        measured, known = batch.measured_amplitudes, batch.known
        difference = (calculated - measured).abs() * known
        if self.loss == "poisson":
            excesses = excess(batch.scale**2 * calculated.square(), batch.counts) * known
            loss = excesses.sum() / batch.counts.sum()
        else:
            loss = difference.sum() / known.sum()
        figures = {
            "R": difference.detach().sum() / measured.sum(),
            "chi2": difference.detach().square().sum() / measured.square().sum(),
        }
        if batch.patches is not None and not torch.is_grad_enabled():  # the truth judges; it does not teach
            figures |= lit_errors(parts, batch.patches, batch.probe)
        return loss, figures


def lit_errors(boxes: Tensor, patches: Tensor, probe: Tensor) -> dict[str, Tensor]:
    """Root mean square errors of amplitude and phase of boxes (B, C, m, m), weighted by how strongly they are lit.

    The phase (rad) less its mean in each box, which no pattern tells.
    """
    m = boxes.shape[-1]
    truth = centre(patches, (m, m))
    lit = centre(probe, (m, m)).abs().square()
    lit = lit / lit.sum()
    turn = (lit * boxes * truth.conj()).sum((-2, -1), keepdim=True)
    amplitude = (lit * (boxes.abs() - truth.abs()).square()).sum((-2, -1)).mean().sqrt()
    phase = (lit * (boxes * truth.conj() * turn.conj()).angle().square()).sum((-2, -1)).mean().sqrt()
    return {"amplitude": amplitude, "phase": phase}
