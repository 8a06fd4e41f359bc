"""The objective of Wu et al., IUCrJ 8, 12 (2021), eq. 4, and what the paper does not say: which twin is the target."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, polar

from training.data import Sample
from training.losses import modulus_errors
from training.networks import predict
from training.networks.network import Network
from training.objectives.objective import Objective
from training.objectives.truth import twins
from training.simulate.crystals import grid
from training.transform import far_modulus, spatial

PARTICLE = 0.1  # of the largest amplitude: where less is, no phase is known

Twin = Literal["broken", "either", "drawn"]


@dataclass(frozen=True)
class RealAndReciprocal(Objective[Sample]):
    """Supervised: [l1 L1(amplitude) + l2 L1(phase) + l3 L3(modulus)] / (l1 + l2 + l3).

    L1 is the root of the squared error over that of the target, L3 is 1 - Pearson's correlation of the moduli.
    weights: l1, l2, l3. twin: "broken": the target is the twin in which the phase bends upwards (`bent_upwards`);
    "either": the one that the prediction comes nearer to; "drawn": whichever the simulator drew.
    """

    supervised: ClassVar[bool] = True

    weights: tuple[float, float, float] = (1.0, 1.0, 4.0)
    twin: Twin = "broken"

    def __call__(
        self, network: Network, features: dict[str, Tensor], batch: Sample
    ) -> tuple[Tensor, dict[str, Tensor]]:
        amplitude, phase = predict(network, features)
        turns = phase / (2 * math.pi) + 0.5
        objects = batch.objects if self.twin == "drawn" else bent_upwards(batch.objects)
        l1, l2, l3 = self.weights
        shape, bend = real_errors(amplitude, turns, objects)
        if self.twin == "either":
            other_shape, other_bend = real_errors(amplitude, turns, twins(objects))
            nearer = l1 * other_shape + l2 * other_bend < l1 * shape + l2 * bend
            shape, bend = torch.where(nearer, other_shape, shape), torch.where(nearer, other_bend, bend)
        frame = tuple(batch.measurement.clean.shape[1:])
        predicted = polar(amplitude, phase)
        far = 1 - correlation(far_modulus(predicted, frame), batch.measurement.clean.sqrt())
        loss = (l1 * shape + l2 * bend + l3 * far) / (l1 + l2 + l3)
        chi2 = modulus_errors(predicted.detach(), batch.measurement)[1]
        figures = {"amplitude": shape.mean(), "phase": bend.mean(), "modulus": far.mean(), "chi2": chi2.mean()}
        return loss.mean(), figures


def real_errors(amplitude: Tensor, turns: Tensor, objects: Tensor) -> tuple[Tensor, Tensor]:
    """L1 of the amplitude and of the phase, each (B,), with these objects as the target."""
    wanted, phase = targets(objects)
    return relative_error(amplitude, wanted), relative_error(turns, phase)


def relative_error(predicted: Tensor, wanted: Tensor) -> Tensor:
    """|predicted - wanted| / |wanted|, (B,): L1 of eq. 4."""
    over = spatial(wanted)
    return ((predicted - wanted).square().sum(over) / wanted.square().sum(over)).clamp_min(1e-12).sqrt()


def correlation(predicted: Tensor, wanted: Tensor) -> Tensor:
    """Pearson's correlation of each pair of a batch: (B,)."""
    over = spatial(wanted)
    a, b = (x - x.mean(over, keepdim=True) for x in (predicted, wanted))
    return (a * b).sum(over) / (a.square().sum(over) * b.square().sum(over)).clamp_min(1e-24).sqrt()


def targets(objects: Tensor) -> tuple[Tensor, Tensor]:
    """Amplitude over its maximum, and the phase in turns within (0, 1), zero outside the particle: each (B, m, m)."""
    amplitude = objects.abs()
    amplitude = amplitude / amplitude.amax((1, 2), keepdim=True)
    inside = amplitude > PARTICLE
    return amplitude, (unwrapped(objects, inside) / (2 * math.pi) + 0.5) * inside


def unwrapped(objects: Tensor, inside: Tensor) -> Tensor:
    """Phase (B, m, m) in radians whose wrap lies in the widest range of phases that no pixel inside has.

    Where the phase spans less than a turn it does not wrap at all, and the middle of its span is zero.
    """
    phase = objects.angle()
    ordered = phase.masked_fill(~inside, math.inf).flatten(1).sort(1).values
    first = ordered[:, :1]
    following = torch.cat([ordered[:, 1:], torch.full_like(first, math.inf)], 1)
    following = torch.where(following.isinf(), first + 2 * math.pi, following)
    gap = torch.where(ordered.isinf(), -1.0, following - ordered.nan_to_num(posinf=0.0))
    width, at = gap.max(1, keepdim=True)
    wrap = ordered.gather(1, at) + width / 2
    return torch.remainder(phase - wrap[..., None], 2 * math.pi) - math.pi


def bent_upwards(objects: Tensor) -> Tensor:
    """Images (B, m, m), each or its twin: the one whose phase grows with the square of the distance from the middle.

    Of the lowest numbers that change sign with the twin this is the one that no rotation changes: sum |o| phase r^2,
    with the means of phase and r^2 taken off.
    """
    amplitude = objects.abs() * (objects.abs() > PARTICLE * objects.abs().amax((1, 2), keepdim=True))
    weight = amplitude / amplitude.sum((1, 2), keepdim=True)
    m0, m1 = objects.shape[1:]
    phase, radius = unwrapped(objects, amplitude > 0), grid((m0, m1), objects.device).square().sum(0)
    bend = (weight * phase * (radius - (weight * radius).sum((1, 2), keepdim=True))).sum((1, 2))
    return torch.where((bend < 0).view(-1, 1, 1), twins(objects), objects)
