"""onnxruntime sessions: loading, warm-up, inference. What a session really runs on is asked from it, never assumed."""

import threading
from typing import Final

import numpy as np
import onnxruntime

from inphase.models.prediction import Tensors
from inphase.models.repository import ModelError, ModelVersion, Repository

_PREFERRED: Final = ("CUDAExecutionProvider", "OpenVINOExecutionProvider", "CPUExecutionProvider")


class Session:
    """One loaded model version. It knows tensors and no family; `infer` may be called from several threads."""

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
        missing = version.card.outputs.keys() - {found.name for found in self._session.get_outputs()}
        if names != set(version.card.inputs) or missing:
            raise ModelError(
                f"{version.label}: its graph takes {sorted(names)} and lacks the outputs {sorted(missing)}; its "
                f"card says inputs {sorted(version.card.inputs)} and outputs {sorted(version.card.outputs)}"
            )

    @property
    def provider(self) -> str:
        """The execution provider in use, as the session reports it."""
        return str(self._session.get_providers()[0])

    def warm(self) -> None:
        """Run once on zeros, so that the first request does not pay for allocation and kernel choice."""
        shapes = {
            found.name: [1 if not isinstance(n, int) else n for n in found.shape]
            for found in self._session.get_inputs()
        }
        try:
            self.infer({name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
        except Exception as error:
            raise ModelError(
                f"{self.version.label} does not run on zeros of its graph's own shapes {shapes}: "
                f"{str(error).splitlines()[0]}"
            ) from error

    def infer(self, tensors: Tensors) -> Tensors:
        """Outputs of the graph by name. tensors: float32 by name, all with the same batch axis first;
        more than the card's `inputs` may be there.
        """
        own = {name: tensors[name] for name in self.version.card.inputs}
        names = list(self.version.card.outputs)
        return dict(zip(names, self._session.run(names, own), strict=True))


class Sessions:
    """The sessions of a repository; each is loaded and warmed when it is first asked for."""

    def __init__(self, repository: Repository, threads: int | None = None) -> None:
        self.repository = repository
        self._threads = threads
        self._loaded: dict[str, Session] = {}
        self._loading = threading.Lock()

    def get(self, reference: str | None) -> Session:
        """The session of `name[@version]`, None for the default. Raises UnknownModelError, ModelError."""
        version = self.repository.resolve(reference)
        with self._loading:
            if version.label not in self._loaded:
                session = Session(version, self._threads)
                session.warm()
                self._loaded[version.label] = session
            return self._loaded[version.label]

    def loaded(self, version: ModelVersion) -> Session | None:
        """The session of a version, None where it is not loaded; nothing is waited for."""
        return self._loaded.get(version.label)

    def provider(self, version: ModelVersion) -> str | None:
        """What a loaded version runs on, None where it is not loaded."""
        session = self.loaded(version)
        return session.provider if session else None
