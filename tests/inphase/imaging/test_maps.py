"""The maps that a known geometry adds to a result."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inphase import ambiguity
from inphase.diffractometer import bragg_peak
from inphase.formats import RawScan
from inphase.formats.spec import read_scan, rocking_scan
from inphase.geometry import Geometry
from inphase.imaging.arrays import names
from inphase.imaging.clock import Clock
from inphase.imaging.maps import maps
from inphase.imaging.options import Options
from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.refine import refine
from inphase.imaging.report import GridGeometry, Report
from inphase.imaging.way import begin, judge
from inphase.models.repository import Repository
from inphase.models.session import Sessions
from inphase.orthogonal import orthogonal
from inphase.strain import crystal_voxels, strain
from tests.inphase.scans import SCAN_54
from tests.toy import crystal

GEOMETRY = SCAN_54.geometry().binned((3, 4, 4))


def test_maps_are_those_of_the_stored_object() -> None:
    """The same numbers as inphase.strain gives for the canonical object, and their summary in the document."""
    canonical = ambiguity.canonical(crystal(), np.abs(crystal()) > 0)
    made = maps(canonical, GEOMETRY)
    expected = strain(canonical.object, canonical.support, GEOMETRY)
    assert tuple(made.arrays) == names("strain")
    np.testing.assert_array_equal(made.arrays["strain"], expected.strain)
    np.testing.assert_array_equal(made.arrays["displacement"], expected.displacement_m)
    assert made.strain is not None
    assert made.strain.q_length_per_m == pytest.approx(2 * np.pi / 2.335e-10, rel=1e-4)
    assert made.strain.d_spacing_m == pytest.approx(2.335e-10, rel=1e-3)
    assert made.strain.voxels == expected.inside.sum()
    assert made.strain.strain_rms == pytest.approx(np.nanstd(expected.strain), rel=0.05)
    assert made.reason is None


def test_a_crystal_of_which_no_strain_is_known_has_no_maps() -> None:
    """Single voxels apart from each other: none has a neighbour, and a strain of 0 would be a lie."""
    lonely = np.zeros((16, 16, 16), np.complex64)
    lonely[4::4, 4::4, 4::4] = 1
    made = maps(ambiguity.canonical(lonely, np.abs(lonely) > 0), GEOMETRY)
    assert (made.arrays, made.strain) == ({}, None)
    assert made.reason is not None
    assert "no strain is known" in made.reason


@pytest.mark.parametrize(
    ("geometry", "missing"),
    [
        (None, "give q_steps and q_centre"),
        (Geometry(GEOMETRY.q_steps), "give q_centre"),
        (Geometry(np.eye(3), np.zeros(3)), "no reflecting"),
    ],
)
def test_what_is_missing_is_named(geometry: Geometry | None, missing: str) -> None:
    """No maps, and the reason that the document and the API give."""
    made = maps(ambiguity.canonical(crystal(), np.abs(crystal()) > 0), geometry)
    assert (made.arrays, made.strain) == ({}, None)
    assert made.reason is not None
    assert missing in made.reason


def test_the_geometry_travels(models_dir: Path, pattern: NDArray[np.uint32]) -> None:
    """From the reader through the queue into the file: the pattern that a worker reads back has the same geometry, and
    the result holds where its voxels lie.
    """
    session = Sessions(Repository(models_dir, "inphase-bcdi"), threads=1).get(None)
    raw = RawScan(pattern, GEOMETRY, "test", "all")
    prepared, report = begin(raw, Options(refine="none"), session, Clock())
    report = Report.from_json(report.to_json())
    again = PreparedPattern.from_arrays(prepared.to_arrays(), report)
    assert prepared.geometry is not None
    assert again.geometry is not None
    for name in ("q_steps", "q_centre", "sample_rotation"):
        np.testing.assert_array_equal(getattr(again.geometry, name), getattr(prepared.geometry, name))
    finished = judge(again, report, again.guess, Clock())
    arrays, grid = finished.arrays, prepared.problem.modulus.shape
    np.testing.assert_allclose(arrays["voxel_basis_m"], again.geometry.voxel_basis_m(grid))
    np.testing.assert_allclose(arrays["voxel_size_m"], np.linalg.norm(arrays["voxel_basis_m"], axis=1))
    np.testing.assert_array_equal(arrays["q_centre"], again.geometry.q_centre)
    np.testing.assert_array_equal(arrays["sample_rotation"], GEOMETRY.sample_rotation)
    inside = np.isfinite(arrays["strain"])
    assert inside.sum() > 0.9 * (np.abs(crystal()) > 0).sum()
    assert not (inside & ~arrays["support"]).any()
    assert finished.report.strain is not None
    assert finished.report.preprocess.geometry == GridGeometry.of(again.geometry, grid)


def test_scan_54_in_nanometres(real_data: Path) -> None:
    """The measured gold crystal, geometry from its SPEC header, a short retrieval: the maps' voxels fill the volume of
    a ball of 320 nm, as other starts and 600 iterations give it (307 to 321 nm), on the sheared grid as on the cubic
    one; the planes stand 2.335 A apart, the assumed direct beam's figure; the strain about the mean is of the order of
    1e-4, as in a grown crystal.
    """
    folder = real_data / "aps34idc_scan54"
    with np.load(folder / "S0054_raw_int32.npz") as archive:
        counts = archive["data"]
    scan = rocking_scan(read_scan(folder / "scan54.spec", 54), frame_shape=counts.shape)
    raw = RawScan(counts, scan.geometry(bragg_peak(counts)), "scan 54", "all")
    options = Options(refine="200*RAAR+40*ER | SW(every=10,threshold=0.2,sigma=2..1)", start="random", starts=1, seed=1)
    prepared, report = begin(raw, replace(options, grid="model"), None, Clock())
    arrays = refine(prepared, report, Clock()).arrays
    geometry = Geometry.of_voxels(arrays["voxel_basis_m"], prepared.problem.modulus.shape, arrays["q_centre"])
    inside = np.isfinite(arrays["d_spacing"])
    volume = inside.sum() * abs(np.linalg.det(arrays["voxel_basis_m"]))
    assert (6 * volume / np.pi) ** (1 / 3) == pytest.approx(315e-9, rel=0.05)
    cubic = orthogonal(arrays["object"], crystal_voxels(arrays["amplitude"], arrays["support"]), geometry)
    assert cubic.support.sum() * cubic.voxel_m**3 == pytest.approx(volume, rel=0.02)
    assert np.nanmean(arrays["d_spacing"]) == pytest.approx(2.335e-10, rel=5e-4)
    assert 5e-5 < np.nanstd(arrays["strain"]) < 2e-3
