"""The forward operator of ptychography and its adjoints.

Frame k sees psi_k,m(x) = P_m(x) O(x + r_k) through the propagation D. r_k = n_k + f_k with whole pixels n_k: the object
is cut out at n_k, the probe is moved by -f_k in Fourier space, and so the exit wave lies f_k too far; D knows that. The
operator is linear in the object and in the probe, and `to_object` and `to_probe` are its exact adjoints.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inphase.ptycho.propagation import Propagation, ramps, rate

WHOLE = 1e-3  # pixels: a smaller fraction of one is none


@dataclass(frozen=True, eq=False)
class Waves:
    """A batch of frames on its way to the detector.

    corners: (B, 2) int64, n_k. fractions: (B, 2) float32, f_k, or None where all are whole. patches: (B, 1, y, x)
    complex64 of the object; probes: (B or 1, modes, y, x), moved; field: (B, modes, y, x) at the detector.
    """

    corners: Tensor
    fractions: Tensor | None
    patches: Tensor
    probes: Tensor
    field: Tensor

    @property
    def intensity(self) -> Tensor:
        """(B, y, x) float32: the modes do not interfere."""
        return (self.field.real.square() + self.field.imag.square()).sum(1)


class ExitWaves:
    """The operator for windows of one shape (y, x)."""

    def __init__(self, propagation: Propagation, shape: tuple[int, int]) -> None:
        self.propagation = propagation
        self.shape = shape

    def windows(self, obj: Tensor, probe: Tensor, positions: Tensor) -> Waves:
        """obj: (Y, X) complex64; probe: (modes, y, x); positions: (B, 2) float64, the windows' corners in pixels.

        The field is not computed: it is empty.
        """
        whole = positions.round()
        corners, fractions = whole.long(), (positions - whole).float()
        patches = self.cut(obj, corners)
        if bool((fractions.abs() < WHOLE).all()):
            return Waves(corners, None, patches, probe[None], patches.new_empty(0))
        moved = torch.fft.ifft2(torch.fft.fft2(probe)[None] * ramps(fractions, self.shape))
        return Waves(corners, fractions, patches, moved, patches.new_empty(0))

    def forward(self, obj: Tensor, probe: Tensor, positions: Tensor) -> Waves:
        """The same with the field at the detector."""
        waves = self.windows(obj, probe, positions)
        field = self.propagation.forward(waves.probes * waves.patches, waves.fractions)
        return replace(waves, field=field)

    def exit(self, waves: Waves, field: Tensor) -> Tensor:
        """D^H: a field at the detector (B, modes, y, x) as exit waves."""
        return self.propagation.adjoint(field, waves.fractions)

    def to_object(self, waves: Waves, exits: Tensor, out: Tensor) -> None:
        """Adds to `out` (Y, X) complex64 what the exit waves (B, modes, y, x) give back to the object."""
        self.add(out, waves.corners, (waves.probes.conj() * exits).sum(1))

    def to_probe(self, waves: Waves, exits: Tensor) -> Tensor:
        """What the exit waves (B, modes, y, x) give back to the probe, (modes, y, x) complex64."""
        given = waves.patches.conj() * exits
        if waves.fractions is None:
            return given.sum(0)
        spectrum = (torch.fft.fft2(given) * ramps(-waves.fractions, self.shape)).sum(0)
        back: Tensor = torch.fft.ifft2(spectrum)
        return back

    def illumination(self, waves: Waves, out: Tensor) -> None:
        """Adds sum_m |P_m|^2 of every frame to `out` (Y, X) float32."""
        power = _power(waves.probes)
        self.add(out, waves.corners, power.expand(len(waves.corners), -1, -1))

    def coverage(self, waves: Waves) -> Tensor:
        """sum_k |O_k|^2, (y, x) float32."""
        return _power(waves.patches).sum(0)

    def slopes(self, waves: Waves, probe: Tensor) -> tuple[Tensor, Tensor]:
        """Derivative of the field with respect to the row and to the column of each position, (B, modes, y, x) each.

        The position moves the probe against the object; the near field shows that the exit wave is put back as well.
        """
        spectrum = torch.fft.fft2(probe)[None]
        if waves.fractions is not None:
            spectrum = spectrum * ramps(waves.fractions, self.shape)
        along = []
        for axis in (0, 1):
            moved = torch.fft.ifft2(spectrum * rate(self.shape, axis, probe.device)) * waves.patches
            slope = self.propagation.forward(moved, waves.fractions)
            put_back = self.propagation.put_back(waves.field, axis)
            along.append(slope if put_back is None else slope + put_back)
        return along[0], along[1]

    def cut(self, obj: Tensor, corners: Tensor) -> Tensor:
        """Windows of an image (Y, X) at corners (B, 2) -> (B, 1, y, x), a copy."""
        windows = obj.unfold(0, self.shape[0], 1).unfold(1, self.shape[1], 1)
        return windows[corners[:, 0], corners[:, 1]][:, None]

    def add(self, out: Tensor, corners: Tensor, windows: Tensor) -> None:
        """The adjoint of `cut`: adds windows (B, y, x) to an image (Y, X)."""
        rows, columns = self.shape
        if out.device.type != "cpu":
            self.scatter(out, corners, windows)
            return
        # a slice at a time is faster here than any scattering of single pixels
        for (row, column), window in zip(corners.tolist(), windows, strict=True):
            out[row : row + rows, column : column + columns] += window

    def scatter(self, out: Tensor, corners: Tensor, windows: Tensor) -> None:
        """The same pixel by pixel, for a GPU."""
        rows, columns = (torch.arange(n, device=out.device) for n in self.shape)
        inner = rows[:, None] * out.shape[1] + columns
        index = ((corners[:, 0] * out.shape[1] + corners[:, 1])[:, None, None] + inner).reshape(-1)
        if out.is_complex():
            values = torch.view_as_real(windows.contiguous()).reshape(-1, 2)
            torch.view_as_real(out).view(-1, 2).index_add_(0, index, values)
        else:
            out.view(-1).index_add_(0, index, windows.reshape(-1))


def _power(waves: Tensor) -> Tensor:
    """Sum of squares over the modes, (B, modes, y, x) -> (B, y, x) float32."""
    return (waves.real.square() + waves.imag.square()).sum(1)
