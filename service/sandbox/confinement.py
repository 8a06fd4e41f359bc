"""What a reading process gives up before it opens anything. What the kernel does not offer is told, not assumed.

Nothing here is in the standard library: Landlock (which files), seccomp (which calls), namespaces and capabilities are
asked of the kernel by the numbers of its calls.
"""

import ctypes
import math
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import inphase
import service
from service.sandbox.order import Terms

_LIBC: Final = ctypes.CDLL(None, use_errno=True)

# prctl
_PDEATHSIG, _SET_SECCOMP, _NO_NEW_PRIVS = 1, 22, 38
_NEW_USER, _NEW_NET = 0x10000000, 0x40000000

# Landlock: the same numbers on every machine
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 5: 16}  # how many there are from this version on
_NET_RIGHTS, _NET_SINCE = 0b11, 4  # bind and connect of TCP
_SCOPES, _SCOPES_SINCE = 0b11, 6  # abstract sockets and signals to others

# seccomp
_FILTER_MODE, _KILL, _REFUSE, _ALLOW = 2, 0x80000000, 0x00050000, 0x7FFF0000
_EPERM, _ENOSYS = 1, 38
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in seccomp_data
_THREAD: Final = 0x00010000  # CLONE_THREAD
_X32: Final = 0x40000000

_KEPT_CAPABILITY: Final = 1 << 2  # CAP_DAC_READ_SEARCH: a service that runs as root reads what root reads
_OPEN_FILES: Final = 1024
_FIRST_TO_GO: Final = "1000"  # oom_score_adj: the kernel takes a reading process before all others


@dataclass(frozen=True)
class _Calls:
    """Numbers of one processor's calls: what is refused beside clone, which makes threads and processes."""

    audit: int
    clone: int
    clone3: int
    refused: tuple[int, ...]


# sockets; processes and programs; signals and memory of others; shared memory, queues; mounts, namespaces;
# the kernel's own
_CALLS: Final = {
    "x86_64": _Calls(
        0xC000003E, 56, 435,
        (41, 42, 43, 48, 49, 50, 53, 288, 57, 58, 59, 322, 62, 200, 101, 310, 311, 424, 434, 438, 29, 64, 68, 240,
         165, 155, 161, 272, 308, 429, 430, 432, 442, 248, 249, 250, 298, 304, 321, 323, 425, 426, 427),
    ),
    "aarch64": _Calls(
        0xC00000B7, 220, 435,
        (198, 199, 200, 201, 202, 203, 210, 242, 221, 281, 129, 130, 117, 270, 271, 424, 434, 438, 194, 190, 186, 180,
         40, 41, 51, 97, 268, 429, 430, 432, 442, 217, 218, 219, 241, 265, 280, 282, 425, 426, 427),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Protections:
    """What the kernel enforces on reading processes here, beside limits on memory, processor, time and files.

    landlock: the version of Landlock by which only the data roots can be read and nothing can be written; 0: not
    offered.
    seccomp: whether sockets, processes and programs are refused. network_namespace: whether there is no network at all.
    """

    landlock: int
    seccomp: bool
    network_namespace: bool


def isolate() -> Protections:
    """Leave the network, in the template: what its children inherit costs them nothing. What can be enforced here."""
    alone = _LIBC.unshare(_NEW_NET) == 0 or _LIBC.unshare(_NEW_USER | _NEW_NET) == 0
    return Protections(landlock_version(), _seccomp_offered(), alone)


def landlock_version() -> int:
    """0 where the kernel has none."""
    return max(0, int(_LIBC.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)))


def confine(folders: Iterable[Path], protections: Protections, parent: int) -> None:
    """Give up everything that reading does not need. Raises OSError where the kernel refuses what it offers.

    folders: what may be opened, and nothing else beside the interpreter and its libraries. parent: with which this
    process ends.
    """
    _require(_LIBC.prctl(_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0))
    if os.getppid() != parent:
        os._exit(1)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)
    _require(_LIBC.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0))
    restrict_files(folders, protections)
    _drop_capabilities()
    if protections.seccomp:
        _restrict_calls(_CALLS[platform.machine()])


