"""The table of a result's arrays."""

import numpy as np
from numpy.typing import NDArray

from inphase.imaging.arrays import ARRAYS, BY_NAME, names
from inphase.imaging.options import Options
from tests.inphase.imaging.whole_way import run


def test_a_result_has_the_arrays_of_the_table(pattern: NDArray[np.uint32]) -> None:
    """Those that are always there, with type and shape as the table says; none beside them."""
    found = run(pattern, Options(start="random", starts=1, refine="2*ER"), None).arrays
    assert set(found) == set(names("always", "geometry"))
    for name, array in found.items():
        assert str(array.dtype) == BY_NAME[name].dtype, name
        assert (array.shape == (64, 64, 64)) == (BY_NAME[name].axes == "grid"), name


def test_names_come_in_the_order_of_the_table() -> None:
    """Whatever the order of the conditions; the small arrays of the geometry have no address of their own."""
    assert names("strain", "always") == names("always", "strain")
    assert set(names("always", "geometry", "strain", "ensemble", "coherence", "image")) == BY_NAME.keys()
    assert not [array.name for array in ARRAYS if array.served and array.present in ("geometry", "coherence")]
