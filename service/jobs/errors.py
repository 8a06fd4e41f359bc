"""What can go wrong with the queue, the records and the store. No HTTP here: service/errors.py maps them."""

from inphase.errors import InphaseError


class QueueUnavailableError(InphaseError):
    """Redis does not answer: nothing was accepted. Trying again later is right."""


class QueueRefusedError(QueueUnavailableError):
    """Redis answers, but refuses what a job needs: nothing was accepted, and somebody has to see to Redis."""


class NoRedisError(InphaseError):
    """No Redis is configured and none can be started on this machine, or the one that is configured cannot keep
    jobs.
    """


class UnknownJobError(InphaseError):
    """No job has this id (never had, or it has expired)."""


class DocumentError(InphaseError):
    """A stored job document that this version cannot read."""


class KeyReusedError(InphaseError):
    """An Idempotency-Key came again with another request."""


class QuotaError(InphaseError):
    """A key has what it may have for now. retry_after_s: when trying again is right, in seconds."""

    def __init__(self, detail: str, retry_after_s: int = 5) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class WorkerError(InphaseError):
    """A worker cannot work: its compute process does not come up."""


class UnknownSeriesError(InphaseError):
    """No series has this id (never had, or it has expired)."""


class UnknownScanError(InphaseError):
    """No live scan has this id (never had, or it has expired)."""


class ScanClosedError(InphaseError):
    """A live scan takes no frames any more."""


class StoreError(InphaseError):
    """Arrays of a job cannot be stored or read back."""


class StoreFullError(StoreError):
    """There is no room for the arrays now; nothing half-written was left behind. needed: bytes of them."""

    def __init__(self, text: str, needed: int = 0) -> None:
        super().__init__(text)
        self.needed = needed


class StoreTooSmallError(StoreError):
    """There would be no room for the arrays if nothing else were there: trying again is in vain."""


class StoreUnavailableError(StoreError):
    """The disk of the store does not write or read now: it is read-only, fails, or is away. Nothing is known of the
    arrays.
    """


class StoreCorruptError(StoreError):
    """Stored arrays are damaged: truncated, or their checksum does not fit."""
