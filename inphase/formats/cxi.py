"""CXI, the HDF5 layout of the Coherent X-ray Imaging Data Bank: raw scans in, reconstructions out and in.

Format 1.6 (Maia, Nature Methods 9, 854 (2012); cxidb.org): SI units throughout, complex as compound (r, i), 32-bit
masks.
"""

import re
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from inphase import ambiguity
from inphase.errors import DataError
from inphase.formats import detector, hdf5
from inphase.formats.atomic import replacing
from inphase.formats.extension import MAPS, MEASURED, extended
from inphase.formats.hidden import account
from inphase.formats.pieces import Found, Loaded
from inphase.formats.result import METRICS_OF, Arrays, Result
from inphase.formats.scan import FileReading, Limits, RawScan, frames_out, geometry_of, masked, of_scan, three_state
from inphase.formats.scanned import refuse_tree
from inphase.formats.tree import Tree, names_in, opened, type_of
from inphase.formats.units import kev, metres
from inphase.geometry import PHASE_SIGN, wavelength_m
from inphase.pattern import MaskState

VERSION: Final = 160
DETECTOR: Final = "entry_1/instrument_1/detector_1"
IMAGE: Final = "entry_1/image_1"
ENERGY: Final = "entry_1/instrument_1/source_1/energy"
EV_J: Final = 1.602176634e-19

INVALID, SATURATED, HOT, DEAD, SHADOWED, BAD, MISSING, NOISY = 0x1, 0x2, 0x4, 0x8, 0x10, 0x80, 0x200, 0x400
INSIDE_SUPPORT: Final = 0x10000
UNKNOWN: Final = (
    INVALID | SATURATED | HOT | DEAD | SHADOWED | BAD | MISSING | NOISY
)  # any of them: the value says nothing
# our metrics under the names that PyNX gives them, where it has one
METRICS: Final = {
    "llk": "llk_poisson",
    "free_llk": "free_llk_poisson",
    "chi2": "chi2",
    "r_factor": "r_factor",
    "support_voxels": "nb_point_support",
}
_GROUP: Final = re.compile(r"\w+_\d+")  # of the standard; the real volumes have names of their own
UNITS: Final = {  # of the real volumes, where they have one
    "phase": "rad", "phase_flat": "rad", "displacement": "m", "d_spacing": "m", "lattice_parameter": "m",
}  # fmt: skip
PROCESS: Final = f"{IMAGE}/process_1"
DOCUMENT: Final = f"{PROCESS}/note_1/data"
FREE: Final = f"{PROCESS}/configuration/free_pixel_mask"
PADDING: Final = 0x01000000  # of ours, among the bits that the standard leaves free: outside the measured range


def read(request: FileReading) -> RawScan:
    """Reads the raw scan at entry_1/instrument_1/detector_1, or the dataset that is named,
    else the rocking curve as in HDF5.

    The mask's bits invalid, saturated, hot, dead, shadowed, bad, missing (gap) and noisy mask a voxel. Energy (J in the
    file), distance and pixel size go into the metadata; `q_steps` and `q_centre` at the root give the geometry.
    """
    with opened(request.path) as tree:
        data = tree.get(f"{DETECTOR}/data")
        asked = data if request.reading.dataset is None else tree.get(request.reading.dataset)
        if not isinstance(data, h5py.Dataset) or not isinstance(asked, h5py.Dataset) or asked.id != data.id:
            if request.reading.dataset is None and isinstance(tree.get(f"{IMAGE}/data"), h5py.Dataset):
                raise DataError(f"{request.path}: holds a reconstruction and no raw scan ({DETECTOR}/data)")
            return hdf5.read(request)
        if request.reading.dataset is None:
            refuse_tree(tree)
        where = str(request.path)
        loaded = Found(f"{DETECTOR}/data", (data,)).load(tree, request, lambda: _bad_pixels(tree, request.limits))
        scan = RawScan(
            loaded.array,
            loaded.geometry(geometry_of(tree.small, where)),
            where,
            f"dataset '{DETECTOR}/data' {loaded.where}",
            _metadata(tree),
            loaded.mask,
            region=loaded.region,
        )
        mask = _mask(tree, loaded, request.limits)
        if mask is not None:
            said = account(scan.array, mask == MaskState.MASKED, f"{tree.path}, '{DETECTOR}/mask'")
            scan = masked(scan, mask, f"{int(np.count_nonzero(mask))} voxels masked by '{DETECTOR}/mask' ({said})")
        return detector.applied(scan, tree, [DETECTOR], request.limits)


