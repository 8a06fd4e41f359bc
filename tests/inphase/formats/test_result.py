"""The arrays of a result file as a result."""

import numpy as np

from inphase.formats.result import Result


def test_arrays_become_a_result(arrays: dict[str, np.ndarray]) -> None:
    """Amplitude and phase are those of the object; derived volumes are what is real and of its shape, and no other."""
    result = Result.of(arrays | {"prtf": np.zeros((5, 2))})
    np.testing.assert_array_equal(result.amplitude, np.abs(arrays["object"]))
    np.testing.assert_array_equal(result.phase, np.angle(arrays["object"]))
    assert set(result.derived) == {"strain", "displacement"}
    assert result.document["id"] == "x"
    assert result.voxel_size_m == (1e-9, 2e-9, 3e-9)


def test_a_result_knows_where_its_voxels_lie(arrays: dict[str, np.ndarray]) -> None:
    """Its geometry has the basis and the momentum transfer of the file."""
    geometry = Result.of(arrays).geometry
    assert geometry is not None
    np.testing.assert_allclose(geometry.voxel_basis_m(arrays["object"].shape), arrays["voxel_basis_m"], atol=1e-18)
    np.testing.assert_array_equal(geometry.q_centre, arrays["q_centre"])


def test_what_is_not_known_is_none(arrays: dict[str, np.ndarray]) -> None:
    """A file without a geometry holds NaN where it would be."""
    unknown = {name: np.full_like(arrays[name], np.nan) for name in ("voxel_size_m", "voxel_basis_m", "q_centre")}
    result = Result.of(arrays | unknown)
    assert (result.voxel_size_m, result.voxel_basis_m, result.q_centre) == (None, None, None)
    assert result.geometry is None
