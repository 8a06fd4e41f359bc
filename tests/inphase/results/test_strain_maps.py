"""inphase.results.strain_maps: maps, lattice and refraction against what the crystal was made with."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkIOXML import vtkXMLImageDataReader, vtkXMLStructuredGridReader

from inphase import fourier
from inphase.errors import DataError
from inphase.formats.reconstruction import Reconstruction, read_reconstruction
from inphase.formats.scan import RawScan
from inphase.formats.writers import write_result
from inphase.material import material
from inphase.metrics import measure
from inphase.orthogonal import Frame, rotation_to
from inphase.refraction import corrected
from inphase.results.conversion import orthogonalise
from inphase.results.page import show
from inphase.results.ranking import rank
from inphase.results.source import result_of
from inphase.results.strain_maps import strain_maps
from tests.inphase.results.conftest import BASIS, Crystal, Q

SHAPE = (30, 32, 28)
NM = 1e9
NAMES = ("amplitude", "support", "d_spacing", "lattice_parameter", "measured")
LENGTH = float(np.linalg.norm(Q))
EPSILON, BEND = 4e-4, 6e3  # uniform strain; 1/m, its growth along Q


def volumes(path: Path) -> dict[str, np.ndarray]:
    """What a file for surfaces holds, flat, lengths in metres."""
    if path.suffix == ".cxi":
        with h5py.File(path) as file:
            return {name: file[f"entry_1/{name}/data"][()].ravel() for name in NAMES}
    reader = vtkXMLStructuredGridReader() if path.suffix == ".vts" else vtkXMLImageDataReader()
    reader.SetFileName(str(path))
    reader.Update()
    points = reader.GetOutput().GetPointData()
    found = {points.GetArrayName(k): vtk_to_numpy(points.GetArray(k)) for k in range(points.GetNumberOfArrays())}
    return found | {name: found[name] / NM for name in ("d_spacing", "lattice_parameter")}


@pytest.fixture
def strained(crystal: Crystal) -> Reconstruction:
    """u = e x + k x^2 / 2 along Q: the strain is e + k x."""
    index = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in SHAPE), indexing="ij"), axis=-1)
    r = index @ BASIS
    x = r @ (Q / LENGTH)
    inside = np.linalg.norm(r, axis=-1) < 58e-9
    u = EPSILON * x + BEND * x**2 / 2
    return crystal(np.where(inside, np.exp(-1j * LENGTH * u), 0).astype(np.complex64))


def test_statistics_of_a_known_strain(strained: Reconstruction) -> None:
    """Of e + k x over a ball of radius r: mean e, rms k r / sqrt 5; its surface is a shell, k r / sqrt 3, less a voxel;
    d is 2 pi / |Q| / (1 - e) for G = Q (1 - e).
    """
    found = strain_maps(strained, hkl=(1, 1, 1))
    told = found.strain.statistics["strain"]
    assert found.strain.strain_mean == pytest.approx(EPSILON, abs=5e-6)
    assert told.crystal.rms == pytest.approx(BEND * 58e-9 / 5**0.5, rel=0.05)
    assert told.surface is not None
    assert told.bulk is not None
    assert told.surface.rms == pytest.approx(BEND * 55e-9 / 3**0.5, rel=0.08)
    assert told.bulk.rms < told.crystal.rms < told.surface.rms
    d = 2 * np.pi / LENGTH / (1 - EPSILON)
    assert found.strain.d_spacing_m == pytest.approx(d, rel=1e-5)
    assert found.lattice is not None
    assert found.lattice.crystal.mean == pytest.approx(d * 3**0.5, rel=1e-5)
    assert (found.strain.residues, found.strain.dislocations, found.strain.offsets_disagree) == (0, (), 0.0)


def test_the_material_tells_the_relaxed_lattice(strained: Reconstruction, tmp_path: Path) -> None:
    """(d - d0) / d0 of gold's own planes; the maps are in the file that ParaView reads, the lattice among them."""
    found = strain_maps(strained, tmp_path / "s.vts", hkl=(2, 0, 0), of="Au")
    gold = material("Au").spacing_m((2, 0, 0))
    assert found.relaxed_m == pytest.approx(gold)
    assert found.mean_strain == pytest.approx(found.strain.d_spacing_m / gold - 1)
    assert "mean strain of 11.7%" in found.notes[0]
    assert not strain_maps(strained, hkl=(1, 1, 1), of="Pt").notes
    reader = vtkXMLStructuredGridReader()
    reader.SetFileName(str(tmp_path / "s.vts"))
    reader.Update()
    points = reader.GetOutput().GetPointData()
    lattice, known = (vtk_to_numpy(points.GetArray(name)) for name in ("lattice_parameter", "measured"))
    assert np.nanmean(lattice[known != 0]) == pytest.approx(2 * 1e9 * found.strain.d_spacing_m, rel=1e-5)


