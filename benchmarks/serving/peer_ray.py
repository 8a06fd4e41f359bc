"""Ray Serve around the same network: started by `benchmarks.serving` with an interpreter that has it installed."""

import os
import signal
import sys

import numpy as np
import onnxruntime
import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response


class Network:
    """The tensor as octets in, the outputs one behind the other as octets out: no text, and no form."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["PEER_THREADS"])
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(os.environ["PEER_MODEL"], options)

    async def __call__(self, request: Request) -> Response:
        """The network."""
        modulus = np.frombuffer(await request.body(), np.float32).reshape(1, 64, 64, 64)
        outputs = self.session.run(["amplitude", "phase"], {"modulus": modulus})
        return Response(b"".join(array.tobytes() for array in outputs), media_type="application/octet-stream")


if __name__ == "__main__":
    ray.init(include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    processes = serve.deployment(
        num_replicas=int(os.environ["PEER_WORKERS"]), max_ongoing_requests=1, ray_actor_options={"num_cpus": 0}
    )
    serve.run(processes(Network).bind(), route_prefix="/predict")
    signal.pause()
