"""Messages of a Dectris detector, made as its documentation says and compressed by the filters of HDF5."""

import json
from collections.abc import Sequence
from typing import Any

import cbor2
import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

FILTERS = {"bslz4": hdf5plugin.Bitshuffle(cname="lz4"), "lz4": hdf5plugin.LZ4()}


def compressed(array: NDArray[Any], algorithm: str) -> bytes:
    """The bytes of an array as the filter writes them into a file."""
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("x", data=array, chunks=array.shape, **FILTERS[algorithm])
        found: bytes = dataset.id.read_direct_chunk((0,) * array.ndim)[1]
        return found


def _said(**told: Any) -> bytes:
    return json.dumps(told).encode()


def legacy(frames: Sequence[NDArray[Any]], mask: NDArray[Any] | None = None, series: int = 6) -> list[list[bytes]]:
    """All messages of a series over V1, frames by bslz4. Shapes are columns first."""
    rows, columns = frames[0].shape
    config = _said(nimages=len(frames), ntrigger=1, x_pixels_in_detector=columns, y_pixels_in_detector=rows,
                   countrate_correction_count_cutoff=83270)  # fmt: skip
    header = [_said(htype="dheader-1.0", header_detail="all", series=series), config]
    if mask is not None:
        told = _said(htype="dpixelmask-1.0", shape=[columns, rows], type="uint32")
        header += [told, mask.astype("<u4").tobytes()]
    sent = [header]
    for number, frame in enumerate(frames):
        bits = 8 * frame.itemsize
        about = _said(htype="dimage_d-1.0", shape=[columns, rows], type=frame.dtype.name, encoding=f"bs{bits}-lz4<")
        head = _said(htype="dimage-1.0", frame=number, series=series, hash="")
        sent.append([head, about, compressed(frame, "bslz4"), _said(htype="dconfig-1.0")])
    return [*sent, [_said(htype="dseries_end-1.0", series=series)]]


TAGS = {"uint8": 64, "uint16": 69, "uint32": 70, "float32": 85}


def tagged(array: NDArray[Any], algorithm: str) -> cbor2.CBORTag:
    """An array as V2 sends it."""
    packed = array.tobytes()
    data: Any = (
        packed if not algorithm else cbor2.CBORTag(56500, [algorithm, array.itemsize, compressed(array, algorithm)])
    )
    return cbor2.CBORTag(40, [list(array.shape), cbor2.CBORTag(TAGS[array.dtype.name], data)])


def second(
    frames: Sequence[NDArray[Any]], mask: NDArray[Any] | None = None, series: int = 7, algorithm: str = "bslz4"
) -> list[list[bytes]]:
    """All messages of a series over V2, of a detector with two thresholds; the second one sees nothing."""
    rows, columns = frames[0].shape
    start: dict[str, Any] = {
        "type": "start", "series_id": series, "number_of_images": len(frames), "image_size_x": columns,
        "image_size_y": rows, "saturation_value": 4_000_000, "channels": ["threshold_1", "threshold_2"],
    }  # fmt: skip
    if mask is not None:
        start["pixel_mask"] = {"threshold_1": tagged(mask.astype(np.uint32), "")}
    images = [
        {"type": "image", "series_id": series, "image_id": number,
         "data": {"threshold_1": tagged(frame, algorithm), "threshold_2": tagged(0 * frame, algorithm)}}
        for number, frame in enumerate(frames)
    ]  # fmt: skip
    return [[cbor2.dumps(each)] for each in (start, *images, {"type": "end", "series_id": series})]