def states_of(bits: NDArray[Any]) -> NDArray[np.uint8]:
    """CXI mask bits in an integer type of any width, or bool -> MaskState.
    What a narrow type has no room for is not set.
    """
    unsigned = bits.view(f"u{bits.dtype.itemsize}")
    states = np.zeros(bits.shape, np.uint8)
    for flags, state in ((PADDING, MaskState.PADDING), (UNKNOWN, MaskState.MASKED)):
        states[unsigned & (flags & np.iinfo(unsigned.dtype).max) != 0] = state
    return states


def bits_of(states: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """MaskState -> CXI mask bits."""
    bits = np.zeros(states.shape, np.uint32)
    bits[states == MaskState.MASKED] = INVALID
    bits[states == MaskState.PADDING] = PADDING
    return bits


def _bad_pixels(tree: Tree, limits: Limits) -> NDArray[np.bool_] | None:
    """(rows, columns): what a mask takes out of every frame, None where there is none."""
    item = tree.get(f"{DETECTOR}/mask")
    dtype = type_of(item)
    if not isinstance(item, h5py.Dataset) or item.ndim < 2 or dtype is None or dtype.kind not in "uib":
        return None
    return frames_out(states_of(tree.array(item, limits)) != MaskState.VALID)


def _mask(tree: Tree, loaded: Loaded, limits: Limits) -> NDArray[np.uint8] | None:
    item = tree.get(f"{DETECTOR}/mask")
    if not isinstance(item, h5py.Dataset):
        return None
    where = f"{tree.path}, '{DETECTOR}/mask'"
    dtype = type_of(item)
    if dtype is None or dtype.kind not in "uib" or not item.shape:
        raise DataError(
            f"{where}: a CXI mask holds bits for each voxel, in an integer type or bool; this is {item.shape} "
            f"{dtype or 'of a type that is not known here'}"
        )
    shape = loaded.array.shape
    sides = shape[1:] if loaded.region is None else loaded.region.frame
    states = of_scan(states_of(tree.array(item, limits)), (loaded.planned, *sides), where)
    states = states if loaded.region is None else loaded.region.of(states)
    return three_state(states[: shape[0]] if states.ndim == 3 else states, shape, where)


def _metadata(tree: Tree) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in (ENERGY, "entry_1/instrument_1/monochromator_1/energy"):
        energy = tree.small(path, 1)
        if energy is not None:
            found["energy_kev"] = f"{kev(tree, path) * float(energy.reshape(-1)[0]):.6g}"
            break
    for name, key in (("distance", "distance_m"), ("x_pixel_size", "pixel_column_m"), ("y_pixel_size", "pixel_row_m")):
        number = tree.small(f"{DETECTOR}/{name}", 1)
        if number is not None:
            found[key] = f"{metres(tree, f'{DETECTOR}/{name}') * float(number.reshape(-1)[0]):.6g}"
    for name in ("title", "start_time", "experiment_identifier"):
        if text := tree.text(f"entry_1/{name}"):
            found[name] = text[:200]
    return found


def write(path: Path, arrays: Arrays) -> None:
    """A reconstruction as CXI 1.6 in the layout that PyNX and cdiutils read.

    entry_1/image_1 holds the complex object (PyNX's phase sign, which is ours) with its support and metrics,
    image_2 and on the real volumes, instrument_1/detector_1 the measured intensity on the same grid with its mask.
    """
    result = Result.of(arrays)
    with replacing(path) as partial, h5py.File(partial, "x") as file:
        file["cxi_version"] = VERSION
        file["number_of_entries"] = 1
        entry = _group(file, "entry_1", "NXentry")
        file["entry_last"] = h5py.SoftLink("/entry_1")
        document = result.document
        entry["program_name"] = "inphase"
        entry["title"] = "Bragg coherent diffraction imaging: object and support"
        for name, value in (("start_time", document.get("created")), ("experiment_identifier", document.get("id"))):
            if value:
                entry[name] = str(value)
        _write_instrument(entry, result)
        image = _write_object(entry, result)
        _write_process(image, result, str(arrays["document"]))
        if (free := arrays.get("free")) is not None:
            file[FREE] = free  # where PyNX looks for it
        shown = extended(result)
        volumes = {"amplitude": shown.amplitude, "phase": shown.phase, "phase_flat": shown.phase_flat}
        in_object = {"support": h5py.SoftLink(f"/{IMAGE}/support")}
        for number, (name, volume) in enumerate((volumes | dict(shown.derived) | in_object).items(), 2):
            group = _image(entry, number, result)
            group["title"] = name
            _with_unit(group, "data", volume, UNITS.get(name, "1"))
            entry[name] = h5py.SoftLink(f"/entry_1/image_{number}")
        targets = [f"/{IMAGE}/data", *([f"/{DETECTOR}/data"] if result.measured else [])]
        for number, target in enumerate(targets, 1):
            _group(entry, f"data_{number}", "NXdata", signal="data")["data"] = h5py.SoftLink(target)
        entry.attrs["default"] = "data_1"
        file.attrs["default"] = "entry_1"


def read_result(tree: Tree, limits: Limits) -> dict[str, NDArray[Any]]:
    """The arrays of a result that `write` wrote. Raises DataError, KeyError, ValueError where it is none."""

    def array(path: str) -> NDArray[Any]:
        return tree.array(tree.dataset(path), limits)

    def known(path: str, shape: tuple[int, ...]) -> NDArray[Any]:
        found = tree.small(path, 9)
        return np.full(shape, np.nan) if found is None or found.shape != shape else np.asarray(found, np.float64)

    obj = array(f"{IMAGE}/data").astype(np.complex64)
    basis = known(f"{IMAGE}/voxel_basis", (obj.ndim, 3))
    size = known(f"{IMAGE}/image_size", (obj.ndim,))[::-1] / obj.shape
    found: dict[str, NDArray[Any]] = {
        "object": obj,
        "amplitude": np.abs(obj),
        "phase": np.angle(obj),
        "support": array(f"{IMAGE}/support") != 0,
        "voxel_size_m": size,
        "voxel_basis_m": basis,
        "q_centre": known(f"{DETECTOR}/q_centre", (3,)),
        "sample_rotation": known(f"{DETECTOR}/sample_rotation", (3, 3)),
        "document": np.array(tree.text(DOCUMENT)),
        "modulus": np.zeros(obj.shape, np.float32),
        "mask": np.full(obj.shape, MaskState.PADDING, np.uint8),
    }
    if isinstance(tree.get(f"{DETECTOR}/data"), h5py.Dataset):
        found["modulus"] = np.sqrt(array(f"{DETECTOR}/data"))
        found["mask"] = states_of(array(f"{DETECTOR}/mask"))
    if isinstance(tree.get(FREE), h5py.Dataset):
        found["free"] = array(FREE) != 0
    if isinstance(tree.get(f"{DETECTOR}/coherence_kernel"), h5py.Dataset):
        found["coherence_kernel"] = array(f"{DETECTOR}/coherence_kernel")
    entry = tree.get("entry_1")
    for name in names_in(entry) if isinstance(entry, h5py.Group) else ():
        item = None if name in found or _GROUP.fullmatch(name) else tree.get(f"entry_1/{name}/data")
        if isinstance(item, h5py.Dataset) and item.shape == obj.shape:
            found[name] = tree.array(item, limits)
    measured = found.pop(MEASURED, None)
    if measured is not None:
        for name in MAPS:
            if name in found:
                found[name] = np.where(measured != 0, found[name], np.float32(np.nan))
        flat, _ = ambiguity.flattened(obj)
        found["phase_flat"] = np.where(found["support"], np.angle(flat), 0).astype(np.float32)
    return found


def _write_instrument(entry: h5py.Group, result: Result) -> None:
    """The pattern with its mask, and what is known of beam and detector, in SI units.

    A pixel of the pattern is one of its own: the detector's, times the binning.
    """
    instrument = _group(entry, "instrument_1", "NXinstrument")
    detector = _group(instrument, "detector_1", "NXdetector")
    if result.measured:
        detector["data"] = np.square(result.modulus)
        detector["data"].attrs["axes"] = "rocking:y:x"
        detector["data"].attrs["units"] = "counts"
        detector["mask"] = bits_of(result.mask)
        detector["description"] = "measured intensity, preprocessed, on the grid of the object; not made to fit"
    told = (result.document.get("input") or {}).get("metadata") or {}
    bins = (result.document.get("preprocess") or {}).get("binning") or (1, 1, 1)
    for name, key, factor in (
        ("distance", "distance_m", 1), ("x_pixel_size", "pixel_column_m", bins[-1]),
        ("y_pixel_size", "pixel_row_m", bins[-2]),
    ):  # fmt: skip
        if key in told:
            _with_unit(detector, name, factor * float(told[key]), "m")
    if "energy_kev" in told:
        energy = float(told["energy_kev"])
        _with_unit(_group(instrument, "source_1", "NXsource"), "energy", 1e3 * energy * EV_J, "J")
        beam = _group(instrument, "beam_1", "NXbeam")
        _with_unit(beam, "incident_energy", 1e3 * energy * EV_J, "J")
        _with_unit(beam, "incident_wavelength", wavelength_m(energy), "m")
    if result.q_centre is not None:
        _with_unit(detector, "q_centre", result.q_centre, "1/m")  # beyond the standard, in the laboratory frame
    if result.sample_rotation is not None:
        detector["sample_rotation"] = result.sample_rotation  # so is this: laboratory -> sample
    if result.coherence_kernel is not None:
        detector["coherence_kernel"] = result.coherence_kernel  # beyond it too: |F|^2 is convolved with it


def _with_unit(group: h5py.Group, name: str, value: object, unit: str) -> None:
    group[name] = value
    group[name].attrs["units"] = unit


def _image(entry: h5py.Group, number: int, result: Result) -> h5py.Group:
    """An image group of a real-space volume. Sizes and centre stand in the order x, y, z: the fastest axis first."""
    group = _group(entry, f"image_{number}", "NXdata", signal="data")
    shape = result.object.shape
    group["data_space"] = "real"
    group["dimensionality"] = len(shape)
    group["is_fft_shifted"] = 0
    group["image_center"] = np.array([n // 2 for n in reversed(shape)], np.float64)
    if result.voxel_size_m is not None:
        _with_unit(group, "image_size", (np.asarray(result.voxel_size_m) * shape)[::-1], "m")
    if result.voxel_basis_m is not None:
        _with_unit(group, "voxel_basis", result.voxel_basis_m, "m")  # beyond the standard: the grid may be sheared
    return group


def _write_object(entry: h5py.Group, result: Result) -> h5py.Group:
    image = _image(entry, 1, result)
    image["title"] = "object"
    image["data"] = result.object
    image["data_type"] = "electron density"
    image["support"] = result.support.astype(np.uint8)
    image["mask"] = np.where(result.support, np.uint32(INSIDE_SUPPORT), np.uint32(0))
    image["phase_sign"] = PHASE_SIGN
    image["instrument_1"] = h5py.SoftLink("/entry_1/instrument_1")
    return image


def _write_process(image: h5py.Group, result: Result, document: str) -> None:
    process = _group(image, "process_1", "NXprocess")
    process["program"] = "inphase"
    process["version"] = str(result.document.get("code_version", ""))
    recipe = result.document.get("recipe") or {}
    process["command"] = str(recipe.get("refine", ""))
    comments = f"{PHASE_SIGN}, the sign of numpy and PyNX: the phase is -G.u, G the Bragg vector and u the displacement"
    if of := result.document.get(METRICS_OF):
        comments += f"; the results are those of {of}"
    process["comments"] = comments
    if created := result.document.get("created"):
        process["date"] = str(created)
    note = _group(process, "note_1", "NXnote")
    note["type"] = "application/json"
    note["description"] = "the job document of inphase"
    note["data"] = document
    results = _group(process, "results", "NXcollection")
    final = (result.document.get("metrics") or {}).get("final") or {}
    for ours, theirs in METRICS.items():
        if final.get(ours) is not None:
            results[theirs] = final[ours]
    configuration = _group(process, "configuration", "NXcollection")
    for name, value in recipe.items():
        configuration[name] = str(value)


def _group(parent: h5py.Group, name: str, nexus: str, **attributes: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = nexus
    group.attrs.update(attributes)
    return group
