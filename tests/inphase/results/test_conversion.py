"""inphase.results.conversion, from files as other programs write them."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import inphase
from inphase.errors import DataError
from inphase.formats.reconstruction import read_reconstruction
from inphase.formats.result import Result
from inphase.formats.writers import write_result
from inphase.geometry import Geometry
from inphase.orthogonal import Frame, rotation_to
from tests.inphase.results.conftest import BASIS, Crystal, Q, crystal_at, on_grid

SHAPE = (32, 36, 34)
GRID = Geometry.of_voxels(BASIS, SHAPE, Q)


def pynx(path: Path, obj: np.ndarray) -> Path:
    """A result of PyNX of the crystal cut out around its support."""
    cut = obj[4:-4, 6:-6, 3:-5]
    with h5py.File(path, "w") as file:
        file["entry_1/image_1/data"] = cut
        file["entry_1/image_1/mask"] = np.abs(cut) > 0.2
        file["entry_1/image_1/support"] = h5py.SoftLink("/entry_1/image_1/mask")
        file["entry_1/program_name"] = "PyNX 2023.1"
        file["entry_1/image_1/process_1/configuration/iobs_shape"] = obj.shape
    return path


@pytest.mark.parametrize("frame", ["laboratory", "crystal"])
def test_a_result_of_pynx_on_cubic_voxels(tmp_path: Path, frame: str) -> None:
    """At every place that the basis gives, the field is the analytic one: nothing is unwrapped or turned."""
    path = pynx(tmp_path / "Run1.cxi", on_grid(SHAPE, BASIS))
    made = inphase.orthogonalise(path, tmp_path / "out.cxi", frame=frame, voxel_m=4e-9, geometry=GRID)
    back = Result.of(read_reconstruction(tmp_path / "out.cxi").arrays or {})
    assert np.array_equal(back.object, made.object)
    assert back.voxel_basis_m is not None
    assert np.allclose(back.voxel_basis_m, 4e-9 * np.eye(3)[::-1])
    index = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in made.object.shape), indexing="ij"), axis=-1)
    turn = rotation_to("laboratory" if frame == "laboratory" else "crystal", GRID)
    # the cut leaves the middle of the array one voxel further along the last axis, 19 - 3 - 14 of 34 and 26
    shifted = index @ back.voxel_basis_m @ turn + (13 + 3 - 17) * BASIS[2]
    expected = crystal_at(shifted)
    inside = back.support & (np.abs(expected) > 0.7)
    assert inside.sum() > 1000
    # cubic splines of an edge that falls within 3 nm, on voxels of 5 to 6 nm: some per cent
    assert np.abs(back.object - expected)[inside].max() < 0.1
    assert back.q_centre is not None
    assert back.q_centre == pytest.approx(turn @ Q)
    if frame == "crystal":
        assert back.q_centre == pytest.approx([0, np.linalg.norm(Q), 0], abs=1)
    assert "strain" in back.derived
    assert read_reconstruction(tmp_path / "out.cxi").frame == frame


@pytest.mark.parametrize("by", ["crystal", "sample"])
def test_the_way_back_to_the_laboratory(tmp_path: Path, crystal: Crystal, by: Frame) -> None:
    """By way of another frame the field, Q and the circles are where they are without it: two splines for one."""
    turn = Rotation.from_rotvec([0.2, -0.5, 0.3]).as_matrix()
    given = crystal(geometry=Geometry.of_voxels(BASIS, SHAPE, Q, turn))
    direct = inphase.orthogonalise(given, tmp_path / "lab.npz", voxel_m=4e-9)
    inphase.orthogonalise(given, tmp_path / "other.cxi", frame=by, voxel_m=4e-9)
    back = inphase.orthogonalise(tmp_path / "other.cxi", tmp_path / "back.npz", voxel_m=4e-9)
    assert back.q_centre == pytest.approx(Q)
    assert back.sample_rotation == pytest.approx(turn)
    shape = tuple(min(pair) for pair in zip(direct.object.shape, back.object.shape, strict=True))
    one, two = (
        each.object[tuple(slice((n - k) // 2, (n + k) // 2) for n, k in zip(each.object.shape, shape, strict=True))]
        for each in (direct, back)
    )
    bright = np.abs(one) > 0.7
    # one spline of voxels of 4 nm more, at edges that fall within 3 nm
    assert np.abs(two - one)[bright].max() < 0.1
    again = inphase.orthogonalise(tmp_path / "other.cxi", tmp_path / "again.npz", frame=by, voxel_m=4e-9)
    assert again.q_centre == pytest.approx(rotation_to(by, Geometry.of_voxels(BASIS, SHAPE, Q, turn)) @ Q, abs=1)


def test_a_frame_of_which_nothing_is_told_is_refused(tmp_path: Path, crystal: Crystal) -> None:
    """Files that name a frame without its rotation, as ours were, are not taken for the laboratory."""
    made = inphase.orthogonalise(crystal(), tmp_path / "c.npz", frame="crystal")
    older = {**made.document, "orthogonalised": {"frame": "crystal", "voxel_m": 5e-9}}
    write_result(tmp_path / "older.npz", replace(made, document=older).arrays())
    with pytest.raises(DataError, match="that they were made from"):
        inphase.orthogonalise(tmp_path / "older.npz", tmp_path / "lab.npz")


def test_conversions_keep_the_object(tmp_path: Path, crystal: Crystal) -> None:
    """From PyNX to cohere and back it is the same; to CXI with a geometry it gets its voxels, also of the cut."""
    obj = on_grid(SHAPE, BASIS)
    path = pynx(tmp_path / "Run1.cxi", obj)
    inphase.convert(path, tmp_path / "results_phasing")
    inphase.convert(tmp_path / "results_phasing", tmp_path / "again.cxi", geometry=None)
    again = read_reconstruction(tmp_path / "again.cxi").object
    cut = obj[4:-4, 6:-6, 3:-5]
    assert np.allclose(again, cut / np.abs(cut).max(), atol=1e-6)
    inphase.convert(path, tmp_path / "placed.npz", geometry=GRID)
    placed = read_reconstruction(tmp_path / "placed.npz")
    assert placed.geometry is not None
    assert np.allclose(placed.geometry.voxel_basis_m(cut.shape), BASIS)
    assert placed.arrays is not None
    assert "Run1.cxi" in str(placed.arrays["document"])
    assert not Result.of(placed.arrays).measured


def test_a_result_of_ours_is_copied_as_it_is(tmp_path: Path, crystal: Crystal) -> None:
    """Every array of it, from format to format."""
    inphase.convert(crystal(), tmp_path / "a.npz")
    inphase.convert(tmp_path / "a.npz", tmp_path / "b.cxi")
    one, other = (read_reconstruction(tmp_path / name).arrays or {} for name in ("a.npz", "b.cxi"))
    assert one.keys() == other.keys()
    assert np.array_equal(one["object"], other["object"])


def test_without_geometry_nothing_is_brought_anywhere(tmp_path: Path) -> None:
    """The error says what to give; a mistyped output is told first, and nothing is written."""
    path = pynx(tmp_path / "Run1.cxi", on_grid(SHAPE, BASIS))
    with pytest.raises(DataError, match="--measured"):
        inphase.orthogonalise(path, tmp_path / "out.cxi")
    with pytest.raises(DataError, match=r"not written as '\.xyz'"):
        inphase.convert(path, tmp_path / "out.xyz")
    with pytest.raises(DataError, match="circles are unknown"):
        inphase.orthogonalise(path, tmp_path / "out.cxi", frame="sample", geometry=GRID)
    assert [entry.name for entry in tmp_path.iterdir()] == ["Run1.cxi"]
