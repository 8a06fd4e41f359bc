"""inphase-bcdi: a U-Net from the autocorrelation to the object, a search,
then corrections that see what the measured modulus asks for.

The autocorrelation of a crystal is twice as long as the crystal along every axis. Patches of 4^3 of its voxels and of
2^3 of the object's box therefore lie on one latent grid (N / 4)^3 on which the two have the same size and, for a convex
crystal, the same outline: a plain convolutional network goes from one to the other. What it has wrong is coarse, and
iterations on the centre of the pattern put that right (`search`). Each correction then puts the
measured modulus on the far field of the object so far (the projection of error reduction) and shows both to a small
network, the same one every time.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inphase.features import KNOWN_VALID
from training.networks.blocks import Residual, depth_to_space, space_to_depth
from training.networks.coherence import Coherence
from training.networks.far_field import FarField, in_single_precision, lines, parts, square
from training.networks.network import Network, in_its_precision
from training.networks.planes import convolved
from training.networks.search import Search, Stage


class LatentUNet(nn.Module):
    """(B, c_in, n, n, n) -> (B, c_out, n, n, n) through n / 2, n / 4, ...: one width and one depth for each level."""

    def __init__(self, c_in: int, c_out: int, widths: Sequence[int], depths: Sequence[int], kernel: int = 3) -> None:
        super().__init__()
        self.enter = nn.Conv3d(c_in, widths[0], kernel, padding=kernel // 2)
        self.leave = nn.Conv3d(widths[0], c_out, kernel, padding=kernel // 2)
        self.encode = nn.ModuleList(residuals(w, d) for w, d in zip(widths, depths, strict=True))
        self.decode = nn.ModuleList(residuals(w, d) for w, d in zip(widths[:-1], depths, strict=False))
        steps = list(pairwise(widths))
        self.down = nn.ModuleList(nn.Conv3d(fine, coarse, 2, stride=2) for fine, coarse in steps)
        self.up = nn.ModuleList(nn.ConvTranspose3d(coarse, fine, 2, stride=2) for fine, coarse in steps)

    def forward(self, x: Tensor) -> Tensor:
        x = self.encode[0](self.enter(x))
        skipped = []
        for down, encode in zip(self.down, self.encode[1:], strict=True):
            skipped.append(x)
            x = encode(down(F.silu(x)))
        for up, decode in zip(reversed(self.up), reversed(self.decode), strict=True):
            x = decode(up(F.silu(x)) + skipped.pop())
        left: Tensor = self.leave(F.silu(x))
        return left


def flat(last: nn.Conv3d, values: Sequence[float]) -> None:
    """Make what an untrained network ends with nearly these values, each in an equal share of the channels."""
    share = last.out_channels // len(values)
    with torch.no_grad():
        last.weight.mul_(0.1)
        assert last.bias is not None
        last.bias.copy_(torch.tensor(values).repeat_interleave(share))


def residuals(width: int, depth: int) -> nn.Sequential:
    """`depth` blocks one after the other."""
    return nn.Sequential(*(Residual(width) for _ in range(depth)))


class Correction(nn.Module):
    """Objects before and after the projection (B, 2, m, m, m) -> a better one.

    Patches of 4^3 voxels see far; a thin network at full resolution draws the edges.
    """

    def __init__(self, widths: Sequence[int], depths: Sequence[int], features: int = 4) -> None:
        super().__init__()
        self.far = LatentUNet(64 * 4, 64 * features, widths, depths, kernel=1)
        self.near = nn.Conv3d(6 + features, 12, 3, padding=1)
        self.head = nn.Conv3d(12, 3, 3, padding=1)

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        both = torch.cat([before, after], 1)
        far = depth_to_space(depth_to_space(self.far(space_to_depth(space_to_depth(both)))))
        sizes = [(x.square().sum(1, keepdim=True) + 1e-6).sqrt() for x in (before, after)]
        found = convolved(self.head, F.silu(convolved(self.near, torch.cat([both, *sizes, far], 1))))
        return head(found[:, :1], after + found[:, 1:])


def unit(x: Tensor) -> Tensor:
    """Objects (B, 2, m, m, m) scaled to a mean square of one."""
    return x * x.square().mean((1, 2, 3, 4), keepdim=True).clamp_min(1e-12).rsqrt()


def bounded(x: Tensor) -> Tensor:
    """Objects (B, 2, m, m, m) scaled to a largest amplitude of one."""
    return x * x.square().sum(1, keepdim=True).amax((1, 2, 3, 4), keepdim=True).clamp_min(1e-12).rsqrt()


def head(amplitude: Tensor, direction: Tensor) -> Tensor:
    """Objects (B, 2, ...) from logits (B, 1, ...) of the amplitude and (cosine, sine) of the phase of any length."""
    amplitude, direction = amplitude.float(), direction.float()  # the last convolution may have been in bfloat16
    length = (direction.square().sum(1, keepdim=True) + 1e-6).sqrt()
    return torch.sigmoid(amplitude) * direction / length


class Cascade(Network):
    """modulus (B, N, N, N), valid (B, N, N, N), autocorrelation (B, 2, N, N, N) -> amplitude, phase (B, N/2, N/2, N/2).

    N is a multiple of 32. amplitude in [0, 1], phase in (-pi, pi] rad, both of the central box of the N^3 frame.
    search: the stages of `Search` between the U-Net and the corrections: starts, rounds and eighths of the pattern of
    each. Without corrections what the search found is the object.
    """

    inputs = ("modulus", "valid", "autocorrelation")

    def __init__(
        self,
        frame: int = 64,
        search: Sequence[Stage] = ((16, 3, 3), (6, 2, 4), (2, 5, 4)),
        corrections: int = 4,
        patch: int = 32,
        widths: Sequence[int] = (32, 96, 176),
        depths: Sequence[int] = (1, 1, 2),
        correction_widths: Sequence[int] = (80, 128),
        correction_depths: Sequence[int] = (1, 1),
    ) -> None:
        super().__init__()
        self.far_field = FarField(frame // 2, frame)
        self.coherence = Coherence(frame, frame)
        self.patches = nn.Conv3d(4, patch, 4, stride=4)
        self.first = LatentUNet(patch + 3, 8 * 3, widths, depths)
        # an even block without phase: with noise for a start, the modulus leads away from every crystal,
        # never to return
        flat(self.first.leave, (0, 1, 0))
        self.search = Search(frame, search)
        self.corrections = corrections
        self.correction = Correction(correction_widths, correction_depths) if corrections else None
        n = frame // 4
        axis = torch.linspace(-1, 1, n)
        # where a voxel lies: without it a convolution cannot prefer one of the two twins
        self.register_buffer(
            "place", torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"))[None], persistent=False
        )
        self.place: Tensor

    @in_its_precision
    def objects(
        self, modulus: Tensor, valid: Tensor, autocorrelation: Tensor, steps: int | None = None
    ) -> list[Tensor]:
        """The object after the U-Net and after each correction (after the search where there is none), or after the
        first `steps` of them (1: no search either).

        (B, 2, m, m, m) each, real and imaginary part: an exported graph has no complex numbers. Amplitudes in [0, 1].
        """
        result = [self.draft(self.patterns(modulus, valid, autocorrelation))]
        if steps == 1:
            return result
        known = (valid == KNOWN_VALID).to(modulus.dtype)
        found, decay = self.search(result[0], modulus, known)
        if self.correction is None:
            return [*result, bounded(found)]
        for _ in range(self.corrections if steps is None else steps - 1):
            with torch.no_grad():  # every step has its own share in the loss: no gradient through the projection
                before = unit(found)
                after = unit(self.projected(before, decay, modulus, known))
            found = self.correction(before, after)
            result.append(found)
        return result

    @staticmethod
    def patterns(modulus: Tensor, valid: Tensor, autocorrelation: Tensor) -> Tensor:
        """What the U-Net sees, (B, 4, N, N, N)."""
        # square roots bring the weak fringes and the edge of the autocorrelation, where the shape is, into range
        magnitude = (autocorrelation.square().sum(1, keepdim=True) + 1e-8).pow(0.25)
        return torch.cat([modulus.sqrt()[:, None], valid[:, None], autocorrelation / magnitude], 1)

    def draft(self, patterns: Tensor) -> Tensor:
        """The object (B, 2, m, m, m) as the U-Net draws it."""
        patches = self.patches(patterns)
        place = self.place.expand(patches.shape[0], -1, -1, -1, -1)
        drawn = depth_to_space(self.first(torch.cat([patches, place], 1)))
        return head(drawn[:, :1], drawn[:, 1:])

    @in_single_precision
    def projected(self, box: Tensor, decay: Tensor, modulus: Tensor, known: Tensor) -> Tensor:
        """The modulus as coherent light would give it, in the scale of the object, on the phases of its far field.

        decay: (B, 3) of the light. What is not known stays; modulus is 0 there.
        """
        field = self.far_field(lines(box))
        modulus, known = modulus[:, None], known[:, None]
        intensity = square(field)
        target = self.coherence.coherent(decay, intensity, modulus)
        size = (intensity + 1e-8).sqrt()
        axes = (1, 2, 3, 4)
        scale = (size * target).sum(axes, True) / target.square().sum(axes, True).clamp_min(1e-12)
        factor = 1 + known * (scale * target / size - 1)
        return parts(self.far_field.adjoint(field * factor))

    def forward(self, modulus: Tensor, valid: Tensor, autocorrelation: Tensor) -> tuple[Tensor, Tensor]:
        real, imaginary = self.objects(modulus, valid, autocorrelation)[-1].unbind(1)
        amplitude = (real.square() + imaginary.square() + 1e-12).sqrt()
        return amplitude, torch.atan2(imaginary, real + 1e-12)
