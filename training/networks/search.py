"""Phase retrieval inside a network: iterations on the central half of the pattern, where they cost an eighth.

Relaxed averaged alternating reflections (Luke, Inverse Problems 21, 37 (2005)) with shrink-wrap (Marchesini et al., Phys.
Rev. B 68, 140101 (2003)), the words of `inphase.retrieval` LOWRES(side=0.5); nothing in it is learned, and no gradient goes through it.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from training.networks.far_field import FarField, along_axes

BETA = 0.9  # of RAAR
EVERY = 10  # iterations of a round, which ends with an update of the support
LAST = 8  # iterations of error reduction in the end: RAAR leaves density outside the support
THRESHOLD = 0.2  # of the intensity-weighted amplitude
SMOOTHING = 0.7  # sigma of shrink-wrap's Gaussian in coarse voxels
TURN = 2.5  # rad, of the phases added for a trial, at NODES along each axis and linear between them
NODES = 8
WINDOW = 0.55  # sigma of the Gaussian that takes off the ringing, in units of the distance from the centre to the frame's edge

State = tuple[Tensor, Tensor]  # coarse objects (B, 2, n, n, n) and their supports, 0 and 1, (B, 1, n, n, n)


class Search(nn.Module):
    """Objects (B, 2, m, m, m) in boxes of half the frame's side -> objects that fit the centre of the measured pattern.

    trials: starts, the object itself and the same with smooth phases added. Of several each runs `trial_rounds` of EVERY
    iterations, and the one that fits best `rounds` more; one alone runs those only. The crystal has the same place on the coarse grid, and half the voxels across.
    """

    def __init__(self, frame: int, trials: int, trial_rounds: int, rounds: int) -> None:
        super().__init__()
        self.trials, self.trial_rounds, self.rounds = trials, trial_rounds, rounds
        self.side = frame // 2
        self.box = FarField(frame // 2, frame, frame // 2)
        self.coarse = FarField(frame // 2, frame // 2)
        r = torch.arange(self.side, dtype=torch.float32) - self.side // 2
        smoothing = torch.exp(-0.5 * ((r[:, None] - r) / SMOOTHING).square())
        self.register_buffer("smoothing", smoothing / smoothing.sum(1).amax(), persistent=False)
        window = torch.exp(-0.5 * (r / (WINDOW * self.side)).square())
        self.register_buffer("window", window[:, None, None] * window[:, None] * window, persistent=False)
        self.register_buffer("turns", turns(trials, self.side), persistent=False)
        self.smoothing: Tensor
        self.window: Tensor
        self.turns: Tensor

    @torch.no_grad()
    def forward(self, box: Tensor, modulus: Tensor, known: Tensor) -> Tensor:
        """modulus, known: (B, N, N, N) of the whole pattern; known is 0 or 1."""
        known = self._centre(known)
        modulus = self._centre(modulus) * self.window * known
        each = self._each(modulus), self._each(known)
        found = self._begun(box, *each)
        if self.trials > 1:
            found = self._best(self._rounds(found, *each, self.trial_rounds), *each)
        coarse, support = self._rounds(found, modulus, known, self.rounds)
        for _ in range(LAST):
            coarse = support * self._projected(coarse, modulus, known)
        return self.box.adjoint(self.coarse(coarse))

    def _centre(self, frame: Tensor) -> Tensor:
        """The central half of (B, N, N, N) along each axis, (B, 1, N / 2, N / 2, N / 2)."""
        inner = slice(self.side // 2, self.side // 2 + self.side)
        return frame[:, None, inner, inner, inner]

    def _each(self, volumes: Tensor) -> Tensor:
        """(B, ...) for each trial, (B trials, ...)."""
        return volumes[:, None].expand(-1, self.trials, -1, -1, -1, -1).flatten(0, 1)

    def _begun(self, box: Tensor, modulus: Tensor, known: Tensor) -> State:
        """The trials in the scale of the data."""
        real, imaginary = box[:, None].split(1, 2)
        cosine, sine = self.turns.split(1, 1)
        turned = torch.cat([real * cosine - imaginary * sine, real * sine + imaginary * cosine], 2).flatten(0, 1)
        field = self.box(turned)
        size = square(field).sqrt()
        axes = (2, 3, 4)
        scale = (size * modulus).sum(axes, True) / (size * size * known).sum(axes, True).clamp_min(1e-12)
        coarse = self.coarse.adjoint(field * scale)
        support = self._support(coarse)
        return coarse * support, support

    def _rounds(self, state: State, modulus: Tensor, known: Tensor, times: int) -> State:
        """So many rounds of RAAR."""

        def one(coarse: Tensor, support: Tensor) -> State:
            # inside the projection, outside beta x + (1 - 2 beta) projection
            carried = BETA * (1 - support)
            taken = 1 - 2 * carried
            for _ in range(EVERY):
                projected = self._projected(coarse, modulus, known)
                coarse = taken * projected + carried * coarse
            return coarse, self._support(projected)

        return repeated(one, times, state)

    def _best(self, state: State, modulus: Tensor, known: Tensor) -> State:
        """Of the trials of each pattern the one whose object, within its support, comes nearest to the modulus."""
        coarse, support = state
        size = square(self.coarse(support * self._projected(coarse, modulus, known))).sqrt()
        misfit = ((size - modulus) * known).square().sum((1, 2, 3, 4)).unflatten(0, (-1, self.trials))
        chosen = nn.functional.one_hot(misfit.argmin(1), self.trials).to(coarse.dtype)

        def of(volumes: Tensor) -> Tensor:
            each = volumes.unflatten(0, (-1, self.trials))
            return (each * chosen[:, :, None, None, None, None]).sum(1)

        return of(coarse), of(support)

    def _projected(self, coarse: Tensor, modulus: Tensor, known: Tensor) -> Tensor:
        """The measured modulus on the phases of the far field; what is not known stays."""
        field = self.coarse(coarse)
        factor = (1 - known) + modulus * (square(field) + 1e-12).rsqrt()
        return self.coarse.adjoint(field * factor)

    def _support(self, coarse: Tensor) -> Tensor:
        """Where the smoothed amplitude reaches the threshold, as 0 and 1: (B, 1, n, n, n)."""
        smooth = along_axes(self.smoothing, square(coarse).sqrt())
        relative = smooth / smooth.amax((2, 3, 4), True).clamp_min(1e-12)  # lest fourth powers leave single precision
        second = relative * relative
        reference = (second * second).sum((2, 3, 4), True) / second.sum((2, 3, 4), True).clamp_min(1e-12)
        return (second >= THRESHOLD**2 * reference).to(coarse.dtype)


def square(volumes: Tensor) -> Tensor:
    """|x|^2 (B, 1, n, n, n) of (B, 2, n, n, n)."""
    real, imaginary = volumes.split(1, 1)
    return real * real + imaginary * imaginary


def turns(trials: int, side: int) -> Tensor:
    """(trials, 2, side, side, side): cosine and sine of smooth phases of up to TURN, the first of them 0; always the same."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(trials, 1, NODES, NODES, NODES, generator=generator) * 2 - 1
    coarse[0] = 0
    phase = TURN * nn.functional.interpolate(coarse, size=(side, side, side), mode="trilinear")
    return torch.cat([phase.cos(), phase.sin()], 1)


def repeated(step: Callable[[Tensor, Tensor], State], times: int, state: State) -> State:
    """`step` so many times, each on the result of the one before: in an exported graph a Loop, which holds it once."""
    if not torch.compiler.is_exporting():
        for _ in range(times):
            state = step(*state)
        return state
    start = torch.zeros((), dtype=torch.int64)
    _, first, second = torch.while_loop(
        lambda done, *_: done < times, lambda done, *last: (done + 1, *in_order(step(*last))), (start, *in_order(state))
    )
    return first, second


def in_order(state: State) -> State:
    """Copies with the strides of new tensors, which `torch.while_loop` wants to be alike before and after a step."""
    first, second = (volumes.clone(memory_format=torch.contiguous_format) for volumes in state)
    return first, second
