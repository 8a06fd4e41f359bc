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
    """The header of the real scan, with the numbers that silx 3.1.3 reads from it:
    labels, sums of data and of positions.
    """
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
    """Columns 128 to 192 and rows 16 to 48 of the chip: its pixel (256, 256) lies 224 rows and 96 columns from the
    frames' centre. Motor names hold single blanks; the scanned angle is that of the frame N // 2.
    """
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
        (
            HEADER + scan().replace("pm detector", "pm detector  more"),
            "no usable points: point 0 has 3 numbers for 4 labels",
        ),
        (HEADER + scan(points=0), "has no data points"),
        (HEADER + scan().replace("#L", "#l"), "no labels"),
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
        (scan(), (7, 32, 64), "has 5 points, the measurement 7 frames"),
        (
            scan().replace("Theta  Epoch", "H  Theta"),
            None,
            "has no motor 'chi', 'phi', 'delta', 'gamma'.* without recording them",
        ),
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


def test_names_in_every_scan(tmp_path: Path) -> None:
    """No names in the file's header but in the scans', with one blank between them: as the plain file."""
    header, names = HEADER.split("#O0")[0], "#O0" + HEADER.split("#O0")[1].strip()
    plain = read_scan(written(tmp_path, HEADER + scan()), 7)
    for text in (names, names.replace("Tip Tilt", "Tilt").replace("  ", " ")):
        found = read_scan(written(tmp_path, header + scan().replace("#P0", f"{text}\n#P0")), 7)
        assert list(found.motors.values()) == list(plain.motors.values())
        assert rocking_scan(found).angles_deg == rocking_scan(plain).angles_deg
        assert found.motor("th") == 0.1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("500 9 7", "500 9", r"8 motor positions \(#P\) for 9 names \(#O\)"),
        ("500 9 7", "500 9 7 1.5", r"10 motor positions \(#P\) for 9 names \(#O\)"),
    ],
)
def test_positions_without_names(tmp_path: Path, old: str, new: str, message: str) -> None:
    """A motor was added in between: which position is whose is not guessed,
    though names with a blank would make it fit.
    """
    found = read_scan(written(tmp_path, HEADER + scan().replace(old, new)), 7)
    assert found.motors == {}
    with pytest.raises(DataError, match=message):
        rocking_scan(found)
    assert found.points == 5


@pytest.mark.parametrize(("old", "new"), [("2 200", "2 200 5"), ("2 200", "2")])
def test_a_damaged_point_is_left_out(tmp_path: Path, old: str, new: str) -> None:
    """The point is named, the others keep their place and the step."""
    found = read_scan(written(tmp_path, HEADER + scan().replace(old, new)), 7)
    assert f"point 2 has {1 + len(new.split())} numbers for 3 labels" in found.remarks[0]
    assert np.isnan(found.columns["Theta"][2])
    made = rocking_scan(found)
    assert (made.steps_deg["theta"], made.angles_deg["theta"]) == (pytest.approx(0.01), pytest.approx(0.02))


@pytest.mark.parametrize("word", ["nan", "None", "----", "-nan"])
def test_a_counter_that_failed(tmp_path: Path, word: str) -> None:
    """What is not a number is NaN; the motors are not touched by it."""
    found = read_scan(written(tmp_path, HEADER + scan().replace("2 200", f"2 {word}")), 7)
    np.testing.assert_array_equal(found.columns["pm detector"], [0, 100, np.nan, 300, 400])
    assert rocking_scan(found).steps_deg == {"theta": pytest.approx(0.01)}


@pytest.mark.parametrize("fold", ["0.020000 2 \\\n200", "0.020000 2\n200", "0.020000\n2 200"])
def test_folded_points_and_spectra(tmp_path: Path, fold: str) -> None:
    """A point over two lines, and spectra whose lines go on without the @: the numbers of the plain scan."""
    spectrum = "@A 1 2 3\\\n 4 5 6\\\n 7 8 9\n"
    text = scan().replace("0.020000 2 200", spectrum + fold).replace("0.030000", spectrum + "0.030000")
    found = read_scan(written(tmp_path, HEADER + text), 7)
    np.testing.assert_allclose(found.columns["pm detector"], [0, 100, 200, 300, 400])
    np.testing.assert_allclose(found.columns["Theta"], [0, 0.01, 0.02, 0.03, 0.04])