def address_space_bytes() -> int:
    """What this process has reserved."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def limit(terms: Terms, begun_with: int) -> None:
    """Bound what this process may use up. begun_with: its address space before it reads."""
    memory = begun_with + terms.memory_bytes
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, math.ceil(terms.seconds) + 1),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_FSIZE, terms.memory_bytes),  # the memory file: nothing else can be written
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (least, least))


def allow_memory(nbytes: int) -> None:
    """Bound the address space, to no more than `limit` did."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (nbytes if hard == resource.RLIM_INFINITY else min(nbytes, hard), hard))


def restrict_files(folders: Iterable[Path], protections: Protections) -> None:
    """From now on only these can be read, and nothing can be written; may be repeated with less."""
    if protections.landlock:
        _restrict_files(protections.landlock, folders)


def _restrict_files(version: int, folders: Iterable[Path]) -> None:
    rights = (1 << max(count for since, count in _FILE_RIGHTS.items() if since <= version)) - 1
    attributes = [rights]
    if version >= _NET_SINCE:
        attributes.append(_NET_RIGHTS)
    if version >= _SCOPES_SINCE:
        attributes.append(_SCOPES)
    packed = struct.pack(f"={len(attributes)}Q", *attributes)
    ruleset = _require(_LIBC.syscall(_CREATE_RULESET, packed, ctypes.c_size_t(len(packed)), 0))
    for folder in (*_interpreter(), *folders):
        try:
            opened = os.open(folder, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue  # what cannot be reached cannot be read
        try:
            allowed = _READ_FILE | _READ_DIR if folder.is_dir() else _READ_FILE
            rule = struct.pack("=Qi", allowed, opened)
            _require(_LIBC.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0))
        finally:
            os.close(opened)
    _require(_LIBC.syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def _interpreter() -> set[Path]:
    """What the interpreter and its libraries may still load."""
    own = {Path(package.__path__[0]) for package in (inphase, service)}
    return {Path(sys.prefix), Path(sys.base_prefix), *own, *map(Path, ("/usr/lib", "/lib", "/lib64", "/dev/urandom"))}


def _drop_capabilities() -> None:
    """Keep at most the right to read; without CAP_SYS_RESOURCE the limits above stay what they are, also for root."""
    header = struct.pack("=Ii", 0x20080522, 0)
    held = ctypes.create_string_buffer(24)
    _require(_LIBC.capget(header, held))
    effective, permitted, *_ = struct.unpack("=6I", held.raw)
    _require(
        _LIBC.capset(header, struct.pack("=6I", effective & _KEPT_CAPABILITY, permitted & _KEPT_CAPABILITY, 0, 0, 0, 0))
    )


def _seccomp_offered() -> bool:
    """Whether the kernel filters calls and this processor's are known."""
    return platform.machine() in _CALLS and Path("/proc/sys/kernel/seccomp/actions_avail").exists()


def _restrict_calls(calls: _Calls) -> None:
    program = _filter(calls)
    code = ctypes.create_string_buffer(b"".join(program), 8 * len(program))
    header = struct.pack("@HP", len(program), ctypes.addressof(code))
    _require(_LIBC.prctl(_SET_SECCOMP, _FILTER_MODE, header, 0, 0))


def _filter(calls: _Calls) -> Sequence[bytes]:
    """The program of the kernel's packet filter: a known processor, and none of the refused calls."""

    def step(code: int, value: int, jump: int = 0, otherwise: int = 0) -> bytes:
        return struct.pack("=HBBI", code, jump, otherwise, value)

    found = [
        step(_LOAD, _ARCHITECTURE),
        step(_EQUAL, calls.audit, 1, 0),
        step(_RETURN, _KILL),
        step(_LOAD, _NUMBER),
        step(_AT_LEAST, _X32, 0, 1),
        step(_RETURN, _KILL),
        step(_EQUAL, calls.clone3, 0, 1),  # its flags lie in memory, where no filter looks: libc asks for clone then
        step(_RETURN, _REFUSE | _ENOSYS),
        step(_EQUAL, calls.clone, 0, 4),
        step(_LOAD, _FIRST_ARGUMENT),
        step(_ANY_BIT, _THREAD, 1, 0),
        step(_RETURN, _REFUSE | _EPERM),
        step(_RETURN, _ALLOW),
    ]
    for number in calls.refused:
        found += [step(_EQUAL, number, 0, 1), step(_RETURN, _REFUSE | _EPERM)]
    return [*found, step(_RETURN, _ALLOW)]


def _require(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
