"""The networks as the requests of the service see them: loaded when first asked for, computed when their turn comes."""

from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass

from inphase.errors import CancelledError
from inphase.models.prediction import Network, Tensors
from inphase.models.repository import ModelVersion
from inphase.models.session import Sessions
from service.inference.batcher import Batcher

WhenLeft = Callable[[Callable[[], object]], None]  # told what is to be called when a caller leaves


@dataclass(frozen=True)
class QueuedNetwork:
    """A network for one caller; `infer` waits for its turn and its answer.

    when_left: of a caller whom nobody else stands in for; None where the answer is wanted in any case.
    """

    session: Network
    batcher: Batcher
    owner: str
    when_left: WhenLeft | None = None

    @property
    def version(self) -> ModelVersion:
        """Which one it is."""
        return self.session.version

    @property
    def provider(self) -> str:
        """What it runs on."""
        return self.session.provider

    def submit(self, tensors: Tensors) -> "futures.Future[Tensors]":
        """The answer to come for one pattern; who cancels it before its turn is not computed."""
        return self.batcher.submit(self.session, tensors, self.owner)

    def infer(self, tensors: Tensors) -> Tensors:
        """As `Session.infer`, for one pattern. Raises CancelledError where the caller, or the service, left before
        its turn.
        """
        answer = self.submit(tensors)
        if self.when_left is not None:
            self.when_left(answer.cancel)
        try:
            return answer.result()
        except futures.CancelledError:
            raise CancelledError("whoever asked the network left before its turn") from None


class Networks:
    """The sessions behind one line."""

    def __init__(self, sessions: Sessions, batcher: Batcher) -> None:
        self._sessions, self._batcher = sessions, batcher

    def get(self, reference: str | None, owner: str, when_left: WhenLeft | None = None) -> QueuedNetwork:
        """The network of `name[@version]` for one caller; it is loaded. Raises UnknownModelError, ModelError."""
        return QueuedNetwork(self._sessions.get(reference), self._batcher, owner, when_left)

    def loaded(self, version: ModelVersion, owner: str) -> QueuedNetwork | None:
        """A network that is loaded already, for one caller; nothing is waited for."""
        session = self._sessions.loaded(version)
        return None if session is None else QueuedNetwork(session, self._batcher, owner)
