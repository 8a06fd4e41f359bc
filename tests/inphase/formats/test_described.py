"""inphase.formats.described and the built-in beamlines: small files of each layout, written here, and one real scan."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from inphase.beamlines import BEAMLINES
from inphase.diffractometer import RockingScan, bragg_peak
from inphase.errors import DataError
from inphase.formats import Limits, RawScan, Reading, read, read_as
from inphase.formats.beamline import builtin
from inphase.formats.scan import Saturation
from inphase.pattern import Domain, MaskState
from tests.inphase.rotations import HC_KEV_M, brute_q, brute_steps

N = 8
SHAPE = (N, 12, 10)
PEAK = (5, 6, 5)
ANGLES = {
    "ID01": {"mu": 0.0, "eta": 17.0, "phi": 3.0, "nu": 1.0, "delta": 34.0},
    "P10": {"mu": 0.0, "om": 17.0, "chi": 90.0, "phi": 3.0, "gam": 2.0, "del": 34.0},
    "NanoMAX": {"gontheta": 12.0, "gonphi": 3.0, "gamma": 20.0, "delta": 10.0},
    "SIXS": {"mu": 0.4, "omega": 30.0, "gamma": 20.0, "delta": 25.0},
    "CRISTAL": {"omega": 17.0, "phi": 3.0, "gamma": 2.0, "delta": 34.0},
}
SCANNED = {"ID01": "eta", "P10": "om", "NanoMAX": "gontheta", "SIXS": "mu", "CRISTAL": "omega"}
STEP, ENERGY, DISTANCE, PIXEL = 0.01, 9.0, 1.2, 55e-6


def frames(seed: int = 0) -> np.ndarray:
    """Counts with a peak."""
    counts = np.random.default_rng(seed).poisson(2, SHAPE).astype(np.uint32)
    counts[PEAK] = 1000
    return counts


def positions(name: str) -> dict[str, float | np.ndarray]:
    """Every circle's angle; the scanned one's at each frame."""
    angles: dict[str, float | np.ndarray] = dict(ANGLES[name])
    centre = ANGLES[name][SCANNED[name]]
    angles[SCANNED[name]] = centre + STEP * (np.arange(N) - N // 2)
    return angles


def id01(folder: Path) -> Path:
    """BLISS: groups sample_scan.1 with measurement and instrument; the same detector linked twice."""
    path = folder / "ihhc1234_id01.h5"
    with h5py.File(path, "w") as file:
        for scan in (7, 8):
            group = file.create_group(f"S1_{scan}.1")
            group["measurement/mpx1x4"] = frames(scan)
            group["instrument/mpx1x4/image"] = group["measurement/mpx1x4"]
            for key, value in {
                "distance": DISTANCE, "x_pixel_size": PIXEL, "y_pixel_size": PIXEL,
                "beam_center_x": 5.0, "beam_center_y": 6.0,
            }.items():  # fmt: skip
                group[f"instrument/mpx1x4/{key}"] = value
            for key, value in positions("ID01").items():
                if key == "eta":
                    group["measurement/eta"] = value
                    group["instrument/positioners/eta"] = 0.0
                else:
                    group[f"instrument/positioners/{key}"] = value
            group["instrument/positioners/mononrj"] = ENERGY
    return path


def p10(folder: Path) -> Path:
    """An Eiger master that links two data files, one folder below its FIO file; gap and bad pixels in the mask."""
    (folder / "S1_00007" / "e4m").mkdir(parents=True)
    counts = frames(7)
    for number, part in enumerate((counts[:5], counts[5:]), 1):
        with h5py.File(folder / "S1_00007" / "e4m" / f"S1_00007_data_{number:06d}.h5", "w") as file:
            file["entry/data/data"] = part
    path = folder / "S1_00007" / "e4m" / "S1_00007_master.h5"
    mask = np.zeros(SHAPE[1:], np.uint32)
    mask[2, 3], mask[:, 9] = 1, 2
    with h5py.File(path, "w") as file:
        for number in (1, 2):
            link = h5py.ExternalLink(f"S1_00007_data_{number:06d}.h5", "entry/data/data")
            file[f"entry/data/data_{number:06d}"] = link
        file["entry/instrument/detector/detectorSpecific/pixel_mask"] = mask
        file["entry/instrument/detector/x_pixel_size"] = PIXEL
        file["entry/instrument/detector/y_pixel_size"] = PIXEL
        file["entry/instrument/detector/detector_distance"] = DISTANCE
    angles = positions("P10")
    rows = "\n".join(f" {value:.6f} {i}" for i, value in enumerate(np.asarray(angles.pop("om"))))
    parameters = "\n".join(f"{name} = {value}" for name, value in angles.items())
    (folder / "S1_00007" / "S1_00007.fio").write_text(
        f"!\n! Comments\n!\n%c\nascan om\nuser x\n!\n%p\nfmbenergy = {ENERGY * 1e3}\nsample = gold\nom = "
        f"3.0\n{parameters}\n!\n%d\n Col 1 om DOUBLE\n Col 2 exp_t01 DOUBLE\n{rows}\n"
    )
    return path


def nanomax(folder: Path) -> Path:
    """Frames under the detector's name, motors in a snapshot, the scanned one also among the measurements."""
    path = folder / "000123.h5"
    with h5py.File(path, "w") as file:
        file["entry/measurement/eiger500k/frames"] = frames(7)
        for key, value in positions("NanoMAX").items():
            file[f"entry/snapshots/post_scan/{key}"] = [0.0] if key == "gontheta" else [value]
            if key == "gontheta":
                file["entry/measurement/gontheta"] = value
        file["entry/snapshots/post_scan/energy"] = [ENERGY * 1e3]
    return path


