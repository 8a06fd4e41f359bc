"""A warning that comes again and again is one line a minute: a full disk would otherwise fill the log as well."""

import logging
import re
import threading
import time
from collections.abc import Callable
from typing import Any, Final

_REST_S: Final = 60.0
_KNOWN_MOST: Final = 1000
_OWN: Final = re.compile(r"[0-9a-f]{32}|0x[0-9a-f]+|\d+(?:\.\d+)?")  # ids, addresses, numbers: what differs each time


class Repeats(logging.Filter):
    """Lets warnings and errors through once a minute for each cause; what is no warning always."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock, self._lock = clock, threading.Lock()
        self._known: dict[str, tuple[float, int]] = {}  # when it was told, and how often it came since

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is written; one that stands for others says so."""
        if record.levelno < logging.WARNING:
            return True
        cause = _OWN.sub("#", f"{record.name} {record.levelno} {_text(record)} {_raised(record)}")
        now = self._clock()
        with self._lock:
            told, since = self._known.get(cause, (now - _REST_S, 0))
            if now - told < _REST_S:
                self._known[cause] = told, since + 1
                return False
            self._known.pop(cause, None)
            while len(self._known) >= _KNOWN_MOST:
                del self._known[next(iter(self._known))]
            self._known[cause] = now, 0
        if since:
            _tell(record, since)
        return True


def handler() -> logging.Handler:
    """Standard error, one line a minute for each cause."""
    found = logging.StreamHandler()
    found.addFilter(Repeats())
    return found


def _text(record: logging.LogRecord) -> str:
    """What a line says; a line of structlog comes as a dictionary, of which some parts belong to one request."""
    message: Any = record.msg
    if isinstance(message, dict):
        return " ".join(f"{name}={part}" for name, part in message.items() if name not in ("ts", "request_id", "job"))
    return record.getMessage()


def _raised(record: logging.LogRecord) -> str:
    return repr(record.exc_info[1]) if record.exc_info else ""


def _tell(record: logging.LogRecord, since: int) -> None:
    message: Any = record.msg
    if isinstance(message, dict):
        record.msg = message | {"more_since": since}
    else:
        record.msg, record.args = f"{record.getMessage()} (and {since} more like it since the last time)", ()
