"""inphase.formats.motors: what moved, from HDF5, SPEC and FIO files of each layout, and what contradicts the frames."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from inphase.beamlines import BEAMLINES
from inphase.diffractometer import bragg_peak
from inphase.errors import DataError
from inphase.formats import Limits, RawScan, read
from inphase.pattern import MaskState
from tests.inphase.formats.layouts import (
    ANGLES,
    DISTANCE,
    ENERGY,
    GIVEN,
    PIXEL,
    SCANNED,
    SHAPE,
    STEP,
    WRITERS,
    N,
    cristal,
    expected,
    frames,
    id01,
    nanomax,
    p10,
    same_geometry,
)
from tests.inphase.rotations import HC_KEV_M, brute_q, brute_steps


def test_the_direct_beam_of_the_file(tmp_path: Path) -> None:
    """beam_center moves the peak's q as the diffractometer says."""
    path = id01(tmp_path)
    with h5py.File(path, "a") as file:
        file["S1_7.1/instrument/mpx1x4/beam_center_x"][()] = 105.0
    same_geometry(read(path, beamline="ID01", scan=7), expected("ID01", (0.0, 100.0)))


def test_what_is_missing_is_told_and_can_be_given(tmp_path: Path) -> None:
    """NanoMAX files have no distance: frames without geometry, and the words that help; given numbers count more."""
    path = nanomax(tmp_path)
    scan = read(path, beamline="NanoMAX")
    assert scan.geometry is None
    assert "no geometry: the file does not have distance" in scan.chosen
    moved = read(path, beamline="NanoMAX", set={**GIVEN, "delta": 11.0})
    assert moved.metadata["delta_deg"] == "11"


def test_no_rocking_curve(tmp_path: Path) -> None:
    """No circle moves: told. A circle that jumps: refused with the point."""
    path = id01(tmp_path)
    with h5py.File(path, "a") as file:
        del file["S1_7.1/measurement/eta"]
    assert "no circle of the sample moves" in read(path, beamline="ID01", scan=7).chosen
    with h5py.File(path, "a") as file:
        file["S1_7.1/measurement/eta"] = np.array([0, 1, 2, 3, 9, 5, 6, 7.0])
    with pytest.raises(DataError, match="'eta' does not move in equal steps: point 4"):
        read(path, beamline="ID01", scan=7)


def test_fio_outside_the_roots_is_not_read(tmp_path: Path) -> None:
    """The FIO file lies one folder up; where that is outside the roots, it is as if it were not there."""
    path = p10(tmp_path)
    inside = read(path, beamline="P10", limits=Limits(roots=(tmp_path,)))
    assert inside.geometry is not None
    outside = read(path, beamline="P10", limits=Limits(roots=(path.parent,)))
    assert outside.geometry is None
    assert "no FIO file" in outside.chosen


def test_folder_with_a_spec_file(tmp_path: Path) -> None:
    """A SPEC file among the frames makes them a 34-ID-C scan; one that contradicts them is told and not believed."""
    header = "#F x\n#E 1\n#D now\n#O0 Delta  Theta  Chi  Phi  Gamma  camdist  Energy\n\n"
    rows = "\n".join(f"{0.1 + 0.01 * i:.4f} {i}" for i in range(N))
    body = f"#S 7 ascan  th 0 1\n#P0 30 0.1 90 -5 12 500 9\n#UIMDET 34idcTIM2:\n#L Theta  Epoch\n{rows}\n\n"
    (tmp_path / "x.spec").write_text(header + body)
    for index, frame in enumerate(frames(7)):
        tifffile.imwrite(tmp_path / f"x_S0007_{index:05d}.tif", frame)
    scan = read(tmp_path)
    assert scan.geometry is not None
    assert scan.metadata["scanned"].startswith("theta")
    for number in (N, N + 1):
        (tmp_path / f"x_S0007_{number:05d}.tif").write_bytes((tmp_path / "x_S0007_00000.tif").read_bytes())
    assert "no geometry: " in read(tmp_path).chosen
    with pytest.raises(DataError, match="8 points, the measurement 10 frames"):
        read(tmp_path, beamline="34-ID-C")


