"""Media types of bodies, and what none of them may be: compressed."""

from typing import Final

from fastapi import Depends, Request

from service.errors import ApiError

NPY: Final = "application/x-npy"
NPZ: Final = "application/x-npz"
HDF5: Final = "application/x-hdf5"
NEXUS: Final = "application/x-nexus"
CXI: Final = "application/x-cxi"
MATLAB: Final = "application/x-matlab-data"
# files: as what each is read
FILES: Final = {
    NPZ: ".npz", HDF5: ".h5", NEXUS: ".nxs", CXI: ".cxi", MATLAB: ".mat", "image/tiff": ".tif",
}  # fmt: skip
OCTETS: Final = "application/octet-stream"
JSON: Final = "application/json"


def media_type(request: Request) -> str:
    """The content type without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def uncoded(request: Request) -> None:
    """Refuse a compressed body: 415 with Accept-Encoding (RFC 9110, 12.5.3), before any of it is read.

    The bound on a body would bound nothing if it could be unpacked; counts are smaller as integers, or packed in HDF5.
    """
    codings = [part.strip().lower() for part in ",".join(request.headers.getlist("content-encoding")).split(",")]
    found = [coding for coding in codings if coding not in ("", "identity")]
    if found:
        raise ApiError(
            415,
            f"a body with Content-Encoding {', '.join(found)[:80]} is not taken: send it as it is, without "
            "compression, or name a file that the service can read",
            headers={"Accept-Encoding": "identity"},
        )


Uncoded = Depends(uncoded)
