"""The template: a warm process with one thread that forks reading processes,
and never opens a file of anybody's itself.

Run as `python -m service.sandbox.template <file descriptor>`; service.sandbox.sandbox has the other end of the socket.
It is told first which folders may be read, and answers with what is enforced. An order comes with two descriptors: the
memory file for the answer, and a channel. It goes to a process that was forked and confined before, so that nobody
waits for that, and that gives up now what the order does not need; the next one is forked behind it. On the channel the
template tells how to end the reading process (BEGAN, with a descriptor of it) and how it ended; the process itself what
the data DECLARE, and waits for a word, and when it is DONE. When the socket closes, all end.
"""

import contextlib
import gc
import io
import os
import pickle
import select
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NoReturn

import hdf5plugin  # noqa: F401  # readers load it when they meet a filter
import imagecodecs
import msgspec
import numpy as np

from inphase.errors import DataError
from inphase.formats import FileReading, RawScan, npz, read_as
from inphase.formats.boundary import boundary
from inphase.formats.regular import beneath
from inphase.ptycho import formats as ptycho
from service.sandbox.answer import Writer
from service.sandbox.confinement import (
    Protections,
    address_space_bytes,
    allow_memory,
    confine,
    isolate,
    limit,
    restrict_files,
)
from service.sandbox.order import (
    BEGAN,
    DECLARES,
    DONE,
    ENDED,
    Order,
    PtychogramOrder,
    is_sent,
    reading_bytes,
    where,
)

_ORDER_MOST: Final = 2**20
# which imagecodecs loads when they are first asked for: here, and not in every reading process
_CODECS: Final = ("lzw", "deflate", "zlib", "zstd", "packbits", "jpeg8", "lzma", "lz4", "bitshuffle", "none")


Declared = Callable[[int, int], None]  # told the voxels and the bytes of a measurement before it is allocated


def carry_out(order: Order, writer: Writer, declared: Declared) -> None:
    """Read, and leave the answer."""
    try:
        with boundary(where(order)):
            _read(order, declared, writer)
    except DataError as error:
        writer.fault(error)


def _read(order: Order, declared: Declared, writer: Writer) -> None:
    path, limits = order.path, replace(order.limits, declared=declared)
    if is_sent(order):
        limits = replace(limits, roots=(*limits.roots, path.parent))
        os.chdir(path.parent)
        path = Path(path.name)  # so that no text tells of the folder
    with beneath(limits.roots):
        if isinstance(order, PtychogramOrder):
            writer.ptychogram(ptycho.read_as(path, order.given, limits))
        else:
            writer.scan(read_as(path, order.reading, order.domain, limits))


class _Declarations:
    """Tells the service how large a measurement is, waits for its word, and lets the process have memory for no more.

    A reading may declare more than once: the file's own header, then its frames together.
    """

    def __init__(self, channel: socket.socket, begun_with: int, order: Order) -> None:
        self._channel, self._begun_with, self._order = channel, begun_with, order
        self._largest = 0
        allow_memory(begun_with + reading_bytes(order, 0))

    def __call__(self, voxels: int, nbytes: int) -> None:
        if nbytes <= self._largest:
            return
        self._channel.send(DECLARES + b" %d %d" % (voxels, nbytes))
        self._channel.recv(1)
        self._largest = nbytes
        allow_memory(self._begun_with + reading_bytes(self._order, nbytes))


@dataclass(frozen=True)
class _Spare:
    """A reading process that waits for its order. socket: on which it comes."""

    pid: int
    pidfd: int
    socket: socket.socket

    def close(self) -> None:
        os.close(self.pidfd)
        self.socket.close()


class Template:
    """Forks, and sees how its children end."""

    def __init__(self, control: socket.socket, folders: tuple[Path, ...], protections: Protections) -> None:
        self._control, self._folders, self._protections = control, folders, protections
        self._channels: dict[int, socket.socket] = {}  # of each process that reads
        self._woken, waking = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._own = os.getpid()
        self._rehearsal = npz.encode(RawScan(np.ones((4, 4, 4), np.uint16), None, "", ""))
        self._spare: _Spare | None = None
        self._ahead = True  # whether to fork before an order comes: not where the last one did not live to see it

    def run(self) -> None:
        """Until the service closes its end of the socket."""
        control = self._control.fileno()
        while True:
            if self._ahead and self._spare is None and not self._channels:  # what is being read has the processor
                self._spare = self._fork()
            ready, _, _ = select.select([control, self._woken], [], [])
            if self._woken in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._woken, 4096)
                self._reap()
            if control in ready and not self._take():
                return

    def _take(self) -> bool:
        """Hand the next order on; False where there will be none."""
        try:
            message, descriptors, _, _ = socket.recv_fds(self._control, _ORDER_MOST, 2)
        except ConnectionResetError:  # the service has left without reading what it was told
            return False
        if not message:
            return False
        answer, channel = descriptors
        told = socket.socket(fileno=channel)
        spare = self._spare or self._fork()
        self._spare, self._ahead = None, True
        with contextlib.suppress(
            OSError
        ):  # whoever asked has gone, or the process was killed: it is told when it is reaped
            socket.send_fds(told, [BEGAN], [spare.pidfd])
            socket.send_fds(spare.socket, [message], [answer, channel])
        self._channels[spare.pid] = told
        spare.close()
        os.close(answer)
        return True

    def _reap(self) -> None:
        while self._channels or self._spare is not None:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                return
            if self._spare is not None and child == self._spare.pid:
                self._spare.close()
                self._spare, self._ahead = None, False
                code = os.waitstatus_to_exitcode(status)
                sys.stderr.write(f"a process that was to read ended before its order came, with {code}\n")
                continue
            with self._channels.pop(child) as told, contextlib.suppress(OSError):
                told.send(ENDED + b" %d" % os.waitstatus_to_exitcode(status))

    def _fork(self) -> _Spare:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        child = os.fork()
        if child == 0:
            self._serve(theirs)
        theirs.close()
        return _Spare(child, os.pidfd_open(child), ours)

    def _serve(self, orders: socket.socket) -> NoReturn:
        """In the child, which does not come back."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _close_all_but(orders.fileno())
            begun_with = address_space_bytes()
            confine(self._folders, self._protections, self._own)
            # pages that are copied when first written
            npz.decode(io.BytesIO(self._rehearsal), "rehearsal", FileReading(Path("rehearsal.npz")))
            message, descriptors, _, _ = socket.recv_fds(orders, _ORDER_MOST, 2)
            if message:
                answer, channel = descriptors
                terms, order = pickle.loads(message)
                restrict_files(terms.folders, self._protections)
                limit(terms, begun_with)
                told = socket.socket(fileno=channel)
                carry_out(order, Writer(answer), _Declarations(told, begun_with, order))
                told.send(DONE)
            code = 0
        finally:
            os._exit(code)


def _close_all_but(kept: int) -> None:
    """Of the descriptors beyond standard input and output, which lead nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))


def main(descriptor: int) -> None:
    """Warm up, say what is enforced here, and serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal, to the whole group: the service says when
    for name in _CODECS:
        getattr(imagecodecs, f"{name}_decode", None)
    control = socket.socket(fileno=descriptor)
    folders = pickle.loads(control.recv(_ORDER_MOST))
    protections = isolate()
    if len(os.listdir("/proc/self/task")) != 1:
        sys.exit("the template has started threads: it must not fork")
    gc.collect()
    gc.freeze()  # what is shared with the children stays shared
    control.send(msgspec.json.encode(protections))
    Template(control, folders, protections).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
