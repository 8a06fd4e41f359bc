"""inphase-2d: a U-Net draws the outline of a crystal of domains, and iterations of several starts fill it.

A crystal of many domains has a pattern of speckle: no network of this size can tell its phases, and iterations that have
to find the outline as well mostly fail. Within the outline they mostly succeed from any phases. What the U-Net has to
tell is the outline alone, which is in the autocorrelation: that is twice as long as the crystal along every direction.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inphase.features import KNOWN_VALID
from training.networks.far_field import FarField, in_single_precision, lines, parts, square
from training.networks.network import Network, in_its_precision
from training.networks.search import repeated

BETA = 0.8  # of HIO
EVEN = 5  # iterations of error reduction in the end: HIO leaves density outside the support


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
        size = (autocorrelation.square().sum(1, keepdim=True) + 1e-10).pow(0.25)
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
    """Objects within supports that fit a pattern: hybrid input-output of several starts, of which the best is taken.

    Fienup, Appl. Opt. 21, 2758 (1982). The starts have random phases, always the same. Nothing in it is learned, and no
    gradient goes through it. starts, iterations: how many, of each. room: pixels of the frame that the iterations keep;
    the support lies in the central frame / 2 of them.
    """

    def __init__(self, frame: int, starts: int, iterations: int, room: int) -> None:
        super().__init__()
        self.starts, self.iterations, self.margin = starts, iterations, (room - frame // 2) // 2
        self.fourier = FarField(room, frame, rank=2)
        generator = torch.Generator().manual_seed(1)
        phases = 2 * math.pi * torch.rand(starts, frame // 2, frame // 2, generator=generator)
        self.register_buffer("phases", phases, persistent=False)
        self.phases: Tensor

    @torch.no_grad()
    @in_single_precision
    def forward(self, inside: Tensor, modulus: Tensor, known: Tensor) -> Tensor:
        """Objects (B, 2, m, m) within the supports (B, m, m), 0 and 1. modulus, known: (B, N, N); known is 0 or 1."""
        starts, margin = self.starts, self.margin
        boxes = torch.stack([self.phases.cos(), self.phases.sin()], 1) * inside[:, None, None]
        objects = lines(F.pad(boxes.flatten(0, 1), (margin,) * 4))
        support = lines(F.pad(inside[:, None], (margin,) * 4)).repeat_interleave(starts, 0)
        measured, limited = (x.repeat_interleave(starts, 0)[:, None] for x in (modulus * known, known))
        size = square(self.fourier(objects)).sqrt()
        scale = (size * measured).sum((2, 3), True) / (size.square() * limited).sum((2, 3), True).clamp_min(1e-12)
        objects = objects * scale

        def hybrid(_: Tensor, objects: Tensor) -> tuple[Tensor, ...]:
            projected = self._projected(objects, measured, limited)
            return (objects + support * (projected - objects) - BETA * (1 - support) * projected,)

        (objects,) = repeated(hybrid, self.iterations, (objects,))
        objects = support * objects
        for _ in range(EVEN):
            objects = support * self._projected(objects, measured, limited)
        misfit = ((square(self.fourier(objects)).sqrt() - measured) * limited).square().sum((1, 2, 3))
        chosen = F.one_hot(misfit.unflatten(0, (-1, starts)).argmin(1), starts).to(objects.dtype)
        found = (chosen[:, None] @ objects.unflatten(0, (-1, starts)).flatten(2)).unflatten(2, objects.shape[1:])
        last = slice(margin, margin + inside.shape[-1])
        return parts(found[:, 0])[:, :, last, last]

    def _projected(self, objects: Tensor, measured: Tensor, known: Tensor) -> Tensor:
        """The modulus on the phases of the far field; what is not known stays."""
        field = self.fourier(objects)
        return self.fourier.adjoint(field * (1 - known + measured / (square(field) + 1e-12).sqrt()))


class Outline(Network):
    """modulus, valid (B, N, N), autocorrelation (B, 2, N, N) -> amplitude in [0, 1], phase in (-pi, pi] rad, each (B,
    N/2, N/2); N is a multiple of 2^len(widths).

    starts, iterations: of the iterations within the outline. room: see `Fill`.
    """

    inputs = ("modulus", "valid", "autocorrelation")

    def __init__(
        self,
        frame: int = 64,
        widths: tuple[int, ...] = (32, 64, 128, 128),
        starts: int = 12,
        iterations: int = 60,
        room: int = 48,
    ) -> None:
        super().__init__()
        self.drawing = OutlineUNet(frame, tuple(widths))
        self.fill = Fill(frame, starts, iterations, room)

    @in_its_precision
    def outline(self, autocorrelation: Tensor) -> Tensor:
        """Logits (B, N/2, N/2) of what lies within the crystal."""
        found: Tensor = self.drawing(autocorrelation)
        return found

    def forward(self, modulus: Tensor, valid: Tensor, autocorrelation: Tensor) -> tuple[Tensor, Tensor]:
        inside = (self.outline(autocorrelation) > 0).to(modulus.dtype)
        known = (valid == KNOWN_VALID).to(modulus.dtype)
        real, imaginary = self.fill(inside, modulus, known).unbind(1)
        amplitude = (real.square() + imaginary.square() + 1e-12).sqrt()
        return amplitude / amplitude.amax((1, 2), keepdim=True), torch.atan2(imaginary, real + 1e-12)
