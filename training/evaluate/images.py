"""How good images of frames are, and what a search among known patterns gives: the figures of Wu et al., IUCrJ 8, 12.

chi2 of x is sum (x_p - x_g)^2 / sum x_g^2 (eq. 5), for the modulus, the amplitude and the phase in turns within (0, 1).
A pattern knows neither the twin nor the place nor the global phase of its object: the truth is taken to be the one of
these that the prediction is nearest to. The paper says nothing of them.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from training.objectives.truth import nearest
from training.objectives.wu2d import PARTICLE, targets
from training.transform import far_modulus, spatial


@dataclass(frozen=True)
class ImageScores:
    """chi2 of each image of a batch, (B,). scaled: of the modulus after the scale that fits best."""

    modulus: Tensor
    scaled: Tensor
    amplitude: Tensor
    phase: Tensor


def chi2(predicted: Tensor, wanted: Tensor) -> Tensor:
    """Eq. 5 of a batch: (B,)."""
    over = spatial(wanted)
    found: Tensor = (predicted - wanted).square().sum(over) / wanted.square().sum(over)
    return found


@torch.no_grad()
def scores(predictions: Tensor, objects: Tensor, frame: tuple[int, int]) -> ImageScores:
    """Of predicted images (B, m, m) complex against the true ones, whose largest amplitude is 1, as is the target's."""
    truth = nearest(objects, predictions)
    offset = (truth * predictions.conj()).sum((1, 2), keepdim=True)
    turned = predictions * torch.polar(torch.ones(()), offset.angle())
    amplitude, turns = targets(truth)
    here, there = amplitude > PARTICLE, turned.abs() > PARTICLE * turned.abs().amax((1, 2), keepdim=True)
    # the truth's phase is in the middle of its span in `targets`; the prediction's is told from there
    middle = torch.where(here, truth * torch.polar(torch.ones(()), -2 * math.pi * (turns - 0.5)), 0).sum((1, 2), True)
    apart = (turned * truth.conj()).angle() / (2 * math.pi)
    alone = (turned * middle.conj()).angle() / (2 * math.pi) + 0.5
    found = torch.where(here, turns + apart, alone) * there
    moduli = far_modulus(predictions, frame), far_modulus(objects, frame)
    cosine = (moduli[0] * moduli[1]).sum((1, 2)) / (moduli[0].norm(dim=(1, 2)) * moduli[1].norm(dim=(1, 2)))
    return ImageScores(chi2(*moduli), 1 - cosine.square(), chi2(turned.abs(), amplitude), chi2(found, turns))


class Neighbours:
    """The most similar of known patterns, as one matrix product of moduli of length one.

    Which one is known by its number: the order in which patterns were added.
    """

    def __init__(self, wanted: Tensor) -> None:
        """wanted: moduli (B, n, n) to look for."""
        self._wanted = _unit(wanted)
        self.cosine = torch.full((len(wanted),), -1.0)
        self.number = torch.full((len(wanted),), -1, dtype=torch.long)
        self.size = 0

    def add(self, moduli: Tensor) -> None:
        """Look through more known patterns (K, n, n)."""
        cosine, at = (self._wanted @ _unit(moduli).T).max(1)
        better = cosine > self.cosine
        self.number = torch.where(better, at + self.size, self.number)
        self.cosine = torch.where(better, cosine, self.cosine)
        self.size += len(moduli)

    @property
    def error(self) -> Tensor:
        """chi2 of the modulus of the best so far, (B,), after the scale that fits best."""
        return 1 - self.cosine.square()


def _unit(moduli: Tensor) -> Tensor:
    flat = moduli.flatten(1)
    unit: Tensor = flat / flat.norm(dim=1, keepdim=True)
    return unit


def doublings(first: int, last: int) -> Iterator[int]:
    """first, twice as many, and so on, up to `last`, which is the end."""
    size = first
    while size < last:
        yield size
        size *= 2
    yield last
