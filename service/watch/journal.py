"""What was done with the measurements of a folder, in a file that outlives the process."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from service.watch.arrivals import State


@dataclass(frozen=True)
class Entry:
    """What became of a measurement. name: of it in the folder. result: name of the file with its image, "" where there
    is none. reason: why there is none.
    """

    name: str
    state: State
    result: str = ""
    reason: str = ""
    job: str = ""


class Journal:
    """A line of JSON for each measurement that was done. A line that was cut off counts as none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, Entry] = {}
        written = path.read_bytes() if path.exists() else b""
        for line in written.splitlines():
            if (entry := _parsed(line)) is not None:
                self._entries[entry.name] = entry
        if written and not written.endswith(b"\n"):
            self._append(b"\n")

    def knows(self, name: str, state: State) -> bool:
        """Whether a measurement was done as it stands."""
        entry = self._entries.get(name)
        return entry is not None and entry.state == state

    def source_of(self, result: str) -> str:
        """The measurement whose image lies under this name, "" where there is none."""
        return next((entry.name for entry in self._entries.values() if entry.result == result), "")

    def add(self, entry: Entry) -> None:
        """Keep an entry: it is on the disk when this returns."""
        self._append(json.dumps(asdict(entry)).encode() + b"\n")
        self._entries[entry.name] = entry

    def _append(self, line: bytes) -> None:
        with self._path.open("ab") as stream:
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())


def _parsed(line: bytes) -> Entry | None:
    try:
        found = json.loads(line)
        return Entry(**found | {"state": State(**found["state"])})
    except (ValueError, TypeError, KeyError):
        return None
