"""HDF5 compression filters, for messages: what one is called, and what brings it."""

from typing import Final

import hdf5plugin  # also registers the detectors' compression filters

# the HDF Group's registered numbers beyond those that hdf5plugin knows
_OTHERS: Final = {
    4: "szip", 305: "LZO", 32000: "LZF", 32002: "MAFISC", 32003: "Snappy", 32006: "CBF", 32007: "JPEG-XR",
    32010: "LPC-Rice", 32012: "JPEG-LS", 32014: "fpzip", 32016: "B3D", 32019: "JPEG",
}  # fmt: skip
_BUILT_IN: Final = range(1, 256)  # numbers of HDF5's own filters; 4 (szip) and others may be left out of a build


def absent(code: int, told: bytes) -> str:
    """What to say of a dataset whose filter is not installed. told: what the file calls it."""
    plugin = {number: name for name, number in hdf5plugin.FILTERS.items()}
    name = plugin.get(code) or _OTHERS.get(code) or told.decode("utf-8", "replace").split(";")[0].strip() or "no name"
    if code in plugin:
        cure = f"the Python package hdf5plugin {hdf5plugin.version} lacks it here: install its ordinary wheel"
    elif code in _BUILT_IN:
        cure = "this build of HDF5 was made without it"
    else:
        cure = "install its plugin where HDF5 looks for them (HDF5_PLUGIN_PATH)"
    return (
        f"is compressed with the HDF5 filter {code} ({name}), which is not installed here: {cure}, "
        "or write the file anew with gzip, LZ4 or bitshuffle (h5repack)"
    )