@pytest.mark.parametrize("isosurface", [0.22, 0.5])
@pytest.mark.parametrize("ending", [".vts", ".vti", ".cxi"])
def test_files_for_surfaces_hold_the_maps_that_were_made(
    crystal: Crystal, tmp_path: Path, isosurface: float, ending: str
) -> None:
    """Measured is what lies above the isosurface that was asked for, and the lattice parameter is sqrt 3 times d,
    interpolated onto cubic voxels or not.
    """
    found = strain_maps(crystal(), tmp_path / f"s{ending}", hkl=(1, 1, 1), isosurface=isosurface)
    maps = volumes(tmp_path / f"s{ending}")
    known = maps["measured"] != 0
    lattice, spacing = maps["lattice_parameter"][known], maps["d_spacing"][known]
    assert np.allclose(lattice, 3**0.5 * spacing, rtol=1e-6)
    assert np.mean(spacing) == pytest.approx(found.strain.d_spacing_m, rel=1e-4)
    least = maps["amplitude"][known].min() / np.percentile(maps["amplitude"][maps["support"] != 0], 99.9)
    # voxels of other sizes end elsewhere on a soft edge, and some above the isosurface lack a neighbour
    assert isosurface <= least <= isosurface + 0.08


def test_a_file_remembers_its_reflection(crystal: Crystal, tmp_path: Path) -> None:
    """Maps that are made anew have the lattice parameter of their own d, not of those before."""
    strain_maps(crystal(), tmp_path / "s.npz", hkl=(1, 1, 1), isosurface=0.5)
    found = strain_maps(tmp_path / "s.npz", isosurface=0.3)
    assert found.hkl == (1, 1, 1)
    maps = found.result.derived
    assert np.allclose(maps["lattice_parameter"], 3**0.5 * maps["d_spacing"], equal_nan=True)
    assert strain_maps(tmp_path / "s.npz", hkl=(2, 0, 0)).hkl == (2, 0, 0)


def test_refraction_is_taken_off(strained: Reconstruction) -> None:
    """An object that the crystal's own refraction has bent gives the strain that it had; uncorrected it does not."""
    assert strained.geometry is not None
    assert strained.support is not None
    delta = material("Au").delta(9.0)
    bent = corrected(strained.object, strained.support, strained.geometry, energy_kev=9.0, delta=-delta)
    seen = replace(strained, object=bent)
    plain, before, after = (
        strain_maps(each, of="Au", energy_kev=9.0, refraction=refraction)
        for each, refraction in ((strained, False), (seen, False), (seen, True))
    )
    errors = [
        float(np.nanstd(each.result.derived["strain"] - plain.result.derived["strain"])) for each in (before, after)
    ]
    assert errors[1] < 1e-7 < 1e-6 < errors[0]
    assert after.refraction == (delta, 0.0)
    flat = after.result.phase_flat[after.result.support]
    assert np.allclose(flat, plain.result.phase_flat[after.result.support], atol=1e-3)
    assert "without dispersion" in after.notes[0]
    assert "twin" in after.notes[2]


@pytest.mark.parametrize("ending", [".npz", ".cxi"])
def test_the_figures_of_a_file_say_that_they_are_of_the_object_before(
    crystal: Crystal, tmp_path: Path, ending: str
) -> None:
    """The far field of the object without its refraction is another one, so that no figure of the fit is its own."""
    before = crystal(figures={"chi2": 1e-3, "llk": 0.6})
    assert before.support is not None
    modulus, mask = np.abs(fourier.forward(before.object)), np.zeros(before.object.shape, np.uint8)
    path = tmp_path / f"r{ending}"
    found = strain_maps(before, path, of="Au", energy_kev=9.0, refraction=True)
    fits = [measure(obj, before.support, modulus, mask).chi2 for obj in (before.object, found.result.object)]
    assert fits[0] < 1e-9 < 1e-4 < fits[1]  # rounding; some hundredths of a radian beside a ramp, squared
    back = read_reconstruction(path)
    assert back.figures == {"chi2": 1e-3, "llk": 0.6}
    document = result_of(back).document
    assert document["metrics_of"] == "the object before refraction was taken off"
    assert "stay those of the object before refraction" in document["strain_maps"]["notes"][1]
    if ending == ".cxi":
        with h5py.File(path) as file:
            told = file["entry_1/image_1/process_1/comments"].asstr()[()]
        assert "the results are those of the object before refraction was taken off" in told
    show(path, tmp_path / "r.html")
    assert ">the object before refraction was taken off</td>" in (tmp_path / "r.html").read_text()
    counts = RawScan(np.ones(before.object.shape, np.uint32), None, "counts.npy", "all")
    with pytest.raises(DataError, match="its figures are of the object before refraction was taken off"):
        rank([path, path], measured=counts)

    cubic = orthogonalise(path, tmp_path / "c.npz", voxel_m=6e-9)
    assert cubic.document["metrics_of"] == document["metrics_of"]  # of the first object that was changed
    cubic = orthogonalise(before, tmp_path / "c.npz", voxel_m=6e-9)
    assert "before it was brought onto cubic voxels" in cubic.document["metrics_of"]
    assert "metrics_of" not in strain_maps(before, of="Au").result.document


