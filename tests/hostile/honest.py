"""Small honest files of every format that is read, to be damaged. The name's beginning says which reader takes them."""

from collections.abc import Callable
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import scipy.io
import tifffile

_COUNTS = np.random.default_rng(1).poisson(3, (6, 8, 10)).astype(np.uint16)
_BEAMLINE = """
name: x
title: y
frames: "{sample}_{scan}.1/measurement/*"
names: ["{sample}_{scan:05d}*"]
detectors: {d: {pixel_m: [5.5e-5, 5.5e-5], shape: [8, 10], saturation: 1000}}
diffractometer: {sample: {eta: x-, phi: y+}, detector: {nu: y+}}
motors: {eta: {unit: deg, dataset: "{sample}_{scan}.1/eta"}}
energy: {unit: keV, constant: 9.0}
"""


def _spec() -> str:
    rows = "\n".join(f"{0.1 + 0.005 * i:.4f} {i} 4" for i in range(6))
    return (
        "#F x\n#E 1\n#D now\n#O0 Delta  Theta  Chi  Phi  Gamma  camdist  Energy\n\n"
        f"#S 7 ascan  th 0 1\n#P0 30 0.1 90 -5 12 500 9\n#UIMDET 34idcTIM2:\n#UIMR5 0 8 0 10 1\n"
        f"#N 3\n#L Theta  Epoch  I\n{rows}\n"
    )


def _fio() -> str:
    rows = "\n".join(f"{i * 0.1:.3f} {i}" for i in range(6))
    return f"!\n%c\nscan\n%p\nenergy = 8000\ndistance = 1.8\n%d\n Col 1 om DOUBLE\n Col 2 det DOUBLE\n{rows}\n"


def _plain_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = _COUNTS
        file["entry/instrument/detector/pixel_mask"] = np.zeros((8, 10), np.uint32)
        file["entry/instrument/detector/saturation_value"] = 1000
        file["entry/title"] = "ascan eta 0 1 6 1"
        file["entry/link"] = h5py.SoftLink("/entry/data/data")
        file["entry/away"] = h5py.ExternalLink("missing.h5", "/entry/data/data")


def _compressed(path: Path, **options: object) -> None:
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("entry/data/data", data=_COUNTS, chunks=(1, 8, 10), **options)


def _virtual(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["frames"] = _COUNTS
        layout = h5py.VirtualLayout(_COUNTS.shape, _COUNTS.dtype)
        layout[...] = h5py.VirtualSource(".", "frames", _COUNTS.shape)
        file.create_virtual_dataset("entry/data/data", layout)


def _raw_cxi(path: Path) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("entry_1/instrument_1/detector_1")
        group["data"] = _COUNTS
        group["mask"] = np.zeros(_COUNTS.shape, np.uint32)
        group["distance"] = 1.8


def _phased(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["entry_1/image_1/data"] = _COUNTS.astype(np.complex64)
        file["entry_1/image_1/support"] = (_COUNTS > 2).astype(np.uint8)


def _npz(path: Path, save: Callable[..., None]) -> None:
    save(path, data=_COUNTS, mask=np.zeros((8, 10), np.uint8), q_steps=np.eye(3) * 1e6, saturation=np.array(1000.0))


def write_all(folder: Path) -> list[Path]:
    """Every honest file, in the order of their names."""
    np.save(folder / "scan-counts.npy", _COUNTS)
    np.save(folder / "map-flat.npy", np.ones((8, 10), np.float32))
    _npz(folder / "scan-stored.npz", np.savez)
    _npz(folder / "scan-packed.npz", np.savez_compressed)
    for name, options in {"plain": {}, "lzw": {"compression": "lzw"}, "deflate": {"compression": "zlib"}}.items():
        tifffile.imwrite(folder / f"scan-{name}.tif", _COUNTS, contiguous=False, **options)
    tifffile.imwrite(folder / "scan-big.tiff", _COUNTS, bigtiff=True, photometric="minisblack")
    tifffile.imwrite(folder / "map-dark.tif", _COUNTS[0])
    _plain_hdf5(folder / "scan-plain.h5")
    _compressed(folder / "scan-gzip.nxs", compression="gzip", shuffle=True)
    _compressed(folder / "scan-bitshuffle.h5", **hdf5plugin.Bitshuffle())
    _virtual(folder / "scan-virtual.h5")
    _raw_cxi(folder / "scan-raw.cxi")
    _phased(folder / "reconstruction-pynx.cxi")
    scipy.io.savemat(folder / "scan-five.mat", {"data": np.moveaxis(_COUNTS, 0, 2)})
    scipy.io.savemat(folder / "scan-packed.mat", {"data": np.moveaxis(_COUNTS, 0, 2)}, do_compression=True)
    with h5py.File(folder / "scan-seven.mat", "w", userblock_size=512) as file:
        file["data"] = _COUNTS
    (folder / "spec-motors.spec").write_text(_spec())
    (folder / "fio-motors.fio").write_text(_fio())
    (folder / "beamline-own.yaml").write_text(_BEAMLINE)
    return sorted(folder.iterdir())
