"""A reconstruction in a file: CXI or npz, and back from npz."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import msgspec
import numpy as np
from numpy.typing import NDArray

from inphase.archive import save
from inphase.errors import DataError
from inphase.formats.atomic import replacing
from inphase.formats.boundary import boundary
from inphase.formats.npz import read_arrays
from inphase.ptycho.arrays import NAMES
from inphase.ptycho.reconstruction import Reconstruction, Report

ENDINGS = (".cxi", ".npz")
CXI_VERSION = 160


def check_ending(path: str | PathLike[str]) -> Path:
    """The path of an output, before anything is computed. Raises DataError for an ending that is not written."""
    file = Path(path)
    if file.suffix.lower() not in ENDINGS:
        raise DataError(f"{file}: reconstructions of scans are written as {' or '.join(ENDINGS)}")
    if not file.absolute().parent.is_dir():
        raise DataError(f"the folder of {file} does not exist: make it first, or choose another output")
    return file


def write(result: Reconstruction, path: str | PathLike[str]) -> None:
    """Writes object, probe, coverage, positions and the report. Raises DataError, OSError; nothing half-written
    stays.
    """
    file = check_ending(path)
    with replacing(file) as partial:
        if file.suffix.lower() == ".cxi":
            write_cxi(partial, result, document(result))
        else:
            _write_npz(partial, result)


def read_reconstruction(path: str | PathLike[str]) -> Reconstruction:
    """What `write` wrote as npz. Raises DataError where the file is none."""
    file = Path(path)
    with boundary(file):
        arrays = read_arrays(file)
        if missing := {*NAMES, "document"} - set(arrays):
            raise DataError(
                f"{file}: lacks {', '.join(sorted(missing))}: an npz that `inphase ptycho` wrote is what is read as a "
                "reconstruction of a scan"
            )
        try:
            report = msgspec.json.decode(str(arrays["document"]), type=Report)
        except msgspec.MsgspecError as error:
            raise DataError(f"{file}: its report is none of a reconstruction of a scan: {error}") from error
        return reconstruction_of(arrays, report)


def document(result: Reconstruction) -> str:
    """The report as JSON."""
    return json.dumps(asdict(result.report))


def arrays_of(result: Reconstruction, document: str) -> dict[str, NDArray[Any]]:
    """Every array under its name in `Reconstruction`, and a document (JSON)."""
    return {name: getattr(result, name) for name in NAMES} | {"document": np.array(document)}


def reconstruction_of(arrays: Mapping[str, NDArray[Any]], report: Report) -> Reconstruction:
    """The inverse of `arrays_of`. Raises KeyError where one is missing."""
    return Reconstruction(**{name: arrays[name] for name in NAMES}, report=report)


def _write_npz(path: Path, result: Reconstruction) -> None:
    with path.open("xb") as stream:
        save(stream, arrays_of(result, document(result)))


def write_cxi(path: Path, result: Reconstruction, told: str) -> None:
    """image_1 is the object, image_2 and on the probe's modes; positions in pixels are in sample_1. told: JSON."""
    report = result.report
    with h5py.File(path, "x") as file:
        file["cxi_version"] = CXI_VERSION
        file["number_of_entries"] = 1
        entry = _group(file, "entry_1", "NXentry")
        entry["program_name"] = "inphase"
        entry["title"] = "Ptychography: object and probe"
        pixel = report.pixel_m
        image = _image(entry, 1, "object", result.object, pixel)
        image["coverage"] = result.coverage
        image["origin_px"] = result.origin_px
        for number, mode in enumerate(result.probe, 2):
            _image(entry, number, f"probe, mode {number - 1}", mode, pixel)
        process = _group(image, "process_1", "NXprocess")
        process["program"] = "inphase"
        process["command"] = report.recipe
        note = _group(process, "note_1", "NXnote")
        note["type"] = "application/json"
        note["data"] = told
        sample = _group(_group(entry, "sample_1", "NXsample"), "geometry_1", "NXcollection")
        sample["positions_px"] = result.positions_px
        sample["ids"] = result.ids
        _group(entry, "data_1", "NXdata", signal="data")["data"] = h5py.SoftLink("/entry_1/image_1/data")
        entry.attrs["default"] = "data_1"
        file.attrs["default"] = "entry_1"


def _image(
    entry: h5py.Group, number: int, title: str, data: "np.ndarray[Any, Any]", pixel: tuple[float, float] | None
) -> h5py.Group:
    image = _group(entry, f"image_{number}", "NXdata", signal="data")
    image["title"] = title
    image["data"] = data
    image["data_space"] = "real"
    image["dimensionality"] = 2
    image["is_fft_shifted"] = 0
    if pixel is not None:  # in the order x, y: the fastest axis first
        image["image_size"] = [pixel[1] * data.shape[1], pixel[0] * data.shape[0]]
    return image


def _group(parent: h5py.Group, name: str, nexus: str, **attributes: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = nexus
    group.attrs.update(attributes)
    return group
