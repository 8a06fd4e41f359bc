"""onnxruntime sessions: loading, warm-up, inference. What a session really runs on is asked from it, never assumed."""

import hashlib
import threading
import time
from collections.abc import Callable
from typing import Final

import numpy as np
import onnxruntime

from inphase.models.prediction import Tensors
from inphase.models.repository import ModelError, ModelVersion, Repository, UnknownModelError

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
            graph = version.path.read_bytes()
        except OSError as error:
            raise ModelError(f"{version.label} cannot be read: {error.strerror or error}") from error
        if hashlib.sha256(graph).hexdigest() != version.card.sha256:
            raise ModelError(f"{version.label} was changed since its card was read: a version never changes")
        try:
            self._session = onnxruntime.InferenceSession(
                graph, options, providers=[p for p in _PREFERRED if p in available]
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
    """The sessions of a repository; each is loaded and warmed when it is first asked for.

    Whoever has got a session may use it to the end, whatever becomes of the repository.
    """

    def __init__(self, repository: Repository, threads: int | None = None) -> None:
        self.repository = repository
        self._threads = threads
        self._loaded: dict[str, Session] = {}
        self._used: dict[str, float] = {}  # monotonic time of the last call, by label
        self._loading = threading.Lock()

    def get(self, reference: str | None) -> Session:
        """The session of `name[@version]`, None for the default. Raises UnknownModelError, ModelError."""
        return self.load(self.repository.resolve(reference))

    def load(self, version: ModelVersion) -> Session:
        """The session of a version of any state of the repository. Raises ModelError."""
        self._used[version.label] = time.monotonic()
        session = self._loaded.get(version.label)
        if session is not None and session.version.card.sha256 == version.card.sha256:
            return session  # without the lock: nobody waits while another model is loaded
        with self._loading:
            session = self._loaded.get(version.label)
            if session is None or session.version.card.sha256 != version.card.sha256:
                session = Session(version, self._threads)
                session.warm()
                self._loaded[version.label] = session
            return session

    def follow(self, repository: Repository) -> None:
        """Go over to another state of the repository. Raises ModelError, UnknownModelError: then nothing has changed.

        The default, and whichever of the other models is loaded, are loaded in their active version before a request
        can ask for it.
        """
        names = {session.version.card.name for session in tuple(self._loaded.values())}
        self.load(repository.resolve(None))
        for name in names & set(repository.names()):
            self.load(repository.active(name))
        self.repository = repository
        self._drop(lambda session: not _has(repository, session.version))

    def unload(self, idle_s: float) -> list[str]:
        """Drop what nobody has asked for in so many seconds, the default aside; which versions."""
        kept, now = self.repository.resolve(None).label, time.monotonic()
        return self._drop(lambda found: (label := found.version.label) != kept and now - self._used[label] > idle_s)

    def release(self, version: ModelVersion) -> None:
        """Drop a version; whoever asks for it next has it loaded again."""
        self._drop(lambda session: session.version.label == version.label)

    def _drop(self, unwanted: Callable[[Session], bool]) -> list[str]:
        with self._loading:
            labels = [label for label, session in self._loaded.items() if unwanted(session)]
            for label in labels:
                del self._loaded[label]
        return labels

    def loaded(self, version: ModelVersion) -> Session | None:
        """The session of a version, None where it is not loaded; nothing is waited for."""
        return self._loaded.get(version.label)

    def provider(self, version: ModelVersion) -> str | None:
        """What a loaded version runs on, None where it is not loaded."""
        session = self.loaded(version)
        return session.provider if session else None


def _has(repository: Repository, version: ModelVersion) -> bool:
    """Whether a repository has this version, with this graph."""
    try:
        return repository.resolve(version.label).card.sha256 == version.card.sha256
    except UnknownModelError:
        return False
