"""BentoML around the same network: started by `benchmarks.serving` with an interpreter that has it installed."""

import os
from pathlib import Path
from typing import Annotated

import bentoml
import numpy as np
import onnxruntime
from bentoml.validators import ContentType


@bentoml.service(workers=1, threads=int(os.environ["PEER_WORKERS"]), traffic={"timeout": 600})
class Network:
    """A file of a form in, a file out: its arrays travel as text otherwise, which takes a hundred times as long."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["PEER_THREADS"])
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(os.environ["PEER_MODEL"], options)

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(
        self, modulus: Annotated[Path, ContentType("application/octet-stream")], context: bentoml.Context
    ) -> Annotated[Path, ContentType("application/octet-stream")]:
        """The network; the outputs one behind the other."""
        array = np.fromfile(modulus, np.float32).reshape(1, 64, 64, 64)
        answer = Path(context.temp_dir) / "answer"
        answer.write_bytes(b"".join(found.tobytes() for found in self.session.run(None, {"modulus": array})))
        return answer
