"""When a call is made again, and after how long."""

import random
from dataclasses import dataclass
from typing import Final

from inphase.client.errors import LateError, OverloadError, ServiceError, UnreachableError

_GATEWAY: Final = (502, 504)  # somebody between did not get an answer: what the service did is not known


@dataclass(frozen=True)
class Retries:
    """A call that failed is made again where that is safe.

    It is where the service never saw the request or refused it for now, and, of one that changes nothing when it comes
    twice, also where the answer was lost.
    attempts: in all. first_s: about the first pause, doubled from attempt to attempt; Retry-After counts instead where
    it came. longest_s: who is told to wait for longer is told so at once.
    """

    attempts: int = 3
    first_s: float = 0.2
    longest_s: float = 30.0

    def pause(self, failed: ServiceError, attempt: int, *, repeatable: bool) -> float | None:
        """Seconds before the next attempt; None where there is none. attempt: how many there were."""
        if attempt >= self.attempts or not _safe(failed, repeatable):
            return None
        own = self.first_s * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)  # many callers do not come back together
        pause = own if failed.retry_after is None else failed.retry_after
        return pause if pause <= self.longest_s else None


def _safe(failed: ServiceError, repeatable: bool) -> bool:
    if isinstance(failed, OverloadError):
        return repeatable or bool(failed.urn)  # another's 503 does not say what became of the request
    if isinstance(failed, LateError):
        return False  # who has waited so long is told
    if isinstance(failed, UnreachableError):
        return repeatable or not failed.sent
    return repeatable and failed.status in _GATEWAY
