"""Frames and whole blocks of frames that a search left in a wrong place, put where they belong.

A search that moves frames one by one ends with two faults that no slope mends. Single frames have stopped in a wrong
minimum. And the object is torn: frames of one part agree with each other, and lie together many pixels off the rest,
so that only those on the tear fit badly. Both are mended where the object is grown anew from a seed, the place where
frames fit best. In each round the frames that have joined make the object, and the others that touch it are put down
on it. One that fits where it is joins; of another, every position within a radius of the recorded one is tried. A
block is so put back frame by frame from its inner side. Nothing but the misfit of patterns decides, on an object that
they took no part in.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from inphase.ptycho.light import Light
from inphase.ptycho.refinement import SHARE, made_of_some, within
from inphase.ptycho.scan import Scan, State, r_factors

SEED = 24  # frames around the best one that the object begins with
SPREADS = 2.5  # above the median R, in standard deviations of the bulk: what is beyond has not found its place
COARSE = 2.0  # pixels from one tried position to the next
FINE = (1.0, 0.5)
CERTAIN = 0.75  # of the beam's photons on the light: with less, a frame that fits badly may only lack light
MORE = 1.1  # times the frames: on an object of so many more a frame is searched again


def regrow(
    scan: Scan,
    state: State,
    recorded: Tensor,
    radius: float,
    generator: np.random.Generator,
) -> NDArray[np.intp]:
    """Moves the frames that fit badly to the best position within `radius` pixels of the `recorded` one (n, 2).

    Returns the frames that have found no place where they fit; they stay at the best that was found.
    """
    every = np.sort(np.concatenate([scan.fitted, scan.held_out]))
    state.positions = state.positions.clone()  # they are altered one by one
    errors = _cross_errors(scan, state, every, generator)
    growth = _Growth(scan, state, recorded, radius, _bound(errors), _seed(state, every, errors))
    while len(growth.joined) < len(every) and growth.round(np.setdiff1d(every, growth.joined), generator):
        pass
    return np.setdiff1d(every, growth.joined)


def _bound(errors: NDArray[np.float64]) -> float:
    """The largest R of the bulk: median and median absolute deviation, which a third of bad frames hardly alter."""
    median = float(np.median(errors))
    return median + SPREADS * 1.4826 * float(np.median(np.abs(errors - median)))


def _cross_errors(
    scan: Scan, state: State, every: NDArray[np.intp], generator: np.random.Generator
) -> NDArray[np.float64]:
    """(n,) R of every frame on an object that the other half has made."""
    errors = np.zeros(len(state.positions))
    drawn = generator.permutation(every)
    halves = drawn[::2], drawn[1::2]
    for judged, made_of in (halves, halves[::-1]):
        half, alone = made_of_some(scan, state, made_of, generator)
        for block in half.blocks(judged):
            errors[block.cpu().numpy()] = _errors(half, alone, block, alone.positions[block]).cpu().numpy()
    return errors


def _seed(state: State, every: NDArray[np.intp], errors: NDArray[np.float64]) -> NDArray[np.intp]:
    """Of the neighbourhood whose median R is the smallest, the frames that are of the bulk."""
    positions = state.positions.cpu().numpy()[every]
    count = min(SEED, len(every))
    around = every[np.asarray(cKDTree(positions).query(positions, k=count)[1]).reshape(len(every), count)]
    best: NDArray[np.intp] = around[np.median(errors[around], axis=1).argmin()]
    return best[errors[best] <= _bound(errors)]


def _errors(scan: Scan, state: State, frames: Tensor, positions: Tensor) -> Tensor:
    """(B,) R of frames at positions (B, 2)."""
    waves = scan.waves.forward(state.object, state.probe, positions)
    return r_factors(waves.intensity, scan.modulus[frames])


@dataclass(eq=False)
class _Growth:
    """bound: R of a frame that fits. joined: the frames that make the object. searched: with how many of them each
    frame was searched last.
    """

    scan: Scan
    state: State
    recorded: Tensor
    radius: float
    bound: float
    joined: NDArray[np.intp]
    searched: dict[int, int] = field(default_factory=dict)

    def round(self, others: NDArray[np.intp], generator: np.random.Generator) -> bool:
        """Puts down the others that touch the object. False where nothing has changed, so that another round would
        not either.
        """
        some, alone = made_of_some(self.scan, self.state, self.joined, generator)
        light = Light.of(some, alone)
        index = torch.from_numpy(others).to(self.recorded.device)
        here = self.state.positions[index]
        near = (here - self.recorded[index]).norm(dim=1) <= self.radius
        share, share_first = light.share(here), light.share(self.recorded[index])
        there = others[(near & (share >= SHARE)).cpu().numpy()]
        new = there[(self._nearby(some, alone, there) <= self.bound).cpu().numpy()]
        lost = self._due(others[(torch.where(near, share, share_first) >= CERTAIN).cpu().numpy()], new)
        if not len(new) and not len(lost):  # nobody is left but those that wait for more light
            lost = self._due(others[(share_first >= SHARE).cpu().numpy()], new)
        for frame in lost:
            found = self._best(some, alone, light, frame)
            self.searched[frame] = len(self.joined)
            self.state.positions[frame] = found.position
            if found.error <= self.bound:
                new = np.append(new, frame)
        self.joined = np.concatenate([self.joined, new])
        return len(lost) > 0 or len(new) > 0

    def _due(self, frames: NDArray[np.intp], new: NDArray[np.intp]) -> list[int]:
        """Those that are not new, and were not searched on an object that was nearly as large as this."""
        others: list[int] = np.setdiff1d(frames, new).tolist()
        return [frame for frame in others if self.searched.get(frame, 0) * MORE < len(self.joined)]

    def _nearby(self, scan: Scan, state: State, frames: NDArray[np.intp]) -> Tensor:
        """(n,) the least R of frames within a pixel of where they are. They are not moved: at the rim of a growing
        object all would be drawn inwards, to where more of the light is explained.
        """
        least = [torch.empty(0, dtype=torch.float64, device=self.recorded.device)]
        for block in scan.blocks(frames):
            here = self.state.positions[block]
            around = [within(here + offset, state, scan) for offset in _disc(1.5, 1.0).to(here.device)]
            least.append(torch.stack([_errors(scan, state, block, there) for there in around]).amin(0))
        return torch.cat(least)

    def _best(self, scan: Scan, state: State, light: Light, frame: int) -> "_Place":
        """The best position of a frame within the radius of the recorded one and on the light."""
        recorded, here = self.recorded[frame], self.state.positions[frame]
        there = within(recorded + _disc(self.radius, COARSE).to(recorded.device), state, scan)
        if (here - recorded).norm() <= self.radius:
            there = torch.cat([here[None], there])
        there = there[light.share(there) >= SHARE]
        place = _best_of(scan, state, frame, there)
        for step in FINE:
            around = within(place.position + _disc(1.5 * step, step).to(there.device), state, scan)
            place = _best_of(scan, state, frame, around)
        return place


@dataclass(frozen=True, eq=False)
class _Place:
    """position: (2,). error: R of the frame there."""

    position: Tensor
    error: float


def _best_of(scan: Scan, state: State, frame: int, positions: Tensor) -> _Place:
    """Of many positions (p, 2) of one frame."""
    errors = torch.cat(
        [
            _errors(scan, state, torch.full((len(some),), frame, device=some.device), some)
            for some in positions.split(scan.batch)
        ]
    )
    least = int(errors.argmin())
    return _Place(positions[least], float(errors[least]))


def _disc(radius: float, step: float) -> Tensor:
    """(p, 2) float64: offsets on a square grid."""
    side = np.arange(-int(radius / step), int(radius / step) + 1) * step
    grid = np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)
    return torch.from_numpy(grid[np.hypot(*grid.T) <= radius])
