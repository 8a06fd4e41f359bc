"""Where the beam really was: positions that fit the patterns better, with object and probe as they stand.

Two ways. `gauss_newton` follows the slope of each pattern and is exact to hundredths of a pixel, where the error is
smaller than the detail of the object. The object's noise makes slopes steeper than they are and steps too short, so
that longer ones are tried too. `search` tries steps around each position and takes the best, for errors of
many pixels (annealing: Maiden et al., Ultramicroscopy 120, 64 (2012)). Coarse to fine: it begins with long steps and
shortens them. An object that a frame has been fitted to bears its imprint where the frame was wrongly put, and holds it
there. So each half of the frames is searched on an object made of the other half. No step leads away from the light: on
pixels that no other frame has lit, any pattern fits in the end. What a search leaves wrong, `regrowth` mends.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inphase.ptycho.light import Light
from inphase.ptycho.likelihood import DARK, amplitude
from inphase.ptycho.scan import Scan, State
from inphase.ptycho.solvers.pie import PIE

LONGEST = 0.5  # pixels that one step of Gauss and Newton may take
TRIED = (1.0, 3.0)  # times that step
DAMPING = 1e-3
SHARE = 0.5  # of the beam's photons that must fall on what other frames have lit
PASSES = 3  # of a solver over half of the frames, for an object that the others are searched on


def gauss_newton(scan: Scan, state: State, frames: NDArray[np.intp]) -> None:
    """One step of every frame's position towards the least squares of sqrt I - m, two unknowns a frame.

    The mean of all steps is taken off: it would only move the object.
    """
    moved = state.positions.clone()
    for block in scan.blocks(frames):
        waves = scan.forward(state, block)
        modulus, intensity = scan.modulus[block], waves.intensity
        root = torch.sqrt(intensity + DARK)
        residual = torch.where(modulus >= 0, modulus - root, 0.0)
        slopes = [
            torch.where(modulus >= 0, (waves.field.conj() * slope).real.sum(1) / root, 0.0)
            for slope in scan.waves.slopes(waves, state.probe)
        ]
        step = _solved(slopes, residual)
        here = state.positions[block]
        moved[block] = _best(scan, state, block, [here, *(within(here + t * step, state, scan) for t in TRIED)])
    drift = (moved - state.positions)[torch.from_numpy(frames).to(moved.device)].mean(0)
    state.positions = within(moved - drift, state, scan)


def search(scan: Scan, state: State, frames: NDArray[np.intp], radius: float, generator: np.random.Generator) -> None:
    """Tries eight positions around each, at `radius` pixels and half of it, and takes the best of the nine.

    The object is that of the scan's fitted frames: a step that leaves less than SHARE of the beam on it, and less than
    before, is not taken.
    """
    light = Light.of(scan, state)
    turn = generator.uniform(0, np.pi / 4)
    angles = turn + np.arange(8) * np.pi / 4
    # rings of two radii, so that small errors are not jumped over
    radii = radius * np.tile((1.0, 0.5), 4)
    offsets = np.vstack([np.zeros(2), radii[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])])
    best = state.positions.clone()
    for block in scan.blocks(frames):
        here = state.positions[block]
        enough = light.share(here).clamp(max=SHARE)
        tried = [here]
        for offset in torch.from_numpy(offsets[1:]).to(here.device):
            there = within(here + offset, state, scan)
            tried.append(torch.where((light.share(there) >= enough)[:, None], there, here))
        best[block] = _best(scan, state, block, tried)
    state.positions = best


def _best(scan: Scan, state: State, frames: Tensor, tried: list[Tensor]) -> Tensor:
    """Of several positions (B, 2) of each frame the one whose pattern fits best."""
    errors = []
    for positions in tried:
        waves = scan.waves.forward(state.object, state.probe, positions)
        errors.append(amplitude(waves.intensity, scan.modulus[frames])[0])
    choice = torch.stack(errors).argmin(0)
    return torch.stack(tried)[choice, torch.arange(len(frames), device=frames.device)]


def search_in_halves(
    scan: Scan, state: State, frames: NDArray[np.intp], radius: float, generator: np.random.Generator
) -> None:
    """`search` for every one of `frames`, each on an object that it took no part in, with the probe as it stands."""
    halves = drawn_halves(scan, frames, generator)
    for searched, made_of in (halves, halves[::-1]):
        half, alone = made_of_some(scan, state, made_of, generator)
        search(half, alone, searched, radius, generator)
        state.positions = alone.positions


def drawn_halves(
    scan: Scan, frames: NDArray[np.intp], generator: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Two halves of the frames at random, each with half of those that may make an object."""
    drawn = generator.permutation(frames)
    drawn = drawn[np.argsort(np.isin(drawn, scan.held_out), kind="stable")]
    return drawn[::2], drawn[1::2]


def made_of_some(
    scan: Scan,
    state: State,
    frames: NDArray[np.intp],
    generator: np.random.Generator,
    passes: int = PASSES,
    start: Tensor | None = None,
) -> tuple[Scan, State]:
    """A scan whose fitted frames are those of `frames` that may be, and an object that they alone have made, with the
    probe as it stands. start: an object that only they have made before; it is altered. Ones where there is none.
    """
    some = replace(scan, fitted=scan.fitted[np.isin(scan.fitted, frames)])
    alone = State(torch.ones_like(state.object) if start is None else start, state.probe, state.positions)
    solver = PIE(some, alone)
    for _ in range(passes):
        solver.advance(False, generator)
    return some, alone


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
    cut: Tensor = step * (LONGEST / length.clamp(min=LONGEST))
    return cut


def within(positions: Tensor, state: State, scan: Scan) -> Tensor:
    """Windows stay on the object."""
    sides = zip(state.object.shape, scan.waves.shape, strict=True)
    most = positions.new_tensor([whole - window for whole, window in sides])
    return torch.minimum(positions.clamp(min=0), most)
