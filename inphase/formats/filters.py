"""HDF5 compression filters, for messages: what one is called, and what brings it."""

from typing import Final

import h5py
import hdf5plugin  # also registers the detectors' compression filters

# the HDF Group's registered numbers beyond those that hdf5plugin knows
_OTHERS: Final = {
    4: "szip", 305: "LZO", 32000: "LZF", 32002: "MAFISC", 32003: "Snappy", 32006: "CBF", 32007: "JPEG-XR",
    32010: "LPC-Rice", 32012: "JPEG-LS", 32014: "fpzip", 32016: "B3D", 32019: "JPEG",
}  # fmt: skip
_PLUGIN: Final = {number: name for name, number in hdf5plugin.FILTERS.items()}
_BUILT_IN: Final = range(1, 256)  # numbers of HDF5's own filters; 4 (szip) and others may be left out of a build


# what detectors and their programs write; every further decoder is one more that a damaged file can crash
_READ: Final = {
    1: "gzip", 2: "shuffle", 3: "fletcher32", 5: "nbit", 6: "scaleoffset", 32000: "LZF", 32001: "blosc", 32004: "lz4",
    32008: "bshuf", 32015: "zstd", 32026: "blosc2",
}  # fmt: skip


def refusal(code: int, told: bytes) -> str | None:
    """Why a dataset with this filter is not read; None where it is. told: what the file calls the filter."""
    if code not in _READ:
        return (
            f"is compressed with the HDF5 filter {code} ({_name(code, told)}), which is not read here: write the file "
            "anew with gzip, LZ4 or bitshuffle (h5repack)"
        )
    return None if h5py.h5z.filter_avail(code) else absent(code, told)


def absent(code: int, told: bytes) -> str:
    """What to say of a dataset whose filter is not installed. told: what the file calls it."""
    if code in _PLUGIN:
        cure = f"the Python package hdf5plugin {hdf5plugin.version} lacks it here: install its ordinary wheel"
    elif code in _BUILT_IN:
        cure = "this build of HDF5 was made without it"
    else:
        cure = "install its plugin where HDF5 looks for them (HDF5_PLUGIN_PATH)"
    return (
        f"is compressed with the HDF5 filter {code} ({_name(code, told)}), which is not installed here: {cure}, "
        "or write the file anew with gzip, LZ4 or bitshuffle (h5repack)"
    )


def _name(code: int, told: bytes) -> str:
    known = _PLUGIN.get(code) or _OTHERS.get(code) or _READ.get(code)
    return known or told.decode("utf-8", "replace").split(";")[0].strip() or "no name"
