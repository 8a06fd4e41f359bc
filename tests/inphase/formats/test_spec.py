"""SPEC files: a real one, and ones written here with every fault."""

from pathlib import Path

import numpy as np
import pytest

from inphase.diffractometer import RockingScan
from inphase.errors import DataError
from inphase.formats.spec import read_scan, rocking_scan, scan_numbers

HEADER = """#F test.spec
#E 1580609738
#D Sat Feb 01 20:15:38 2020
#O0 Delta  Theta  Chi  Phi  Gamma  z-sample
#O1 camdist  Energy  Tip Tilt
#o0 del th chi phi gam z
#o1 cam en tilt

"""
POSITIONS = "#P0 30 0.1 90 -5 12 1.5\n#P1 500 9 7\n"
IMAGES = "#UIMDET 34idcTIM2:\n#UIMR5 128 64 16 32 1\n"


def scan(
    number: int = 7, start: float = 0.0, extra: str = IMAGES, points: int = 5, command: str = "ascan  th 0 1"
) -> str:
    rows = "\n".join(f"{start + 0.01 * i:.6f} {i} {100 * i}" for i in range(points))
    return f"#S {number} {command}\n#D today\n{POSITIONS}{extra}#N 3\n#L Theta  Epoch  pm detector\n{rows}\n\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "test.spec"
    path.write_text(text, encoding="latin-1")
    return path


def test_scan_54(real_data: Path) -> None:
    """The header of the real scan, with the numbers that silx 3.1.3 reads from it: labels, sums of data and of positions."""
    path = real_data / "aps34idc_scan54" / "scan54.spec"
    assert scan_numbers(path) == [53, 54, 55]
    found = read_scan(path, 54)
    assert found.command == "ascan  th -0.279996 0.720004  200 0.25"
    assert found.date == "Tue Feb 04 12:28:23 2020"
    assert list(found.columns)[:3] == ["Theta", "H", "K"]
    assert (len(found.columns), found.points, len(found.motors)) == (25, 201, 49)
    assert sum(c.sum() for c in found.columns.values()) == pytest.approx(97244849.19023523)
    assert sum(found.motors.values()) == pytest.approx(5175.106485799999)
    assert (found.detector, found.roi) == ("34idcTIM2", ((0, 256), (0, 256)))
    assert found.motor("del") == found.motor("Delta") == 32.174
    made = rocking_scan(found, frame_shape=(201, 256, 256))
    assert made.steps_deg == {"theta": pytest.approx(0.005, rel=1e-4)}
    assert made.angles_deg["theta"] == pytest.approx(0.2200042)
    assert made.two_theta_deg() == pytest.approx(34.31625944, abs=1e-6)  # SPEC's own figure, #G4
    with pytest.raises(DataError, match="moves 'Lab_X', no rocking curve"):
        rocking_scan(read_scan(path, 55))


def test_a_region_of_interest_moves_the_direct_beam(tmp_path: Path) -> None:
    """Columns 128 to 192 and rows 16 to 48 of the chip: its pixel (256, 256) lies 224 rows and 96 columns from the frames'
    centre. Motor names hold single blanks; the scanned angle is that of the frame N // 2."""
    found = read_scan(written(tmp_path, HEADER + scan(start=0.2)), 7)
    assert found.roi == ((16, 48), (128, 192))
    assert found.motors["Tip Tilt"] == 7.0
    made = rocking_scan(found, direct_beam=(256.0, 256.0))
    assert isinstance(made, RockingScan)
    assert made.direct_beam == (256 - 16 - 16, 256 - 128 - 32)
    assert made.angles_deg == {"theta": pytest.approx(0.22), "chi": 90.0, "phi": -5.0, "delta": 30.0, "gamma": 12.0}
    assert (made.pixel_m, made.distance_m, made.energy_kev) == ((55e-6, 55e-6), 0.5, 9.0)
    assert rocking_scan(found).direct_beam == (0.0, 0.0)


def test_a_number_used_again_and_a_file_opened_again(tmp_path: Path) -> None:
    """The last scan of a number counts, with the motors of the last file header before it."""
    later = HEADER.replace("Gamma", "Nu").replace("gam", "nu")
    path = written(tmp_path, HEADER + scan() + scan(8) + later + scan(7, start=3.0, command="dscan  th -1 1"))
    assert scan_numbers(path) == [7, 8, 7]
    found = read_scan(path, 7)
    assert found.command.startswith("dscan")
    assert found.columns["Theta"][0] == 3.0
    assert "Nu" in found.motors
    assert "Gamma" in read_scan(path, 8).motors


def test_spectra_comments_and_blank_lines_are_passed_over(tmp_path: Path) -> None:
    """An aborted scan keeps the points it has; multi-channel spectra and comments between them are no points."""
    text = scan(points=3) + "@A 1 2 3\\\n"
    found = read_scan(written(tmp_path, HEADER + text + "#C Scan aborted after 3 points.\n"), 7)
    assert found.points == 3
    np.testing.assert_allclose(found.columns["pm detector"], [0, 100, 200])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing of the kind\n", "holds no scans: not a SPEC file"),
        (HEADER + scan(8) + scan(9) + scan(12), "has no scan 7; it has 8-9, 12"),
        (HEADER + scan().replace("500 9 7", "500 9"), r"8 motor positions \(#P\) for 9 names"),
        (HEADER + scan().replace("2 200", "2 200 5"), "point 2 has 4 numbers for 3 labels"),
        (HEADER + scan().replace("2 200", "2 many"), "not a number"),
        (HEADER + scan(points=0), "has no data points"),
        (HEADER + "#S seven ascan\n", "begins no scan"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    """Each error says which file and what of it."""
    path = written(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        read_scan(path, 7)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        (scan(), (6, 32, 64), "has 5 points, the measurement 6 frames"),
        (scan(), (5, 64, 64), r"rows 16:48, columns 128:192 \(#UIMR5\), the measurement has 64 x 64"),
        (scan(extra="#UIMDET unheard:\n"), None, "pixel size of detector 'unheard' is unknown"),
        (scan(extra=IMAGES.replace("128 64", "some 64")), None, "#UIMR5 must hold"),
        (scan(points=1), None, "needs at least two"),
        (scan().replace("0.020000 2", "0.026000 2"), None, "does not move in equal steps: point 2"),
        (scan().replace("Theta  Epoch", "Lab_X  Epoch"), None, "moves 'Lab_X'"),
    ],
)
def test_scans_that_are_no_rocking_curve(
    tmp_path: Path, text: str, shape: tuple[int, int, int] | None, message: str
) -> None:
    """Each error says what does not fit."""
    with pytest.raises(DataError, match=message):
        rocking_scan(read_scan(written(tmp_path, HEADER + text), 7), frame_shape=shape)


def test_a_motor_that_is_missing(tmp_path: Path) -> None:
    """A file without the camera's distance says so, and lists what it has."""
    text = HEADER.replace("camdist", "detdist") + scan()
    with pytest.raises(DataError, match="has no motor 'camdist'; it has Delta, Theta"):
        rocking_scan(read_scan(written(tmp_path, text), 7))
