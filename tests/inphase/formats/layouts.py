"""Small files of each layout that a built-in beamline describes, and the geometry that they have."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from inphase.beamlines import BEAMLINES
from inphase.diffractometer import RockingScan, bragg_peak
from inphase.formats import RawScan

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
