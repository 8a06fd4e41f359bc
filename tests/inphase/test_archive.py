"""Archives of arrays as numpy reads them."""

import io

import numpy as np
import pytest

from inphase.archive import save


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24.0).reshape(2, 3, 4), np.asfortranarray(np.arange(6).reshape(2, 3)), np.arange(10)[::2],
        np.broadcast_to(np.ones((1, 3)), (4, 3)), np.array("Å"), np.array(""), np.array(True), np.zeros((0, 3)),
        np.arange(3, dtype=">i4"), np.array([1 + 2j]),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}",
)  # fmt: skip
def test_what_is_saved_is_what_numpy_loads(array: np.ndarray) -> None:
    """Of every order, type and size, without a copy by numpy."""
    stream = io.BytesIO()
    save(stream, {"a": array, "other": np.ones(2)})
    stream.seek(0)
    with np.load(stream, allow_pickle=False) as loaded:
        assert loaded.files == ["a", "other"]
        assert (loaded["a"].dtype, loaded["a"].shape) == (array.dtype, array.shape)
        assert np.array_equal(loaded["a"], array)
    with pytest.raises(ValueError, match="'a' holds Python objects"):
        save(io.BytesIO(), {"a": np.array([{}], dtype=object)})
