"""The probe that a reconstruction begins with, and what keeps its modes apart."""

from dataclasses import dataclass

import torch
from torch import Tensor

from inphase.ptycho.measurement import Measurement
from inphase.ptycho.propagation import PLANE, NearFieldPropagation
from inphase.ptycho.scan import Scan

OFF = 3.0  # times the counts of the patterns, or a third: a guess beyond is told
SHARE = 0.05  # of the photons, that each mode which is added begins with
# with the first one as many modes as `Options` allow
_POWERS = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (2, 2))


@dataclass(frozen=True, eq=False)
class Start:
    """probe: (modes, y, x) complex64 with the photons of a mean pattern. notes: what was made of the guess."""

    probe: Tensor
    notes: tuple[str, ...]


def start(measured: Measurement, scan: Scan, modes: int | None) -> Start:
    """The guess of the measurement, or one made from its patterns, with as many modes as asked for and the photons
    that the patterns have.
    """
    notes = []
    if measured.probe is None:
        probe = _from_patterns(scan)
        notes.append("The probe was begun from the mean pattern, with a flat phase at the detector.")
    else:
        probe = torch.from_numpy(measured.probe).to(scan.modulus.device)
        power = float(_power(probe))
        if not 1 / OFF <= (ratio := power / scan.photons) <= OFF:
            notes.append(
                f"The guess of the probe has {power:.3g} photons, a mean pattern {scan.photons:.3g}: its amplitude was "
                f"scaled by {ratio**-0.5:.3g}."
            )
    wanted = len(probe) if modes is None else modes
    if wanted < len(probe):
        probe = orthogonal(probe)[:wanted]
        notes.append(f"Of the guess of the probe the {wanted} strongest modes were taken.")
    elif wanted > len(probe):
        probe = _with_modes(probe, wanted)
    return Start(probe * (scan.photons / _power(probe)).sqrt(), tuple(notes))


def orthogonal(probe: Tensor) -> Tensor:
    """Modes (modes, y, x) that give the same intensities and are orthogonal, the strongest first.

    Eigenvectors of the matrix of their products: Thibault & Menzel, Nature 494, 68 (2013).
    """
    if len(probe) == 1:
        return probe
    flat = probe.flatten(1)
    _, vectors = torch.linalg.eigh(flat @ flat.mH)
    turned: Tensor = (vectors.flip(1).mH @ flat).view_as(probe)
    return turned


def _from_patterns(scan: Scan) -> Tensor:
    """The square root of the mean pattern, taken back to the sample; (1, y, x), centred."""
    known = scan.modulus >= 0
    counts = torch.where(known, scan.modulus.square(), 0.0).sum(0)
    mean = (counts / known.sum(0).clamp(min=1)).sqrt().to(torch.complex64)
    probe = scan.waves.propagation.adjoint(mean[None, None], None)[0]
    return probe if isinstance(scan.waves.propagation, NearFieldPropagation) else torch.fft.fftshift(probe, dim=PLANE)


def _with_modes(probe: Tensor, count: int) -> Tensor:
    """Further modes: the first one times x, y, xy, ... about the middle, orthogonal and weak."""
    rows, columns = (torch.linspace(-1, 1, n, device=probe.device) for n in probe.shape[1:])
    first = probe[0]
    share = (SHARE * _power(probe)).sqrt()
    more = []
    for up, across in _POWERS[: count - len(probe)]:
        mode = first * rows[:, None] ** up * columns**across
        more.append(mode * (share / _power(mode).sqrt()))
    return orthogonal(torch.cat([probe, torch.stack(more)]))


def _power(probe: Tensor) -> Tensor:
    return (probe.real.square() + probe.imag.square()).sum(dtype=torch.float64).float()
