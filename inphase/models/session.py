"""onnxruntime sessions: loading, warm-up, inference. What a session really runs on is asked from it, never assumed."""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnxruntime

from inphase import machine
from inphase.models import precision
from inphase.models.execution import CPU, Execution, Provider, Wanted, ways
from inphase.models.precision import ImpreciseError
from inphase.models.prediction import Tensors
from inphase.models.repository import ModelError, ModelVersion, Repository, UnknownModelError

logger = logging.getLogger(__name__)

_SAID: Final = 160  # characters of a line of onnxruntime's errors, which hold whole signatures


@dataclass(frozen=True)
class PassedOver:
    """What was to run a network and does not. execution: as `Execution.label`."""

    execution: str
    why: str


class Session:
    """One loaded model version. It knows tensors and no family; `infer` may be called from several threads.

    passed_over: what was tried before this execution.
    """

    def __init__(
        self,
        version: ModelVersion,
        threads: int | None = None,
        execution: Execution = CPU,
        passed_over: tuple[PassedOver, ...] = (),
    ) -> None:
        """Raises ModelError where the graph is not the card's, or the execution cannot be had."""
        self.version, self.execution, self.passed_over = version, execution, passed_over
        threads = threads or machine.threads()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        # idle threads that spin would take the cores from the refinement
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if execution.provider not in (available := onnxruntime.get_available_providers()):
            raise ModelError(f"the installed onnxruntime has no {execution.provider}: {', '.join(available)}")
        if execution.provider in (Provider.CUDA, Provider.TENSORRT):
            onnxruntime.preload_dlls(directory="")  # CUDA lies in wheels, where no linker looks
        try:
            graph = version.path.read_bytes()
        except OSError as error:
            raise ModelError(f"{version.label} cannot be read: {error.strerror or error}") from error
        if hashlib.sha256(graph).hexdigest() != version.card.sha256:
            raise ModelError(f"{version.label} was changed since its card was read: a version never changes")
        first = (execution.provider.value, dict(execution.options(threads)))
        rest = [] if execution.provider is Provider.CPU else [Provider.CPU.value]
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=[first, *rest])
        except Exception as error:  # onnxruntime raises a dozen types of its own
            raise ModelError(f"{version.label} does not load: {_said(error)}") from error
        if self.provider != execution.provider:
            raise ModelError(f"onnxruntime could not set up {execution.provider} and took {self.provider}")
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

    def warm(self, patterns: int = 1) -> None:
        """Run on zeros of 1 to `patterns` patterns, so that no request pays for allocation and choice of kernels.
        Raises ModelError.
        """
        for number in range(1, patterns + 1):
            shapes = {
                found.name: [number if not isinstance(n, int) else n for n in found.shape]
                for found in self._session.get_inputs()
            }
            try:
                self.infer({name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
            except Exception as error:
                raise ModelError(
                    f"{self.version.label} does not run on zeros of its graph's own shapes {shapes}: {_said(error)}"
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
    wanted: what is to run them. patterns: how many run together on an execution provider, at most. kept: models that
    are loaded like the default one before anybody asks, and stay.
    """

    def __init__(
        self,
        repository: Repository,
        threads: int | None = None,
        wanted: Wanted = "auto",
        *,
        patterns: Callable[[str], int] = lambda provider: 1,
        kept: Sequence[str] = (),
    ) -> None:
        self.repository = repository
        self.wanted = wanted
        self._threads, self._patterns, self._kept = threads, patterns, kept
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
                session = self._loaded[version.label] = self._fitted(version)
            return session

    def load_kept(self) -> None:
        """Load what is to be there before the first request. Raises ModelError, UnknownModelError."""
        for reference in (None, *self._kept):
            self.load(self.repository.resolve(reference))

    def _fitted(self, version: ModelVersion) -> Session:
        """A warm session on the first execution that can be had and computes what the CPU does. Raises ModelError."""
        passed_over: list[PassedOver] = []
        *others, _ = ways(self.wanted, onnxruntime.get_available_providers())
        for execution in others:
            try:
                session = Session(version, self._threads, execution, tuple(passed_over))
                session.warm(self._patterns(execution.provider))
                precision.check(session, Session(version, self._threads))
            except (ModelError, ImpreciseError) as error:
                passed_over.append(PassedOver(execution.label, str(error)))
                logger.warning("%s does not run on %s: %s", version.label, execution.label, error)
            else:
                return session
        session = Session(version, self._threads, CPU, tuple(passed_over))
        session.warm()
        return session

    def follow(self, repository: Repository) -> None:
        """Go over to another state of the repository. Raises ModelError, UnknownModelError: then nothing has changed.

        The default, and whichever of the other models is loaded, are loaded in their active version before a request
        can ask for it.
        """
        names = {session.version.card.name for session in tuple(self._loaded.values())}
        for reference in (None, *self._kept):
            self.load(repository.resolve(reference))
        for name in names & set(repository.names()):
            self.load(repository.active(name))
        self.repository = repository
        self._drop(lambda session: not _has(repository, session.version))

    def unload(self, idle_s: float) -> list[str]:
        """Drop what nobody has asked for in so many seconds, the default and what is kept aside; which versions."""
        now = time.monotonic()
        kept = {self.repository.resolve(reference).label for reference in (None, *self._kept)}
        return self._drop(lambda found: (label := found.version.label) not in kept and now - self._used[label] > idle_s)

    def release(self, version: ModelVersion) -> None:
        """Drop a version; whoever asks for it next has it loaded again."""
        self._drop(lambda session: session.version.label == version.label)

    def _drop(self, unwanted: Callable[[Session], bool]) -> list[str]:
        with self._loading:
            labels = [label for label, session in self._loaded.items() if unwanted(session)]
            for label in labels:
                del self._loaded[label]
        return labels

    @property
    def first(self) -> Provider:
        """What is to run the networks where nothing is in the way."""
        return ways(self.wanted, onnxruntime.get_available_providers())[0].provider

    def loaded(self, version: ModelVersion) -> Session | None:
        """The session of a version, None where it is not loaded; nothing is waited for."""
        return self._loaded.get(version.label)

    def provider(self, version: ModelVersion) -> str | None:
        """What a loaded version runs on, None where it is not loaded."""
        session = self.loaded(version)
        return session.provider if session else None


def _said(error: Exception) -> str:
    """What onnxruntime says, in short: its errors begin with what failed and end with why, and traces lie between."""
    first, *rest = (line for line in str(error).splitlines() if line.strip())
    return " ... ".join([first[:_SAID], *(line[:_SAID] for line in rest[-1:])])


def _has(repository: Repository, version: ModelVersion) -> bool:
    """Whether a repository has this version, with this graph."""
    try:
        return repository.resolve(version.label).card.sha256 == version.card.sha256
    except UnknownModelError:
        return False
