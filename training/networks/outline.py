"""inphase-2d: a U-Net draws the outline of a crystal of domains, and iterations of several starts fill it.

A crystal of many domains has a pattern of speckle: no network of this size can tell its phases, and iterations that
have to find the outline as well mostly fail. Within the outline they mostly succeed from any phases. What the U-Net has
to tell is the outline alone, which is in the autocorrelation: that is twice as long as the crystal in every direction.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inphase.features import KNOWN_VALID
from training.networks.far_field import FarField, in_single_precision, lines, parts, square
from training.networks.network import Network, in_its_precision
from training.networks.search import relative, repeated

LEVELS = -0.5, -1.5  # of the logits, from the first start to the last: what may be within is tried both ways
BETA = 0.8  # of hybrid input-output
EVEN = 3  # iterations of error reduction after it
ROUND = 20  # iterations between two updates of the support
THRESHOLD = 0.2  # of shrink-wrap, of the intensity-weighted amplitude
SIGMA = 1.0  # of its Gaussian, in pixels

Pattern = tuple[Tensor, Tensor]  # modulus, 0 where it is not known, and what is known, 0 and 1, (B, 1, N, N) each


class Block(nn.Module):
    """x + conv(act(norm(conv(act(x))))) of images at one resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(8, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = x + self.second(F.silu(self.norm(self.first(F.silu(x)))))
        return found


class OutlineUNet(nn.Module):
    """autocorrelation (B, 2, N, N) -> logits (B, N/2, N/2) of what lies within the crystal.

    N is a multiple of 2^len(widths). The first convolution takes every second pixel: on what is left, an
    autocorrelation and its crystal have the same size.
    """

    def __init__(self, frame: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3 + 2, widths[0], 5, padding=2, stride=2)
        steps = list(pairwise(widths))
        self.encode = nn.ModuleList(Block(width) for width in widths)
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in steps)
        self.up = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in steps)
        self.decode = nn.ModuleList(Block(width) for width in widths[:-1])
        self.leave = nn.Conv2d(widths[0], 1, 3, padding=1)
        axis = torch.linspace(-1, 1, frame)
        # where a pixel lies: without it a convolution cannot prefer one of the two twins
        self.register_buffer("place", torch.stack(torch.meshgrid(axis, axis, indexing="ij"))[None], persistent=False)
        self.place: Tensor

    def forward(self, autocorrelation: Tensor) -> Tensor:
        # roots bring the weak edge of the autocorrelation, where the outline is, into range
        # (bounded from below: a graph's optimiser takes a sum with 1e-10 for one with nothing)
        size = autocorrelation.square().sum(1, keepdim=True).clamp_min(1e-10).pow(0.25)
        place = self.place.expand(autocorrelation.shape[0], -1, -1, -1)
        x = self.encode[0](self.enter(torch.cat([size.sqrt(), autocorrelation / size, place], 1)))
        skipped = []
        for down, encode in zip(self.down, self.encode[1:], strict=True):
            skipped.append(x)
            x = encode(down(F.silu(x)))
        for up, decode in zip(reversed(self.up), reversed(self.decode), strict=True):
            x = decode(up(F.silu(x)) + skipped.pop())
        found: Tensor = self.leave(F.silu(x)).float()[:, 0]
        return found


