"""inphase.formats.beamline and template: descriptions, and what is wrong with them."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from inphase.errors import DataError, TooLargeError
from inphase.formats import read, template
from inphase.formats.beamline import builtin, find

MINE = """
name: mine
title: A beamline of my own
frames: "scan_{scan:03d}/det"
diffractometer:
  sample: {theta: y+}
  detector: {tth: y+}
motors:
  theta: {dataset: "scan_{scan:03d}/theta", unit: deg}
  tth: {constant: 30.0, unit: deg}
energy: {dataset: wavelength, unit: angstrom}
distance: {constant: 500, unit: mm}
pixel_row: {constant: 55, unit: um}
pixel_column: {constant: 55, unit: um}
"""


def test_a_beamline_of_ones_own(tmp_path: Path) -> None:
    """A YAML file is enough: frames, motors, constants, units; the Bragg angle is what the circles say."""
    (tmp_path / "mine.yaml").write_text(MINE)
    counts = np.random.default_rng(0).poisson(3, (8, 9, 10)).astype(np.uint16)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["scan_042/det"] = counts
        file["scan_042/theta"] = np.linspace(15, 15.7, 8)
        file["wavelength"] = 1.5
    scan = read(tmp_path / "a.h5", beamline=tmp_path / "mine.yaml")
    assert np.array_equal(scan.array, counts)
    assert scan.geometry is not None, scan.chosen
    assert np.linalg.norm(scan.geometry.q_centre) == pytest.approx(
        4 * np.pi / 1.5e-10 * np.sin(np.deg2rad(15)), rel=1e-3
    )
    assert scan.metadata["scan"] == "42"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("name: mine", "", ["missing required field 'name'"]),
        ("name: mine", "name: [1, 2]", ["Expected 'str'", "name"]),
        ("title:", "titel: x\ntitle:", ["unknown field 'titel'"]),
        ("constant: 500,", "constant: far,", ["Expected 'float", "distance"]),
        ("unit: mm", "unit: furlong", ["Invalid enum value 'furlong'", "distance"]),
        ("theta: y+", "theta: up", ["matching regex", "sample"]),
        ("{scan:03d}/det", "{run}/det", ["no placeholder {run}, there are scan, sample, detector"]),
        ("{scan:03d}/det", "{scan:3}/det", ["a placeholder is written {scan}"]),
        ("{scan:03d}/det", "{scan}{sample}{detector}*{scan}/det", ["more than 4 placeholders"]),
        ("  tth: {constant", "  twotheta: {constant", ["motors.twotheta: no circle", "theta, tth"]),
        ("{constant: 500, unit: mm}", "{unit: mm}", ["exactly one of dataset, motor and constant"]),
        ("diffractometer:\n  sample: {theta: y+}\n  detector: {tth: y+}", "diffractometer: ID99", ["34-ID-C", "ID99"]),
        ("name: mine", "name: [mine", ["no valid YAML: line"]),
        ("name: mine", "name: &a mine\nsource: *a", ["anchors and aliases are not used"]),
        (MINE, "- 1", ["a beamline is a mapping"]),
        (MINE, "[" * 60_000, ["no valid YAML", "more than 50 deep"]),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_file_and_key(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    """Every mistake: the file, the key, and what is expected."""
    assert old in MINE
    (tmp_path / "mine.yaml").write_text(MINE.replace(old, new))
    with pytest.raises(DataError) as caught:
        find(tmp_path / "mine.yaml")
    assert "mine.yaml: " in str(caught.value)
    for word in words:
        assert word in str(caught.value), caught.value


def test_files_that_are_no_description(tmp_path: Path) -> None:
    """Missing, too long, not text."""
    with pytest.raises(DataError, match="no such file"):
        find(tmp_path / "none.yaml")
    (tmp_path / "long.yaml").write_text(" " * 70_000)
    with pytest.raises(DataError, match="longer than"):
        find(tmp_path / "long.yaml")
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="no UTF-8"):
        find(tmp_path / "binary.yml")


def test_builtin_by_any_case() -> None:
    """Names of beamlines are written as people write them."""
    assert find("nanomax") is find("NanoMAX") is builtin()["nanomax"]


def test_names_that_try_a_pattern(tmp_path: Path) -> None:
    """Thousands of long names against a description with wildcards: quick, because a name's length is bounded."""
    (tmp_path / "mine.yaml").write_text(MINE.replace("scan_{scan:03d}/det", "*a*a*a*a/det"))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for index in range(50):
            file.create_group(f"{'a' * 2000}b{index}")
    with pytest.raises(DataError, match="no frames of mine"):
        read(tmp_path / "a.h5", beamline=tmp_path / "mine.yaml")


def test_links_that_multiply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group that holds itself a hundred times, against a path of wildcards:
    refused after a bounded number of names.
    """
    (tmp_path / "mine.yaml").write_text(MINE.replace("scan_{scan:03d}/det", "*/*/*/*/*/*/det"))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for index in range(100):
            file[f"l{index}"] = h5py.SoftLink("/")
    monkeypatch.setattr(template, "_MOST_NAMES", 1000)
    with pytest.raises(TooLargeError, match="1000 names"):
        read(tmp_path / "a.h5", beamline=tmp_path / "mine.yaml")