@pytest.mark.parametrize("frame", ["crystal", "laboratory"])
def test_a_dislocation_keeps_its_place_in_the_laboratory(crystal: Crystal, tmp_path: Path, frame: Frame) -> None:
    """From a result in another frame: a line along z at x = 10 nm, y = -15 nm, b along Q with one winding."""
    index = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in SHAPE), indexing="ij"), axis=-1)
    x, y, z = np.moveaxis(index @ BASIS * 1e9, -1, 0)
    winding = np.where(np.hypot(np.hypot(x, y), z) < 60, np.exp(1j * np.arctan2(y + 15, x - 10)), 0)
    orthogonalise(crystal(winding.astype(np.complex64)), tmp_path / "r.npz", frame=frame, voxel_m=4e-9)
    (line,) = strain_maps(tmp_path / "r.npz").strain.dislocations
    assert line.laboratory.direction == pytest.approx((0, 0, 1), abs=0.1)
    # voxels are 4 nm long
    assert np.array(line.laboratory.place[:2]) * 1e9 == pytest.approx([10, -15], abs=4)
    assert np.array(line.laboratory.burgers_along_q) == pytest.approx(-2 * np.pi / LENGTH**2 * Q)
    assert line.crystal is not None
    turn = rotation_to("crystal", strain_maps(crystal(winding.astype(np.complex64))).result.geometry)
    assert np.array(line.crystal.place) == pytest.approx(turn @ line.laboratory.place, abs=1e-12)


def test_refraction_is_taken_off_once(strained: Reconstruction, tmp_path: Path) -> None:
    """A file remembers that it was, through other maps, frames and formats; it holds no pattern of another object."""
    pattern = np.ones(SHAPE, np.float32)
    arrays = {**result_of(strained).arrays(), "modulus": pattern, "mask": np.zeros(SHAPE, np.uint8)}
    write_result(tmp_path / "measured.npz", arrays)
    asked = {"of": "Au", "energy_kev": 9.0, "refraction": True}
    first = strain_maps(tmp_path / "measured.npz", tmp_path / "first.npz", **asked)  # type: ignore[arg-type]
    assert not first.result.measured
    again = strain_maps(tmp_path / "first.npz", tmp_path / "again.cxi", isosurface=0.5)
    assert again.refraction == first.refraction
    assert strain_maps(tmp_path / "measured.npz").result.measured
    orthogonalise(tmp_path / "again.cxi", tmp_path / "cubic.npz", frame="crystal")
    for name in ("first.npz", "again.cxi", "cubic.npz"):
        with pytest.raises(DataError, match="already"):
            strain_maps(tmp_path / name, **asked)  # type: ignore[arg-type]


def test_what_is_missing_is_said(strained: Reconstruction, crystal: Crystal) -> None:
    """Geometry, material, energy, a known material, and the frame of refraction."""
    with pytest.raises(DataError, match="no geometry with Q"):
        strain_maps(crystal(basis=None))
    with pytest.raises(DataError, match="--material"):
        strain_maps(strained, refraction=True)
    with pytest.raises(DataError, match="together with refraction"):
        strain_maps(strained, beta=1e-6)
    with pytest.raises(DataError, match="energy is unknown"):
        strain_maps(strained, refraction=True, of="Au")
    with pytest.raises(DataError, match="known are"):
        strain_maps(strained, of="Xx")
    with pytest.raises(DataError, match="laboratory's"):
        strain_maps(replace(strained, frame="crystal"), refraction=True, of="Au", energy_kev=9.0)