class Fill(nn.Module):
    """Objects in supports that fit a pattern: hybrid input-output (Fienup, Appl. Opt. 21, 2758 (1982)) of many starts.

    The starts have random phases, always the same. Where they have come to after so many iterations decides which of
    them are kept; of these the support is drawn anew before each of the `rounds`, and the one that fits best is taken.
    Nothing in it is learned, and no gradient goes through it. room: pixels of the frame along each axis that the
    iterations keep; the first support lies in the central frame / 2 of them.
    """

    def __init__(self, frame: int, starts: int, iterations: int, kept: int, rounds: int, room: int) -> None:
        super().__init__()
        self.starts, self.iterations, self.kept, self.rounds = starts, iterations, kept, rounds
        self.margin = (room - frame // 2) // 2
        self.fourier = FarField(room, frame, rank=2)
        generator = torch.Generator().manual_seed(1)
        phases = 2 * math.pi * torch.rand(starts, frame // 2, frame // 2, generator=generator)
        line = torch.arange(room, dtype=torch.float32)
        smoothing = torch.exp(-0.5 * ((line[:, None] - line) / SIGMA).square())
        self.register_buffer("phases", phases, persistent=False)
        self.register_buffer("smoothing", smoothing / smoothing.sum(1).amax(), persistent=False)
        self.phases: Tensor
        self.smoothing: Tensor

    @torch.no_grad()
    @in_single_precision
    def forward(self, inside: Tensor, modulus: Tensor, known: Tensor) -> Tensor:
        """Objects (B, 2, m, m) within supports near those of each start, (B, starts, m, m), 0 and 1.

        modulus, known: (B, N, N); known is 0 or 1.
        """
        first, margin = self.starts, self.margin
        boxes = torch.stack([self.phases.cos(), self.phases.sin()], 1) * inside[:, :, None]
        objects = lines(F.pad(boxes.flatten(0, 1), (margin,) * 4))
        support = lines(F.pad(inside.flatten(0, 1)[:, None], (margin,) * 4))
        pattern = (modulus * known)[:, None], known[:, None]
        many = repeated_each(pattern, first)
        objects = self._hybrid(self._scaled(objects, many), support, many, self.iterations)
        objects = self._nearest(objects, many, first, self.kept)
        few = repeated_each(pattern, self.kept)
        for _ in range(self.rounds):
            objects = self._hybrid(objects, self._support(objects), few, ROUND)
        objects = self._nearest(objects, few, self.kept, 1)
        last = slice(margin, margin + inside.shape[-1])
        return parts(objects)[:, :, last, last]

    def _scaled(self, objects: Tensor, pattern: Pattern) -> Tensor:
        """Objects (B, r, 2, r) in the scale of the data."""
        modulus, known = pattern
        size = square(self.fourier(objects)).sqrt()
        return objects * (size * modulus).sum((2, 3), True) / (size.square() * known).sum((2, 3), True).clamp_min(1e-12)

    def _hybrid(self, objects: Tensor, support: Tensor, pattern: Pattern, times: int) -> Tensor:
        """So many iterations of hybrid input-output, which leaves density outside, and EVEN of error reduction."""

        def one(_: Tensor, objects: Tensor) -> tuple[Tensor, ...]:
            projected = self._projected(objects, pattern)
            return (support * projected + (1 - support) * (objects - BETA * projected),)

        (objects,) = repeated(one, times, (objects,))
        objects = support * objects
        for _ in range(EVEN):
            objects = support * self._projected(objects, pattern)
        return objects

    def _projected(self, objects: Tensor, pattern: Pattern) -> Tensor:
        """The modulus on the phases of the far field; what is not known stays."""
        modulus, known = pattern
        field = self.fourier(objects)
        return self.fourier.adjoint(field * (1 - known + modulus / square(field).clamp_min(1e-12).sqrt()))

    def _support(self, objects: Tensor) -> Tensor:
        """Shrink-wrap: where the smoothed amplitude reaches the threshold, as 0 and 1, (B, r, 1, r)."""
        amplitude = square(objects, 2).sqrt().squeeze(2)
        inside: Tensor = relative(self.smoothing @ amplitude @ self.smoothing) >= THRESHOLD
        return inside.to(objects.dtype).unsqueeze(2)

    def _nearest(self, objects: Tensor, pattern: Pattern, starts: int, kept: int) -> Tensor:
        """Of so many starts of each pattern, (B starts, r, 2, r), those that fit best: (B kept, r, 2, r)."""
        modulus, known = pattern
        misfit = ((square(self.fourier(objects)).sqrt() - modulus) * known).square().sum((1, 2, 3))
        chosen = misfit.unflatten(0, (-1, starts)).topk(kept, dim=1, largest=False).indices
        chosen = F.one_hot(chosen, starts).to(objects.dtype)
        best = chosen @ objects.flatten(1).unflatten(0, (-1, starts))
        found: Tensor = best.flatten(0, 1).unflatten(1, objects.shape[1:])
        return found


def repeated_each(pattern: Pattern, times: int) -> Pattern:
    """The pattern of each of B as often as it has objects: (B times, 1, N, N)."""
    modulus, known = pattern
    return modulus.repeat_interleave(times, 0), known.repeat_interleave(times, 0)


class Outline(Network):
    """modulus, valid (B, N, N), autocorrelation (B, 2, N, N) -> amplitude in [0, 1], phase in (-pi, pi] rad, each (B,
    N/2, N/2); N is a multiple of 2^len(widths).

    starts, iterations, kept, rounds, room: of `Fill`.
    """

    inputs = ("modulus", "valid", "autocorrelation")

    def __init__(
        self,
        frame: int = 64,
        widths: tuple[int, ...] = (32, 64, 128, 128),
        starts: int = 24,
        iterations: int = 30,
        kept: int = 4,
        rounds: int = 5,
        room: int = 48,
    ) -> None:
        super().__init__()
        self.drawing = OutlineUNet(frame, tuple(widths))
        self.fill = Fill(frame, starts, iterations, kept, rounds, room)
        levels = torch.linspace(*LEVELS, starts)[:, None, None]
        self.register_buffer("levels", levels, persistent=False)
        self.levels: Tensor

    @in_its_precision
    def outline(self, autocorrelation: Tensor) -> Tensor:
        """Logits (B, N/2, N/2) of what lies within the crystal."""
        found: Tensor = self.drawing(autocorrelation)
        return found

    def forward(self, modulus: Tensor, valid: Tensor, autocorrelation: Tensor) -> tuple[Tensor, Tensor]:
        inside = (self.outline(autocorrelation)[:, None] > self.levels).to(modulus.dtype)
        known = (valid == KNOWN_VALID).to(modulus.dtype)
        real, imaginary = self.fill(inside, modulus, known).unbind(1)
        amplitude = (real.square() + imaginary.square()).sqrt()
        phase = torch.atan2(imaginary, torch.where(amplitude > 0, real, 1.0))
        return amplitude / amplitude.amax((1, 2), keepdim=True).clamp_min(1e-12), phase
