"""LitServe around the same network: started by `benchmarks.serving` with an interpreter that has it installed."""

import os
import sys
from typing import Any

import litserve
import numpy as np
import onnxruntime
from fastapi import Request, Response


class Network(litserve.LitAPI):  # type: ignore[misc]
    """A file of a form in, the outputs one behind the other as octets out: no text."""

    def setup(self, device: str) -> None:
        """Once in the worker process."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["PEER_THREADS"])
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(os.environ["PEER_MODEL"], options)

    def decode_request(self, request: Request) -> np.ndarray[Any, Any]:
        """The array."""
        content = request["modulus"].file.read()  # the request is the form
        return np.frombuffer(content, np.float32).reshape(1, 64, 64, 64)

    def predict(self, modulus: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
        """The network."""
        found: list[np.ndarray[Any, Any]] = self.session.run(["amplitude", "phase"], {"modulus": modulus})
        return found

    def encode_response(self, output: list[np.ndarray[Any, Any]]) -> Response:
        """The octets."""
        return Response(b"".join(array.tobytes() for array in output), media_type="application/octet-stream")


if __name__ == "__main__":
    server = litserve.LitServer(
        Network(), accelerator="cpu", workers_per_device=int(os.environ["PEER_WORKERS"]), timeout=600
    )
    server.run(port=int(sys.argv[1]), generate_client_file=False, log_level="error")
