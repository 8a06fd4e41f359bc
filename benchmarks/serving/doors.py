"""The servers that are compared, each a process of its own, and how each is asked."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks import ROOT

KEY: Final = "0123456789abcdefghij"
_HERE: Final = Path(__file__).parent
_START_S: Final = 120.0
BENTO: Final = "BentoML"
RAY: Final = "Ray Serve"
TRITON: Final = "Triton"
PACKAGES: Final = {
    "LitServe": "litserve",
    BENTO: "bentoml",
    RAY: "ray",
    TRITON: "pytriton",
}  # peer_<package>.py starts it


@dataclass(frozen=True)
class Door:
    """A way to have the network asked. server: the process that answers. body, headers: of one request, made once.

    large: its requests are few, and never 16 at a time, which the service's bound on memory would refuse.
    """

    name: str
    server: psutil.Process
    port: int
    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    large: bool = False

    def processor_s(self) -> float:
        """Seconds of processor time that the server and all that it started have taken."""
        family = [self.server, *self.server.children(recursive=True)]
        return sum(sum(found.cpu_times()[:2]) for found in family)

    def ask(self, connection: HTTPConnection) -> str:
        """One request on an open connection; what its Server-Timing says."""
        connection.request("POST", self.path, self.body, self.headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{self.name} answers {answer.status}: {content[:200]!r}")
        return answer.getheader("Server-Timing") or ""


def of_inphase(
    server: psutil.Process, port: int, model: str, counts: NDArray[np.uint16], modulus: NDArray[np.float32]
) -> list[Door]:
    """/v2 with the network's own tensors, then with counts, and /v1 with both types of counts."""
    key = {"Authorization": f"Apikey {KEY}"}
    octets = key | {"Content-Type": "application/octet-stream"}
    shape = ",".join(map(str, counts.shape))
    v1 = f"/v1/reconstructions?model={model}&refine=none&wait=300&format=npz&shape={shape}&dtype="
    v2 = f"/v2/models/{model}"
    network, counted = _binary("modulus", "FP32", modulus), _binary("counts", "UINT16", counts)
    return [
        Door("inphase /v2, tensors", server, port, f"{v2}/infer", network[0], key | network[1]),
        Door("inphase /v2, counts uint16", server, port, f"{v2}.counts/infer", counted[0], key | counted[1]),
        Door("inphase /v1, counts uint16", server, port, f"{v1}uint16", counts.tobytes(), octets),
        Door("inphase /v1, counts float32", server, port, f"{v1}float32", counts.astype(np.float32).tobytes(), octets),
    ]


def of_large(server: psutil.Process, port: int, model: str, counts: NDArray[np.uint16]) -> list[Door]:
    """/v2 and /v1 with the counts of a large measurement, which the service brings onto the network's grid."""
    _, counted, v1, _ = of_inphase(server, port, model, counts, np.zeros(0, np.float32))
    side = counts.shape[0]
    return [replace(door, name=f"{door.name}, {side}^3", large=True) for door in (counted, v1)]


def of_peer(name: str, server: psutil.Process, port: int, modulus: NDArray[np.float32]) -> Door:
    """The same tensor: to Triton as to /v2, as octets to Ray Serve, as a file of a form to the others, whose interface
    asks for it.
    """
    if name == TRITON:
        return Door(name, server, port, "/v2/models/network/infer", *_binary("modulus", "FP32", modulus))
    if name == RAY:
        return Door(name, server, port, "/predict", modulus.tobytes(), {"Content-Type": "application/octet-stream"})
    head = b'--x\r\nContent-Disposition: form-data; name="modulus"; filename="modulus"\r\n\r\n'
    body = head + modulus.tobytes() + b"\r\n--x--\r\n"
    return Door(name, server, port, "/predict", body, {"Content-Type": "multipart/form-data; boundary=x"})


def _binary(name: str, kind: str, array: NDArray[np.generic]) -> tuple[bytes, dict[str, str]]:
    parameters = {"binary_data_size": array.nbytes}
    inputs = [{"name": name, "datatype": kind, "shape": array.shape, "parameters": parameters}]
    header = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    return header + array.tobytes(), {"Inference-Header-Content-Length": str(len(header))}


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def inphase(port: int, state: Path, models: Path, model: str, threads: int) -> Iterator[psutil.Process]:
    """The service with this network and without a worker: nothing is refined here."""
    command = [sys.executable, "-m", "service.cli", "serve", "--port", str(port), "--state-dir", str(state)]
    environment = {
        "INPHASE_API_KEY": KEY, "INPHASE_WORKERS": "0", "INPHASE_THREADS": str(threads), "INPHASE_MODEL": model,
        "INPHASE_MODELS_DIR": str(models),
    }  # fmt: skip
    with _running(command, port, environment) as server:
        yield server


@dataclass(frozen=True)
class Peer:
    """A server of others. python: an interpreter that has it installed."""

    name: str
    python: Path

    @contextmanager
    def started(self, port: int, folder: Path, model: Path, threads: int, workers: int) -> Iterator[psutil.Process]:
        """With so many processes, or threads of BentoML's, that ask the network. folder: for what it keeps."""
        environment = {"PEER_MODEL": str(model), "PEER_THREADS": str(threads), "PEER_WORKERS": str(workers)}
        if self.name == BENTO:
            command = [str(self.python), "-m", "bentoml", "serve", "peer_bentoml:Network", "--port", str(port)]
            environment |= {"BENTOML_DO_NOT_TRACK": "true", "BENTOML_HOME": str(folder)}
        else:
            command = [str(self.python), str(_HERE / f"peer_{PACKAGES[self.name]}.py"), str(port)]
            environment |= {"RAY_USAGE_STATS_ENABLED": "0"}
        with _running(command, port, environment) as server:
            yield server


def peers(pythons: Sequence[Path]) -> list[Peer]:
    """Those that these interpreters have, each of the first that has it."""
    found = []
    for name, package in PACKAGES.items():
        look = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
        having = [python for python in pythons if subprocess.call([str(python), "-c", look]) == 0]
        found += [Peer(name, python) for python in having[:1]]
    return found


@contextmanager
def _running(command: list[str], port: int, environment: dict[str, str]) -> Iterator[psutil.Process]:
    """A server that takes connections; ended with all that it started after the block."""
    peer = command[0] != sys.executable
    process = subprocess.Popen(
        command, env=os.environ | environment, cwd=_HERE if peer else ROOT, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        end = time.monotonic() + _START_S
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{command} does not answer at port {port}")
            time.sleep(0.1)
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with suppress(ProcessLookupError):  # whoever has left nobody behind
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0