def sixs(folder: Path) -> Path:
    """Data under a key that changes; motors under names that end in the circle's."""
    path = folder / "align_00123.nxs"
    base = "com/SIXS/i14-c-cx1-ex-med-v-dif-group.1"
    with h5py.File(path, "w") as file:
        file["com/scan_data/data_58"] = frames(7)
        file["com/scan_data/epoch"] = np.arange(N)
        for key, value in positions("SIXS").items():
            if key == "mu":
                file["com/scan_data/actuator_1_1"] = value
                file[f"{base}/i14-c-cx1-ex-med-v-mu/position"] = [0.0]
            else:
                file[f"{base}/i14-c-cx1-ex-med-v-{key}/position"] = [value]
        file["com/SIXS/i14-c-c02-op-mono/energy"] = [ENERGY]
    return path


def cristal(folder: Path) -> Path:
    """One group for each scan; which motor the actuator is stands in the configuration."""
    path = folder / "mgphi-2022.nxs"
    with h5py.File(path, "w") as file:
        group = file.create_group("exp_0007")
        group["scan_data/data_06"] = frames(7)
        group["scan_config/name"] = "ascan mg_omega"
        for key, value in positions("CRISTAL").items():
            if key == "omega":
                group["scan_data/actuator_1_1"] = value
            place = f"i06-c-c07-ex-mg_{key}" if key in ("omega", "phi") else f"Diffractometer/i06-c-c07-ex-dif-{key}"
            group[f"CRISTAL/{place}/position"] = [np.mean(value)]
        group["CRISTAL/Monochromator/energy"] = [ENERGY]
    return path


WRITERS: dict[str, Callable[[Path], Path]] = {
    "ID01": id01, "P10": p10, "NanoMAX": nanomax, "SIXS": sixs, "CRISTAL": cristal,
}  # fmt: skip
GIVEN = {"pixel_row": PIXEL, "pixel_column": PIXEL, "distance": DISTANCE}


def expected(name: str, beam: tuple[float, float] = (0.0, 0.0)) -> RockingScan:
    """The scan as the diffractometer's own class has it."""
    return RockingScan(
        BEAMLINES[name], ENERGY, DISTANCE, (PIXEL, PIXEL), ANGLES[name], {SCANNED[name]: STEP}, direct_beam=beam
    )


def same_geometry(scan: RawScan, rocking: RockingScan) -> None:
    """The grid touches the exact one at the Bragg peak."""
    assert scan.geometry is not None, scan.chosen
    wanted = rocking.geometry(bragg_peak(scan.array, scan.mask))
    np.testing.assert_allclose(
        scan.geometry.q_steps, wanted.q_steps, rtol=1e-5, atol=1e-9 * np.abs(wanted.q_steps).max()
    )
    assert scan.geometry.q_centre is not None
    np.testing.assert_allclose(scan.geometry.q_centre, wanted.q_centre, rtol=1e-6, atol=1)


