"""Triton around the same network: started by `benchmarks.serving` with an interpreter that has nvidia-pytriton.

Its wheel has Triton's server with the Python backend alone, so that onnxruntime is asked from Python here too. There is
one process that asks it, with what waits together as a batch: with a list of functions, which would be several
processes, nvidia-pytriton 0.7.0 does not come up.
"""

import os
import sys
import sysconfig
from collections.abc import Callable

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

Float = NDArray[np.float32]


def network() -> Callable[..., list[Float]]:
    """The session, as Triton asks it: batches in, batches out."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["PEER_THREADS"])
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(os.environ["PEER_MODEL"], options)

    def predict(modulus: Float) -> list[Float]:
        found: list[Float] = session.run(["amplitude", "phase"], {"modulus": modulus})
        return found

    return batch(predict)  # type: ignore[no-any-return]


if __name__ == "__main__":
    os.environ["LD_LIBRARY_PATH"] = sysconfig.get_config_var("LIBDIR")  # of this Python: its backend is linked to one
    port = int(sys.argv[1])
    inputs = [Tensor(name="modulus", dtype=np.float32, shape=(64, 64, 64))]
    outputs = [Tensor(name=name, dtype=np.float32, shape=(-1, -1, -1)) for name in ("amplitude", "phase")]
    config = TritonConfig(http_port=port, http_address="127.0.0.1", allow_grpc=False, allow_metrics=False)
    with Triton(config=config) as triton:
        triton.bind(
            model_name="network",
            infer_func=network(),
            inputs=inputs, outputs=outputs,
            config=ModelConfig(max_batch_size=4, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
        )  # fmt: skip
        triton.serve()