def test_id27_needs_the_direct_beam(tmp_path: Path) -> None:
    """A detector that stands still: without the place of the direct beam there is no Bragg angle."""
    path = tmp_path / "id27.h5"
    with h5py.File(path, "w") as file:
        file["S1_7.1/measurement/eiger"] = frames(7)
        file["S1_7.1/instrument/positioners/nath"] = 3 + STEP * (np.arange(N) - N // 2)
        file["S1_7.1/instrument/calibration/wavelength"] = 12.39841984 / 30
    scan = read(path, beamline="ID27", set={"distance": 1.0})
    assert "does not have direct_beam_row" in scan.chosen
    given = {"distance": 1.0, "direct_beam_row": -2000.0, "direct_beam_column": 5.0}
    scan = read(path, beamline="ID27", set=given)
    assert scan.geometry is not None, scan.chosen
    assert scan.metadata["energy_kev"] == "30"
    q = 4 * np.pi * 30e3 / 1.239841984e-6 * np.sin(np.arctan(2006 * 75e-6) / 2)
    assert np.linalg.norm(scan.geometry.q_centre) == pytest.approx(q, rel=2e-3)


# where each layout has room for another circle's positions, of the sample and of the detector
FURTHER = {
    "ID01": {
        "phi": "S1_7.1/measurement/phi",
        "delta": "S1_7.1/measurement/delta",
        "nu": "S1_7.1/instrument/positioners/nu",
    },
    "P10": {"phi": "", "del": "", "gam": ""},
    "NanoMAX": {
        "gonphi": "entry/measurement/gonphi",
        "delta": "entry/measurement/delta",
        "gamma": "entry/snapshots/post_scan/gamma",
    },
    "SIXS": {
        name: f"com/SIXS/i14-c-cx1-ex-med-v-dif-group.1/i14-c-cx1-ex-med-v-{name}/position"
        for name in ("omega", "delta", "gamma")
    },
    "CRISTAL": {
        "phi": "exp_0007/CRISTAL/i06-c-c07-ex-mg_phi/position",
        "delta": "exp_0007/CRISTAL/Diffractometer/i06-c-c07-ex-dif-delta/position",
        "gamma": "exp_0007/CRISTAL/Diffractometer/i06-c-c07-ex-dif-gamma/position",
    },
}  # fmt: skip
# the frames and the scanned circle's positions
PLACES = {
    "ID01": ("S1_7.1/measurement/mpx1x4", "S1_7.1/measurement/eta"),
    "NanoMAX": ("entry/measurement/eiger500k/frames", "entry/measurement/gontheta"),
    "SIXS": ("com/scan_data/data_58", "com/scan_data/actuator_1_1"),
    "CRISTAL": ("exp_0007/scan_data/data_06", "exp_0007/scan_data/actuator_1_1"),
}


def record(path: Path, name: str, circle: str, positions: np.ndarray) -> None:
    """Write positions of a further circle into a file of this beamline."""
    if name == "P10":
        fio = path.parent.parent / "S1_00007.fio"
        head, _, rows = fio.read_text().partition(" Col 2")
        lines = [line for line in rows.splitlines()[1:] if line.strip()]
        joined = "\n".join(f"{line} {at:.9f}" for line, at in zip(lines, positions, strict=True))
        columns = head.count(" Col ") + 1
        fio.write_text(f"{head} Col 2 exp_t01 DOUBLE\n Col {columns + 1} {circle} DOUBLE\n{joined}\n")
        return
    with h5py.File(path, "a") as file:
        place = FURTHER[name][circle]
        if place in file:
            del file[place]
        file[place] = positions


def read_built(path: Path, name: str) -> RawScan:
    """Scan 7 with all that its layout lacks."""
    given = {} if name in ("ID01", "P10") else GIVEN
    return read(path, beamline=name, scan=7 if name == "ID01" else None, set=given)


@pytest.mark.parametrize(
    ("name", "circle"), [(name, circle) for name, circles in FURTHER.items() for circle in circles]
)
def test_a_second_circle_counts(tmp_path: Path, name: str, circle: str) -> None:
    """Every layout, a circle of the sample or of the detector that moves with the scanned one: q and its steps at the
    peak as matrices give them frame by frame.
    """
    path = WRITERS[name](tmp_path)
    step = -1.7 * STEP
    record(path, name, circle, ANGLES[name][circle] + step * (np.arange(N) - N // 2))
    scan = read_built(path, name)
    assert scan.geometry is not None, scan.chosen
    assert circle in scan.metadata["scanned"]
    peak = np.array(bragg_peak(scan.array, scan.mask))
    seen = {"energy_kev": ENERGY, "distance": DISTANCE, "pixel": (PIXEL, PIXEL)}
    described, steps = BEAMLINES[name], {SCANNED[name]: STEP, circle: step}
    wanted = brute_steps(peak, described, ANGLES[name], steps, **seen)
    np.testing.assert_allclose(scan.geometry.q_steps, wanted, atol=1e-5 * np.linalg.norm(wanted, axis=1).min())
    np.testing.assert_allclose(
        scan.geometry.q(peak), brute_q(described, ANGLES[name], steps, peak, **seen), atol=1e-5 * 1e10
    )
    alone = brute_steps(peak, described, ANGLES[name], {SCANNED[name]: STEP}, **seen)
    assert np.linalg.norm(wanted[0] - alone[0]) > 0.02 * np.linalg.norm(alone[0])  # so that it would be seen


@pytest.mark.parametrize("name", FURTHER)
def test_a_circle_that_trembles_or_jumps(tmp_path: Path, name: str) -> None:
    """An encoder's noise changes nothing; a circle that jumps is refused by its name."""
    circle = list(FURTHER[name])[1]
    path = WRITERS[name](tmp_path)
    noise = STEP / 30 * np.random.default_rng(3).normal(size=N)
    record(path, name, circle, ANGLES[name][circle] + noise)
    scan = read_built(path, name)
    assert scan.metadata["scanned"].count("per frame") == 1
    (tmp_path / "plain").mkdir()
    other = WRITERS[name](tmp_path / "plain")
    plain = read_built(other, name)
    assert scan.geometry is not None
    assert plain.geometry is not None
    np.testing.assert_allclose(
        scan.geometry.q_steps, plain.geometry.q_steps, atol=1e-4 * np.abs(plain.geometry.q_steps).max()
    )
    record(other, name, circle, np.where(np.arange(N) == 3, 1.0, 0.0))
    with pytest.raises(DataError, match=f"'{circle}' does not move in equal steps: point 3"):
        read_built(other, name)


@pytest.mark.parametrize("name", ["SIXS", "CRISTAL"])
def test_an_actuator_that_may_be_anything(tmp_path: Path, name: str) -> None:
    """A second actuator moves and the file does not say which circle it is: no geometry, with the reason;
    at rest it is none.
    """
    path = WRITERS[name](tmp_path)
    folder = "com/scan_data" if name == "SIXS" else "exp_0007/scan_data"
    with h5py.File(path, "a") as file:
        file[f"{folder}/actuator_1_2"] = np.full(N, 25.0)
    assert read_built(path, name).geometry is not None
    with h5py.File(path, "a") as file:
        file[f"{folder}/actuator_1_2"][...] = 25 + STEP * np.arange(N)
    scan = read_built(path, name)
    assert scan.geometry is None
    assert "actuator_1_2' moves as well, and the file does not say which circle it is" in scan.chosen


def test_an_actuator_of_two_circles(tmp_path: Path) -> None:
    """The scan's name holds two circles, the file one list of positions: they are not both turned by it."""
    path = cristal(tmp_path)
    with h5py.File(path, "a") as file:
        file["exp_0007/scan_config/name"][()] = "a2scan mg_omega mg_phi"
    assert "omega and phi have the same positions" in read_built(path, "CRISTAL").chosen


def test_a_detector_that_moves_alone(tmp_path: Path) -> None:
    """A crystal at rest shows one surface of its pattern: no geometry, with the reason."""
    path = id01(tmp_path)
    with h5py.File(path, "a") as file:
        del file["S1_7.1/measurement/eta"]
    record(path, "ID01", "delta", 34 + STEP * np.arange(N))
    assert "no geometry: delta of the detector moves alone" in read_built(path, "ID01").chosen


@pytest.mark.parametrize("name", ["ID01", "P10", "NanoMAX"])
def test_a_scan_of_the_energy(tmp_path: Path, name: str) -> None:
    """Nothing turns, the energy grows: q of every frame has its own wavelength."""
    path, energies = WRITERS[name](tmp_path), ENERGY + 0.004 * (np.arange(N) - N // 2)
    if name == "P10":
        record(path, name, "fmbenergy", energies * 1e3)
        fio = path.parent.parent / "S1_00007.fio"
        fio.write_text(
            fio.read_text().replace("om = 3.0", f"om = {ANGLES['P10']['om']}").replace("Col 1 om", "Col 1 other")
        )
    else:
        with h5py.File(path, "a") as file:
            if name == "ID01":
                file["S1_7.1/measurement/mononrj"] = energies
                file["S1_7.1/measurement/eta"][...] = ANGLES["ID01"]["eta"]
            else:
                file["entry/measurement/energy"] = energies * 1e3
                file["entry/measurement/gontheta"][...] = ANGLES["NanoMAX"]["gontheta"]
    scan = read_built(path, name)
    assert scan.geometry is not None, scan.chosen
    assert scan.metadata["scanned"] == "energy, 0.004 keV per frame"
    peak = np.array(bragg_peak(scan.array, scan.mask))
    seen = {"energy_kev": ENERGY, "energy_step": 0.004, "distance": DISTANCE, "pixel": (PIXEL, PIXEL)}
    wanted = brute_steps(peak, BEAMLINES[name], ANGLES[name], {}, **seen)
    np.testing.assert_allclose(scan.geometry.q_steps, wanted, atol=1e-5 * np.linalg.norm(wanted, axis=1).min())


def test_a_scan_of_the_wavelength(tmp_path: Path) -> None:
    """ID27 keeps a wavelength: the energy's steps follow from it, and the step of q at the peak is Q dE / E."""
    path = tmp_path / "id27.h5"
    energies = 30 + 0.005 * (np.arange(N) - N // 2)
    with h5py.File(path, "w") as file:
        file["S1_7.1/measurement/eiger"] = frames(7)
        file["S1_7.1/instrument/positioners/nath"] = 3.0
        file["S1_7.1/instrument/calibration/wavelength"] = HC_KEV_M * 1e10 / energies
    given = {"distance": 1.0, "direct_beam_row": -2000.0, "direct_beam_column": 5.0}
    scan = read(path, beamline="ID27", set=given)
    assert scan.geometry is not None, scan.chosen
    peak = bragg_peak(scan.array)
    at_peak = energies[int(peak[0]) + N // 2]
    np.testing.assert_allclose(scan.geometry.q_steps[0], scan.geometry.q(np.array(peak)) * 0.005 / at_peak, rtol=1e-6)


@pytest.mark.parametrize("name", FURTHER)
@pytest.mark.parametrize("filled", [True, False])
def test_a_scan_that_was_stopped(tmp_path: Path, name: str, filled: bool) -> None:
    """Six positions for eight frames: two frames without counts were not measured; two with counts are too many to
    believe that the positions are theirs.
    """
    path = WRITERS[name](tmp_path)
    counts = frames(7)
    counts[6:] = counts[6:] if filled else 0
    positions_ = ANGLES[name][SCANNED[name]] + STEP * (np.arange(6) - N // 2)
    if name == "P10":
        fio = path.parent.parent / "S1_00007.fio"
        fio.write_text("\n".join(fio.read_text().splitlines()[:-2]) + "\n")
        with h5py.File(path.parent / "S1_00007_data_000002.h5", "a") as file:
            file["entry/data/data"][1:] = counts[6:]
    else:
        with h5py.File(path, "a") as file:
            at, scanned = PLACES[name]
            file[at][...] = counts
            del file[scanned]
            file[scanned] = positions_
    scan = read_built(path, name)
    if filled:
        assert scan.geometry is None
        assert f"no geometry: {path}: '{SCANNED[name]}' has 6 points, the measurement 8 frames" in scan.chosen
        return
    assert scan.geometry is not None, scan.chosen
    assert "6 points for 8 frames" in scan.chosen
    assert "2 frames from 6 on have neither position nor counts" in scan.chosen
    assert scan.mask is not None
    assert (scan.mask[6:] != MaskState.VALID).all()
    wanted = expected(name).geometry(bragg_peak(scan.array, scan.mask))
    np.testing.assert_allclose(scan.geometry.q_steps, wanted.q_steps, atol=1e-5 * np.abs(wanted.q_steps).max())


SPEC = """#F x
#E 1
#D now
#O0 mu  om  chi  phi  gam  del
#O1 fmbenergy

#S 7 d2scan om -1 1 del -1 1
#P0 0 17 90 3 2 34
#P1 9000
#L om  del  exp_t01
"""


def test_p10_with_a_spec_file(tmp_path: Path) -> None:
    """The motors of a description are found in a SPEC file as in a FIO file; both that the scan moved count."""
    path, offsets = p10(tmp_path), np.arange(N) - N // 2
    named = tmp_path / "beamtime.spec"
    named.write_text(SPEC + "".join(f"{17 + STEP * at:.6f} {34 + 2 * STEP * at:.6f} 1\n" for at in offsets))
    scan = read(path, beamline="P10", spec=named)
    assert scan.geometry is not None, scan.chosen
    peak = np.array(bragg_peak(scan.array, scan.mask))
    seen = {"energy_kev": ENERGY, "distance": DISTANCE, "pixel": (PIXEL, PIXEL)}
    wanted = brute_steps(peak, BEAMLINES["P10"], ANGLES["P10"], {"om": STEP, "del": 2 * STEP}, **seen)
    np.testing.assert_allclose(scan.geometry.q_steps, wanted, atol=1e-5 * np.linalg.norm(wanted, axis=1).min())


def test_positions_that_no_name_belongs_to_can_be_set(tmp_path: Path) -> None:
    """A SPEC file with a position too many: told, and all that is needed can be set, as the file would have had it."""
    path, named = p10(tmp_path), tmp_path / "beamtime.spec"
    rows = "".join(f"{17 + STEP * at:.6f} 34 1\n" for at in np.arange(N) - N // 2)
    named.write_text(SPEC + rows)
    plain = read(path, beamline="P10", spec=named)
    named.write_text(SPEC.replace("#P1 9000", "#P1 9000 1.5") + rows)
    scan = read(path, beamline="P10", spec=named)
    assert scan.geometry is None
    assert "8 motor positions (#P) for 7 names (#O)" in scan.chosen
    assert "does not have mu, chi, phi, gam, energy: set them" in scan.chosen
    given = {"mu": 0.0, "chi": 90.0, "phi": 3.0, "gam": 2.0, "energy": 9.0}
    by_hand = read(path, beamline="P10", spec=named, set=given)
    assert plain.geometry is not None
    assert by_hand.geometry is not None, by_hand.chosen
    assert np.array_equal(by_hand.geometry.q_steps, plain.geometry.q_steps)


def test_a_motor_that_is_no_circle_is_told(tmp_path: Path) -> None:
    """Something else moved with the scan: nobody knows what it did to the crystal, and it is said."""
    path, named = p10(tmp_path), tmp_path / "beamtime.spec"
    rows = "".join(f"{17 + STEP * at:.6f} {at} 34\n" for at in np.arange(N) - N // 2)
    text = (
        SPEC.replace("#O1 fmbenergy", "#O1 fmbenergy  nu")
        .replace("9000", "9000 0")
        .replace("om  del  exp", "om  nu  exp")
    )
    named.write_text(text + rows)
    assert "nu moved as well, which is no circle here" in read(path, beamline="P10", spec=named).chosen


def test_positions_of_frames_that_were_never_written(tmp_path: Path) -> None:
    """A run that was stopped after six of eight frames: the positions of the planned ones are cut with the frames."""
    path = id01(tmp_path)
    with h5py.File(path, "a") as file:
        del file["S1_7.1/measurement/mpx1x4"], file["S1_7.1/instrument/mpx1x4/image"]
        file.create_dataset("S1_7.1/measurement/mpx1x4", SHAPE, "u4", chunks=(1, *SHAPE[1:]))[:6] = frames(7)[:6]
    scan = read(path, beamline="ID01", scan=7)
    assert scan.array.shape == (6, *SHAPE[1:])
    assert "frames 6 to 7 of 8 never written and left out" in scan.chosen
    assert scan.geometry is not None
    (tmp_path / "whole").mkdir()
    whole = read(id01(tmp_path / "whole"), beamline="ID01", scan=7).geometry
    assert whole is not None
    # the step is the same; the middle frame is 3 and not 4, one step of a hundredth of a degree away
    assert np.allclose(scan.geometry.q_steps, whole.q_steps, rtol=0, atol=3e-4 * np.abs(whole.q_steps).max())
