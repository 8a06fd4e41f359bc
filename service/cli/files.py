"""How the command line reads files of its user."""

import platform
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inphase.formats import RawScan
    from service.sandbox.order import FileOrder


def reader(held: ExitStack) -> "Callable[[FileOrder], RawScan]":
    """What reads them, until `held` ends: a process apart (service.sandbox),
    and this one where the system is not Linux.

    A file that crashes its library ends the command there; on Linux it is one scan that fails.
    """
    if platform.system() == "Linux":
        from service.sandbox.sandbox import Sandbox

        return held.enter_context(Sandbox.of_user()).read
    return _read_here


def _read_here(order: "FileOrder") -> "RawScan":
    from inphase.formats import read_as

    return read_as(order.path, order.reading, order.domain, order.limits)
