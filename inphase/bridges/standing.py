"""How a connection stands, told in a line when it changes: that it cannot come about, and that it brings no data."""

import time
from collections.abc import Callable
from typing import Final, Literal

State = Literal["connecting", "cannot connect", "no data", "data"]

REFUSED_S: Final = 3.0  # after which a connection that has not come about is told
SILENT_S: Final = 10.0  # after which a connection without a message is told


class Standing:
    """The state of one connection. tell: hears in a line whenever it stands otherwise.

    why_not, why_silent: what may be the reason that there is no connection, or that nothing comes.
    """

    def __init__(
        self, address: str, tell: Callable[[str], object], why_not: Callable[[], str], why_silent: Callable[[], str]
    ) -> None:
        self.state: State = "connecting"
        self._address, self._tell, self._why_not, self._why_silent = address, tell, why_not, why_silent
        self._since = time.monotonic()
        self._told_silent = False

    def connected(self) -> None:
        """The other side has answered."""
        self._stand("no data", f"connected to {self._address}, no data yet")

    def heard(self) -> None:
        """A message has come."""
        self._stand("data", "")
        self._since, self._told_silent = time.monotonic(), False

    def lost(self) -> None:
        """The connection has ended, where there was one."""
        if self.state in ("no data", "data"):
            self._stand("connecting", f"the connection to {self._address} is lost; trying again")

    def look(self) -> None:
        """Tell what has gone on for too long."""
        quiet = time.monotonic() - self._since
        if self.state == "connecting" and quiet > REFUSED_S:
            self._stand("cannot connect", f"cannot connect to {self._address}: {self._why_not()}")
        elif self.state in ("no data", "data") and quiet > SILENT_S and not self._told_silent:
            self._told_silent = True
            self._tell(f"connected to {self._address}, no data for {SILENT_S:g} s: {self._why_silent()}")

    def _stand(self, state: State, line: str) -> None:
        if state != self.state:
            self._since = time.monotonic()
            if line:
                self._tell(line)
        self.state, self._told_silent = state, self._told_silent and state == self.state
