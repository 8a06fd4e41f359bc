"""inphase-bcdi: a U-Net from the autocorrelation to the object, then corrections that see what the measured modulus asks for.

The autocorrelation of a crystal is twice as long as the crystal along every axis. Patches of 4^3 of its voxels and of
2^3 of the object's box therefore lie on one latent grid (N / 4)^3 on which the two have the same size and, for a convex
crystal, the same outline: a plain convolutional network goes from one to the other. Each correction then puts the
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
        return self.leave(F.silu(x))


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
        found = self.head(F.silu(self.near(torch.cat([both, *sizes, far], 1))))
        return head(found[:, :1], after + found[:, 1:])


class FarField(nn.Module):
    """The transform between a box and its frame as products with small matrices, real and imaginary parts side by side.

    A box of half the frame's sides needs 0.12 GFLOP at 64^3, which takes a CPU about as long as the FFT of the padded
    frame, and an ONNX graph needs nothing but MatMul. The convention is that of inphase.fourier: centred, norm "ortho".
    """

    def __init__(self, box: int, frame: int) -> None:
        super().__init__()
        r = torch.arange(box, dtype=torch.float64) - box // 2
        q = torch.arange(frame, dtype=torch.float64) - frame // 2
        angle = 2 * torch.pi * r[:, None] * q / frame
        c, s = angle.cos() / frame**0.5, angle.sin() / frame**0.5
        matrix = torch.cat(
            [torch.cat([c, -s], 1), torch.cat([s, c], 1)]
        ).float()  # (re, im) r -> (re, im) q, exp(-i q r)
        self.register_buffer("matrix", matrix, persistent=False)
        self.matrix: Tensor

    def forward(self, box: Tensor) -> Tensor:
        """(B, 2, m, m, m) -> (B, 2, n, n, n)."""
        return self._apply_along_axes(box, self.matrix)

    def adjoint(self, frame: Tensor) -> Tensor:
        """(B, 2, n, n, n) -> (B, 2, m, m, m): the inverse transform, cut to the box."""
        return self._apply_along_axes(frame, self.matrix.T)

    @staticmethod
    def _apply_along_axes(x: Tensor, matrix: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1, 4)  # (B, i, j, 2, k)
        for _ in range(3):
            x = (x.flatten(3) @ matrix).unflatten(3, (2, matrix.shape[1] // 2))
            x = x.permute(0, 4, 1, 3, 2)  # the axis that is done comes first, the next one last
        return x.permute(0, 3, 1, 2, 4)


def unit(x: Tensor) -> Tensor:
    """Objects (B, 2, m, m, m) scaled to a mean square of one."""
    return x * x.square().mean((1, 2, 3, 4), keepdim=True).clamp_min(1e-12).rsqrt()


def head(amplitude: Tensor, direction: Tensor) -> Tensor:
    """Objects (B, 2, ...) from logits (B, 1, ...) of the amplitude and (cosine, sine) of the phase of any length."""
    length = (direction.square().sum(1, keepdim=True) + 1e-6).sqrt()
    return torch.sigmoid(amplitude) * direction / length


class Cascade(nn.Module):
    """modulus (B, N, N, N), valid (B, N, N, N), autocorrelation (B, 2, N, N, N) -> amplitude, phase (B, N/2, N/2, N/2).

    N is a multiple of 32. amplitude in [0, 1], phase in (-pi, pi] rad, both of the central box of the N^3 frame.
    """

    inputs = ("modulus", "valid", "autocorrelation")

    def __init__(
        self,
        frame: int = 64,
        corrections: int = 2,
        patch: int = 32,
        widths: Sequence[int] = (32, 96, 176),
        depths: Sequence[int] = (1, 1, 2),
        correction_widths: Sequence[int] = (80, 128),
        correction_depths: Sequence[int] = (1, 1),
    ) -> None:
        super().__init__()
        self.far_field = FarField(frame // 2, frame)
        self.patches = nn.Conv3d(4, patch, 4, stride=4)
        self.first = LatentUNet(patch + 3, 8 * 3, widths, depths)
        self.corrections = corrections
        self.correction = Correction(correction_widths, correction_depths)
        n = frame // 4
        axis = torch.linspace(-1, 1, n)
        # where a voxel lies: without it a convolution cannot prefer one of the two twins
        self.register_buffer(
            "place", torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"))[None], persistent=False
        )
        self.place: Tensor

    def objects(
        self, modulus: Tensor, valid: Tensor, autocorrelation: Tensor, steps: int | None = None
    ) -> list[Tensor]:
        """The object after the U-Net and after each correction, or after the first `steps` of them.

        (B, 2, m, m, m) each, real and imaginary part: an exported graph has no complex numbers. Amplitudes in [0, 1].
        """
        # square roots bring the weak fringes and the edge of the autocorrelation, where the shape is, into range
        magnitude = (autocorrelation.square().sum(1, keepdim=True) + 1e-8).pow(0.25)
        patterns = torch.cat([modulus.sqrt()[:, None], valid[:, None], autocorrelation / magnitude], 1)
        patches = self.patches(patterns)
        place = self.place.expand(patches.shape[0], -1, -1, -1, -1)
        found = depth_to_space(self.first(torch.cat([patches, place], 1)))
        result = [head(found[:, :1], found[:, 1:])]
        known = (valid == KNOWN_VALID).to(modulus.dtype)
        for _ in range(self.corrections if steps is None else steps - 1):
            with torch.no_grad():  # every step has its own share in the loss: no gradient through the projection
                before = unit(result[-1])
                after = unit(self.projected(before, modulus, known))
            result.append(self.correction(before, after))
        return result

    def projected(self, box: Tensor, modulus: Tensor, known: Tensor) -> Tensor:
        """The measured modulus, in the scale of the object, on the phases of its far field; what is not known stays."""
        field = self.far_field(box)
        size = (field.square().sum(1) + 1e-8).sqrt()
        axes = (1, 2, 3)
        scale = (size * modulus * known).sum(axes, True) / (modulus.square() * known).sum(axes, True).clamp_min(1e-12)
        factor = 1 + known * (scale * modulus / size - 1)
        return self.far_field.adjoint(field * factor[:, None])

    def forward(self, modulus: Tensor, valid: Tensor, autocorrelation: Tensor) -> tuple[Tensor, Tensor]:
        real, imaginary = self.objects(modulus, valid, autocorrelation)[-1].unbind(1)
        amplitude = (real.square() + imaginary.square() + 1e-12).sqrt()
        return amplitude, torch.atan2(imaginary, real + 1e-12)
