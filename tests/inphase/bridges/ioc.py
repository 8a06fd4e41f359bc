"""An IOC with the image of a PVA plugin, on this machine alone: p4p's server, which is the one that EPICS uses."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import hdf5plugin
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from p4p import Value
from p4p.nt import NTNDArray
from p4p.server import Server
from p4p.server.thread import SharedPV

from tests.inphase.bridges.encoded import FILTERS, compressed

NAME = "13SIM1:Pva1:Image"
# pvData's ScalarType
TYPES = {"bool": 0, "int8": 1, "int16": 2, "int32": 3, "int64": 4, "uint8": 5, "uint16": 6, "uint32": 7, "uint64": 8,
         "float32": 9, "float64": 10}  # fmt: skip
FILTERS["blosc"] = hdf5plugin.Blosc(cname="zstd", shuffle=hdf5plugin.Blosc.SHUFFLE)


def packed(array: NDArray[Any], codec: str) -> bytes:
    """The bytes as NDPluginCodec makes them: those of the filters of HDF5 without their heads."""
    if codec == "lz4":
        return bytes(imagecodecs.lz4_encode(array.tobytes()))
    if codec == "bslz4":
        return compressed(array, "bslz4")[12:]
    return compressed(array, "blosc")


def image(
    array: NDArray[Any], identity: int, stamp: float = 0.0, codec: str = "", attributes: Mapping[str, Any] | None = None
) -> Value:
    """An NTNDArray as p4p makes it of an array, (rows, columns), and as NDPluginCodec packs it."""
    value = NTNDArray().wrap(np.ascontiguousarray(array), attrib={"ColorMode": 0, **(attributes or {})})
    value.uniqueId = identity
    seconds, rest = divmod(stamp, 1)
    value.timeStamp = {"secondsPastEpoch": int(seconds), "nanoseconds": round(1e9 * rest)}
    if codec:
        data = packed(array, codec)
        # there is room behind what is compressed
        value.value = ("ubyteValue", np.frombuffer(data + bytes(7), np.uint8))
        value.codec = {"name": codec, "parameters": TYPES[array.dtype.name]}
        value.compressedSize = len(data)
    return value


def nothing() -> Value:
    """What a plugin serves before its first image."""
    return NTNDArray().type()


class Ioc:
    """Serves NAME. ports: of another one that has ended, whose place it takes."""

    def __init__(self, ports: Mapping[str, str] | None = None) -> None:
        self._pv = SharedPV(initial=nothing())
        served = [{NAME: self._pv}]
        self._server = Server(served, isolate=True) if ports is None else Server(served, conf=ports, useenv=False)
        self.conf: dict[str, str] = self._server.conf()

    def post(self, value: Value) -> None:
        """Serve it from now on."""
        self._pv.post(value)

    def stop(self) -> None:
        """It ends, and its connections with it."""
        self._server.stop()

    def __enter__(self) -> "Ioc":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
