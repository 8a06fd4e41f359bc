"""`inphase reconstruct`, in this process with the toy model; tests/system has it against a service."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from inphase.formats.npz import read_result
from inphase.formats.reconstruction import read_reconstruction
from tests.flat import counts
from tests.service.cli.processes import nameless
from tests.toy import crystal


@pytest.mark.parametrize("refine", ["none", "10*ER"])
def test_a_file_becomes_a_result(inphase, scan: Path, tmp_path: Path, refine: str) -> None:  # type: ignore[no-untyped-def]
    """The result file has the crystal's support; the table shows what a reader must know, and lines how far it is."""
    output = tmp_path / "out.npz"
    code, out, err = inphase("reconstruct", scan, "-o", output, "--refine", refine)
    assert code == 0
    assert err.splitlines()[:2] == ["reading", "loading the model"]
    assert ("refining" in err) == (refine != "none")
    result = read_result(output)
    assert result.support.sum() == (np.abs(crystal()) > 0).sum()
    assert result.document["recipe"]["refine"] == refine
    for word in ("chi2", "support", "oversampling", "trust", "start: network", "out.npz"):
        assert word in out
    probability = result.document["trust"]["probability"]
    assert f"trust: {result.document['trust']['level']} {probability:.0%}" in out


def test_json_is_the_document_and_nothing_else(inphase, scan: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """--json prints what is in the file."""
    output = tmp_path / "out.npz"
    code, out, _ = inphase("reconstruct", scan, "-o", output, "--refine", "none", "--json", "--seed", "5")
    assert code == 0
    document = json.loads(out)
    assert document == read_result(output).document
    assert document["start"]["seed"] == 5


def test_a_result_is_reproducible(inphase, scan: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Two runs with one seed give the same arrays, byte for byte."""
    for name in ("a.npz", "b.npz"):
        inphase("reconstruct", scan, "-o", tmp_path / name, "--refine", "3*ER", "--start", "random", "--starts", "1")
    a, b = read_result(tmp_path / "a.npz"), read_result(tmp_path / "b.npz")
    assert (a.object == b.object).all()


def test_a_folder_with_maps(inphase, tmp_path: Path, pattern: NDArray[np.uint32]) -> None:  # type: ignore[no-untyped-def]
    """A folder of frames, a bad-pixel map and a flat field of the whole chip."""
    folder = tmp_path / "scan"
    folder.mkdir()
    for number, frame in enumerate(pattern):
        tifffile.imwrite(folder / f"f_{number:04d}.tif", frame.astype(np.int32))
    dark, flat = np.zeros((80, 80), np.int32), np.ones((80, 80), np.float32)
    dark[3, 4] = 9
    tifffile.imwrite(tmp_path / "dark.tif", dark)
    tifffile.imwrite(tmp_path / "flat.tif", flat)
    code, out, err = inphase(
        "reconstruct", folder, "-o", tmp_path / "out.npz", "--refine", "none", "--json",
        "--dark", tmp_path / "dark.tif", "--flat", tmp_path / "flat.tif", "--roi", "0:64,0:64",
    )  # fmt: skip
    assert code == 0, err
    steps = {step["name"]: step["numbers"] for step in json.loads(out)["preprocess"]["steps"]}
    assert steps["corrections"]["bad_pixels"] == 1


def test_several_scans_share_a_frame(inphase, scan: Path, tmp_path: Path, pattern: NDArray[np.uint32]) -> None:  # type: ignore[no-untyped-def]
    """A pattern, quoted from the shell: a result each, in the frame of the first;
    a scan that is none is said and counted.
    """
    for number in (1, 10, 9):
        np.save(tmp_path / f"s_{number}.npy", np.roll(pattern, number, axis=2))
    results = tmp_path / "results"
    code, out, err = inphase("reconstruct", tmp_path / "s_*.npy", "-o", results, "--refine", "3*ER")
    assert code == 0, err
    assert [line.split()[1] for line in out.splitlines() if "s_" in line] == ["s_1.npy", "s_9.npy", "s_10.npy"]
    assert "the frame" in out
    found = [read_result(results / f"s_{number}.npz") for number in (1, 9, 10)]
    assert found[0].document["series"]["frame"]
    for other in found[1:]:
        assert other.document["series"]["alignment"]["reference"] == found[0].document["id"]
        assert abs(np.angle(np.vdot(found[0].object, other.object))) < 0.01
    (tmp_path / "s_2.npy").write_bytes(b"none")
    code, out, err = inphase("reconstruct", tmp_path / "s_*.npy", "-o", results, "--refine", "none", "--ending", ".cxi")
    assert code == 1
    assert "s_2.npy: " in err
    assert len(list(results.glob("*.cxi"))) == 3
    code, out, _ = inphase("reconstruct", tmp_path / "s_1.npy", scan, "-o", results, "--refine", "none", "--json")
    assert code == 0
    assert len(json.loads(out)) == 2


def test_several_scans_need_a_folder(inphase, scan: Path, tmp_path: Path, pattern: NDArray[np.uint32]) -> None:  # type: ignore[no-untyped-def]
    """One file cannot hold them; two scans with one name would overwrite each other; nothing is no series."""
    (tmp_path / "other").mkdir()
    np.save(tmp_path / "other" / "scan.npy", pattern)
    other = tmp_path / "other" / "scan.npy"
    for arguments, word in (
        ([scan, other, "-o", tmp_path / "all.npz"], "folder"),
        ([scan, other, "-o", tmp_path / "all"], "both become"),
        ([tmp_path / "t_*.npy", "-o", tmp_path / "all"], "nothing matches"),
    ):
        code, _, err = inphase("reconstruct", *arguments)
        assert (code, word in err) == (1, True), err


def test_bad_input_is_one_message_and_no_file(inphase, scan: Path, tmp_path: Path, pattern: NDArray[np.uint32]) -> None:  # type: ignore[no-untyped-def]
    """Every fault: exit code, one message that names it, no traceback, and neither an output nor a part of one."""
    np.save(tmp_path / "flat.npy", np.ones((64, 64)))
    np.save(tmp_path / "zero.npy", np.zeros((64, 64, 64)))
    (tmp_path / "cut.npy").write_bytes(scan.read_bytes()[:5000])
    tifffile.imwrite(tmp_path / "cut.tif", pattern, photometric="minisblack")
    (tmp_path / "cut.tif").write_bytes((tmp_path / "cut.tif").read_bytes()[:300_000])
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file["note"] = 1
    cases = [
        (["nothing.npy"], "no such file"),
        ([tmp_path / "flat.npy"], "takes no single frame"),
        ([tmp_path / "zero.npy"], "empty"),
        ([tmp_path / "cut.npy"], "truncated"),
        ([tmp_path / "cut.tif"], "cut.tif"),
        ([tmp_path / "empty.h5"], "no image of real numbers"),
        ([scan, "--model", "nonesuch"], "nonesuch"),
        ([scan, "--refine", "50*EX"], "EX"),
        ([scan, "--preprocess", "magic"], "magic"),
        ([scan, "--refine", "none", "--start", "random"], "choose one"),
        ([scan, "--dark", tmp_path / "nothing.tif"], "nothing.tif"),
        ([scan, "--dark", tmp_path / "flat.npy", "--roi", "0-64"], "0-64"),
        ([scan, "--url", "http://127.0.0.1:9"], "cannot be reached"),
        ([scan, "--url", "nonsense"], "nonsense"),
    ]
    before = sorted(tmp_path.iterdir())
    for arguments, word in cases:
        code, out, err = inphase("reconstruct", *arguments, "-o", tmp_path / "out.npz")
        assert code in (1, 3), (arguments, err)
        assert word in err, (arguments, err)
        assert err.count("inphase: ") == 1
        assert "Traceback" not in err
        assert out == ""
        assert sorted(tmp_path.iterdir()) == before, arguments


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--domain", "photons"], "domain"),
        (["--start", "here"], "start"),
        (["--starts", "0"], "starts"),
        (["--seed", "-1"], "seed"),
    ],
)
def test_wrong_usage_is_exit_code_2(inphase, scan: Path, tmp_path: Path, arguments: list[str], word: str) -> None:  # type: ignore[no-untyped-def]
    """An impossible value names its option."""
    code, _, err = inphase("reconstruct", scan, "-o", tmp_path / "out.npz", *arguments)
    assert code == 2
    assert word in err


def test_the_output_folder_is_checked_first(inphase, scan: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Nobody waits for a result that cannot be written."""
    code, _, err = inphase("reconstruct", scan, "-o", tmp_path / "nowhere" / "out.npz")
    assert code == 1
    assert "nowhere" in err
    code, _, err = inphase("reconstruct", scan, "-o", tmp_path)
    assert code == 1
    assert "is a folder" in err


def test_an_unknown_ending_is_told_before_anything_is_read(inphase, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The measurement is none, and still the ending is what is complained of, with those that are known."""
    (tmp_path / "none.npy").write_bytes(b"no measurement")
    code, _, err = inphase("reconstruct", tmp_path / "none.npy", "-o", tmp_path / "out.tiff")
    assert code == 1
    assert "none.npy" not in err
    assert "'.tiff'" in err
    for ending in (".npz", ".cxi", ".vti", ".vts", ".mat", ".cohere"):
        assert ending in err


def test_the_ending_chooses_the_format(inphase, scan: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The same reconstruction as CXI, as cohere's folder and as a folder of arrays: one object."""
    for output in ("out.cxi", "results_phasing", "arrays/"):
        code, _, err = inphase("reconstruct", scan, "-o", f"{tmp_path}/{output}", "--refine", "none")
        assert code == 0, err
    found = np.load(tmp_path / "arrays" / "object.npy")
    assert np.array_equal(read_reconstruction(tmp_path / "out.cxi").object, found)
    theirs = read_reconstruction(tmp_path / "results_phasing").object
    assert np.allclose(theirs * np.abs(found).max(), found, rtol=1e-5, atol=1e-6)


def test_a_failed_write_leaves_the_old_result(
    inphase, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    """A full disk while writing: one message, the old file, nothing half-written."""
    output = tmp_path / "out.npz"
    output.write_bytes(b"old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(output))

    with monkeypatch.context() as patch:
        patch.setattr("inphase.formats.npz.save", full)
        code, _, err = inphase("reconstruct", scan, "-o", output, "--refine", "none")
    assert code == 1
    assert "No space left" in err
    assert output.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "state") == ["out.npz", "scan.npy"]


@pytest.mark.parametrize("home", [None, "/proc/nowhere"])  # no home at all, and one where not even root may write
def test_reconstruct_needs_no_home(models_dir: Path, scan: Path, tmp_path: Path, home: str | None) -> None:
    """A reconstruction with refinement runs to its end and leaves nothing but the result."""
    output = tmp_path / "out.npz"
    ended = nameless(models_dir, home, "reconstruct", scan, "-o", output, "--refine", "2*ER", "--start", "network")
    assert (ended.returncode, "inphase: " in ended.stderr) == (0, False), ended.stderr
    assert read_result(output).object.shape == (64, 64, 64)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.npz", "scan.npy"]


def test_the_summary_tells_how_many_starts_agree() -> None:
    """In voxels or nanometres; without a resolution where none agree."""
    from service.cli.reconstruct import _agreement

    members, found = [{}] * 5, {"crossed": True, "q": 2.93e8, "voxels": None, "metres": 21.44e-9}
    text = _agreement({"members": members, "accepted": 4, "resolutions": [found]})
    assert text == "starts: 4 of 5 led to the same solution; their transfer function reaches 1/e at 21.4 nm"
    found = {"crossed": False, "q": 0.96875, "voxels": 2.0645, "metres": None}
    assert _agreement({"members": members, "accepted": 2, "resolutions": [found]}).endswith("above 1/e to 2.1 voxels")
    assert _agreement({"members": members, "accepted": 1, "resolutions": None}).endswith("same solution")


def test_a_stack_gives_a_result_for_each_frame(inphase, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Numbered files, each of them a 2D result that says which frame it is; an empty frame fails alone."""
    frames = np.stack([counts(seed=1), 0 * counts(), counts(seed=2)])
    np.save(tmp_path / "shots.npy", frames)
    code, _, err = inphase(
        "reconstruct", tmp_path / "shots.npy", "--stack", "-o", tmp_path / "images", "--start", "random",
        "--starts", "1", "--refine", "3*ER",
    )  # fmt: skip
    assert code == 1
    assert "frame 1" in err
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == ["shots-0000.npz", "shots-0002.npz"]
    found = read_result(tmp_path / "images" / "shots-0002.npz")
    assert found.object.shape == (64, 64)
    assert "frame 2 of 3" in found.document["input"]["chosen"]


def test_a_stack_is_one_file(inphase, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Of several files the frames of which would be meant: refused before anything is read."""
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / name, counts()[None])
    code, _, err = inphase("reconstruct", tmp_path / "a.npy", tmp_path / "b.npy", "--stack", "-o", tmp_path / "images")
    assert (code, "--stack takes one file" in err) == (1, True)
