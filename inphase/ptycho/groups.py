"""Which frames of a scan are neighbours, as networks of the family `scan` take them together."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

from inphase.errors import DataError

TOLERANCE = 0.25  # of the distance between neighbours, by which a frame may lie off its place in the group
FEWEST = 0.5  # of the frames that must have such neighbours


def neighbours(positions: NDArray[np.float64], offsets: NDArray[np.float64]) -> NDArray[np.intp]:
    """Groups (g, C) of frames, by number, that lie to each other as the offsets (C, 2) say; any order of the frames.

    positions: (n, 2) in pixels. A frame may be of several groups, or of none. Raises DataError where fewer than half
    of the frames are of any.
    """
    if len(offsets) == 1:
        return np.arange(len(positions))[:, None]
    spacing = float(pdist(offsets).min())
    expected = positions[:, None] + (offsets - offsets[0])
    nearest = cKDTree(positions).query(expected, distance_upper_bound=TOLERANCE * spacing)
    distance, found = (np.asarray(part) for part in nearest)
    groups: NDArray[np.intp] = found[np.isfinite(distance).all(axis=1)].astype(np.intp)
    seen = len(np.unique(groups))
    if seen < FEWEST * len(positions):
        raise DataError(
            f"the network draws groups of {len(offsets)} frames that lie {spacing:.3g} pixels from each other, and "
            f"only {seen} of {len(positions)} frames of this scan have such neighbours: take a network that was "
            "trained for these steps, or for single frames"
        )
    return groups
