"""onnxruntime sessions: loading, warm-up, prediction. What a session really runs on is asked from it, never assumed."""

import threading
from collections.abc import Mapping
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from service.inference.prediction import Prediction
from service.inference.repository import ModelError, ModelVersion, Repository

_PREFERRED: Final = ("CUDAExecutionProvider", "OpenVINOExecutionProvider", "CPUExecutionProvider")
Features = Mapping[str, NDArray[np.float32]]


class Network:
    """One loaded model version. `predict` may be called from several threads."""

    def __init__(self, version: ModelVersion, threads: int | None = None) -> None:
        self.version = version
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        # idle threads that spin would take the cores from the refinement
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        available = onnxruntime.get_available_providers()
        if "CUDAExecutionProvider" in available:
            onnxruntime.preload_dlls(directory="")  # CUDA lies in wheels, where no linker looks
        try:
            self._session = onnxruntime.InferenceSession(
                version.path.read_bytes(), options, providers=[p for p in _PREFERRED if p in available]
            )
        except Exception as error:  # onnxruntime raises a dozen types of its own
            raise ModelError(f"{version.label} does not load: {str(error).splitlines()[0]}") from error
        names = {found.name for found in self._session.get_inputs()}
        missing = {"amplitude", "phase"} - {found.name for found in self._session.get_outputs()}
        if names != set(version.card.inputs) or missing:
            raise ModelError(
                f"{version.label}: its graph takes {sorted(names)}, its card says {sorted(version.card.inputs)}"
            )

    @property
    def provider(self) -> str:
        """The execution provider in use, as the session reports it."""
        return str(self._session.get_providers()[0])

    def warm(self) -> None:
        """Run once on zeros, so that the first request does not pay for allocation and kernel choice."""
        grid = self.version.card.grid
        shapes = {
            found.name: [1 if not isinstance(n, int) else n for n in found.shape]
            for found in self._session.get_inputs()
        }
        try:
            self.predict({name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
        except Exception as error:
            raise ModelError(
                f"{self.version.label} does not run on its grid {grid}: {str(error).splitlines()[0]}"
            ) from error

    def predict(self, features: Features) -> Prediction:
        """Predict one pattern. features: with a batch axis of one, as the card's `features` makes them, its `inputs` at least."""
        own = {name: features[name] for name in self.version.card.inputs}
        amplitude, phase = self._session.run(["amplitude", "phase"], own)
        return Prediction(self._framed(amplitude[0]), self._framed(phase[0]))

    def _framed(self, box: NDArray[np.float32]) -> NDArray[np.float32]:
        """The predicted box, centre on centre, in the model's grid; zero around it."""
        grid = self.version.card.grid
        if box.shape == grid:
            return np.ascontiguousarray(box)
        frame: NDArray[np.float32] = np.zeros(grid, np.float32)
        frame[tuple(slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(grid, box.shape, strict=True))] = box
        return frame


class Networks:
    """The loaded networks of a repository; each is loaded and warmed when it is first asked for."""

    def __init__(self, repository: Repository, threads: int | None = None) -> None:
        self.repository = repository
        self._threads = threads
        self._loaded: dict[str, Network] = {}
        self._loading = threading.Lock()

    def get(self, reference: str | None) -> Network:
        """The network of `name[@version]`, None for the default. Raises UnknownModelError, ModelError."""
        version = self.repository.resolve(reference)
        with self._loading:
            if version.label not in self._loaded:
                network = Network(version, self._threads)
                network.warm()
                self._loaded[version.label] = network
            return self._loaded[version.label]

    def provider(self, version: ModelVersion) -> str | None:
        """What a loaded version runs on, None where it is not loaded."""
        network = self._loaded.get(version.label)
        return network.provider if network else None
