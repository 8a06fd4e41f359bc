"""A folder with everything that the examples name, and a service that reads it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from demo import Service, running_service
from numpy.typing import NDArray

import inphase
from inphase.formats import RawScan, npz
from inphase.geometry import Geometry
from tests.docs.examples import ROOT
from tests.toy import counts as crystal_counts

# a Bragg peak of gold at 9 keV, sampled about as at 34-ID-C: 1/m
GEOMETRY = Geometry(np.diag([2.4e6, 5e6, 5e6]), np.array([1.5e10, 2.2e10, 0.4e10]))
SPEC = """#F run.spec
#E 1580609738
#O0 Delta  Theta  Chi  Phi  Gamma
#O1 camdist  Energy
#o0 del th chi phi gam
#o1 cam en

#S 54 ascan  th 0.04 0.355 63 0.25
#D Tue Feb 04 12:28:23 2020
#P0 32.174 0.2 90 -5 12.6346
#P1 500 9
#UIMDET 34idcTIM2:
#UIMR5 64 64 64 64 1
#N 2
#L Theta  Epoch
"""


@pytest.fixture(scope="module")
def environment(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """The toy network for everything that is started here, and none of the machine's own settings."""
    with pytest.MonkeyPatch.context() as patch:
        ours = [name for name in os.environ if name.startswith("INPHASE_") and name != "INPHASE_REAL_DATA"]
        for name in (*ours, "REDIS_URL"):
            patch.delenv(name, raising=False)
        patch.setenv("INPHASE_MODELS_DIR", str(models_dir))
        patch.setenv("INPHASE_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        patch.setenv("INPHASE_THREADS", "1")
        yield patch


@pytest.fixture(scope="module")
def workplace(environment: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder: the toy crystal's counts under all names and in all layouts, and one result of it."""
    root, counts = tmp_path_factory.mktemp("workplace"), crystal_counts()
    scan = RawScan(counts, GEOMETRY, "scan.npz", "all of it")
    np.save(root / "scan.npy", counts)
    np.save(root / "counts.npy", counts)
    counts.tofile(root / "counts.raw")
    (root / "scan.npz").write_bytes(npz.encode(scan))
    _hdf5(root / "scan.h5", {"entry/data": counts})
    _hdf5(root / "demo-out/scan_7.h5", {"entry/data": counts})
    _hdf5(root / "scans/scan_1.h5", {"entry/data": counts})
    _hdf5(root / "scans/scan_2.h5", {"entry/data": counts})
    _hdf5(root / "hc5001/scan_1.h5", {"1.1/measurement/mpx": counts})
    _hdf5(root / "other.h5", {"2.1/measurement/mpx": counts})
    _frames(root / "scan_0054", counts)
    _frames(root / "hc5001/scan_0054", counts)
    tifffile.imwrite(root / "hc5001/dark.tif", np.zeros(counts.shape[1:], np.float32))
    tifffile.imwrite(root / "hc5001/flat.tif", np.ones(counts.shape[1:], np.float32))
    rows = "\n".join(f"{0.04 + 0.005 * frame:.4f} {frame}" for frame in range(len(counts)))
    for name in ("run.spec", "align.spec"):
        (root / name).write_text(f"{SPEC}{rows}\n\n")
    result = inphase.reconstruct(scan, refine="2*ER")
    for name in ("result.npz", "mine.npz", "first.npz", "out.npz", "scan54.npz", "results_phasing"):
        inphase.write(result, root / name)
    (root / "shards").mkdir()
    shutil.copy(ROOT / "training/data/atomistic-held-out.h5", root / "shards/seed00001-0000.h5")
    return root


@pytest.fixture(scope="module")
def service(
    workplace: Path, environment: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """One service, as the demo starts it, for all examples; its data root is the workplace."""
    with running_service(workplace, tmp_path_factory.mktemp("service") / "log") as started:
        started.wait_until_ready()
        environment.setenv("INPHASE_API_KEY", started.key)
        yield started


def _hdf5(path: Path, datasets: dict[str, NDArray[np.generic]]) -> None:
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, array in datasets.items():
            file[name] = array


def _frames(folder: Path, counts: NDArray[np.generic]) -> None:
    folder.mkdir(parents=True)
    for number, frame in enumerate(counts, 1):
        tifffile.imwrite(folder / f"{folder.name}_{number:05d}.tif", frame)
