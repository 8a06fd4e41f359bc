"""Reads measurements in processes that may die: one for each reading, forked from a warm template
(service.sandbox.template).

Nothing that a stranger has written is opened by the process that uses this. What comes back are arrays in a memory file
that nobody can change any more, and a record that is checked (service.sandbox.answer).
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import pickle
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from inphase.errors import DataError
from inphase.formats import RawScan
from inphase.ptycho.measurement import Measurement
from service.sandbox.answer import AnswerError, Contents
from service.sandbox.confinement import Protections
from service.sandbox.errors import SandboxError, SandboxUnavailableError
from service.sandbox.order import (
    ANYWHERE,
    DECLARES,
    DONE,
    ENDED,
    BodyOrder,
    FileOrder,
    Order,
    PtychogramOrder,
    Terms,
    is_sent,
    manner,
    reading_bytes,
    where,
)

logger = logging.getLogger(__name__)

_ENTRIES_MOST: Final = 20_000  # of a folder that are looked at
_BYTES_PER_S: Final = 10 * 2**20  # at least, from a busy file server
_PATIENCE_S: Final = 3600.0
_WARM_S: Final = 60.0
_REMEMBERED_S: Final = 600.0
_REMEMBERED_MOST: Final = 1000
# of this process's environment: no keys and passwords among them
_ENVIRONMENT: Final = (
    "PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "HDF5_PLUGIN_PATH", "HDF5_USE_FILE_LOCKING",
)  # fmt: skip
_SINGLE: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_ARENA_MAX"), "1")


T = TypeVar("T")
Admit = Callable[[int, int], None]  # told the voxels and the bytes of a measurement before it is allocated
Identity = tuple[str, int, str]  # of data: what they are, how long, and what tells them from others
_BODY: Final = "body"
_MESSAGE_MOST: Final = 64
_ENDED: Final = re.compile(rb"%b (-?\d{1,18})" % ENDED)
_DECLARES: Final = re.compile(rb"%b (\d{1,18}) (\d{1,18})" % DECLARES)
_DECLARED_MOST: Final = 1000  # by one reading
_SLOW: Final = "the file is damaged, or larger than this service expects (INPHASE_BOUNDS__READ_S)"
_DAMAGED: Final = "the file is damaged, or written in a way that its library does not survive; write it anew"


class _TemplateDiedError(Exception):
    """It is no fault of the data."""


@dataclass(frozen=True)
class _Template:
    """A template process and the socket on which it takes orders."""

    process: subprocess.Popen[bytes]
    control: socket.socket

    @classmethod
    def spawn(cls, folders: tuple[Path, ...]) -> "_Template":
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "service.sandbox.template", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ} | _SINGLE,
            )
        ours.send(pickle.dumps(folders))
        return cls(process, ours)

    def protections(self) -> Protections:
        """What it enforces, told when it is warm. Raises SandboxUnavailableError where it does not come up."""
        self.control.settimeout(_WARM_S)
        try:
            told = self.control.recv(4096)
        except OSError:
            told = b""
        if not told:
            self.close()
            raise SandboxUnavailableError(
                "the process that reads files does not start; the log of the service says why"
            )
        return msgspec.json.decode(told, type=Protections)

    def close(self) -> None:
        """End it, at once, and with it all that it has forked."""
        self.control.close()
        self.process.kill()
        self.process.wait()


class Sandbox:
    """Reads orders; may be used by several threads. `start` and `stop` frame its life.

    seconds: for one reading, beside those that its bytes take. folders: what may be read, and nothing beside them.
    scratch: where bodies lie, each in a folder of its own; without it none are read.
    """

    def __init__(self, seconds: float, folders: tuple[Path, ...], scratch: Path | None = None) -> None:
        self._seconds, self._folders = seconds, folders
        self._reachable = folders if scratch is None else (*folders, scratch)
        self._lock = threading.Lock()
        self._template: _Template | None = None
        self._protections: Protections | None = None
        self._stopped = True
        self._killers = _Killers()

    @classmethod
    def of_user(cls) -> "Sandbox":
        """For people who read files of theirs: all that they may read, and for as long as they care to wait."""
        return cls(_PATIENCE_S, ANYWHERE)

    def __enter__(self) -> "Sandbox":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the template; it warms up while others start."""
        with self._lock:
            self._stopped = False
            self._template = _Template.spawn(self._reachable)

    def stop(self) -> None:
        """End the template, and what is being read."""
        with self._lock:
            self._stopped = True
            if self._template is not None:
                self._template.close()
            self._template = self._protections = None

    @property
    def protections(self) -> Protections:
        """What is enforced here. Raises SandboxUnavailableError."""
        self._warm()
        assert self._protections is not None
        return self._protections

    def read(self, order: FileOrder, admit: Admit | None = None) -> RawScan:
        """A measurement from files.

        admit: called before the measurement is allocated; what it raises ends the reading. Raises DataError and
        TooLargeError as inphase.formats does, SandboxUnavailableError.
        """
        whole = order.reading.beamline is not None
        return self._of_file(order, _stored_bytes(order.path, folder=whole), Contents.scan, admit)

    def read_body(self, order: BodyOrder, admit: Admit) -> RawScan:
        """A measurement from a file that was sent. Nothing but its folder and the files that the reading names can be
        opened.

        admit, and what is raised: as of `read`.
        """
        named = (order.reading.dark, order.reading.flat, order.reading.spec, order.reading.beamline)
        return self._of_body(order, named, Contents.scan, admit)

    def read_ptychogram(self, order: PtychogramOrder, admit: Admit | None = None) -> Measurement:
        """A ptychographic measurement, checked as `inphase.ptycho.read` does. admit: told its elements and bytes; that
        and what is raised: as of `read`.
        """
        if order.sent:
            return self._of_body(order, (order.given.dark, order.given.flat), Contents.ptychogram, admit)
        return self._of_file(order, _stored_bytes(order.path, folder=False), Contents.ptychogram, admit)

    def _of_file(self, order: Order, stored: int, take: Callable[[Contents], T], admit: Admit | None) -> T:
        terms = self._terms(order, stored, order.limits.roots or self._folders)
        return self._answered(order, terms, _of_file(order), take, admit)

    def _of_body(
        self, order: Order, named: Sequence[Path | str | None], take: Callable[[Contents], T], admit: Admit | None
    ) -> T:
        length = order.path.stat().st_size
        identity = _of_body(order) if self._killers.include_body(length) else None
        terms = self._terms(order, length, (order.path.parent, *(Path(path) for path in named if path is not None)))
        try:
            return self._answered(order, terms, identity, take, admit)
        except DataError as error:
            raise type(error)(str(error).replace(f"{order.path.parent}/", "")) from None

    def _answered(
        self,
        order: Order,
        terms: Terms,
        identity: Identity | None,
        take: Callable[[Contents], T],
        admit: Admit | None,
    ) -> T:
        name = where(order)
        self._killers.refuse(identity, name)
        for _ in range(2):  # a template that was killed has nothing to do with the data
            template = self._warm()
            try:
                return _carried_out(template, order, terms, take, admit)
            except _TemplateDiedError:
                self._discard(template)
            except AnswerError as error:
                raise SandboxError(f"{name}: the process that read it left no usable answer: {error}") from None
            except _KilledError as error:
                if error.remembered:
                    self._killers.remember(_of_body(order) if is_sent(order) else identity, str(error))
                raise SandboxError(f"{name}: {error}") from None
        raise SandboxUnavailableError("the process that reads files was ended twice: try again in a moment")

    def _warm(self) -> _Template:
        """The template; another one where it has died."""
        with self._lock:
            if self._stopped:
                raise SandboxUnavailableError("the service is shutting down: nothing is read any more")
            template = self._template or _Template.spawn(self._reachable)
            self._template = None  # until it is known to come up
            self._protections = self._protections or template.protections()
            self._template = template
            return template

    def _discard(self, template: _Template) -> None:
        """Another thread may have replaced it already."""
        with self._lock:
            if self._template is template:
                logger.warning("the process that reads files has died: started again")
                template.close()
                self._template = self._protections = None

    def _terms(self, order: Order, stored_bytes: int, folders: tuple[Path, ...]) -> Terms:
        most = order.limits.max_bytes
        seconds = self._seconds + min(stored_bytes, most) / _BYTES_PER_S
        return Terms(seconds, reading_bytes(order, most), folders)


