"""Where the beam really was: positions that fit the patterns better, with object and probe as they stand.

Two ways. `gauss_newton` follows the slope of each pattern and is exact to hundredths of a pixel, where the error is
smaller than the detail of the object. `search` tries steps around each position and takes the best: Zhang et al.,
Opt. Express 21, 13592 (2013) call it for errors of many pixels. Coarse to fine: the search begins with long steps and
shortens them.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inphase.ptycho.likelihood import amplitude
from inphase.ptycho.scan import Scan, State

LONGEST = 0.5  # pixels that one step of Gauss and Newton may take
DAMPING = 1e-3


def gauss_newton(scan: Scan, state: State, frames: NDArray[np.intp], margin: int) -> None:
    """One step of every frame's position towards the least squares of sqrt I - m, two unknowns a frame.

    The mean of all steps is taken off: it would only move the object.
    """
    steps = torch.zeros_like(state.positions)
    for block in scan.blocks(frames):
        waves = scan.forward(state, block)
        modulus, intensity = scan.modulus[block], waves.intensity
        root = torch.sqrt(intensity + 1e-6)
        residual = torch.where(modulus >= 0, modulus - root, 0.0)
        slopes = [
            torch.where(modulus >= 0, (waves.field.conj() * slope).real.sum(1) / root, 0.0)
            for slope in scan.waves.slopes(waves, state.probe)
        ]
        steps[block] = _solved(slopes, residual)
    steps[frames] -= steps[frames].mean(0)
    state.positions = _within(state.positions + steps, state, scan, margin)


def search(
    scan: Scan, state: State, frames: NDArray[np.intp], radius: float, margin: int, generator: np.random.Generator
) -> None:
    """Tries eight positions around each at `radius` pixels, turned by a random angle, and takes the best of the nine."""
    turn = generator.uniform(0, np.pi / 4)
    angles = turn + np.arange(8) * np.pi / 4
    # rings of two radii, so that small errors are not jumped over
    radii = radius * np.tile((1.0, 0.5), 4)
    offsets = np.vstack([np.zeros(2), radii[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])])
    best = state.positions.clone()
    for block in scan.blocks(frames):
        here = state.positions[block]
        errors, tried = [], []
        for offset in torch.from_numpy(offsets).to(here.device):
            moved = _within(here + offset, state, scan, margin)
            waves = scan.waves.forward(state.object, state.probe, moved)
            value, _ = amplitude(waves.intensity, scan.modulus[block])
            errors.append(value)
            tried.append(moved)
        choice = torch.stack(errors).argmin(0)
        best[block] = torch.stack(tried)[choice, torch.arange(len(block), device=here.device)]
    state.positions = best


def _solved(slopes: list[Tensor], residual: Tensor) -> Tensor:
    """(B, 2) float64: the normal equations of two unknowns, damped and cut at the longest step."""
    a, b = (slope.double() for slope in slopes)
    r = residual.double()

    def dot(x: Tensor, y: Tensor) -> Tensor:
        return (x * y).sum((1, 2))

    aa, ab, bb = dot(a, a), dot(a, b), dot(b, b)
    ridge = DAMPING * (aa + bb) + 1e-12
    aa, bb = aa + ridge, bb + ridge
    ra, rb = dot(a, r), dot(b, r)
    determinant = aa * bb - ab**2
    step = torch.stack([(bb * ra - ab * rb) / determinant, (aa * rb - ab * ra) / determinant], 1)
    length = step.norm(dim=1, keepdim=True)
    return step * (LONGEST / length.clamp(min=LONGEST))


def _within(positions: Tensor, state: State, scan: Scan, margin: int) -> Tensor:
    """Windows stay on the object."""
    most = torch.tensor(state.object.shape, device=positions.device) - torch.tensor(
        scan.waves.shape, device=positions.device
    )
    return torch.minimum(positions.clamp(min=0), most.to(positions.dtype))
