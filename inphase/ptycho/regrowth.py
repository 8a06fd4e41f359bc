"""Frames and whole blocks of frames that a search left in a wrong place, put where they belong.

A search that moves frames one by one ends with two faults that no slope mends. Single frames have stopped in a wrong
minimum. And the object is torn: frames of one part agree with each other, and lie together many pixels off the rest,
so that only those on the tear fit badly. Both are mended where the object is grown anew from a seed, the place where
frames fit best. In each round the frames that have joined make the object, and the others that touch it are put down
on it. One that fits where it is joins; of another, every position within a radius of the expected one is tried. A
block is so put back frame by frame from its inner side. In the end every frame that was moved is compared with where it
was before, on the whole object. Nothing but the misfit of patterns decides, on an object that they took no part in.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from inphase.ptycho.light import Light
from inphase.ptycho.refinement import SHARE, drawn_halves, made_of_some, within
from inphase.ptycho.scan import Scan, State, outliers, r_factors

SEED = 24  # frames around the best one that the object begins with
COARSE = 2.0  # pixels from one tried position to the next
FINE = (1.0, 0.5)
PASSES = 8  # of a solver over the frames of the seed: at the rim of the object few see each pixel
PASSES_ON = 4  # over all that have joined, from the object of the round before
RING = 1 / 3  # of the radius: so far away lie the positions that a frame's own is compared with
NEAREST = 12  # frames that have joined: where they went, a frame is expected to have gone
CERTAIN = 0.75  # of the beam's photons on the light: with less, a frame that fits badly may only lack light
FARTHER = 1.5  # times the radius: so far a frame is sought that fits badly on the whole object
MOST = 1000  # frames: rounds grow with the side of a scan, and each makes the object of all frames that have joined
MORE = 1.1  # times the frames: on an object of so many more a frame is searched again


def regrow(
    scan: Scan,
    state: State,
    recorded: Tensor,
    radius: float,
    generator: np.random.Generator,
) -> NDArray[np.intp]:
    """Moves the frames that do not fit to where they do, within `radius` pixels of where their `recorded` positions
    (n, 2) and the frames around let them be expected.

    A frame fits where its R is well below that on a ring around: R itself differs from place to place on the object.
    Where none does, the best quarter of those that were searched join, so that the object grows on. Returns the frames
    that have not joined: they are put where they are expected. In the end those that were moved are
    reconsidered on the whole object.
    """
    every = np.sort(np.concatenate([scan.fitted, scan.held_out]))
    before = state.positions
    state.positions = before.clone()  # they are altered one by one
    contrasts = _cross_contrasts(scan, state, every, RING * radius, generator)
    # nearer to what most frames have than to 1, which is no contrast at all
    bound = (1 + float(np.median(contrasts))) / 2
    errors = torch.cat([_errors(scan, state, block, state.positions[block]) for block in scan.blocks(every)])
    suspects = every[outliers(errors.cpu().numpy())]
    growth = _Growth(scan, state, recorded, radius, bound, suspects, _seed(scan, state, contrasts))
    while len(growth.joined) < len(every) and growth.round(np.setdiff1d(every, growth.joined), generator):
        pass
    left = np.setdiff1d(every, growth.joined)
    if len(left):
        state.positions[torch.from_numpy(left).to(recorded.device)] = growth.expected(left)
    moved = every[(state.positions != before).any(dim=1).cpu().numpy()[every]]
    _reconsider(scan, state, moved, before, growth.expected(every), radius, generator)
    return left


def _reconsider(
    scan: Scan,
    state: State,
    moved: NDArray[np.intp],
    before: Tensor,
    expected: Tensor,
    radius: float,
    generator: np.random.Generator,
) -> None:
    """On the whole object each frame that was moved goes to the best of where it is, where it was `before` (n, 2) and
    the positions within the radius of the `expected` one (n, 2): at the rim of a small object, where some of the light
    is missing, a wrong place can look better than the right. Outliers are sought FARTHER.
    """
    every = np.sort(np.concatenate([scan.fitted, scan.held_out]))
    halves = drawn_halves(scan, every, generator)
    on = [(judged, *made_of_some(scan, state, of, generator)) for judged, of in (halves, halves[::-1])]
    positions, errors = state.positions.clone(), np.zeros(len(state.positions))
    for judged, half, alone in on:
        for frame in np.intersect1d(judged, moved).tolist():
            positions[frame] = _best_of(half, alone, frame, torch.stack([state.positions[frame], before[frame]]))
        for block in half.blocks(judged):
            errors[block.cpu().numpy()] = _errors(half, alone, block, positions[block]).cpu().numpy()
    lost = every[outliers(errors[every])]
    for judged, half, alone in on:
        light = Light.of(half, alone)
        for frame in np.intersect1d(judged, np.union1d(moved, lost)).tolist():
            here, reach = positions[frame], FARTHER * radius if frame in lost else radius
            found = _best(half, alone, light, frame, here, expected[frame], reach)
            positions[frame] = _best_of(half, alone, frame, torch.stack([here, found]))
    state.positions = positions


def _cross_contrasts(
    scan: Scan, state: State, every: NDArray[np.intp], ring: float, generator: np.random.Generator
) -> NDArray[np.float64]:
    """(n,) `_contrasts` of every frame on an object that the other half has made."""
    found = np.zeros(len(state.positions))
    halves = drawn_halves(scan, every, generator)
    for judged, made_of in (halves, halves[::-1]):
        half, alone = made_of_some(scan, state, made_of, generator)
        for block in half.blocks(judged):
            found[block.cpu().numpy()] = _contrasts(half, alone, block, alone.positions[block], ring).cpu().numpy()
    return found


def _seed(scan: Scan, state: State, contrasts: NDArray[np.float64]) -> NDArray[np.intp]:
    """The fitted frames of the neighbourhood whose median contrast is the best, without its worse half. Those that are
    held out can make no object.
    """
    fitted = np.sort(scan.fitted)
    positions = state.positions.cpu().numpy()[fitted]
    count = min(SEED, len(fitted))
    around = fitted[np.asarray(cKDTree(positions).query(positions, k=count)[1]).reshape(len(fitted), count)]
    medians = np.median(contrasts[around], axis=1)
    best: NDArray[np.intp] = around[medians.argmin()]
    better: NDArray[np.intp] = best[contrasts[best] <= medians.min()]
    return better


def _errors(scan: Scan, state: State, frames: Tensor, positions: Tensor) -> Tensor:
    """(B,) R of frames at positions (B, 2)."""
    waves = scan.waves.forward(state.object, state.probe, positions)
    return r_factors(waves.intensity, scan.modulus[frames])


def _contrasts(scan: Scan, state: State, frames: Tensor, positions: Tensor, ring: float) -> Tensor:
    """(B,) the least R of frames within a pixel of positions (B, 2), over the median R on a ring of that radius."""
    angles = torch.arange(8, dtype=torch.float64) * (torch.pi / 4)
    away = ring * torch.stack([angles.cos(), angles.sin()], 1)
    near, far = (
        torch.stack(
            [_errors(scan, state, frames, within(positions + offset, state, scan)) for offset in offsets.to(positions)]
        )
        for offsets in (_disc(1.5, 1.0), away)
    )
    return near.amin(0) / far.median(0).values


@dataclass(eq=False)
class _Growth:
    """bound: contrast of a frame that fits. suspects: frames that fit so badly that they have to be searched. joined:
    the frames that make the object. object: what they have made, None before the first round. searched: with how many
    of them each frame was searched last.
    """

    scan: Scan
    state: State
    recorded: Tensor
    radius: float
    bound: float
    suspects: NDArray[np.intp]
    joined: NDArray[np.intp]
    object: Tensor | None = None
    searched: dict[int, int] = field(default_factory=dict)

    def round(self, others: NDArray[np.intp], generator: np.random.Generator) -> bool:
        """Puts down the others that touch the object. False where nothing has changed, so that another round would
        not either.
        """
        passes = PASSES if self.object is None else PASSES_ON
        some, alone = made_of_some(self.scan, self.state, self.joined, generator, passes, self.object)
        self.object = alone.object
        light = Light.of(some, alone)
        here = self.state.positions[torch.from_numpy(others).to(self.recorded.device)]
        expected = self.expected(others)
        near = (here - expected).norm(dim=1) <= self.radius
        near &= torch.from_numpy(~np.isin(others, self.suspects)).to(near.device)
        share, share_first = light.share(here), light.share(expected)
        lit = share >= CERTAIN
        new = self._fitting(some, alone, others[(near & lit).cpu().numpy()])
        lost = self._due(others[torch.where(near, lit, share_first >= CERTAIN).cpu().numpy()], new)
        if not len(new) and not lost:  # nobody is left but those that have less light, or have found no place
            new = self._fitting(some, alone, others[(near & (share >= SHARE)).cpu().numpy()])
            lost = np.setdiff1d(others[(share_first >= SHARE).cpu().numpy()], new).tolist()
        found = {}
        for frame in lost:
            self.searched[frame] = len(self.joined)
            centre = expected[int(np.flatnonzero(others == frame)[0])]
            position = _best(some, alone, light, frame, self.state.positions[frame], centre, self.radius)
            one = torch.tensor([frame], device=position.device)
            found[frame] = position, float(_contrasts(some, alone, one, position[None], RING * self.radius))
        fitting = [frame for frame, (_, contrast) in found.items() if contrast <= self.bound]
        if not len(new) and not fitting:  # else the object would grow no more
            fitting = sorted(found, key=lambda frame: found[frame][1])[: -(-len(found) // 4)]
        for frame in fitting:
            self.state.positions[frame] = found[frame][0]
        self.joined = np.concatenate([self.joined, new, np.array(fitting, np.intp)])
        return len(new) > 0 or len(fitting) > 0

    def _due(self, frames: NDArray[np.intp], new: NDArray[np.intp]) -> list[int]:
        """Those that are not new, and were not searched on an object that was nearly as large as this."""
        others: list[int] = np.setdiff1d(frames, new).tolist()
        return [frame for frame in others if self.searched.get(frame, 0) * MORE < len(self.joined)]

    def _fitting(self, scan: Scan, state: State, frames: NDArray[np.intp]) -> NDArray[np.intp]:
        """Those of the frames that fit within a pixel of where they are. They are not moved: at the rim of a growing
        object all would be drawn inwards, to where more of the light is explained.
        """
        fits = [
            _contrasts(scan, state, block, state.positions[block], RING * self.radius) <= self.bound
            for block in scan.blocks(frames)
        ]
        return frames[torch.cat(fits).cpu().numpy()] if fits else frames

    def expected(self, frames: NDArray[np.intp]) -> Tensor:
        """(n, 2) the recorded positions of frames, moved as the nearest frames that have joined were: a stage that
        drifts does so for all, and an object may have drifted as a whole while it was searched.
        """
        joined = torch.from_numpy(self.joined).to(self.recorded.device)
        moved = self.state.positions[joined] - self.recorded[joined]
        recorded = self.recorded.cpu().numpy()
        count = min(NEAREST, len(self.joined))
        nearest = np.asarray(cKDTree(recorded[self.joined]).query(recorded[frames], k=count)[1])
        index = torch.from_numpy(nearest.reshape(len(frames), count)).to(moved.device)
        there = self.recorded[torch.from_numpy(frames).to(moved.device)] + moved[index].median(1).values
        return within(there, self.state, self.scan)


def _best(scan: Scan, state: State, light: Light, frame: int, here: Tensor, centre: Tensor, radius: float) -> Tensor:
    """(2,) the best position of a frame on the light within the radius of the centre, `here` among them if it is."""
    # whole pixels, where no probe has to be moved by a fraction of one
    there = within((centre + _disc(radius, COARSE).to(centre)).round(), state, scan)
    if (here - centre).norm() <= radius:
        there = torch.cat([here[None], there])
    lit = light.share(there) >= SHARE
    if not bool(lit.any()):
        return here
    best = _best_of(scan, state, frame, there[lit])
    for step in FINE:
        best = _best_of(scan, state, frame, within(best + _disc(1.5 * step, step).to(best), state, scan))
    return best


def _best_of(scan: Scan, state: State, frame: int, positions: Tensor) -> Tensor:
    """(2,) of many positions (p, 2) of one frame the one with the least R."""
    blocks = zip(scan.blocks(np.full(len(positions), frame)), positions.split(scan.batch), strict=True)
    errors = torch.cat([_errors(scan, state, block, some) for block, some in blocks])
    return positions[int(errors.argmin())]


def _disc(radius: float, step: float) -> Tensor:
    """(p, 2) float64: offsets on a square grid."""
    side = np.arange(-int(radius / step), int(radius / step) + 1) * step
    grid = np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)
    return torch.from_numpy(grid[np.hypot(*grid.T) <= radius])