def _carried_out(
    template: _Template, order: Order, terms: Terms, take: Callable[[Contents], T], admit: Admit | None
) -> T:
    with contextlib.ExitStack() as held:
        answer = os.memfd_create("inphase-scan", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        held.callback(os.close, answer)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        held.enter_context(ours)
        with theirs:
            try:
                socket.send_fds(template.control, [pickle.dumps((terms, order))], [answer, theirs.fileno()])
            except OSError:
                raise _TemplateDiedError from None
        _Reading(ours, admit).over(terms.seconds)
        try:
            seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
            fcntl.fcntl(answer, fcntl.F_ADD_SEALS, seals)
        except OSError as error:
            raise AnswerError(f"its memory can still be written: {error.strerror}") from None
        return take(Contents(answer, order.limits.max_bytes))


class _KilledError(Exception):
    """A reading process came to no good end. remembered: whether the data are to blame for it."""

    def __init__(self, text: str, *, remembered: bool) -> None:
        super().__init__(text)
        self.remembered = remembered

    @classmethod
    def of(cls, code: int) -> "_KilledError":
        """By the number of the signal, negative, or the exit code. Raises SandboxUnavailableError for one above 0."""
        if code == -signal.SIGKILL:  # the kernel for want of memory, or an operator
            return cls(
                "the process that read it was killed (SIGKILL: for want of memory, or by hand)", remembered=False
            )
        if code == 0:
            return cls("the process that read it ended without an answer", remembered=True)
        if code == -signal.SIGXCPU:
            return cls("reading it took more of the processor than it may: the file is damaged", remembered=True)
        if -code in set(signal.Signals):
            name = signal.Signals(-code).name
            return cls(f"the process that read it crashed with {name}: {_DAMAGED}", remembered=True)
        if code > 0:  # every error of a reader is an answer: this is a fault of the sandbox
            raise SandboxUnavailableError(f"the process that reads files ended itself with exit code {code}")
        return cls(f"the process that read it ended with {code}, which is no signal", remembered=False)


class _Reading:
    """One reading process, from the service's side."""

    def __init__(self, channel: socket.socket, admit: Admit | None) -> None:
        self._channel, self._admit = channel, admit
        self._declared = 0

    def over(self, seconds: float) -> None:
        """Wait until it has left its answer. Raises _KilledError, _TemplateDiedError, and what `admit` raises."""
        self._channel.settimeout(_WARM_S)
        try:
            _, descriptors, _, _ = socket.recv_fds(self._channel, _MESSAGE_MOST, 1)
        except OSError:
            raise _TemplateDiedError from None
        if not descriptors:
            raise _TemplateDiedError
        (process,) = descriptors
        try:
            self._follow(seconds)
        finally:  # also of one that says that it is done, and is not
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(process, signal.SIGKILL)
            os.close(process)

    def _follow(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            said = self._receive(deadline, seconds)
            if said == DONE:
                return
            if ended := _ENDED.fullmatch(said):  # the process may have said it as well as the template
                raise _KilledError.of(int(ended[1]))
            declared = _DECLARES.fullmatch(said)
            self._declared += 1
            if declared is None or self._declared > _DECLARED_MOST:
                raise AnswerError(f"it said {said[:20]!r}")
            if self._admit is not None:
                self._admit(int(declared[1]), int(declared[2]))
            with contextlib.suppress(OSError):  # it has died, which is told next
                self._channel.send(b".")

    def _receive(self, deadline: float, seconds: float) -> bytes:
        self._channel.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            message = self._channel.recv(_MESSAGE_MOST)
        except TimeoutError:
            text = f"reading it took longer than {seconds:.3g} s and was stopped: {_SLOW}"
            raise _KilledError(text, remembered=True) from None
        except OSError:
            raise _TemplateDiedError from None
        if not message:
            if _closed(self._channel):
                raise _TemplateDiedError
            raise AnswerError("it said nothing")
        return message


def _closed(channel: socket.socket) -> bool:
    """Whether nobody has its other end; a message without bytes looks the same."""
    poll = select.poll()
    poll.register(channel, 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


class _Killers:
    """Data that ended their reader, for a while: they are not tried again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Identity, tuple[float, str]] = {}  # until when, and what happened; the oldest first

    def include_body(self, length: int) -> bool:
        """Whether a body of this length may be among them, so that looking at all of it is worth while."""
        with self._lock:
            return any(kind == _BODY and size == length for kind, size, _ in self._known)

    def refuse(self, identity: Identity | None, where: str) -> None:
        """Raises SandboxError for data that are known."""
        if identity is None:
            return
        with self._lock:
            until, account = self._known.get(identity, (0.0, ""))
        if time.monotonic() < until:
            raise SandboxError(f"{where}: is not read again for now, after this: {account}")

    def remember(self, identity: Identity | None, account: str) -> None:
        """These data have ended their reader."""
        if identity is None:
            return
        with self._lock:
            while len(self._known) >= _REMEMBERED_MOST:
                del self._known[next(iter(self._known))]
            self._known[identity] = (time.monotonic() + _REMEMBERED_S, account)


def _of_file(order: Order) -> Identity | None:
    """A file that is written anew is another one; the same file read in another way too."""
    try:
        found = order.path.stat()
    except OSError:
        return None  # which its reader says
    return "file", found.st_size, f"{found.st_dev}:{found.st_ino}:{found.st_mtime_ns}:{manner(order)}"


def _of_body(order: Order) -> Identity:
    """The same bytes, sent as something else or read in another way, are another body."""
    with order.path.open("rb") as stream:
        content = hashlib.file_digest(stream, "sha256").hexdigest()
    return _BODY, order.path.stat().st_size, f"{content}:{order.path.name}:{manner(order)}"


def _stored_bytes(path: Path, *, folder: bool) -> int:
    """Bytes that a reading may have to take in: of a file and those beside it that bear its name, or of a folder.

    folder: whether all of the file's folder belongs to it.
    """
    try:
        if path.is_dir() or folder:
            around, stem = (path if path.is_dir() else path.parent), ""
        else:
            around, stem = path.parent, path.stem.removesuffix("_master")
        with os.scandir(around) as entries:
            return sum(_size(entry) for entry in islice(entries, _ENTRIES_MOST) if entry.name.startswith(stem))
    except OSError:
        return 0


def _size(entry: os.DirEntry[str]) -> int:
    """Bytes; 0 for a link that leads nowhere, and for what has gone meanwhile."""
    try:
        return entry.stat().st_size
    except OSError:
        return 0
