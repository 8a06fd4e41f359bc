"""Phase retrieval inside a network: iterations on the central half of the pattern, where they cost an eighth.

Relaxed averaged alternating reflections (Luke, Inverse Problems 21, 37 (2005)) with shrink-wrap (Marchesini et al., Phys.
Rev. B 68, 140101 (2003)), the words of `inphase.retrieval` LOWRES(side=0.5); nothing in it is learned, and no gradient goes through it.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch._higher_order_ops.while_loop import while_loop

from training.networks.far_field import FarField, along_axes

BETA = 0.9  # of RAAR
EVERY = 10  # iterations of a round, which ends with an update of the support
LAST = 8  # iterations of error reduction in the end: RAAR leaves density outside the support
THRESHOLD = 0.2  # of the intensity-weighted amplitude
SMOOTHING = 0.7  # sigma of shrink-wrap's Gaussian in coarse voxels
WINDOW = 0.55  # sigma of the Gaussian that takes off the ringing, in units of the distance from the centre to the frame's edge


class Search(nn.Module):
    """Objects (B, 2, m, m, m) in boxes of half the frame's side -> objects that fit the centre of the measured pattern.

    rounds: of EVERY iterations each. The crystal has the same place on the coarse grid, and half the voxels across.
    """

    def __init__(self, frame: int, rounds: int) -> None:
        super().__init__()
        self.rounds, self.side = rounds, frame // 2
        self.box = FarField(frame // 2, frame, frame // 2)
        self.coarse = FarField(frame // 2, frame // 2)
        r = torch.arange(self.side, dtype=torch.float32) - self.side // 2
        smoothing = torch.exp(-0.5 * ((r[:, None] - r) / SMOOTHING).square())
        self.register_buffer("smoothing", smoothing / smoothing.sum(1).amax(), persistent=False)
        window = torch.exp(-0.5 * (r / (WINDOW * self.side)).square())
        self.register_buffer("window", window[:, None, None] * window[:, None] * window, persistent=False)
        self.smoothing: Tensor
        self.window: Tensor

    @torch.no_grad()
    def forward(self, box: Tensor, modulus: Tensor, known: Tensor) -> Tensor:
        """modulus, known: (B, N, N, N) of the whole pattern; known is 0 or 1."""
        known = self._centre(known)
        modulus = self._centre(modulus) * self.window * known
        field = self.box(box)
        size = square(field).sqrt()
        axes = (2, 3, 4)
        scale = (size * modulus).sum(axes, True) / (size * size * known).sum(axes, True).clamp_min(1e-12)
        coarse = self.coarse.adjoint(field * scale)
        support = self._support(coarse)

        def projected(coarse: Tensor) -> Tensor:
            field = self.coarse(coarse)
            factor = (1 - known) + modulus * (square(field) + 1e-12).rsqrt()
            return self.coarse.adjoint(field * factor)

        def one_round(coarse: Tensor, support: Tensor) -> tuple[Tensor, Tensor]:
            # inside the projection, outside beta x + (1 - 2 beta) projection
            carried = BETA * (1 - support)
            taken = 1 - 2 * carried
            for _ in range(EVERY):
                found = projected(coarse)
                coarse = taken * found + carried * coarse
            return coarse, self._support(found)

        coarse, support = repeated(one_round, self.rounds, coarse * support, support)
        for _ in range(LAST):
            coarse = support * projected(coarse)
        return self.box.adjoint(self.coarse(coarse))

    def _centre(self, frame: Tensor) -> Tensor:
        """The central half of (B, N, N, N) along each axis, (B, 1, N / 2, N / 2, N / 2)."""
        inner = slice(self.side // 2, self.side // 2 + self.side)
        return frame[:, None, inner, inner, inner]

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


def repeated(
    step: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], times: int, first: Tensor, second: Tensor
) -> tuple[Tensor, Tensor]:
    """`step` so many times, each on the result of the one before: in an exported graph a Loop, which holds it once."""
    if not torch.compiler.is_exporting():
        for _ in range(times):
            first, second = step(first, second)
        return first, second
    start = torch.zeros((), dtype=torch.int64)
    _, first, second = while_loop(
        lambda done, *_: done < times, lambda done, *state: (done + 1, *step(*state)), (start, first, second)
    )
    return first, second
