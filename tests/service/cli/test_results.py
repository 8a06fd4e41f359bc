"""The commands that take results: compare, show, rank, orthogonalise, convert."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

import inphase
from inphase.formats import npz
from inphase.formats.reconstruction import read_reconstruction
from inphase.formats.scan import RawScan
from inphase.geometry import Geometry
from tests.toy import crystal

GEOMETRY = Geometry(np.diag([2e6, 5e6, 4e6]), np.array([0.0, 2.579e10, -0.799e10]))  # scatters photons of 9 keV


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two runs of PyNX: the crystal, and its twin with a noisy phase."""
    folder = tmp_path / "runs"
    folder.mkdir()
    noise = 0.3 * np.random.default_rng(0).normal(size=crystal().shape)
    for number, obj in enumerate((np.conj(crystal()[::-1, ::-1, ::-1]) * np.exp(1j * noise), crystal()), 1):
        with h5py.File(folder / f"Run{number}.cxi", "w") as file:
            file["entry_1/image_1/data"] = obj.astype(np.complex64)
            file["entry_1/image_1/support"] = (np.abs(obj) > 0.2).astype(np.uint8)
            file["entry_1/program_name"] = "PyNX 2023.1"
    return folder


@pytest.fixture
def measured(tmp_path: Path, pattern: NDArray[np.uint32]) -> Path:
    """The counts, with their geometry."""
    (tmp_path / "scan.npz").write_bytes(npz.encode(RawScan(pattern, GEOMETRY, "scan.npz", "all")))
    return tmp_path / "scan.npz"