def test_a_number_used_again_without_points(tmp_path: Path) -> None:
    """The last scan of the number that has points is taken, and it is told how often the number was used."""
    found = read_scan(written(tmp_path, HEADER + scan(start=1.0) + scan(start=2.0) + scan(points=0)), 7)
    assert found.columns["Theta"][0] == 2.0
    assert "number 7 was used 3 times" in found.remarks[0]


def test_a_stopped_scan_says_so(tmp_path: Path) -> None:
    """The comment that SPEC leaves is handed on; a frame more than points is taken."""
    found = read_scan(written(tmp_path, HEADER + scan() + "#C Mon.  Scan aborted after 5 points.\n"), 7)
    assert "aborted after 5 points" in found.remarks[0]
    assert rocking_scan(found, frame_shape=(6, 32, 64)).angles_deg["theta"] == pytest.approx(0.03)


def test_line_ends_and_letters_of_other_systems(tmp_path: Path) -> None:
    """CRLF, and a comment in Latin-1, change nothing."""
    path = tmp_path / "test.spec"
    path.write_bytes(
        (HEADER.replace("#D", "#C Prüfling bei 20 °C\n#D") + scan()).replace("\n", "\r\n").encode("latin-1")
    )
    found, plain = read_scan(path, 7), read_scan(written(tmp_path, HEADER + scan()), 7)
    assert (found.motors, found.command, found.detector, found.roi) == (
        plain.motors,
        plain.command,
        plain.detector,
        plain.roi,
    )
    assert {name: list(column) for name, column in found.columns.items()} == {
        name: list(column) for name, column in plain.columns.items()
    }


@pytest.mark.parametrize(
    ("columns", "wanted"),
    [("Theta  Delta", {"theta": 0.01, "delta": 1.0}), ("Delta  Theta", {"delta": 0.01, "theta": 1.0})],
)
def test_two_motors_of_one_scan(tmp_path: Path, columns: str, wanted: dict[str, float]) -> None:
    """Both count, whichever stands first, by full name or mnemonic."""
    for labels in (columns, columns.replace("Theta", "th").replace("Delta", "del")):
        found = read_scan(
            written(tmp_path, HEADER + scan(command="d2scan  th -1 1 del -2 2").replace("Theta  Epoch", labels)), 7
        )
        assert rocking_scan(found).steps_deg == {name: pytest.approx(step) for name, step in wanted.items()}


def test_a_scan_of_the_energy(tmp_path: Path) -> None:
    """The energy of every frame, its step, and all angles from before the scan."""
    found = read_scan(
        written(tmp_path, HEADER + scan(start=8.98, command="ascan en").replace("Theta  Epoch", "Energy  Epoch")), 7
    )
    made = rocking_scan(found)
    assert (made.steps_deg, made.energy_step_kev, made.energy_kev) == ({}, pytest.approx(0.01), pytest.approx(9.0))
    assert made.angles_deg["theta"] == 0.1


def test_other_headers_do_not_stand_in_the_way(tmp_path: Path) -> None:
    """A scan whose header is damaged is passed over; a number with a decimal is the number before it; a file that was
    opened three times has the names of each time.
    """
    again = HEADER.replace("Gamma", "Nu").replace("gam", "nu")
    text = (
        HEADER + scan(6) + "#S seven ascan\n#L a\n1\n" + again + scan(5) + HEADER + scan().replace("#S 7 ", "#S 7.2  ")
    )
    path = written(tmp_path, text)
    assert scan_numbers(path) == [6, 5, 7]
    assert rocking_scan(read_scan(path, 7)).angles_deg["gamma"] == 12.0
    assert "Nu" in read_scan(path, 5).motors


def test_a_point_that_is_still_being_written(tmp_path: Path) -> None:
    """The last line breaks off: its point is not used, those before it are."""
    found = read_scan(written(tmp_path, (HEADER + scan()).rstrip()[:-6]), 7)
    assert "point 4 has 1 numbers for 3 labels" in found.remarks[0]
    assert rocking_scan(found).steps_deg == {"theta": pytest.approx(0.01)}
