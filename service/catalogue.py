"""The model repository as a running service has it: versions come, go and take turns, and no request notices."""

import threading
from pathlib import Path

from inphase.errors import InphaseError
from inphase.models.installation import choose
from inphase.models.repository import ACTIVE, ModelVersion, Repository, Stamp, stamp_of
from inphase.models.session import Sessions
from service.logs import log


class Catalogue:
    """Follows the folder of a repository. Both methods block while a network is loaded.

    idle_s: a network that no request has asked for in so many seconds is unloaded; the default one stays.
    """

    def __init__(self, sessions: Sessions, idle_s: float) -> None:
        self._sessions, self._idle_s = sessions, idle_s
        self._changing = threading.Lock()
        self._seen = self._taken = self._found()

    def look(self) -> None:
        """Take what has changed, when it is found the same twice running; unload what nobody uses."""
        with self._changing:
            before, self._seen = self._seen, self._found()
            if self._seen != self._taken and self._seen == before:
                self._taken = self._seen
                try:
                    self._follow(self._read())
                except InphaseError as error:
                    log.error("the model repository cannot be used as it is now: the networks stay", why=str(error))
        for label in self._sessions.unload(self._idle_s):
            log.info("model unloaded", model=label)

    def activate(self, name: str, number: int) -> ModelVersion:
        """Make a version the active one: it is loaded before a request gets it.

        Raises UnknownModelError; ModelError where it does not run or cannot be written down: the one before stays.
        """
        with self._changing:
            version = self._read().resolve(f"{name}@{number}")
            self._sessions.load(version)
            choose(version)
            self._follow(self._read())
            self._seen = self._taken = self._found()
        return version

    def _read(self) -> Repository:
        now = self._sessions.repository
        return Repository(now.root, now.default, before=now)

    def _follow(self, repository: Repository) -> None:
        self._sessions.follow(repository)
        for refusal in repository.refused:
            log.warning("model refused", model=refusal.folder, why=refusal.why)
        versions = [version for name in repository.names() for version in repository.versions(name)]
        log.info("models read", active=[version.label for version in versions if repository.is_active(version)])

    def _found(self) -> dict[Path, Stamp]:
        """Everything that a repository is read from."""
        root = self._sessions.repository.root
        found = {folder: stamp_of(folder) for folder in root.glob("*/*/")}
        for file in root.glob(f"*/{ACTIVE}"):
            try:
                about = file.stat()
            except OSError:
                continue  # it is being replaced: the next look sees the new one
            found[file] = (about.st_ino, about.st_size, about.st_mtime_ns)
        return found
