"""Measurements named in a request by their beamline: the motors' file, the number of the scan, numbers set by hand."""

import json
from pathlib import Path

import h5py
import httpx
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from inphase.pattern import digest
from service.intake.sources import scans_in
from tests.service.api.calls import URL, check


def spec_text(points: int) -> str:
    """A SPEC file with one rocking curve, scan 7."""
    rows = "\n".join(f"{0.1 + 0.005 * i:.4f} {i}" for i in range(points))
    return (
        "#F x\n#E 1\n#D now\n#O0 Delta  Theta  Chi  Phi  Gamma  camdist  Energy\n\n"
        f"#S 7 ascan  th 0 1\n#P0 30 0.1 90 -5 12 500 9\n#UIMDET 34idcTIM2:\n#L Theta  Epoch\n{rows}\n\n"
    )


@pytest.fixture
def scan(data_root: Path, pattern: NDArray[np.uint32]) -> Path:
    """The crystal as a folder of frames below the data root, its SPEC file elsewhere below it."""
    folder = data_root / "frames"
    folder.mkdir()
    for index, frame in enumerate(pattern):
        tifffile.imwrite(folder / f"x_S0007_{index:05d}.tif", frame)
    (data_root / "motors").mkdir()
    (data_root / "motors" / "x.spec").write_text(spec_text(len(pattern)))
    return folder


async def post(client: httpx.AsyncClient, **source: object) -> httpx.Response:
    """Name the folder."""
    body = {"source": {"kind": "file", "path": "frames", **source}, "refine": "none"}
    return await client.post(URL, json=body)


async def test_a_spec_file_gives_the_voxel_size(client: httpx.AsyncClient, scan: Path) -> None:
    """Angles, distance and energy of the SPEC file become metres; `set` counts more than the file."""
    plain = (await post(client)).json()
    assert plain["preprocess"]["voxel_size_m"] is None
    document = (await post(client, spec="motors/x.spec", scan=7)).json()
    size = document["preprocess"]["voxel_size_m"]
    # wavelength * distance / (voxels * pixel * bin) between the planes; along the sheared axes a little more
    binning = document["preprocess"]["binning"]
    planes = 1.3776e-10 * 0.5 / (64 * 55e-6 * np.array(binning[1:]))
    assert (size[1:] >= 0.999 * planes).all()
    assert (size[1:] <= 1.1 * planes).all()
    further = (await post(client, spec="motors/x.spec", scan=7, set={"distance": 1.0})).json()
    assert further["preprocess"]["voxel_size_m"][1:] == pytest.approx([2 * s for s in size[1:]], rel=1e-3)


async def test_what_may_not_be_named(client: httpx.AsyncClient, scan: Path, data_root: Path, tmp_path: Path) -> None:
    """Descriptions and motor files outside the data roots are refused like data; mistakes say what is known."""
    (tmp_path / "mine.yaml").write_text("name: x")
    check(await post(client, beamline=str(tmp_path / "mine.yaml")), 403, "data roots")
    check(await post(client, spec="../secret.spec"), 403, "data roots")
    check(await post(client, spec="motors/none.spec"), 404, "does not exist")
    check(await post(client, beamline="ID99"), 422, "known are", "34-ID-C")
    check(await post(client, spec="motors/x.spec", scan=9), 422, "has no scan 9")
    check(await post(client, spec="motors/x.spec", scan=7, set={"tth": 3}), 422, "tth")
    check(await post(client, scan="seven"), 422, "scan")
    (data_root / "mine.yaml").write_text("name: x")
    check(await post(client, beamline="mine.yaml"), 422, "mine.yaml", "title")


def test_the_command_line_takes_the_same(inphase, scan: Path, data_root: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """--spec, --scan, --set: the document has the voxel size."""
    code, out, err = inphase(
        "reconstruct", scan, "-o", tmp_path / "r.cxi", "--refine", "none", "--json",
        "--spec", data_root / "motors" / "x.spec", "--scan", "7", "--set", "distance=1.0",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["preprocess"]["voxel_size_m"] is not None
    code, _, err = inphase("reconstruct", scan, "-o", tmp_path / "r.cxi", "--set", "distance=far")
    assert code == 1
    assert "distance=1.83" in err


@pytest.fixture
def bliss(data_root: Path, pattern: NDArray[np.uint32]) -> Path:
    """A dataset file with a mesh, which is larger, and two rocking curves; a link to it beside."""
    with h5py.File(data_root / "sample.h5", "w") as file:
        for name, title, frames in (
            ("1.1", "amesh pix 0 1 9 piy 0 1 9 1", np.tile(pattern[32], (100, 1, 1))),
            ("2.1", "ascan eta 17 18 63 1", pattern),
            ("3.1", "ascan eta 17 18 47 1", pattern[8:56]),
        ):
            file[f"{name}/title"] = title
            file.create_dataset(f"{name}/instrument/mpx1x4/data", data=frames, compression="lzf")
            file[f"{name}/measurement/mpx1x4"] = h5py.SoftLink(f"/{name}/instrument/mpx1x4/data")
    return data_root / "sample.h5"


async def test_the_scan_of_a_file_of_several(
    client: httpx.AsyncClient, bliss: Path, pattern: NDArray[np.uint32]
) -> None:
    """By its number; without one the answer lists the rocking curves."""
    document = (await post(client, path="sample.h5", scan=2)).json()
    assert document["input"]["digest"] == digest(pattern)
    assert "'2.1/measurement/mpx1x4'" in document["input"]["chosen"]
    answer = await post(client, path="sample.h5")
    assert answer.status_code == 422
    assert "several rocking curves: 2.1 (ascan eta 17 18 63 1), 64 frames; 3.1" in answer.json()["detail"]


def test_the_command_line_picks_a_scan(inphase, bliss: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """--scan reaches the reader without a beamline."""
    code, out, err = inphase(
        "reconstruct", bliss, "-o", tmp_path / "r.npz", "--scan", "3", "--refine", "none", "--json"
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["input"]["shape"] == [48, 64, 64]


def test_a_folder_of_images_is_one_scan_of_a_series(tmp_path: Path, pattern: NDArray[np.uint32]) -> None:
    """HDF5 files with one image each are frames, files with a volume each are scans."""
    for name, values in (("images", pattern[:9]), ("scans", np.stack([pattern] * 2))):
        (tmp_path / name).mkdir()
        for number, value in enumerate(values):
            with h5py.File(tmp_path / name / f"x_{number}.h5", "w") as file:
                file["entry/data/data"] = value
    assert scans_in(tmp_path / "images") == [tmp_path / "images"]
    assert scans_in(tmp_path / "scans") == [tmp_path / "scans" / "x_0.h5", tmp_path / "scans" / "x_1.h5"]
    assert scans_in(tmp_path) == [tmp_path / "images"]


def test_the_data_files_of_an_eiger_are_no_scans(tmp_path: Path, pattern: NDArray[np.uint32]) -> None:
    """Two masters with their pieces are two scans; a piece without its master is one of its own."""
    for name in (
        "run_7_master",
        "run_7_data_000001",
        "run_7_data_000002",
        "run_8_master",
        "run_8_data_000001",
        "x_data_000001",
    ):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["entry/data/data"] = pattern[:9]
    assert [path.name for path in scans_in(tmp_path)] == ["run_7_master.h5", "run_8_master.h5", "x_data_000001.h5"]