@pytest.mark.parametrize("name", WRITERS)
def test_frames_and_geometry_of_each_layout(tmp_path: Path, name: str) -> None:
    """The right scan's frames, and the q-space that its motors and detector give."""
    path = WRITERS[name](tmp_path)
    given = {} if name in ("ID01", "P10") else GIVEN
    scan = read(path, beamline=name.lower(), scan=7 if name == "ID01" else None, set=given)
    assert np.array_equal(scan.array, frames(7))
    same_geometry(scan, expected(name, (6.0 - 6, 5.0 - 5)))
    assert scan.metadata["beamline"] == name


def test_34idc_real_scan(real_data: Path) -> None:
    """The folder of scan 54, its number in the frames' names, the SPEC file beside it:
    Au (111) within the header's 1 %.
    """
    scan = read(real_data / "aps34idc_scan54" / "raw_tif", beamline="34-ID-C")
    assert scan.array.shape == (201, 256, 256)
    assert scan.geometry is not None
    assert scan.geometry.q_centre is not None
    assert 2e10 * np.pi / np.linalg.norm(scan.geometry.q_centre) == pytest.approx(2.355, rel=0.015)
    assert scan.geometry.voxel_size_m((201, 256, 256)) == pytest.approx((15.1e-9, 5.0e-9, 5.0e-9), rel=0.02)
    assert scan.metadata["scan"] == "54"
    named = real_data / "aps34idc_scan54" / "scan54.spec"
    for frames_of_it in ("raw_tif", "S0054_raw_int32.npz"):  # the folder, and an array made of it
        by_option = read(real_data / "aps34idc_scan54" / frames_of_it, spec=named, scan=54)
        assert by_option.geometry is not None
        assert np.array_equal(by_option.geometry.q_steps, scan.geometry.q_steps)


def test_two_scans_of_one_file(tmp_path: Path) -> None:
    """Without a number the error lists what there is; a wrong one too; each number gives its own frames."""
    path = id01(tmp_path)
    with pytest.raises(DataError, match=r"several scans: .*scan 7.*scan 8"):
        read(path, beamline="ID01")
    with pytest.raises(DataError, match=r"no frames of ID01 at .* with scan=9; it holds S1_7\.1"):
        read(path, beamline="ID01", scan=9)
    assert np.array_equal(read(path, beamline="ID01", scan=8).array, frames(8))


def test_a_dataset_that_is_named_brings_its_own_motors(tmp_path: Path) -> None:
    """The scan's number follows from the dataset's path; where it does not, no other scan's motors are taken."""
    path = id01(tmp_path)
    with h5py.File(path, "a") as file:
        file["copy"] = frames(7)
    scan = read(path, dataset="S1_7.1/measurement/mpx1x4", beamline="ID01")
    assert scan.metadata["scan"] == "7"
    same_geometry(scan, expected("ID01", (0.0, 0.0)))
    assert "no geometry" in read(path, dataset="copy", beamline="ID01").chosen


def test_gaps_of_a_detector_whose_frames_are_a_folder(tmp_path: Path) -> None:
    """What a description says of the detector holds for TIFF frames as well."""
    (tmp_path / "mine.yaml").write_text(
        "name: mine\ntitle: folder\nframes: folder\n"
        "detectors: {det: {shape: [12, 10], gap_rows: [[3, 5]], saturation: 900}}\n"
    )
    (tmp_path / "frames").mkdir()
    for index, frame in enumerate(frames(7)):
        tifffile.imwrite(tmp_path / "frames" / f"x_{index:05d}.tif", frame)
    scan = read(tmp_path / "frames", beamline=tmp_path / "mine.yaml")
    assert scan.mask is not None
    wanted = np.zeros(SHAPE, np.uint8)
    wanted[:, 3:5] = 1
    assert np.array_equal(scan.mask, wanted)
    assert scan.saturation == Saturation(900, "the description of mine")


def test_the_direct_beam_of_the_file(tmp_path: Path) -> None:
    """beam_center moves the peak's q as the diffractometer says."""
    path = id01(tmp_path)
    with h5py.File(path, "a") as file:
        file["S1_7.1/instrument/mpx1x4/beam_center_x"][()] = 105.0
    same_geometry(read(path, beamline="ID01", scan=7), expected("ID01", (0.0, 100.0)))


