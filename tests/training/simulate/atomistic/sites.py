"""Lattice sites without ASE, for the tests that need no more than numpy."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from training.simulate.atomistic.settings import AtomisticSettings

BASIS = np.array([(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)])


def fcc(settings: AtomisticSettings) -> NDArray[np.float64]:
    """The block's sites about its centre, (4 cells^3, 3) angstrom."""
    cells = np.array(list(product(range(settings.block_cells), repeat=3)), float)
    sites: NDArray[np.float64] = (cells[:, None] + BASIS).reshape(-1, 3) * settings.lattice_parameter
    return sites - 0.5 * (sites.max(0) + sites.min(0))