def test_compare(inphase, run: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """A table, a figure, and the same figures as JSON."""
    code, out, _ = inphase("compare", run / "Run2.cxi", run / "Run1.cxi", "-o", tmp_path / "c.png")
    assert code == 0
    assert "the twin" in out
    assert (tmp_path / "c.png").is_file()
    code, out, _ = inphase("compare", run / "Run2.cxi", run / "Run1.cxi", "--json")
    told = json.loads(out)
    # a phase of 0.3 rad rms leaves exp(-0.3^2 / 2)
    assert told["correlation"] == pytest.approx(np.exp(-0.045), abs=0.01)
    assert told["twin"] is True


def test_rank(inphase, run: Path, measured: Path) -> None:  # type: ignore[no-untyped-def]
    """The pattern in quotes is understood; the measurement decides; without it the agreement does."""
    code, out, _ = inphase("rank", run / "*.cxi", "--measured", measured, "--json")
    assert code == 0
    told = json.loads(out)
    assert [Path(each["source"]).name for each in told["runs"]] == ["Run2.cxi", "Run1.cxi"]
    assert told["criterion"] == "llk"
    code, out, _ = inphase("rank", run / "*.cxi")
    assert code == 0
    assert "ranked by agreement" in out
    code, _, err = inphase("rank", run / "*.none")
    assert code == 1
    assert "nothing matches" in err


def test_orthogonalise_and_convert(inphase, run: Path, measured: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """With the measurement's geometry and the binning: voxels in nanometres; without it the error says what to give."""
    done = ("orthogonalise", run / "Run2.cxi", "-o", tmp_path / "o.cxi", "--frame", "crystal", "--voxel", 25)
    code, out, _ = inphase(*done, "--measured", measured, "--binning", "1,1,1")
    assert code == 0
    assert "voxels of 25 nm" in out
    assert read_reconstruction(tmp_path / "o.cxi").frame == "crystal"
    code, _, err = inphase(*done)
    assert code == 1
    assert "--measured" in err
    code, _, err = inphase(*done, "--measured", measured, "--binning", "2,2")
    assert code == 1
    assert "three whole numbers" in err
    code, _, _ = inphase("convert", run / "Run2.cxi", tmp_path / "c.vts", "--measured", measured, "--binning", "2,1,1")
    assert code == 0
    assert b"displacement" not in (tmp_path / "c.vts").read_bytes()[:2000]
    code, _, _ = inphase("convert", run / "Run2.cxi", tmp_path / "c.npz", "--measured", measured, "--binning", "2,1,1")
    found = read_reconstruction(tmp_path / "c.npz").geometry
    assert found is not None
    # twice the step in q is half the voxel
    assert found.voxel_size_m((64, 64, 64)) == pytest.approx(GEOMETRY.binned((2, 1, 1)).voxel_size_m((64, 64, 64)))


def test_a_result_of_ours_tells_how_its_pattern_lies_on_the_measurement(
    inphase,  # type: ignore[no-untyped-def]
    run: Path,
    tmp_path: Path,
) -> None:
    """Binned by 1 x 2 x 4, its DC voxel 3 frames, 2.5 rows and 5.5 columns beyond the measurement's: voxels and Q are
    those, not those of an unbinned pattern about the peak. Other factors, another measurement are refused.
    """
    inphase("convert", run / "Run2.cxi", tmp_path / "r.npz")
    arrays = dict(np.load(tmp_path / "r.npz"))
    told = {"input": {"shape": [70, 128, 260]}, "preprocess": {"offset": [6, 2, 6], "binning": [1, 2, 4]}}
    np.savez(tmp_path / "r.npz", **arrays | {"document": np.array(json.dumps(told))})
    scan = np.zeros((70, 128, 260), np.uint32)
    scan[30:33, 60:63, 100:103] = 1000
    for name, counts in (("scan.npz", scan), ("other.npz", scan[1:])):
        (tmp_path / name).write_bytes(npz.encode(RawScan(counts, GEOMETRY, name, "all")))
    command = ("convert", tmp_path / "r.npz", tmp_path / "c.npz", "--measured")
    code, _, _ = inphase(*command, tmp_path / "scan.npz")
    assert code == 0
    found = read_reconstruction(tmp_path / "c.npz").geometry
    assert found is not None
    assert found.q_steps == pytest.approx(GEOMETRY.q_steps * [[1], [2], [4]])
    # 6 + 32 - 35 frames, 2 + 64 + 1/2 - 64 rows, 6 + 128 + 3/2 - 130 columns
    assert found.q_centre == pytest.approx(GEOMETRY.q_centre + [3, 2.5, 5.5] @ GEOMETRY.q_steps)
    for more, words in (
        ((tmp_path / "scan.npz", "--binning", "1,2,2"), "binned by (1, 2, 4)"),
        ((tmp_path / "other.npz",), "(70, 128, 260)"),
    ):
        code, _, err = inphase(*command, *more)
        assert code == 1
        assert words in " ".join(err.split())


def test_cubic_voxels_are_those_of_no_measurement(inphase, run: Path, measured: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """What was brought onto them, by us or by cdiutils, takes no geometry of a pattern, and is not ranked by one."""
    code, _, _ = inphase("orthogonalise", run / "Run2.cxi", "-o", tmp_path / "o.npz", "--measured", measured)
    assert code == 0
    with h5py.File(tmp_path / "cdiutils.cxi", "w") as file:
        file["entry_1/amplitude/data"], file["entry_1/phase/data"] = np.abs(crystal()), np.angle(crystal())
    for result in (tmp_path / "o.npz", tmp_path / "cdiutils.cxi"):
        for command in (("convert", result, tmp_path / "c.npz"), ("strain", result), ("rank", result, result)):
            code, _, err = inphase(*command, "--measured", measured)
            assert code == 1
            assert "cubic" in err


@pytest.mark.parametrize("option", [("--binning", "1,2,2"), ("--beamline", "ID01"), ("--set", "distance=1.8")])
def test_options_of_no_measurement_are_refused(inphase, run: Path, tmp_path: Path, option: tuple[str, str]) -> None:  # type: ignore[no-untyped-def]
    """What says how a measurement is read or was binned chooses nothing where none is named."""
    result = run / "Run1.cxi"
    commands: list[tuple[object, ...]] = [
        ("convert", result, tmp_path / "c.npz"),
        ("orthogonalise", result, "-o", tmp_path / "o.npz"),
        ("strain", result),
    ]
    if option[0] != "--binning":
        commands.append(("rank", result, run / "Run2.cxi"))
    for command in commands:
        code, _, err = inphase(*command, *option)
        assert code == 1
        assert "--measured" in err
        assert "need one" in err or "that of a measurement" in err
    assert not list(tmp_path.glob("*.npz"))


def test_show(inphase, run: Path) -> None:  # type: ignore[no-untyped-def]
    """By default a page beside the result."""
    code, out, _ = inphase("show", run / "Run1.cxi")
    assert code == 0
    assert "Run1.html" in out
    assert (run / "Run1.html").read_text().startswith("<!doctype html>")


def test_a_missing_result(inphase, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """One sentence from each command."""
    for command in (("show", "x.cxi"), ("compare", "x.cxi", "x.cxi"), ("convert", "x.cxi", tmp_path / "y.npz")):
        code, _, err = inphase(*command)
        assert code == 1
        assert "no such file" in err


def test_the_library_has_the_same_names() -> None:
    """What the commands do, Python does."""
    assert {"compare", "rank", "show", "orthogonalise", "convert", "strain_maps"} <= set(inphase.__all__)


def test_strain(inphase, run: Path, measured: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Statistics, lattice and residues as a table and as JSON; indices that are none are told."""
    asked = ("strain", run / "Run2.cxi", "--measured", measured, "--hkl", "1,1,1", "--material", "Au")
    code, out, _ = inphase(*asked, "-o", tmp_path / "s.vts")
    assert code == 0
    assert "residues: 0" in out
    assert "against the material's 2.35" in out
    assert (tmp_path / "s.vts").is_file()
    code, out, _ = inphase(*asked, "--refraction", "--energy", "9", "--json")
    told = json.loads(out)
    assert told["hkl"] == [1, 1, 1]
    # 1 - n of gold at 9 keV by its electrons
    assert told["refraction"][0] == pytest.approx(4.0e-5, rel=0.03)
    code, _, err = inphase("strain", run / "Run2.cxi", "--measured", measured, "--hkl", "1,1")
    assert code == 1
    assert "three whole numbers" in err