def test_pixel_mask_and_many_data_files(tmp_path: Path) -> None:
    """P10: all data files in order, the mask's every reason masks; the voxels are masked in every frame."""
    scan = read(p10(tmp_path), beamline="P10")
    assert scan.mask is not None
    masked = np.zeros(SHAPE[1:], bool)
    masked[2, 3] = masked[:, 9] = True
    assert np.array_equal(scan.mask[3] == MaskState.MASKED, masked)
    assert "data_000001..000002" in scan.chosen
    plain = read(tmp_path / "S1_00007" / "e4m" / "S1_00007_master.h5")  # without a beamline: the same mask, no geometry
    assert plain.geometry is None
    assert np.array_equal(plain.mask, scan.mask)


def test_saturation_and_gaps_of_the_detector(tmp_path: Path) -> None:
    """A Maxipix frame of full size: its cross is masked in every frame, and a million counts is where it saturates."""
    counts = np.ones((N, 516, 516), np.uint32)
    counts[3, 100, 100] = 2_000_000
    path = id01(tmp_path)
    with h5py.File(path, "a") as file:
        del file["S1_7.1/measurement/mpx1x4"], file["S1_7.1/instrument/mpx1x4/image"]
        file["S1_7.1/measurement/mpx1x4"] = counts
    scan = read(path, beamline="ID01", scan=7)
    assert scan.mask is not None
    assert scan.mask[:, 255:261].all()
    assert scan.mask[:, :, 255:261].all()
    assert scan.mask.sum() == N * (6 * 516 * 2 - 36)
    assert scan.saturation is not None
    assert scan.saturation.level == 1e6


def test_what_is_missing_is_told_and_can_be_given(tmp_path: Path) -> None:
    """NanoMAX files have no distance: frames without geometry, and the words that help; given numbers count more."""
    path = nanomax(tmp_path)
    scan = read(path, beamline="NanoMAX")
    assert scan.geometry is None
    assert "no geometry: the file does not have distance" in scan.chosen
    moved = read(path, beamline="NanoMAX", set={**GIVEN, "delta": 11.0})
    assert moved.metadata["delta_deg"] == "11"


@pytest.mark.parametrize(
    ("reading", "word"),
    [
        (Reading(beamline="ID99"), "no beamline 'ID99': known are"),
        (Reading(beamline="ID01", set={"tth": 1.0}), "no 'tth' to set; known are mu, eta"),
        (Reading(beamline="ID01", set={"energy": float("nan")}), "energy"),
        (Reading(beamline="ID01", set={"pixel_row": 1e-6}), "given together"),
        (Reading(beamline="ID01", scan=7, sample="../../etc"), "is no name"),
        (Reading(beamline="ID01", scan=7, detector="nothing"), "detector=nothing"),
        (Reading(beamline="ID01", scan=7, spec=Path("x.spec")), "spec= has no place"),
    ],
)
def test_impossible_readings(tmp_path: Path, reading: Reading, word: str) -> None:
    """Each mistake has its own message."""
    with pytest.raises(DataError, match=word):
        read_as(id01(tmp_path), reading, Domain.COUNTS)


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


def test_every_builtin_is_tested() -> None:
    """A description without a file of its layout here would be a guess;
    ID27's frames are ID01's with another detector.
    """
    assert {beamline.name for beamline in builtin().values()} == {*WRITERS, "34-ID-C", "ID27"}


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


@pytest.mark.parametrize("shape", [SHAPE[1:], (1, *SHAPE[1:]), SHAPE])
@pytest.mark.parametrize("dtype", ["?", "i1", "u8"])
def test_a_described_mask_of_any_type_and_axes(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    """Of the frames or of the scan; what is not zero is masked."""
    path = p10(tmp_path)
    bad = np.zeros(shape, dtype)
    bad[..., 4, 5] = 1
    if shape == SHAPE:
        bad[2, 6, 7] = 1
    with h5py.File(path, "a") as file:
        del file["entry/instrument/detector/detectorSpecific/pixel_mask"]
        file["entry/instrument/detector/pixel_mask"] = bad
    mask = read(path, beamline="P10").mask
    assert mask is not None
    assert np.array_equal(mask, np.broadcast_to(bad != 0, SHAPE))
